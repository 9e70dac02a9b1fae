/* hash.h - the keyed hash of cache keys (XXH3, secret chosen at start).
 * Owns: nothing.   Thread: any; a hash_key is read-only after hash_key_init.
 * Never: is used for passwords or anything else that needs a cryptographic hash. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

#define HASH_SECRET_SIZE 192

/* A peer that does not know these bytes cannot choose keys that collide. */
struct hash_key {
    uint8_t secret[HASH_SECRET_SIZE];
};

/* Fills key from the kernel's random numbers; a seed other than 0 gives a fixed key (tests). */
void hash_key_init(struct hash_key *key, uint64_t seed);

/* The 64-bit hash of key bytes; salt separates name spaces (tenants). */
uint64_t hash_bytes(const struct hash_key *key, struct slice bytes, uint64_t salt);

/* A sum over bytes that were written to a file: finds accidents, is no defence against a forger. */
uint64_t hash_checksum(struct slice bytes);

#endif
