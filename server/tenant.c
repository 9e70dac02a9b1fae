#include "server/tenant.h"

#include "server/insight.h"
#include "server/prefixes.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS  1000000000ll
#define DEBT_MAX_S 3600 /* one huge value does not lock a tenant out for longer */

struct tenant *tenant_create(unsigned id, const char *name, struct cache_tenant *cache,
                             unsigned n_workers, char prefix_delimiter, bool is_detail_on)
{
    struct tenant *t = calloc(1, sizeof *t + n_workers * sizeof t->counters[0]);
    if (t == NULL)
        return NULL;
    t->id = id;
    t->cache = cache;
    t->n_workers = n_workers;
    pthread_mutex_init(&t->reset_lock, NULL);
    t->name = strdup(name);
    t->prefixes = prefixes_create(prefix_delimiter, is_detail_on);
    t->latencies = calloc(n_workers, sizeof t->latencies[0]);
    atomic_store(&t->ghost_limit, GHOST_LIMIT);
    if (t->name == NULL || t->prefixes == NULL || t->latencies == NULL)
        tenant_destroy(&t);
    return t;
}

void tenant_destroy(struct tenant **tenant)
{
    struct tenant *t = *tenant;
    if (t == NULL)
        return;
    *tenant = NULL;
    for (unsigned i = 0; i < t->n_workers; i++)
        free(atomic_load(&t->counters[i]));
    for (unsigned i = 0; t->latencies != NULL && i < t->n_workers; i++)
        free(atomic_load(&t->latencies[i]));
    free((void *)t->latencies);
    free(t->latency_reset);
    struct insight *insight = atomic_load(&t->insight);
    insight_destroy(&insight);
    prefixes_destroy(&t->prefixes);
    pthread_mutex_destroy(&t->reset_lock);
    free(t->name);
    free(t);
}

struct tenant_counters *tenant_counters_of(struct tenant *tenant, unsigned worker)
{
    MUST(worker < tenant->n_workers);
    struct tenant_counters *set =
        atomic_load_explicit(&tenant->counters[worker], memory_order_relaxed);
    if (set != NULL)
        return set;
    set = aligned_alloc(64, (sizeof *set + 63) / 64 * 64);
    if (set == NULL)
        return NULL;
    memset(set, 0, sizeof *set);
    atomic_store_explicit(&tenant->counters[worker], set, memory_order_release);
    return set;
}

static void read_sum(struct tenant *tenant, struct tenant_totals *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < tenant->n_workers; i++) {
        const struct tenant_counters *set =
            atomic_load_explicit(&tenant->counters[i], memory_order_acquire);
        if (set != NULL)
            tenant_counters_add(out, set);
    }
}

void tenant_counts_read(struct tenant *tenant, struct tenant_totals *out)
{
    pthread_mutex_lock(&tenant->reset_lock);
    read_sum(tenant, out);
#define TENANT_COUNTER(name, help) out->name -= tenant->reset.name;
#include "server/counters.def"
#undef TENANT_COUNTER
    pthread_mutex_unlock(&tenant->reset_lock);
}

static void read_latency(struct tenant *tenant, struct latency_totals *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < tenant->n_workers; i++) {
        const struct latency *latency =
            atomic_load_explicit(&tenant->latencies[i], memory_order_acquire);
        if (latency != NULL)
            latency_sum(out, latency);
    }
}

static void reset_latency(struct tenant *tenant)
{
    if (tenant->latency_reset == NULL)
        tenant->latency_reset = malloc(sizeof *tenant->latency_reset);
    if (tenant->latency_reset != NULL)
        read_latency(tenant, tenant->latency_reset);
}

void tenant_counts_reset(struct tenant *tenant)
{
    pthread_mutex_lock(&tenant->reset_lock);
    read_sum(tenant, &tenant->reset);
    reset_latency(tenant);
    pthread_mutex_unlock(&tenant->reset_lock);
    if (tenant_insight_now(tenant) != NULL)
        insight_reset(tenant_insight_now(tenant));
}

/* ---- samples ---- */

struct latency *tenant_latency_of(struct tenant *tenant, unsigned worker)
{
    MUST(worker < tenant->n_workers);
    struct latency *latency =
        atomic_load_explicit(&tenant->latencies[worker], memory_order_relaxed);
    if (latency != NULL)
        return latency;
    latency = calloc(1, sizeof *latency);
    if (latency != NULL)
        atomic_store_explicit(&tenant->latencies[worker], latency, memory_order_release);
    return latency;
}

void tenant_latency_read(struct tenant *tenant, struct latency_totals *out)
{
    pthread_mutex_lock(&tenant->reset_lock);
    read_latency(tenant, out);
    if (tenant->latency_reset != NULL)
        latency_subtract(out, tenant->latency_reset);
    pthread_mutex_unlock(&tenant->reset_lock);
}

struct insight *tenant_insight_now(struct tenant *tenant)
{
    return atomic_load_explicit(&tenant->insight, memory_order_acquire);
}

struct insight *tenant_insight(struct tenant *tenant)
{
    struct insight *insight = tenant_insight_now(tenant), *expected = NULL;
    if (insight != NULL)
        return insight;
    insight = insight_create();
    if (insight == NULL || atomic_compare_exchange_strong(&tenant->insight, &expected, insight))
        return insight;
    insight_destroy(&insight); /* another worker was first */
    return expected;
}

void tenant_tell_get(struct tenant *tenant, uint64_t hash, uint32_t size)
{
    struct insight *insight = tenant_insight(tenant);
    if (insight != NULL)
        atomic_store_explicit(&tenant->ghost_limit, insight_get(insight, hash, size),
                              memory_order_relaxed);
}

void tenant_tell_set(struct tenant *tenant, uint64_t hash, uint32_t size)
{
    struct insight *insight = tenant_insight(tenant);
    if (insight != NULL)
        atomic_store_explicit(&tenant->ghost_limit, insight_set(insight, hash, size),
                              memory_order_relaxed);
}

void tenant_tell_drop(struct tenant *tenant, uint64_t hash)
{
    struct insight *insight = tenant_insight_now(tenant);
    if (insight != NULL)
        insight_drop(insight, hash);
}

/* ---- limits: each is a time up to which the traffic is paid for. It runs ahead of now while more
 * comes than is allowed, and may lie one second behind it: that second is the burst. ---- */

/* A debt was made at the old price: it goes with it. */
static void set_rate(_Atomic uint64_t *max, _Atomic int64_t *paid_until, uint64_t value)
{
    if (atomic_exchange(max, value) != value)
        atomic_store(paid_until, 0);
}

void tenant_limit(struct tenant *tenant, uint64_t connections, uint64_t ops, uint64_t bytes)
{
    atomic_store(&tenant->max_connections, connections);
    set_rate(&tenant->max_ops, &tenant->ops_paid_until, ops);
    set_rate(&tenant->max_bytes, &tenant->bytes_paid_until, bytes);
}

bool tenant_enter(struct tenant *tenant)
{
    uint64_t max = atomic_load(&tenant->max_connections);
    if (atomic_fetch_add(&tenant->n_connections, 1) < max || max == 0)
        return true;
    tenant_leave(tenant);
    return false;
}

void tenant_leave(struct tenant *tenant)
{
    atomic_fetch_sub(&tenant->n_connections, 1);
}

static unsigned debt_ms(const _Atomic int64_t *paid_until, int64_t now_ns)
{
    int64_t ahead =
        atomic_load_explicit((_Atomic int64_t *)paid_until, memory_order_relaxed) - now_ns;
    return ahead > 0 ? (unsigned)(ahead / 1000000) + 1 : 0;
}

unsigned tenant_debt_ms(const struct tenant *tenant, int64_t now_ns)
{
    unsigned ops = debt_ms(&tenant->ops_paid_until, now_ns);
    unsigned bytes = debt_ms(&tenant->bytes_paid_until, now_ns);
    return ops > bytes ? ops : bytes;
}

static void charge(_Atomic int64_t *paid_until, uint64_t n, uint64_t max, int64_t now_ns)
{
    if (max == 0 || n == 0)
        return;
    double seconds = (double)n / (double)max;
    int64_t price = (int64_t)((seconds < DEBT_MAX_S ? seconds : DEBT_MAX_S) * (double)SECOND_NS);
    int64_t old = atomic_load_explicit(paid_until, memory_order_relaxed), next;
    do {
        int64_t from = old < now_ns - SECOND_NS ? now_ns - SECOND_NS : old;
        next = from + price;
        if (next > now_ns + DEBT_MAX_S * SECOND_NS)
            next = now_ns + DEBT_MAX_S * SECOND_NS;
    } while (!atomic_compare_exchange_weak(paid_until, &old, next));
}

void tenant_charge(struct tenant *tenant, uint64_t n_ops, uint64_t n_bytes, int64_t now_ns)
{
    charge(&tenant->ops_paid_until, n_ops, atomic_load(&tenant->max_ops), now_ns);
    charge(&tenant->bytes_paid_until, n_bytes, atomic_load(&tenant->max_bytes), now_ns);
}
