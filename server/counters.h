/* counters.h - plain adds by their owner, sums by anybody.
 * Owns: nothing; the sets live in struct worker.
 * Thread: one worker adds to a set; any thread reads it. A reader sees each value whole, and a sum
 *         that is at most one turn old.
 * Never: uses a locked instruction on the way of a request. */
#ifndef SERVER_COUNTERS_H
#define SERVER_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

struct tenant_counters {
#define TENANT_COUNTER(name, help) counter name;
#include "server/counters.def"
#undef TENANT_COUNTER
};

struct worker_counters {
#define WORKER_COUNTER(name, help) counter name;
#include "server/counters.def"
#undef WORKER_COUNTER
};

/* The same fields as sums. */
struct tenant_totals {
#define TENANT_COUNTER(name, help) uint64_t name;
#include "server/counters.def"
#undef TENANT_COUNTER
};

struct worker_totals {
#define WORKER_COUNTER(name, help) uint64_t name;
#include "server/counters.def"
#undef WORKER_COUNTER
};

/* Owner only: a load and a store, no bus lock. */
static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t counter_read(const counter *c)
{
    return atomic_load_explicit((counter *)c, memory_order_relaxed);
}

/* Adds a set to a sum. Thread: any. */
void tenant_counters_add(struct tenant_totals *sum, const struct tenant_counters *set);
void worker_counters_add(struct worker_totals *sum, const struct worker_counters *set);

#endif
