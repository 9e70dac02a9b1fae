/* tenant.h - a tenant as the server sees it: its cache, its counters, its limits on traffic.
 * Owns: the counter sets, made when a worker first serves the tenant; the prefixes of its keys;
 *       what is sampled of its requests, made with the first sample.
 * Thread: any; a worker adds only to its own counter set, limits are atomic.
 * Never: decides who may enter; that is auth's. */
#ifndef SERVER_TENANT_H
#define SERVER_TENANT_H

#include "base/must.h"
#include "cache/cache.h"
#include "server/counters.h"
#include "server/ghost_list.h"
#include "server/latency.h"

#include <pthread.h>

#define TENANT_DEFAULT  "default"
#define TENANT_DELAY_MS 200 /* of a connection at most; beyond it requests are refused */

struct insight;
struct prefixes;

struct tenant {
    unsigned id;
    char *name;
    struct cache_tenant *cache;
    struct prefixes *prefixes;
    bool has_left; /* the file, at the last tenants_retire; for tenants.c alone */
    unsigned n_workers;
    atomic_uint n_connections;
    _Atomic uint64_t max_connections; /* 0 = no limit; so the next two */
    _Atomic uint64_t max_ops;         /* per second */
    _Atomic uint64_t max_bytes;       /* per second, both directions */
    _Atomic uint64_t n_refused;       /* requests refused over the limits */
    _Atomic int64_t ops_paid_until;   /* ns: when the traffic so far is paid for */
    _Atomic int64_t bytes_paid_until;
    pthread_mutex_t reset_lock;                   /* covers reset */
    struct tenant_totals reset;                   /* what `stats reset` subtracts */
    struct latency_totals *latency_reset;         /* likewise; NULL before the first reset */
    _Atomic(struct insight *) insight;            /* NULL before the first sample */
    _Atomic uint64_t ghost_limit;                 /* keys with a hash up to this are followed */
    _Atomic(struct latency *) *latencies;         /* by worker; NULL before the first sample */
    _Atomic(struct tenant_counters *) counters[]; /* by worker */
};

/* NULL when memory is short. The cache tenant is borrowed. */
MUST_USE struct tenant *tenant_create(unsigned id, const char *name, struct cache_tenant *cache,
                                      unsigned n_workers, char prefix_delimiter, bool is_detail_on);
void tenant_destroy(struct tenant **tenant);

/* The set that this worker adds to; made at the first call. NULL when memory is short. */
MUST_USE struct tenant_counters *tenant_counters_of(struct tenant *tenant, unsigned worker);

/* Sums of all workers since start or the last reset. */
void tenant_counts_read(struct tenant *tenant, struct tenant_totals *out);
/* `stats reset`: sums start again from 0, what workers count is left alone. */
void tenant_counts_reset(struct tenant *tenant);

/* ---- samples ---- */

/* The histograms that this worker adds to; made at the first call. NULL when memory is short. */
struct latency *tenant_latency_of(struct tenant *tenant, unsigned worker);
/* Sums of all workers since start or the last reset. */
void tenant_latency_read(struct tenant *tenant, struct latency_totals *out);

/* What is known of its keys; made at the first call. NULL when memory is short. */
struct insight *tenant_insight(struct tenant *tenant);
/* The same; NULL when there is none yet. */
struct insight *tenant_insight_now(struct tenant *tenant);

/* Is this key one of those that the ghost list follows? */
static inline bool tenant_follows(const struct tenant *tenant, uint64_t hash)
{
    return hash <=
           atomic_load_explicit(&((struct tenant *)tenant)->ghost_limit, memory_order_relaxed);
}
/* For keys that tenant_follows, with the size of their item in bytes (0: a miss). */
void tenant_tell_get(struct tenant *tenant, uint64_t hash, uint32_t size);
void tenant_tell_set(struct tenant *tenant, uint64_t hash, uint32_t size);
void tenant_tell_drop(struct tenant *tenant, uint64_t hash);

/* ---- limits ---- */

/* 0 = no limit; ops and bytes are per second. A debt is forgotten when its limit changes. */
void tenant_limit(struct tenant *tenant, uint64_t connections, uint64_t ops, uint64_t bytes);

/* A connection logs in to the tenant, or leaves it. False: it is full. */
MUST_USE bool tenant_enter(struct tenant *tenant);
void tenant_leave(struct tenant *tenant);

/* Is its traffic limited? Otherwise nothing needs to be booked. */
static inline bool tenant_is_limited(const struct tenant *tenant)
{
    struct tenant *t = (struct tenant *)tenant;
    return atomic_load_explicit(&t->max_ops, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&t->max_bytes, memory_order_relaxed) != 0;
}

/* Milliseconds until the traffic so far is within the limits again; 0 = it is. now_ns is
 * monotonic. */
unsigned tenant_debt_ms(const struct tenant *tenant, int64_t now_ns);

/* Books traffic that was served. A second's worth may come at once. */
void tenant_charge(struct tenant *tenant, uint64_t n_ops, uint64_t n_bytes, int64_t now_ns);

#endif
