#include "tls/ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/secret.h"

#define NAME_SIZE 16 /* OpenSSL's */
#define IV_SIZE   16

struct ticket_key {
    uint8_t name[NAME_SIZE];
    uint8_t cipher[32];
    uint8_t mac[32];
};

enum { NEWEST, PREVIOUS, N_KEYS };

struct ticket_keys {
    pthread_mutex_t lock;
    struct secret *store;    /* N_KEYS ticket_key; under lock */
    int64_t rotated_s;       /* under lock */
    EVP_CIPHER *aes_256_cbc; /* fetched once: a fetch costs more than sealing */
};

static struct ticket_key *key_at(struct ticket_keys *keys, int i)
{
    return (struct ticket_key *)(void *)keys->store->p + i;
}

static void rotate(struct ticket_keys *keys)
{
    *key_at(keys, PREVIOUS) = *key_at(keys, NEWEST);
    random_fill(key_at(keys, NEWEST), sizeof(struct ticket_key));
}

struct ticket_keys *ticket_keys_create(int64_t now_s)
{
    struct ticket_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return NULL;
    MUST(pthread_mutex_init(&keys->lock, NULL) == 0);
    keys->rotated_s = now_s;
    keys->store = secret_create(N_KEYS * sizeof(struct ticket_key));
    keys->aes_256_cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (keys->store == NULL || keys->aes_256_cbc == NULL) {
        ticket_keys_destroy(&keys);
        return NULL;
    }
    rotate(keys);
    rotate(keys);
    return keys;
}

void ticket_keys_destroy(struct ticket_keys **keys)
{
    struct ticket_keys *k = *keys;
    if (k == NULL)
        return;
    *keys = NULL;
    secret_destroy(&k->store);
    EVP_CIPHER_free(k->aes_256_cbc);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
}

void ticket_keys_tick(struct ticket_keys *keys, int64_t now_s)
{
    (void)pthread_mutex_lock(&keys->lock);
    int64_t age_s = now_s - keys->rotated_s;
    if (age_s >= TICKET_PERIOD_S)
        rotate(keys);
    if (age_s >= 2 * TICKET_PERIOD_S)
        rotate(keys);
    /* A clock that was set back must not keep a key alive for longer. */
    if (age_s >= TICKET_PERIOD_S || age_s < 0)
        keys->rotated_s = now_s;
    (void)pthread_mutex_unlock(&keys->lock);
}

static bool arm_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

int ticket_keys_seal(struct ticket_keys *keys, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac)
{
    (void)pthread_mutex_lock(&keys->lock);
    struct ticket_key key = *key_at(keys, NEWEST);
    (void)pthread_mutex_unlock(&keys->lock);
    memcpy(name, key.name, sizeof key.name);
    random_fill(iv, IV_SIZE);
    bool is_armed = EVP_EncryptInit_ex(cipher, keys->aes_256_cbc, NULL, key.cipher, iv) == 1 &&
                    arm_mac(mac, &key);
    secret_wipe(&key, sizeof key);
    return is_armed ? 1 : -1;
}

int ticket_keys_unseal(struct ticket_keys *keys, const uint8_t *name, const uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_key key;
    int found = N_KEYS;
    (void)pthread_mutex_lock(&keys->lock);
    for (int i = N_KEYS - 1; i >= 0; i--)
        if (memcmp(key_at(keys, i)->name, name, NAME_SIZE) == 0)
            found = i;
    if (found < N_KEYS)
        key = *key_at(keys, found);
    (void)pthread_mutex_unlock(&keys->lock);
    if (found == N_KEYS)
        return 0;
    bool is_armed = EVP_DecryptInit_ex(cipher, keys->aes_256_cbc, NULL, key.cipher, iv) == 1 &&
                    arm_mac(mac, &key);
    secret_wipe(&key, sizeof key);
    if (!is_armed)
        return -1;
    return found == NEWEST ? 1 : 2;
}
