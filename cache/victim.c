#include "cache/victim.h"

#include "cache/horizon.h"
#include "cache/log.h"

#define PROBATION_SHARE 10 /* probation may hold one segment in ten */

void tenant_totals_read(struct cache_tenant *tenant, struct tenant_totals *out)
{
    struct cache *cache = tenant->cache;
    double n_items[N_GROUPS] = {0}, n_bytes[N_GROUPS] = {0}, items = 0, bytes = 0;
    pthread_mutex_lock(&cache->registry);
    for (unsigned t = 0; t < N_THREADS_MAX; t++) {
        const struct counters *counters =
            cache->threads[t] == NULL ? NULL : thread_counters(cache->threads[t], tenant);
        for (unsigned g = 0; counters != NULL && g < N_GROUPS; g++) {
            n_items[g] += (double)atomic_load(&counters->groups[g].n_items);
            n_bytes[g] += (double)atomic_load(&counters->groups[g].n_bytes);
        }
    }
    for (unsigned g = 0; g < N_GROUPS; g++) {
        n_items[g] += (double)atomic_load(&tenant->former.groups[g].n_items);
        n_bytes[g] += (double)atomic_load(&tenant->former.groups[g].n_bytes);
    }
    pthread_mutex_unlock(&cache->registry);
    for (unsigned g = 0; g < N_GROUPS; g++) {
        out->group_mean[g] = n_items[g] > 0 ? n_bytes[g] / n_items[g] : 64;
        items += n_items[g];
        bytes += n_bytes[g];
    }
    out->n_items = items;
    out->mean_size = items > 0 ? bytes / items : 64;
}

/* Nobody writes into it and nobody else empties it. */
static bool is_takeable(const struct segment *segment)
{
    unsigned state = atomic_load(&segment->state);
    return state == SEGMENT_CHAIN || (state == SEGMENT_SEALED && !segment_has_writers(segment));
}

static uint32_t take(struct cache_tenant *tenant, uint32_t number)
{
    if (number == SEGMENT_NONE)
        return number;
    struct segment *segment = &tenant->cache->segments[number];
    queue_unlink(tenant, number);
    atomic_store(&segment->state, SEGMENT_EMPTYING);
    atomic_fetch_add(&tenant->cache->n_emptying, 1);
    atomic_fetch_add(&tenant->n_emptying, 1);
    atomic_fetch_sub(&tenant->n_held, segment->n_chain);
    return number;
}

static double garbage_share(const struct cache_tenant *tenant, uint32_t number, uint32_t now)
{
    const struct cache *cache = tenant->cache;
    const struct segment *segment = &cache->segments[number];
    uint64_t owner = segment_owner(cache, number);
    if (owner != tenant_word(tenant))
        return 2;
    if (atomic_load(&segment->state) == SEGMENT_CHAIN)
        return item_is_expired((const struct item *)(const void *)segment_bytes(cache, number), now)
                   ? 2
                   : 0;
    double dead = atomic_load_explicit(&segment->dead, memory_order_relaxed);
    double over = dead + horizon_n_over(cache, number, now);
    return over >= segment_position(segment) ? 2 : over / (double)cache->segment_size;
}

static void seal_if_flushed(struct cache_tenant *tenant, _Atomic uint32_t *open)
{
    uint32_t number = atomic_load(open);
    if (number == SEGMENT_NONE || segment_owner(tenant->cache, number) == tenant_word(tenant))
        return;
    atomic_store(open, SEGMENT_NONE);
    segment_seal(tenant, number);
}

void victim_seal_flushed(struct cache_tenant *tenant)
{
    for (unsigned queue = 0; queue < N_QUEUES; queue++)
        for (unsigned group = 0; group < N_GROUPS; group++)
            seal_if_flushed(tenant, &tenant->open[queue][group]);
    seal_if_flushed(tenant, &tenant->open_upload);
}

/* Is the segment in one of this tenant's queues? Its owner word may be that of a segment that has
 * been retired; its state tells. */
static bool is_queued(const struct cache_tenant *tenant, uint32_t number)
{
    const struct cache *cache = tenant->cache;
    /* The state first: a new owner is written before a new state. */
    return is_takeable(&cache->segments[number]) &&
           word_tenant(segment_owner(cache, number)) == tenant->id;
}

uint32_t victim_take_garbage(struct cache_tenant *tenant, double least, unsigned group_least,
                             uint32_t n_scan, uint32_t now)
{
    uint32_t n = tenant->cache->pool.n_fresh, best = SEGMENT_NONE;
    double best_share = least;
    if (n_scan > n)
        n_scan = n;
    for (uint32_t i = 0; i < n_scan; i++) {
        uint32_t number = tenant->scan_at = tenant->scan_at + 1 < n ? tenant->scan_at + 1 : 0;
        if (!is_queued(tenant, number) || tenant->cache->segments[number].group < group_least)
            continue;
        double share = garbage_share(tenant, number, now);
        if (share >= best_share) {
            best_share = share;
            best = number;
        }
        if (share > 0.97)
            break;
    }
    return take(tenant, best);
}

static uint32_t first_takeable(const struct cache_tenant *tenant, unsigned queue, unsigned group)
{
    const struct segment *segments = tenant->cache->segments;
    uint32_t number = tenant->queues[queue][group].head;
    while (number != SEGMENT_NONE && !is_takeable(&segments[number]))
        number = segments[number].next;
    return number;
}

/* Among the heads of the size groups the one whose age, weighted by size, is greatest: large items
 * must be younger to stay. */
static uint32_t choose_head(const struct cache_tenant *tenant, unsigned queue,
                            const struct tenant_totals *totals)
{
    uint32_t best = SEGMENT_NONE;
    double best_weight = -1;
    for (unsigned group = 0; group < N_GROUPS; group++) {
        uint32_t number = first_takeable(tenant, queue, group);
        if (number == SEGMENT_NONE)
            continue;
        double age = tenant->sequence - tenant->cache->segments[number].opened_seq + 1;
        double weight = age * age * totals->group_mean[group]; /* of age x sqrt(size) */
        if (weight > best_weight) {
            best_weight = weight;
            best = number;
        }
    }
    return best;
}

static uint32_t queue_size(const struct cache_tenant *tenant, unsigned queue)
{
    uint32_t n = 0;
    for (unsigned group = 0; group < N_GROUPS; group++)
        n += tenant->queues[queue][group].n_segments;
    return n;
}

/* A tenant with so little that all of it is open: give one of these up. */
static uint32_t seal_one(struct cache_tenant *tenant)
{
    struct segment *segments = tenant->cache->segments;
    for (unsigned queue = 0; queue < N_QUEUES; queue++)
        for (unsigned group = 0; group < N_GROUPS; group++) {
            uint32_t number = atomic_load(&tenant->open[queue][group]);
            if (number == SEGMENT_NONE || segment_position(&segments[number]) == 0)
                continue;
            atomic_store(&tenant->open[queue][group], SEGMENT_NONE);
            segment_seal(tenant, number);
            if (is_takeable(&segments[number]))
                return number;
        }
    return SEGMENT_NONE;
}

uint32_t victim_take_oldest(struct cache_tenant *tenant, const struct tenant_totals *totals)
{
    uint32_t n_probation = queue_size(tenant, QUEUE_PROBATION);
    uint32_t n_main = queue_size(tenant, QUEUE_MAIN);
    unsigned first =
        n_probation * PROBATION_SHARE > n_probation + n_main ? QUEUE_PROBATION : QUEUE_MAIN;
    uint32_t number = choose_head(tenant, first, totals);
    if (number == SEGMENT_NONE)
        number = choose_head(tenant, 1 - first, totals);
    if (number == SEGMENT_NONE)
        number = seal_one(tenant);
    return take(tenant, number);
}
