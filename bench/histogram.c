#include "bench/histogram.h"

/* Values below 2^(SUB_BITS+1) have a bucket each; above, each power of two has 2^SUB_BITS. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < (1U << HISTOGRAM_SUB_BITS))
        return (unsigned)ns;
    unsigned top = 63U - (unsigned)__builtin_clzll(ns);
    unsigned shift = top - HISTOGRAM_SUB_BITS;
    unsigned bucket = (shift << HISTOGRAM_SUB_BITS) + (unsigned)(ns >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < (2U << HISTOGRAM_SUB_BITS))
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t base = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((base + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns, uint64_t n_times)
{
    h->counts[bucket_of(ns)] += n_times;
    h->n_values += n_times;
    if (ns > h->max)
        h->max = ns;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->n_values);
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += h->counts[bucket];
        if (seen > wanted || (seen == h->n_values && seen != 0))
            return upper_edge(bucket) < h->max ? upper_edge(bucket) : h->max;
    }
    return h->max;
}
