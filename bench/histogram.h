/* histogram.h - latencies in nanoseconds, counted in buckets of at most 1.6 % width.
 * Owns: its counts.   Thread: one.
 * Never: allocates; loses a value (values beyond 2^40 ns land in the last bucket). */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS  ((40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n_values;
    uint64_t max;
};

void histogram_add(struct histogram *h, uint64_t ns, uint64_t n_times);

/* The upper edge of the bucket that holds the given share (0..1) of the values; 0 when empty. */
uint64_t histogram_at(const struct histogram *h, double share);

#endif
