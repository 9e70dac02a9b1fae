/* latency.h - how long requests take: sampled turns of connections, in histograms by verb.
 * Owns: nothing; a histogram belongs to a worker and a tenant.
 * Thread: a worker adds to its own; any thread reads.
 * Never: reads a clock but in a sampled turn; uses a locked instruction. */
#ifndef SERVER_LATENCY_H
#define SERVER_LATENCY_H

#include "server/counters.h"

#include <stdbool.h>
#include <stddef.h>

enum latency_kind {
#define LATENCY_KIND(verb, name) LATENCY_##verb,
#include "server/latency.def"
#undef LATENCY_KIND
    LATENCY_OTHER,
    N_LATENCY_KINDS
};

#define LATENCY_FIRST_BIT 6  /* below 64 ns is one bucket */
#define LATENCY_SUB_BITS  2  /* four buckets for each power of two: at most 25 % wide */
#define LATENCY_LAST_BIT  33 /* from 17 s on is one bucket */
#define N_LATENCY_BUCKETS (2 + ((LATENCY_LAST_BIT - LATENCY_FIRST_BIT + 1) << LATENCY_SUB_BITS))

struct latency {
    counter n[N_LATENCY_KINDS][N_LATENCY_BUCKETS];
    counter sum_ns[N_LATENCY_KINDS];
};

struct latency_totals {
    uint64_t n[N_LATENCY_KINDS][N_LATENCY_BUCKETS];
    uint64_t sum_ns[N_LATENCY_KINDS];
};

#define LATENCY_EVERY 16 /* one turn in this many is timed */

/* A turn of a connection that is timed, or the turns until one is. */
struct latency_sample {
    bool is_on;
    uint16_t n_until; /* turns until one is timed */
    uint32_t random;
    uint16_t n[N_LATENCY_KINDS]; /* requests of this turn */
    uint64_t begin_ns;
};

/* True once in LATENCY_EVERY calls on average, at no rhythm that clients could fall into; the first
 * call is one. */
static inline bool latency_is_due(struct latency_sample *sample)
{
    if (sample->n_until-- > 0)
        return false;
    sample->random = sample->random * 1664525u + 1013904223u;
    sample->n_until = (uint16_t)((sample->random >> 16) % (2 * LATENCY_EVERY - 1));
    return true;
}

/* The turn begins now: reads the clock. */
void latency_begin(struct latency_sample *sample);
/* n requests of the timed turn; verb is enum verb. */
void latency_note(struct latency_sample *sample, unsigned verb, unsigned n);
/* Each request of the turn took an equal part of it. False: there was none, and nothing is to be
 * added; *ns_out is one request's part. */
bool latency_end(struct latency_sample *sample, uint64_t *ns_out);
/* Adds the requests of the turn, each with ns. Thread: the owner of the histogram. */
void latency_add(struct latency *latency, const struct latency_sample *sample, uint64_t ns);

/* Sums and their differences, bucket by bucket. Thread: any. */
void latency_sum(struct latency_totals *sum, const struct latency *latency);
void latency_totals_add(struct latency_totals *sum, const struct latency_totals *more);
void latency_subtract(struct latency_totals *sum, const struct latency_totals *less);

/* The bucket of this many nanoseconds, below N_LATENCY_BUCKETS. */
unsigned latency_bucket(uint64_t ns);
/* The first nanosecond that is not in the bucket any more; UINT64_MAX for the last. */
uint64_t latency_bucket_end(unsigned bucket);

/* All samples. */
uint64_t latency_count(const uint64_t buckets[N_LATENCY_BUCKETS]);
/* The end of the bucket in which this share of the samples is reached; 0 when there are none. */
uint64_t latency_quantile(const uint64_t buckets[N_LATENCY_BUCKETS], double share);

/* "get", "set", ...: as `stats latency` and the metrics show it. */
const char *latency_kind_name(enum latency_kind kind);

#endif
