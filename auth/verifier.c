#include "auth/verifier.h"

#include "base/number.h"
#include "base/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *mechanism;
    size_t size;
    const char *digest;
} hashes[] = {
#define VERIFIER_HASH(name, mechanism, size, digest) {mechanism, size, digest},
#include "auth/hashes.def"
#undef VERIFIER_HASH
};

/* The digests that never need fetching; the names are the rows' digest column. */
static const EVP_MD *digest_of(enum verifier_hash hash)
{
    switch (hash) {
    case VERIFIER_SHA_1:
        return EVP_sha1();
    case VERIFIER_SHA_512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

const char *verifier_mechanism(enum verifier_hash hash)
{
    MUST(hash < N_VERIFIER_HASHES);
    return hashes[hash].mechanism;
}

size_t verifier_size(enum verifier_hash hash)
{
    MUST(hash < N_VERIFIER_HASHES);
    return hashes[hash].size;
}

/* Strict base64 with padding: what decodes must encode to the same text again. */
static bool decode_base64(struct slice text, uint8_t *out, size_t n_max, size_t *n_out)
{
    uint8_t bytes[VERIFIER_TEXT_MAX];
    unsigned char again[VERIFIER_TEXT_MAX + 1];
    if (text.n == 0 || text.n % 4 != 0 || text.n > VERIFIER_KEY_MAX / 3 * 4 + 8)
        return false;
    int n = EVP_DecodeBlock(bytes, text.p, (int)text.n);
    if (n < 0)
        return false;
    size_t n_bytes = (size_t)n;
    for (size_t at = text.n; at > text.n - 2 && text.p[at - 1] == '='; at--)
        n_bytes--;
    int n_again = EVP_EncodeBlock(again, bytes, (int)n_bytes);
    bool is_good = n_bytes > 0 && n_bytes <= n_max && (size_t)n_again == text.n &&
                   memcmp(again, text.p, text.n) == 0;
    if (is_good) {
        memcpy(out, bytes, n_bytes);
        *n_out = n_bytes;
    }
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(again, sizeof again);
    return is_good;
}

/* Cuts text at the first separator: the part before it, and text moves behind it. */
static bool cut(struct slice *text, char separator, struct slice *part_out)
{
    const uint8_t *at = text->n > 0 ? memchr(text->p, separator, text->n) : NULL;
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - text->p);
    *part_out = slice_of(text->p, n);
    *text = slice_of(at + 1, text->n - n - 1);
    return true;
}

static bool find_hash(struct slice scheme, enum verifier_hash *hash_out)
{
    for (unsigned i = 0; i < N_VERIFIER_HASHES; i++) {
        if (slice_is(scheme, hashes[i].mechanism)) {
            *hash_out = (enum verifier_hash)i;
            return true;
        }
    }
    return false;
}

bool verifier_parse(struct slice text, struct verifier *out, const char **reason_out)
{
    struct slice scheme, iterations, salt, stored;
    uint64_t count;
    size_t n_stored, n_server;
    if (!cut(&text, '$', &scheme) || !cut(&text, ':', &iterations) || !cut(&text, '$', &salt) ||
        !cut(&text, ':', &stored)) {
        *reason_out = "a verifier looks like SCRAM-SHA-256$4096:salt$stored:server";
        return false;
    }
    memset(out, 0, sizeof *out);
    if (!find_hash(scheme, &out->hash)) {
        *reason_out = "unknown scheme: SCRAM-SHA-256, SCRAM-SHA-512 and SCRAM-SHA-1 are known";
        return false;
    }
    if (!number_parse_u64(iterations, VERIFIER_ITERATIONS_MAX, &count) ||
        count < VERIFIER_ITERATIONS) {
        *reason_out = "iterations must be 4096 to 1000000";
        return false;
    }
    out->iterations = (uint32_t)count;
    if (!decode_base64(salt, out->salt, sizeof out->salt, &out->n_salt) || out->n_salt < 8) {
        *reason_out = "the salt is not base64 of 8 to 64 bytes";
        return false;
    }
    if (!decode_base64(stored, out->stored_key, sizeof out->stored_key, &n_stored) ||
        !decode_base64(text, out->server_key, sizeof out->server_key, &n_server) ||
        n_stored != verifier_size(out->hash) || n_server != n_stored) {
        *reason_out = "a key is not base64 of the hash's length";
        return false;
    }
    return true;
}

static void encode_base64(const uint8_t *bytes, size_t n, char *out)
{
    (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
}

size_t verifier_format(const struct verifier *verifier, char *out)
{
    char salt[100], stored[100], server[100];
    size_t size = verifier_size(verifier->hash);
    encode_base64(verifier->salt, verifier->n_salt, salt);
    encode_base64(verifier->stored_key, size, stored);
    encode_base64(verifier->server_key, size, server);
    int n = snprintf(out, VERIFIER_TEXT_MAX, "%s$%u:%s$%s:%s", verifier_mechanism(verifier->hash),
                     verifier->iterations, salt, stored, server);
    MUST(n > 0 && n < VERIFIER_TEXT_MAX);
    return (size_t)n;
}

static bool salted_password(enum verifier_hash hash, uint32_t iterations, struct slice salt,
                            struct slice password, uint8_t *out)
{
    return PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p, (int)salt.n,
                             (int)iterations, digest_of(hash), (int)verifier_size(hash), out) == 1;
}

static bool named_key(enum verifier_hash hash, const uint8_t *salted, const char *name,
                      uint8_t *out)
{
    unsigned n = 0;
    return HMAC(digest_of(hash), salted, (int)verifier_size(hash), (const unsigned char *)name,
                strlen(name), out, &n) != NULL;
}

static bool stored_from_salted(enum verifier_hash hash, const uint8_t *salted, uint8_t *out)
{
    uint8_t client_key[VERIFIER_KEY_MAX];
    bool is_good =
        named_key(hash, salted, "Client Key", client_key) &&
        EVP_Digest(client_key, verifier_size(hash), out, NULL, digest_of(hash), NULL) == 1;
    secret_wipe(client_key, sizeof client_key);
    return is_good;
}

bool verifier_rehearse(void)
{
    static const uint8_t bytes[16];
    bool is_good = true;
    for (enum verifier_hash hash = 0; hash < N_VERIFIER_HASHES; hash++) {
        struct verifier made;
        is_good = is_good && verifier_make(hash, 1, slice_of(bytes, sizeof bytes),
                                           slice_of(bytes, sizeof bytes), &made);
        secret_wipe(&made, sizeof made);
    }
    return is_good;
}

bool verifier_derive(enum verifier_hash hash, uint32_t iterations, struct slice salt,
                     struct slice password, uint8_t *stored_key_out)
{
    uint8_t salted[VERIFIER_KEY_MAX];
    bool is_good = salted_password(hash, iterations, salt, password, salted) &&
                   stored_from_salted(hash, salted, stored_key_out);
    secret_wipe(salted, sizeof salted);
    return is_good;
}

bool verifier_make(enum verifier_hash hash, uint32_t iterations, struct slice salt,
                   struct slice password, struct verifier *out)
{
    uint8_t salted[VERIFIER_KEY_MAX];
    MUST(salt.n <= sizeof out->salt);
    memset(out, 0, sizeof *out);
    out->hash = hash;
    out->iterations = iterations;
    out->n_salt = salt.n;
    memcpy(out->salt, salt.p, salt.n);
    bool is_good = salted_password(hash, iterations, salt, password, salted) &&
                   stored_from_salted(hash, salted, out->stored_key) &&
                   named_key(hash, salted, "Server Key", out->server_key);
    secret_wipe(salted, sizeof salted);
    return is_good;
}

bool verifier_shares_derivation(const struct verifier *a, const struct verifier *b)
{
    return a->hash == b->hash && a->iterations == b->iterations &&
           slice_equal(slice_of(a->salt, a->n_salt), slice_of(b->salt, b->n_salt));
}

/* Keyed once: a login takes a copy, where HMAC() would look its digest up and hash the key anew. */
struct tag_key {
    EVP_MAC_CTX *keyed;
};

static EVP_MAC_CTX *keyed_mac(const uint8_t bytes[VERIFIER_TAG_SIZE])
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *keyed = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (keyed != NULL && EVP_MAC_init(keyed, bytes, VERIFIER_TAG_SIZE, params) == 1)
        return keyed;
    EVP_MAC_CTX_free(keyed);
    return NULL;
}

struct tag_key *tag_key_create(const uint8_t bytes[VERIFIER_TAG_SIZE])
{
    struct tag_key *key = calloc(1, sizeof *key);
    if (key == NULL)
        return NULL;
    key->keyed = keyed_mac(bytes);
    if (key->keyed == NULL)
        tag_key_destroy(&key);
    return key;
}

void tag_key_destroy(struct tag_key **key)
{
    struct tag_key *k = *key;
    if (k == NULL)
        return;
    *key = NULL;
    EVP_MAC_CTX_free(k->keyed);
    free(k);
}

/* The length of the first part stands before it: no other two parts make the same bytes. */
bool verifier_tag(const struct tag_key *key, struct slice first, struct slice second,
                  uint8_t tag_out[VERIFIER_TAG_SIZE])
{
    uint64_t n_first = first.n;
    size_t n = 0;
    EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(key->keyed);
    bool is_good = mac != NULL &&
                   EVP_MAC_update(mac, (const uint8_t *)&n_first, sizeof n_first) == 1 &&
                   EVP_MAC_update(mac, first.p, first.n) == 1 &&
                   EVP_MAC_update(mac, second.p, second.n) == 1 &&
                   EVP_MAC_final(mac, tag_out, &n, VERIFIER_TAG_SIZE) == 1;
    EVP_MAC_CTX_free(mac);
    return is_good && n == VERIFIER_TAG_SIZE;
}
