/* verifier.h - what is stored instead of a password: SCRAM verifiers in the form of RFC 5803.
 * Owns: nothing.   Thread: any.
 * Never: keeps a password or a key derived from it longer than the call; the only file of auth
 * that knows OpenSSL is verifier.c. */
#ifndef AUTH_VERIFIER_H
#define AUTH_VERIFIER_H

#include "base/bytes.h"
#include "base/must.h"

#define VERIFIER_KEY_MAX        64
#define VERIFIER_SALT_SIZE      16 /* of new and of made-up verifiers */
#define VERIFIER_TEXT_MAX       400
#define VERIFIER_ITERATIONS     4096 /* RFC 7677 section 4: at least */
#define VERIFIER_ITERATIONS_MAX 1000000
#define VERIFIER_TAG_SIZE       32

enum verifier_hash {
#define VERIFIER_HASH(name, mechanism, size, digest) VERIFIER_##name,
#include "auth/hashes.def"
#undef VERIFIER_HASH
    N_VERIFIER_HASHES
};

struct verifier {
    enum verifier_hash hash;
    uint32_t iterations;
    size_t n_salt;
    uint8_t salt[VERIFIER_KEY_MAX];
    uint8_t stored_key[VERIFIER_KEY_MAX];
    uint8_t server_key[VERIFIER_KEY_MAX];
};

/* "SCRAM-SHA-256" and so on: the mechanism and the scheme of the stored form. */
const char *verifier_mechanism(enum verifier_hash hash);

/* Bytes of one key. */
size_t verifier_size(enum verifier_hash hash);

/* Reads "SCRAM-SHA-256$4096:salt$stored:server" (RFC 5803 section 3, without white space).
 * On false *reason_out is a constant text; out is undefined then. */
MUST_USE bool verifier_parse(struct slice text, struct verifier *out, const char **reason_out);

/* The inverse; out has VERIFIER_TEXT_MAX bytes and is NUL-terminated. Returns the length. */
size_t verifier_format(const struct verifier *verifier, char *out);

/* To be called once, before the first login: OpenSSL looks for what it needs at its first use, and
 * what memory is too short for in that moment stays unknown until the process ends. False then. */
MUST_USE bool verifier_rehearse(void);

/* Derives both keys (RFC 5802 section 3). False when the library fails. */
MUST_USE bool verifier_make(enum verifier_hash hash, uint32_t iterations, struct slice salt,
                            struct slice password, struct verifier *out);

/* Derives only what a check compares; stored_key_out has verifier_size(hash) bytes. */
MUST_USE bool verifier_derive(enum verifier_hash hash, uint32_t iterations, struct slice salt,
                              struct slice password, uint8_t *stored_key_out);

/* Equal salt, iterations and hash: one derivation serves both. */
bool verifier_shares_derivation(const struct verifier *a, const struct verifier *b);

/* A key of VERIFIER_TAG_SIZE bytes, prepared: to be read by any threads at once. */
struct tag_key;

/* NULL when memory is short. The bytes stay the caller's, who wipes them. */
MUST_USE struct tag_key *tag_key_create(const uint8_t bytes[VERIFIER_TAG_SIZE]);
void tag_key_destroy(struct tag_key **key); /* wipes; accepts NULL, clears */

/* HMAC-SHA-256 of two parts: tags of the caches, salts of users that do not exist. False when the
 * library has no memory; tag_out is undefined then. */
MUST_USE bool verifier_tag(const struct tag_key *key, struct slice first, struct slice second,
                           uint8_t tag_out[VERIFIER_TAG_SIZE]);

#endif
