#include "cache/commit.h"

#define CAS_RUN 1024u

/* ---- the end of items ---- */

static void count_end(struct counters *counters, struct group_counters *group,
                      const struct item *item, enum item_end why)
{
    bool was_fetched =
        (atomic_load_explicit(&item->hits, memory_order_relaxed) & ITEM_FETCHED) != 0;
    if (why == END_EVICTED) {
        counter_add(&counters->evictions, 1);
        counter_add(&group->evictions, 1);
        counter_add(was_fetched ? &counters->evicted_active : &counters->evicted_unfetched, 1);
        if (!was_fetched)
            counter_add(&group->evicted_unfetched, 1);
        return;
    }
    counter_add(&counters->reclaimed, 1);
    counter_add(&group->reclaimed, 1);
    if (why == END_EXPIRED && !was_fetched) {
        counter_add(&counters->expired_unfetched, 1);
        counter_add(&group->expired_unfetched, 1);
    }
}

void count_items(struct counters *counters, struct group_counters *group, bool is_probation,
                 int64_t n, int64_t n_bytes)
{
    counter_add(&counters->curr_items, n);
    counter_add(&counters->bytes, n_bytes);
    counter_add(&group->n_items, n);
    counter_add(&group->n_bytes, n_bytes);
    if (is_probation)
        counter_add(&group->n_probation, n);
}

/* What an item counts as. */
struct share {
    struct group_counters *group;
    bool is_probation;
    int64_t size;
};

ALWAYS_INLINE struct share share_of(const struct cache *cache, struct counters *counters,
                                    size_t size, uint32_t segment)
{
    return (struct share){&counters->groups[size_group(size)],
                          atomic_load_explicit(&cache->segments[segment].queue,
                                               memory_order_relaxed) == QUEUE_PROBATION,
                          (int64_t)size};
}

void item_end_life(struct cache_thread *thread, struct cache_tenant *tenant,
                   const struct found *found, enum item_end why)
{
    struct counters *counters = thread_counters(thread, tenant);
    size_t size = item_size(thread->cache, found->item);
    struct share share = share_of(thread->cache, counters, size, found->segment);
    count_items(counters, share.group, share.is_probation, -1, -share.size);
    if (why != END_REPLACED)
        count_end(counters, share.group, found->item, why);
    item_bury(thread->cache, tenant, found, size);
}

static enum item_end end_of(enum cache_result verdict)
{
    return verdict == CACHE_EXPIRED   ? END_EXPIRED
           : verdict == CACHE_FLUSHED ? END_FLUSHED
                                      : END_REPLACED;
}

void item_reap(struct cache_thread *thread, struct cache_tenant *tenant,
               const struct cache_key *key, uint32_t now)
{
    struct place place;
    place_open(thread->cache, tenant, key, &place);
    enum cache_result verdict = item_judge(&place.found, tenant_word(tenant), now);
    if (verdict == CACHE_EXPIRED || verdict == CACHE_FLUSHED) {
        place_clear(thread, &place);
        item_end_life(thread, tenant, &place.found, end_of(verdict));
    }
    place_close(&place);
}

/* ---- cas ---- */

static void take_cas_run(struct cache_thread *thread)
{
    thread->cas_next = atomic_fetch_add(&thread->cache->cas, CAS_RUN);
    thread->cas_end = thread->cas_next + CAS_RUN;
}

uint64_t cas_next(struct cache_thread *thread, uint64_t old)
{
    if (!thread->cache->has_cas)
        return 0;
    if (thread->cas_next == thread->cas_end || thread->cas_next <= old)
        take_cas_run(thread);
    uint64_t cas = thread->cas_next++;
    if (cas == old) { /* chosen by a client */
        cas = thread->cas_next++;
        MUST(thread->cas_next <= thread->cas_end);
    }
    return cas;
}

uint64_t cas_next_run(struct cache_thread *thread, size_t n)
{
    if (!thread->cache->has_cas)
        return 0;
    if (thread->cas_end - thread->cas_next < n)
        take_cas_run(thread);
    uint64_t first = thread->cas_next;
    thread->cas_next += n;
    return first;
}

/* ---- publishing ---- */

static uint64_t choose_cas(struct cache_thread *thread, const struct commit *commit,
                           const struct item *old)
{
    uint64_t before = old == NULL ? 0 : item_cas(old);
    if (!thread->cache->has_cas)
        return 0;
    if (commit->sets_cas)
        return commit->new_cas;
    return commit->keeps_cas ? before : cas_next(thread, before);
}

/* A chain gets its place in time now; a shared segment must be of the present generation. */
ALWAYS_INLINE bool is_of_now(struct cache *cache, const struct cache_tenant *tenant,
                             const struct room *room)
{
    if (room->is_chain)
        atomic_store_explicit(&cache->owners[room->segment], tenant_word(tenant),
                              memory_order_release);
    return segment_owner(cache, room->segment) == tenant_word(tenant);
}

/* The new item counts, the old one does not any more. */
ALWAYS_INLINE void settle_replaced(struct cache_thread *thread, struct cache_tenant *tenant,
                                   const struct share *now, const struct found *old,
                                   enum item_end why)
{
    struct cache *cache = thread->cache;
    struct counters *counters = thread_counters(thread, tenant);
    size_t size_old = item_size(cache, old->item);
    struct share before = share_of(cache, counters, size_old, old->segment);
    if (LIKELY(why == END_REPLACED && before.group == now->group &&
               before.is_probation == now->is_probation)) {
        counter_add(&counters->bytes, now->size - before.size);
        counter_add(&now->group->n_bytes, now->size - before.size);
        item_bury(cache, tenant, old, size_old);
        return;
    }
    count_items(counters, now->group, now->is_probation, 1, now->size);
    item_end_life(thread, tenant, old, why);
}

/* The same for what a store made; the old item may be none. */
ALWAYS_INLINE void settle(struct cache_thread *thread, struct cache_tenant *tenant,
                          const struct room *room, const struct found *old, enum item_end why)
{
    struct cache *cache = thread->cache;
    struct counters *counters = thread_counters(thread, tenant);
    size_t size = room->is_chain ? item_size(cache, room->item) : room->size;
    struct share now = share_of(cache, counters, size, room->segment);
    counter_add(&counters->total_items, 1);
    if (old->item == NULL)
        count_items(counters, now.group, now.is_probation, 1, now.size);
    else
        settle_replaced(thread, tenant, &now, old, why);
}

bool commit_publish(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct cache_key *key, uint32_t now, struct place *place,
                    const struct commit *commit, uint64_t *cas_out)
{
    struct cache *cache = thread->cache;
    const struct room *room = commit->room;
    const struct found *old = &place->found;
    struct item *item = room->item;
    if (!is_of_now(cache, tenant, room))
        return false;
    enum cache_result verdict = item_judge(old, tenant_word(tenant), now);
    uint64_t cas = choose_cas(thread, commit, old->item);
    item_set_cas(item, cas);
    item_store_state(item, commit->state);
    item_store_exptime(item, commit->exptime);
    if (old->item != NULL)
        item_inherit(item, old->item);
    if (!place_publish(thread, place, key->hash, room->location))
        return false;
    if (UNLIKELY(room->is_chain))
        log_chain_enqueue(tenant, room->segment,
                          (enum queue_kind)atomic_load(&cache->segments[room->segment].queue), now);
    else
        horizon_add(cache, room->segment, commit->exptime, (int32_t)room->size);
    settle(thread, tenant, room, old, end_of(verdict));
    *cas_out = cas;
    return true;
}

bool commit_copy(struct cache_thread *thread, struct cache_tenant *tenant, struct place *place,
                 const struct room *room)
{
    struct cache *cache = thread->cache;
    struct counters *counters = thread_counters(thread, tenant);
    if (!is_of_now(cache, tenant, room))
        return false;
    struct share now = share_of(cache, counters, room->size, room->segment);
    bucket_switch(place->bucket, place->slot, room->location);
    horizon_add(cache, room->segment, item_load_exptime(room->item), (int32_t)room->size);
    settle_replaced(thread, tenant, &now, &place->found, END_REPLACED);
    return true;
}

void commit_abandon(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct room *room)
{
    if (room->is_chain) {
        log_chain_discard(tenant, room->segment);
        return;
    }
    item_store_state(room->item, ITEM_DEAD);
    log_add_dead(thread->cache, room->segment, room->size);
    log_leave(thread->cache, room);
}

/* ---- room ---- */

static enum queue_kind choose_queue(struct cache_thread *thread, struct cache_tenant *tenant,
                                    const struct cache_key *key)
{
    struct cache *cache = thread->cache;
    struct found old;
    if (lookup_find(cache, tenant, key, &old))
        return (enum queue_kind)atomic_load_explicit(&cache->segments[old.segment].queue,
                                                     memory_order_relaxed);
    if (!ghost_take(&tenant->ghost, key->hash))
        return QUEUE_PROBATION;
    counter_add(&thread_counters(thread, tenant)->ghost_hits, 1);
    return QUEUE_MAIN;
}

static bool prepare_chain(struct cache_thread *thread, struct cache_tenant *tenant, size_t n_bytes,
                          enum queue_kind queue, struct room *room_out)
{
    struct cache *cache = thread->cache;
    if (n_bytes > atomic_load(&cache->memory) / 2 || !log_chain_begin(thread, tenant, room_out))
        return false;
    uint32_t last = room_out->segment;
    atomic_store(&cache->segments[room_out->segment].queue, (uint8_t)queue);
    for (size_t n = cache->segment_size; n < n_bytes; n += cache->segment_size)
        if (!log_chain_extend(thread, tenant, room_out->segment, &last)) {
            log_chain_discard(tenant, room_out->segment);
            return false;
        }
    return true;
}

bool commit_prepare(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct cache_key *key, const struct item_shape *shape,
                    struct room *room_out)
{
    struct cache *cache = thread->cache;
    uint8_t layout = item_layout(shape);
    size_t n_bytes = item_shape_n_bytes(shape, layout), size = round_to_unit(cache, n_bytes);
    enum queue_kind queue = choose_queue(thread, tenant, key);
    bool is_shared = size <= shared_size_max(cache);
    bool has_room = is_shared ? log_reserve(thread, tenant, queue, size, LOG_STORE, room_out)
                              : prepare_chain(thread, tenant, n_bytes, queue, room_out);
    if (has_room)
        item_init(room_out->item, shape, layout, thread->now);
    else
        tenant_count_no_memory(thread, tenant, size);
    return has_room;
}

void tenant_count_no_memory(struct cache_thread *thread, struct cache_tenant *tenant, size_t size)
{
    struct counters *counters = thread_counters(thread, tenant);
    counter_add(&counters->no_memory, 1);
    counter_add(&counters->groups[size_group(size)].n_no_memory, 1);
}

/* ---- bytes of chains ---- */

static uint8_t *span_at(const struct cache *cache, uint32_t location, size_t *at)
{
    uint32_t number = location_segment(cache, location);
    if (!cache->segments[number].is_chain)
        return (uint8_t *)location_item(cache, location) + *at;
    for (; *at >= cache->segment_size; *at -= cache->segment_size)
        number = cache->segments[number].chain_next;
    return segment_bytes(cache, number) + *at;
}

struct slice span_read(const struct cache *cache, uint32_t location, size_t at, size_t n_end)
{
    size_t n = n_end - at, within = at;
    const uint8_t *p = span_at(cache, location, &within);
    if (cache->segments[location_segment(cache, location)].is_chain &&
        n > cache->segment_size - within)
        n = cache->segment_size - within;
    return slice_of(p, n);
}

void span_write_chain(struct cache *cache, const struct room *room, size_t at, struct slice bytes)
{
    while (bytes.n > 0) {
        struct slice to = span_read(cache, room->location, at, at + bytes.n);
        memcpy((uint8_t *)to.p, bytes.p, to.n);
        at += to.n;
        bytes = slice_of(bytes.p + to.n, bytes.n - to.n);
    }
}
