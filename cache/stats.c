#include "cache/engine.h"
#include "cache/pool.h"

#define N_COUNTERS (sizeof(struct counters) / sizeof(int64_t))

/* The layout of struct counters with plain words. */
union sums {
    int64_t words[N_COUNTERS];
    struct counters counters;
};

static void add(union sums *sums, const struct counters *counters, int sign)
{
    const _Atomic int64_t *n = (const _Atomic int64_t *)counters;
    for (size_t i = 0; i < N_COUNTERS; i++)
        sums->words[i] += sign * atomic_load_explicit(&n[i], memory_order_relaxed);
}

/* With the registry's lock. */
static void sum_tenant(struct cache *cache, struct cache_tenant *tenant, union sums *sums)
{
    for (unsigned i = 0; i < N_THREADS_MAX; i++)
        if (cache->threads[i] != NULL && thread_counters(cache->threads[i], tenant) != NULL)
            add(sums, thread_counters(cache->threads[i], tenant), 1);
    add(sums, &tenant->former, 1);
}

struct held {
    uint64_t n_segments;
    uint64_t n_pinned;
    uint64_t n_bytes_max;
};

static void sum_one(struct cache *cache, struct cache_tenant *tenant, union sums *sums,
                    struct held *held)
{
    sum_tenant(cache, tenant, sums);
    add(sums, &tenant->baseline, -1);
    held->n_segments += atomic_load(&tenant->n_held);
    held->n_pinned += atomic_load(&tenant->n_pinned);
}

static void sum(struct cache *cache, struct cache_tenant *tenant, union sums *sums,
                struct held *held)
{
    memset(sums, 0, sizeof *sums);
    *held = (struct held){0};
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *each = atomic_load(&cache->tenants[i]);
        if (each != NULL && (tenant == NULL || each == tenant))
            sum_one(cache, each, sums, held);
    }
    pthread_mutex_unlock(&cache->registry);
}

static uint64_t not_negative(int64_t n)
{
    return n < 0 ? 0 : (uint64_t)n;
}

static void read_sizes(struct cache *cache, struct cache_tenant *tenant, const struct held *held,
                       struct cache_stats *out)
{
    uint32_t n_buckets = index_n_buckets(index_state(&cache->index));
    size_t memory = atomic_load(&cache->memory);
    size_t limit = tenant == NULL ? SIZE_MAX : atomic_load(&tenant->limit);
    out->segments_total = atomic_load(&cache->pool.n_target);
    out->segments_free = pool_n_available(cache);
    out->segments_held = held->n_segments;
    out->bytes_index = n_buckets * sizeof(struct bucket);
    out->bytes_arena = (uint64_t)atomic_load(&cache->pool.n_committed) << cache->segment_shift;
    out->bytes_pinned = held->n_pinned << cache->segment_shift;
    out->bytes_limit = limit < memory ? limit : memory;
    out->hash_power_level = 31u - (unsigned)__builtin_clz(n_buckets);
    out->hash_is_expanding = atomic_load(&cache->index.is_splitting);
}

void cache_stats_read(struct cache *cache, struct cache_tenant *tenant, struct cache_stats *out)
{
    union sums sums;
    struct held held;
    sum(cache, tenant, &sums, &held);
#define CACHE_COUNTER(name, help) \
    out->name = not_negative(atomic_load_explicit(&sums.counters.name, memory_order_relaxed));
#include "cache/counters.def"
#undef CACHE_COUNTER
    read_sizes(cache, tenant, &held, out);
}

/* What counts items and bytes goes on; its baseline stays 0. */
static void keep_sizes(struct counters *baseline)
{
    atomic_store(&baseline->curr_items, 0);
    atomic_store(&baseline->bytes, 0);
    for (unsigned g = 0; g < N_GROUPS; g++) {
        atomic_store(&baseline->groups[g].n_items, 0);
        atomic_store(&baseline->groups[g].n_bytes, 0);
        atomic_store(&baseline->groups[g].n_probation, 0);
    }
}

void cache_stats_reset(struct cache *cache, struct cache_tenant *tenant)
{
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *each = atomic_load(&cache->tenants[i]);
        union sums sums;
        if (each == NULL || (tenant != NULL && each != tenant))
            continue;
        memset(&sums, 0, sizeof sums);
        sum_tenant(cache, each, &sums);
        memcpy((void *)&each->baseline, sums.words, sizeof sums.words);
        keep_sizes(&each->baseline);
    }
    pthread_mutex_unlock(&cache->registry);
}

/* ---- size groups ---- */

static void read_queue(const struct cache *cache, const struct segment_queue *queue, uint32_t now,
                       struct cache_class_stats *out)
{
    out->n_segments += queue->n_segments;
    if (queue->head == SEGMENT_NONE)
        return;
    uint32_t opened_at = cache->segments[queue->head].opened_at;
    uint64_t age = now > opened_at ? now - opened_at : 0;
    if (age > out->age)
        out->age = age;
}

static void read_queues(struct cache *cache, struct cache_tenant *tenant, unsigned group,
                        uint32_t now, struct cache_class_stats *out)
{
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *each = atomic_load(&cache->tenants[i]);
        if (each == NULL || (tenant != NULL && each != tenant))
            continue;
        pthread_mutex_lock(&each->lock);
        for (unsigned queue = 0; queue < N_QUEUES; queue++)
            read_queue(cache, &each->queues[queue][group], now, out);
        pthread_mutex_unlock(&each->lock);
    }
    pthread_mutex_unlock(&cache->registry);
}

void cache_class_stats_read(struct cache *cache, struct cache_tenant *tenant, unsigned item_class,
                            uint32_t now, struct cache_class_stats *out)
{
    static const uint32_t bounds[N_GROUPS + 1] = {0, 256, 1024, 4096, UINT32_MAX};
    union sums sums;
    struct held held;
    unsigned group = item_class - 1;
    *out = (struct cache_class_stats){0};
    if (group >= N_GROUPS)
        return;
    sum(cache, tenant, &sums, &held);
    const struct group_counters *g = &sums.counters.groups[group];
    out->n_items = not_negative(atomic_load(&g->n_items));
    out->n_bytes = not_negative(atomic_load(&g->n_bytes));
    out->n_probation = not_negative(atomic_load(&g->n_probation));
    out->evictions = not_negative(atomic_load(&g->evictions));
    out->evicted_unfetched = not_negative(atomic_load(&g->evicted_unfetched));
    out->expired_unfetched = not_negative(atomic_load(&g->expired_unfetched));
    out->reclaimed = not_negative(atomic_load(&g->reclaimed));
    out->n_no_memory = not_negative(atomic_load(&g->n_no_memory));
    out->segment_size = cache->segment_size;
    out->size_min = group == 0 ? ITEM_HEADER + 1 : bounds[group];
    out->size_max = group == N_GROUPS - 1 ? cache->item_max : bounds[group + 1] - 1;
    read_queues(cache, tenant, group, now, out);
}
