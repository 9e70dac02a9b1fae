/* hash_short.h - the hash of short keys, laid out in its caller, for the one place that hashes
 * every request's key: elsewhere hash_bytes is called.
 * Owns: nothing.   Thread: any.
 * Never: is included by a header. */
#ifndef BASE_HASH_SHORT_H
#define BASE_HASH_SHORT_H

#include "base/hash.h"
#include "base/must.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_SHORT_MAX 128 /* bytes; beyond, XXH3 works on a block of state */

/* The salt is mixed in after the bytes, so that one pass over the key serves every tenant. */
static inline uint64_t hash_salted(uint64_t h, uint64_t salt)
{
    h ^= salt * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    return h ^ (h >> 32);
}

/* What hash_bytes gives. */
ALWAYS_INLINE uint64_t hash_short(const struct hash_key *key, struct slice bytes, uint64_t salt)
{
    if (UNLIKELY(bytes.n > HASH_SHORT_MAX))
        return hash_bytes(key, bytes, salt);
    return hash_salted(XXH3_64bits_withSecret(bytes.p, bytes.n, key->secret, sizeof key->secret),
                       salt);
}

#endif
