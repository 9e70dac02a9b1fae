/* top_keys.h - the keys asked for most, from a stream of sampled keys, in fixed memory.
 * Owns: copies of up to TOP_KEYS keys.   Thread: the caller's lock.
 * Never: forgets a key that makes up more than 1/TOP_KEYS of the samples. */
#ifndef SERVER_TOP_KEYS_H
#define SERVER_TOP_KEYS_H

#include "base/bytes.h"
#include "cache/cache.h"

#define TOP_KEYS 64

/* The true number of samples of the key is in [n - error, n]. */
struct top_key {
    uint64_t hash;
    uint64_t n;
    uint64_t error;
    size_t n_key;
    uint8_t key[CACHE_KEY_MAX];
};

/* The space-saving algorithm (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and
 * top-k elements in data streams, ICDT 2005). Zeroed memory is an empty one. */
struct top_keys {
    unsigned n;
    uint64_t n_samples;
    struct top_key rows[TOP_KEYS];
};

/* A sample. The hash decides what is compared: the same key always has the same one. */
void top_keys_add(struct top_keys *top, struct slice key, uint64_t hash);

/* Orders the rows by descending n. */
void top_keys_sort(struct top_keys *top);

#endif
