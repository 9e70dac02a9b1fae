#include "base/hash.h"

#include "base/must.h"
#include "base/random.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(HASH_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");

void hash_key_init(struct hash_key *key, uint64_t seed)
{
    if (seed != 0)
        XXH3_generateSecret(key->secret, sizeof key->secret, &seed, sizeof seed);
    else
        random_fill(key->secret, sizeof key->secret);
}

#define SHORT_MAX 128 /* bytes; beyond, XXH3 works on a block of state */

NEVER_INLINE uint64_t hash_long(const struct hash_key *key, struct slice bytes)
{
    return XXH3_64bits_withSecret(bytes.p, bytes.n, key->secret, sizeof key->secret);
}

/* Flattened, so that the compiler uses the bound, and leaves the block and its frame to the other.
 */
__attribute__((flatten)) uint64_t hash_bytes(const struct hash_key *key, struct slice bytes,
                                             uint64_t salt)
{
    uint64_t h = LIKELY(bytes.n <= SHORT_MAX)
                     ? XXH3_64bits_withSecret(bytes.p, bytes.n, key->secret, sizeof key->secret)
                     : hash_long(key, bytes);
    /* The salt is mixed in after the bytes, so that one pass over the key serves every tenant. */
    h ^= salt * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    return h ^ (h >> 32);
}

uint64_t hash_checksum(struct slice bytes)
{
    return XXH3_64bits(bytes.p, bytes.n);
}
