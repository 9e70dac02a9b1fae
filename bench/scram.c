#include "bench/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define SIZE 32

static void hmac(const uint8_t *key, const char *text, uint8_t *out)
{
    unsigned n;
    MUST(HMAC(EVP_sha256(), key, SIZE, (const uint8_t *)text, strlen(text), out, &n) != NULL);
}

size_t scram_first(struct scram *scram, const char *user, uint64_t number, uint8_t *out)
{
    snprintf(scram->first_bare, sizeof scram->first_bare, "n=%s,r=nonce%llu", user,
             (unsigned long long)number);
    return (size_t)snprintf((char *)out, SCRAM_MESSAGE_MAX, "n,,%s", scram->first_bare);
}

static bool derive(struct scram_key *key, const char *password, const char *salt64, int iterations)
{
    uint8_t salt[SCRAM_SALT_MAX];
    size_t n_salt64 = strlen(salt64);
    if (strcmp(key->salt, salt64) == 0)
        return true;
    int n_salt = EVP_DecodeBlock(salt, (const uint8_t *)salt64, (int)n_salt64);
    for (size_t i = n_salt64; i > 0 && salt64[i - 1] == '='; i--)
        n_salt--;
    if (n_salt <= 0 || PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, n_salt, iterations,
                                         EVP_sha256(), SIZE, key->salted) != 1)
        return false;
    memcpy(key->salt, salt64, n_salt64 + 1);
    return true;
}

size_t scram_final(const struct scram *scram, struct scram_key *key, const char *password,
                   struct slice challenge, uint8_t *out)
{
    char text[SCRAM_MESSAGE_MAX], nonce[256], salt64[SCRAM_SALT_MAX], proof64[64];
    char message[3 * SCRAM_MESSAGE_MAX];
    uint8_t client_key[SIZE], stored_key[SIZE], signature[SIZE];
    int iterations;
    if (challenge.n >= sizeof text)
        return 0;
    memcpy(text, challenge.p, challenge.n);
    text[challenge.n] = '\0';
    if (sscanf(text, "r=%255[^,],s=%127[^,],i=%d", nonce, salt64, &iterations) != 3 ||
        !derive(key, password, salt64, iterations))
        return 0;
    hmac(key->salted, "Client Key", client_key);
    MUST(EVP_Digest(client_key, SIZE, stored_key, NULL, EVP_sha256(), NULL) == 1);
    snprintf(message, sizeof message, "%s,%s,c=biws,r=%s", scram->first_bare, text, nonce);
    hmac(stored_key, message, signature);
    for (size_t i = 0; i < SIZE; i++)
        client_key[i] ^= signature[i];
    EVP_EncodeBlock((uint8_t *)proof64, client_key, SIZE);
    return (size_t)snprintf((char *)out, SCRAM_MESSAGE_MAX, "c=biws,r=%s,p=%s", nonce, proof64);
}
