/* keyspace.h - the keys of a load, the value that belongs to each, and which key comes next.
 * Owns: the value pattern and the table of drawn keys.   Thread: one.
 * Never: draws from the clock: the same seed gives the same requests. */
#ifndef BENCH_KEYSPACE_H
#define BENCH_KEYSPACE_H

#include "base/bytes.h"

#define KEYSPACE_KEY_MAX    250
#define KEYSPACE_KEY_DIGITS 12

/* A key is filler and 12 decimal digits; its value is a window into one random pattern, at an
 * offset that is a function of the key. So a value needs no memory and any mix-up is seen. */
struct keyspace {
    uint64_t n_keys;
    size_t n_key;
    size_t n_value;
    uint8_t filler[KEYSPACE_KEY_MAX];
    uint8_t pairs[100][2];
    uint8_t *pattern;
    uint32_t *drawn;
    size_t at_drawn;
    uint64_t random;
};

/* zipf 0 draws keys evenly; above, with that exponent. n_key is 13 to 250, n_keys below 2^32. */
void keyspace_init(struct keyspace *ks, uint64_t n_keys, size_t n_key, size_t n_value, double zipf);
void keyspace_fini(struct keyspace *ks);

/* The key of the next request. */
uint32_t keyspace_draw(struct keyspace *ks);

/* Writes the n_key bytes of the key. */
void keyspace_key(const struct keyspace *ks, uint64_t key, uint8_t *out);

/* A well-mixed function of x (the finalizer of splitmix64). */
static inline uint64_t keyspace_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

#define KEYSPACE_PATTERN_SPAN 4096U

static inline const uint8_t *keyspace_value(const struct keyspace *ks, uint64_t key)
{
    return ks->pattern + (keyspace_mix(key + 1) & (KEYSPACE_PATTERN_SPAN - 1));
}

/* Is p the n_value bytes that belong to the key? Values above 4 KiB are compared at both ends and
 * one in sixteen keys whole. */
bool keyspace_value_matches(const struct keyspace *ks, uint64_t key, const uint8_t *p);

/* Random bytes of length n + KEYSPACE_PATTERN_SPAN, the same in every run; free() them. */
uint8_t *keyspace_pattern_create(size_t n);

/* Draws ranks 1..n with probability proportional to rank^-exponent. */
struct zipf {
    double exponent, at_first, at_last, accept;
    uint64_t n;
};
void zipf_init(struct zipf *z, uint64_t n, double exponent);
uint64_t zipf_draw(const struct zipf *z, uint64_t *random);

/* Advances *random; evenly distributed 64 bits. */
static inline uint64_t random_next(uint64_t *random)
{
    return keyspace_mix(*random += 0x9e3779b97f4a7c15ULL);
}

#endif
