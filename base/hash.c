#include "base/hash.h"

#include "base/hash_short.h"
#include "base/random.h"

_Static_assert(HASH_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");

void hash_key_init(struct hash_key *key, uint64_t seed)
{
    if (seed != 0)
        XXH3_generateSecret(key->secret, sizeof key->secret, &seed, sizeof seed);
    else
        random_fill(key->secret, sizeof key->secret);
}

NEVER_INLINE uint64_t hash_long(const struct hash_key *key, struct slice bytes, uint64_t salt)
{
    return hash_salted(XXH3_64bits_withSecret(bytes.p, bytes.n, key->secret, sizeof key->secret),
                       salt);
}

/* Flattened, so that the compiler uses the bound, and leaves the block and its frame to the other.
 */
__attribute__((flatten)) uint64_t hash_bytes(const struct hash_key *key, struct slice bytes,
                                             uint64_t salt)
{
    if (UNLIKELY(bytes.n > HASH_SHORT_MAX))
        return hash_long(key, bytes, salt);
    return hash_short(key, bytes, salt);
}

uint64_t hash_checksum(struct slice bytes)
{
    return XXH3_64bits(bytes.p, bytes.n);
}
