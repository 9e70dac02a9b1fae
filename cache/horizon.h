/* horizon.h - how many live bytes of a segment are over by now, known without reading them.
 * Owns: nothing.   Thread: any; relaxed sums, an estimate.
 * Never: calls an item expired that is not: a class counts when its last second has passed. */
#ifndef CACHE_HORIZON_H
#define CACHE_HORIZON_H

#include "cache/engine.h"

/* Two classes per power of two of the seconds between the segment's opening and the expiry. */
static inline unsigned horizon_class(uint32_t seconds)
{
    if (seconds < 2)
        return 0;
    unsigned log = 31u - (unsigned)__builtin_clz(seconds);
    return 2 * log + (seconds >> (log - 1) & 1);
}

static inline uint64_t horizon_end(unsigned which)
{
    if (which < 2)
        return 2;
    unsigned log = which / 2;
    return ((uint64_t)(which & 1 ? 4 : 3)) << (log - 1);
}

static inline void horizon_add(struct cache *cache, uint32_t segment, uint32_t exptime, int32_t n)
{
    if (LIKELY(exptime == CACHE_NEVER))
        return;
    uint32_t opened_at = cache->segments[segment].opened_at;
    unsigned which = horizon_class(exptime > opened_at ? exptime - opened_at : 0);
    if (which < N_HORIZONS)
        atomic_fetch_add_explicit(&cache->horizons[segment].n[which], n, memory_order_relaxed);
}

static inline uint32_t horizon_n_over(const struct cache *cache, uint32_t segment, uint32_t now)
{
    uint32_t opened_at = cache->segments[segment].opened_at;
    int64_t sum = 0;
    for (unsigned i = 0; i < N_HORIZONS && opened_at + horizon_end(i) <= now; i++)
        sum += atomic_load_explicit(&cache->horizons[segment].n[i], memory_order_relaxed);
    return sum < 0                              ? 0
           : sum > (int64_t)cache->segment_size ? (uint32_t)cache->segment_size
                                                : (uint32_t)sum;
}

static inline void horizon_clear(struct cache *cache, uint32_t segment)
{
    for (unsigned i = 0; i < N_HORIZONS; i++)
        atomic_store_explicit(&cache->horizons[segment].n[i], 0, memory_order_relaxed);
}

#endif
