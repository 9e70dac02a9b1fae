#include "server/latency.h"

#include "protocol/request.h"

#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000ull

/* The kind of a verb; 0 is GET, so each row is told by +1. */
static enum latency_kind kind_of(unsigned verb)
{
    static const uint8_t kinds[N_VERBS] = {
#define LATENCY_KIND(verb, name) [VERB_##verb] = LATENCY_##verb + 1,
#include "server/latency.def"
#undef LATENCY_KIND
    };
    return kinds[verb] != 0 ? (enum latency_kind)(kinds[verb] - 1) : LATENCY_OTHER;
}

const char *latency_kind_name(enum latency_kind kind)
{
    static const char *const names[N_LATENCY_KINDS] = {
#define LATENCY_KIND(verb, name) [LATENCY_##verb] = name,
#include "server/latency.def"
#undef LATENCY_KIND
        [LATENCY_OTHER] = "other",
    };
    return names[kind];
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void latency_begin(struct latency_sample *sample)
{
    memset(sample->n, 0, sizeof sample->n);
    sample->is_on = true;
    sample->begin_ns = clock_ns();
}

void latency_note(struct latency_sample *sample, unsigned verb, unsigned n)
{
    uint16_t *sum = &sample->n[kind_of(verb)];
    *sum = (uint16_t)(*sum + n);
}

bool latency_end(struct latency_sample *sample, uint64_t *ns_out)
{
    uint64_t n = 0;
    sample->is_on = false;
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++)
        n += sample->n[kind];
    if (n == 0)
        return false;
    *ns_out = (clock_ns() - sample->begin_ns) / n;
    return true;
}

void latency_add(struct latency *latency, const struct latency_sample *sample, uint64_t ns)
{
    unsigned bucket = latency_bucket(ns);
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++) {
        if (sample->n[kind] == 0)
            continue;
        counter_add(&latency->n[kind][bucket], sample->n[kind]);
        counter_add(&latency->sum_ns[kind], sample->n[kind] * ns);
    }
}

void latency_sum(struct latency_totals *sum, const struct latency *latency)
{
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++) {
        for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++)
            sum->n[kind][i] += counter_read(&latency->n[kind][i]);
        sum->sum_ns[kind] += counter_read(&latency->sum_ns[kind]);
    }
}

void latency_totals_add(struct latency_totals *sum, const struct latency_totals *more)
{
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++) {
        for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++)
            sum->n[kind][i] += more->n[kind][i];
        sum->sum_ns[kind] += more->sum_ns[kind];
    }
}

void latency_subtract(struct latency_totals *sum, const struct latency_totals *less)
{
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++) {
        for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++)
            sum->n[kind][i] -= less->n[kind][i];
        sum->sum_ns[kind] -= less->sum_ns[kind];
    }
}

unsigned latency_bucket(uint64_t ns)
{
    if (ns >> LATENCY_FIRST_BIT == 0)
        return 0;
    unsigned bit = 63 - (unsigned)__builtin_clzll(ns);
    if (bit > LATENCY_LAST_BIT)
        return N_LATENCY_BUCKETS - 1;
    unsigned part = (unsigned)(ns >> (bit - LATENCY_SUB_BITS)) & ((1u << LATENCY_SUB_BITS) - 1);
    return 1 + ((bit - LATENCY_FIRST_BIT) << LATENCY_SUB_BITS) + part;
}

uint64_t latency_bucket_end(unsigned bucket)
{
    if (bucket == 0)
        return 1ull << LATENCY_FIRST_BIT;
    if (bucket >= N_LATENCY_BUCKETS - 1)
        return UINT64_MAX;
    unsigned bit = LATENCY_FIRST_BIT + ((bucket - 1) >> LATENCY_SUB_BITS);
    unsigned part = (bucket - 1) & ((1u << LATENCY_SUB_BITS) - 1);
    return ((1ull << LATENCY_SUB_BITS) + part + 1) << (bit - LATENCY_SUB_BITS);
}

uint64_t latency_count(const uint64_t buckets[N_LATENCY_BUCKETS])
{
    uint64_t n = 0;
    for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++)
        n += buckets[i];
    return n;
}

uint64_t latency_quantile(const uint64_t buckets[N_LATENCY_BUCKETS], double share)
{
    double wanted = share * (double)latency_count(buckets);
    uint64_t n = 0;
    for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++) {
        n += buckets[i];
        if (n > 0 && (double)n >= wanted)
            return latency_bucket_end(i);
    }
    return 0;
}
