#include "cache/evict.h"

#include "cache/horizon.h"
#include "cache/log.h"
#include "cache/lookup.h"
#include "cache/pool.h"
#include "cache/store.h"
#include "cache/victim.h"

#define GARBAGE_ENOUGH 0.30  /* share of a segment that is worth copying the rest for */
#define GARBAGE_REUSED 0.80  /* of large items: rather than memory that nobody has touched yet */
#define GARBAGE_LEAST  0.02  /* without evictions: any that gains something */
#define SCAN_LEAST     64u   /* segments looked at for garbage before an eviction */
#define GHOST_SHARE    0.005 /* of the items' bytes that ghosts may take, two bytes each */
#define AHEAD          16u   /* items whose buckets are prefetched */
#define POOR_SHARE     0.75  /* more survivors than this: the eviction freed little */
#define POOR_STEP      8u    /* so many in a row raise what a survivor must have by one hit */
#define GIVERS_MAX     8u    /* tenants that are asked for a segment before a search gives up */

struct emptying {
    struct cache_thread *thread;
    struct cache_tenant *tenant;
    struct counters *counters;
    uint32_t segment;
    uint64_t owner;
    enum queue_kind queue;
    bool is_cleaning; /* everything that lives stays */
    bool is_told;     /* somebody wants to know which items leave */
    double mean_size;
    double score_least;
    size_t n_kept; /* bytes */
    bool is_stuck; /* no room for a copy, and nothing may be dropped */
};

struct met {
    uint32_t location;
    uint64_t hash;
};

/* ---- one item ---- */

static void drop(struct emptying *e, const struct met *met, enum item_end why)
{
    struct cache *cache = e->thread->cache;
    bool is_told = e->is_told && why == END_EVICTED;
    struct cache_item item;
    struct place place;
    if (!place_open_location(cache, met->hash, met->location, &place))
        return;
    if (UNLIKELY(is_told))
        item_describe_locked(cache, &place.found, &item);
    place_clear(e->thread, &place);
    item_end_life(e->thread, e->tenant, &place.found, why);
    place_close(&place);
    if (why == END_EVICTED && e->queue == QUEUE_PROBATION)
        ghost_insert(&e->tenant->ghost, met->hash);
    if (UNLIKELY(is_told)) /* its bytes stay until the whole segment is retired */
        cache->evictions.tell(cache->evictions.arg, e->tenant, item_key(place.found.item), &item,
                              e->thread->now);
}

static bool is_worth_keeping(const struct emptying *e, const struct item *item)
{
    unsigned hits = atomic_load_explicit(&item->hits, memory_order_relaxed) & ITEM_HITS;
    if (hits == 0)
        return false;
    /* hits x sqrt(mean / size) >= least, squared */
    double size = (double)item_size(e->thread->cache, item);
    return hits * hits * e->mean_size >= e->score_least * e->score_least * size;
}

/* What an item that stays has left of its hits. */
static void age_hits(const struct emptying *e, struct item *item)
{
    unsigned hits = atomic_load_explicit(&item->hits, memory_order_relaxed);
    if (e->is_cleaning)
        return;
    if (e->queue == QUEUE_PROBATION)
        hits &= ~ITEM_HITS;
    else if ((hits & ITEM_HITS) != 0)
        hits--;
    atomic_store_explicit(&item->hits, (uint8_t)hits, memory_order_relaxed);
}

static enum queue_kind queue_after(const struct emptying *e)
{
    return e->is_cleaning ? e->queue : QUEUE_MAIN;
}

/* Switches the slot to the copy, if it still points to the original. */
static void publish_copy(struct emptying *e, const struct met *met, const struct room *room)
{
    struct cache *cache = e->thread->cache;
    struct item *from = location_item(cache, met->location), *to = room->item;
    struct place place;
    bool is_there = place_open_location(cache, met->hash, met->location, &place);
    bool is_of_now = segment_owner(cache, room->segment) == e->owner;
    if (is_there && is_of_now) {
        item_copy_words(to, from);
        age_hits(e, to);
        if (from->layout & ITEM_IS_COUNTER) {
            item_set_cas(to, item_cas(from));
            memcpy((uint8_t *)to + item_value_at(to), (uint8_t *)from + item_value_at(from),
                   item_n_value(from));
        }
        horizon_add(cache, room->segment, item_load_exptime(to), (int32_t)room->size);
        bucket_switch(place.bucket, place.slot, room->location);
        item_store_state(from, item_load_state(from) | ITEM_DEAD);
        counter_add(&e->counters->moved, 1);
        if (e->queue == QUEUE_PROBATION && queue_after(e) == QUEUE_MAIN)
            counter_add(&e->counters->groups[size_group(room->size)].n_probation, -1);
        e->n_kept += room->size;
    } else {
        item_store_state(to, ITEM_DEAD);
        log_add_dead(cache, room->segment, room->size);
        if (is_there) { /* flushed while it was copied */
            place_clear(e->thread, &place);
            item_end_life(e->thread, e->tenant, &place.found, END_FLUSHED);
        }
    }
    if (is_there)
        place_close(&place);
}

static bool keep(struct emptying *e, const struct met *met)
{
    struct cache *cache = e->thread->cache;
    const struct item *from = location_item(cache, met->location);
    struct room room;
    if (!log_reserve(e->thread, e->tenant, queue_after(e), item_size(cache, from), LOG_COPY, &room))
        return false;
    item_copy_head(room.item, from, from->layout);
    if (!(from->layout & ITEM_IS_COUNTER))
        memcpy((uint8_t *)room.item + item_value_at(from),
               (const uint8_t *)from + item_value_at(from), item_n_value(from));
    publish_copy(e, met, &room);
    log_leave(cache, &room);
    return true;
}

static void settle(struct emptying *e, const struct met *met)
{
    struct cache *cache = e->thread->cache;
    const struct item *item = location_item(cache, met->location);
    if (item_load_state(item) & ITEM_DEAD)
        return;
    if (e->owner != tenant_word(e->tenant))
        drop(e, met, END_FLUSHED);
    else if (item_is_expired(item, e->thread->now))
        drop(e, met, END_EXPIRED);
    else if ((e->is_cleaning || is_worth_keeping(e, item)) && keep(e, met))
        return;
    else if (cache->is_evicting)
        drop(e, met, END_EVICTED);
    else
        e->is_stuck = true;
}

/* ---- one segment ---- */

static void empty_shared(struct emptying *e)
{
    struct cache *cache = e->thread->cache;
    const struct segment *segment = &cache->segments[e->segment];
    uint32_t end = segment_position(segment), at = 0;
    struct met ring[AHEAD];
    unsigned n_met = 0, n_settled = 0;
    while (at < end && !e->is_stuck) {
        uint32_t location = segment_location(cache, e->segment, at);
        const struct item *item = location_item(cache, location);
        at += (uint32_t)item_size(cache, item);
        if (item_load_state(item) & ITEM_DEAD)
            continue;
        struct met met = {location, cache_hash(cache, e->tenant, item_key(item))};
        cache_prefetch_bucket(cache, met.hash);
        if (n_met - n_settled == AHEAD)
            settle(e, &ring[n_settled++ % AHEAD]);
        ring[n_met++ % AHEAD] = met;
    }
    while (n_settled < n_met && !e->is_stuck)
        settle(e, &ring[n_settled++ % AHEAD]);
}

/* A chain is not copied: what stays is put at the end of main. */
static bool empty_chain(struct emptying *e)
{
    struct cache *cache = e->thread->cache;
    struct met met = {segment_location(cache, e->segment, 0), 0};
    struct item *item = location_item(cache, met.location);
    struct place place;
    met.hash = cache_hash(cache, e->tenant, item_key(item));
    bool is_over = e->owner != tenant_word(e->tenant) || item_is_expired(item, e->thread->now);
    if (!is_over && (e->is_cleaning || !cache->is_evicting || is_worth_keeping(e, item))) {
        if (!place_open_location(cache, met.hash, met.location, &place))
            return true;
        age_hits(e, item);
        atomic_fetch_add(&e->tenant->n_held, cache->segments[e->segment].n_chain);
        if (e->queue == QUEUE_PROBATION && queue_after(e) == QUEUE_MAIN)
            counter_add(&e->counters->groups[N_GROUPS - 1].n_probation, -1);
        log_chain_enqueue(e->tenant, e->segment, queue_after(e), e->thread->now);
        place_close(&place);
        return false;
    }
    drop(e, &met,
         e->owner != tenant_word(e->tenant) ? END_FLUSHED
         : is_over                          ? END_EXPIRED
                                            : END_EVICTED);
    return true;
}

static void put_back(struct emptying *e)
{
    struct segment *segment = &e->thread->cache->segments[e->segment];
    pthread_mutex_lock(&e->tenant->lock);
    atomic_store(&segment->state, SEGMENT_SEALED);
    atomic_fetch_add(&e->tenant->n_held, 1);
    queue_append(e->tenant, e->segment);
    pthread_mutex_unlock(&e->tenant->lock);
}

static void count_yield(struct emptying *e)
{
    struct cache_tenant *tenant = e->tenant;
    if (e->is_cleaning)
        return;
    if ((double)e->n_kept > POOR_SHARE * (double)e->thread->cache->segment_size)
        atomic_fetch_add(&tenant->n_poor, 1);
    else
        atomic_store(&tenant->n_poor, 0);
}

/* False: it was put back. */
static bool empty_segment(struct emptying *e)
{
    if (e->thread->cache->segments[e->segment].is_chain)
        return empty_chain(e);
    empty_shared(e);
    if (e->is_stuck)
        put_back(e);
    else
        count_yield(e);
    return !e->is_stuck;
}

/* False: nothing came free. */
static bool empty(struct emptying *e)
{
    struct cache *cache = e->thread->cache;
    struct segment *segment = &cache->segments[e->segment];
    bool is_chain = segment->is_chain;
    e->counters = thread_counters(e->thread, e->tenant);
    e->owner = segment_owner(cache, e->segment);
    e->queue = (enum queue_kind)atomic_load(&segment->queue);
    e->is_told = cache->evictions.tell != NULL && cache->evictions.is_wanted(cache->evictions.arg);
    bool is_empty = empty_segment(e);
    if (is_empty)
        pool_retire(cache, e->segment);
    atomic_fetch_sub(&e->tenant->n_emptying, 1);
    atomic_fetch_sub(&cache->n_emptying, 1);
    return is_empty || is_chain; /* a chain that has moved on: progress, if not memory */
}

static void prepare_ghost(struct cache_tenant *tenant, const struct tenant_totals *totals)
{
    size_t before = ghost_n_bytes(&tenant->ghost);
    double n_entries = totals->n_items;
    if (totals->mean_size * GHOST_SHARE < 2)
        n_entries *= totals->mean_size * GHOST_SHARE / 2;
    ghost_resize(&tenant->ghost, (size_t)n_entries);
    size_t after = ghost_n_bytes(&tenant->ghost);
    if (after != before) {
        atomic_fetch_add(&tenant->cache->n_ghost_bytes, after - before);
        pool_update_target(tenant->cache);
    }
}

static uint32_t take_victim(struct cache_tenant *tenant, uint32_t now, struct emptying *e)
{
    struct cache *cache = tenant->cache;
    struct tenant_totals totals;
    tenant_totals_read(tenant, &totals);
    pthread_mutex_lock(&tenant->lock);
    victim_seal_flushed(tenant);
    uint32_t n_scan = cache->is_evicting ? SCAN_LEAST + cache->pool.n_fresh / 8 : UINT32_MAX;
    uint32_t number = victim_take_garbage(
        tenant, cache->is_evicting ? GARBAGE_ENOUGH : GARBAGE_LEAST, 0, n_scan, now);
    e->is_cleaning = number != SEGMENT_NONE || !cache->is_evicting;
    if (number == SEGMENT_NONE && cache->is_evicting) {
        prepare_ghost(tenant, &totals);
        number = victim_take_oldest(tenant, &totals);
    }
    pthread_mutex_unlock(&tenant->lock);
    e->mean_size = totals.mean_size;
    e->score_least = 1.0 + atomic_load(&tenant->n_poor) / POOR_STEP;
    return number;
}

bool evict_from(struct cache_thread *thread, struct cache_tenant *tenant)
{
    struct emptying e = {.thread = thread, .tenant = tenant};
    e.segment = take_victim(tenant, thread->now, &e);
    return e.segment != SEGMENT_NONE && empty(&e);
}

/* Empties a segment with so much garbage, and throws away nothing else. False: there is none. */
static bool clean(struct cache_thread *thread, struct cache_tenant *tenant, double least,
                  unsigned group_least, uint32_t n_scan)
{
    struct emptying e = {.thread = thread, .tenant = tenant, .is_cleaning = true};
    pthread_mutex_lock(&tenant->lock);
    victim_seal_flushed(tenant);
    e.segment = victim_take_garbage(tenant, least, group_least, n_scan, thread->now);
    pthread_mutex_unlock(&tenant->lock);
    return e.segment != SEGMENT_NONE && empty(&e);
}

unsigned evict_garbage(struct cache_thread *thread, struct cache_tenant *tenant, unsigned n_max)
{
    unsigned n = 0;
    while (n < n_max && clean(thread, tenant, 0.97, 0, UINT32_MAX))
        n++;
    return n;
}

bool evict_for_reuse(struct cache_thread *thread, struct cache_tenant *tenant)
{
    return clean(thread, tenant, GARBAGE_REUSED, N_GROUPS - 1,
                 SCAN_LEAST + thread->cache->pool.n_fresh / 8);
}

/* ---- whose ---- */

/* Equals give in turn, each until it has nothing left to give: or the first of them would never
 * keep anything, and items that stay once for having been read would make all attempts vain. */
static struct cache_tenant *furthest_above(struct cache *cache)
{
    struct cache_tenant *furthest = NULL;
    double most = 0;
    unsigned n = atomic_load(&cache->n_tenants), begin = atomic_load(&cache->next_giver);
    for (unsigned i = 0; i < n; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[(begin + i) % n]);
        if (tenant == NULL || atomic_load(&tenant->n_held) == 0)
            continue;
        double above = (double)atomic_load(&tenant->n_held) * (double)cache->segment_size -
                       (double)atomic_load(&tenant->guarantee);
        if (atomic_load(&tenant->is_dying))
            above += 1e18;
        if (above > most) {
            most = above;
            furthest = tenant;
        }
    }
    if (furthest != NULL)
        atomic_store(&cache->next_giver, furthest->id);
    return furthest;
}

/* A tenant may have nothing left to give by now, for another thread was faster. */
bool evict_somewhere(struct cache_thread *thread, struct cache_tenant *requester)
{
    struct cache *cache = thread->cache;
    struct cache_tenant *tenant = NULL;
    for (unsigned i = 0; i < GIVERS_MAX; i++) {
        tenant = furthest_above(cache);
        if (tenant == NULL)
            break;
        bool has_given = evict_from(thread, tenant);
        if (!has_given || atomic_load(&tenant->n_held) == 0)
            atomic_store(&cache->next_giver, tenant->id + 1u);
        if (has_given)
            return true;
        if (!cache->is_evicting)
            break;
    }
    return requester != NULL && requester != tenant && evict_from(thread, requester);
}
