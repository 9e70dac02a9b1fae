#include "cache/store.h"

/* Room for many is taken only where this part of a segment is enough: the rest goes to the next. */
#define RUN_SHARE 8u

/* A set, from the look at what is there to its end. */
struct step {
    struct found old;
    uint32_t size_old; /* bytes in the segment */
    uint32_t size;
    uint32_t location;
    uint8_t layout;
};

/* Sets whose items lie together. */
struct run {
    struct cache_thread *thread;
    struct cache_tenant *tenant;
    uint64_t word;
    uint32_t now;
    enum queue_kind queue;
    unsigned group;
    size_t size;  /* of all */
    uint64_t cas; /* of the first; 0 without cas */
    struct room room;
    size_t n;
    struct step steps[CACHE_SETS_MAX];
};

ALWAYS_INLINE struct item_shape shape_of(const struct cache *cache, const struct cache_key *key,
                                         const struct cache_set *set)
{
    return (struct item_shape){.key = key->bytes,
                               .client_flags = set->client_flags,
                               .n_value = (uint32_t)set->value.n,
                               .has_exptime = commit_needs_exptime(cache, set->exptime)};
}

/* A live item that can be found without a search, and gives its place to one of its own kind. */
ALWAYS_INLINE bool is_simple(const struct run *run, const struct found *old)
{
    const struct cache *cache = run->thread->cache;
    return old->owner == run->word && !item_is_expired(old->item, run->now) &&
           !cache->segments[old->segment].is_chain;
}

ALWAYS_INLINE enum queue_kind queue_of(const struct cache *cache, const struct found *found)
{
    return (enum queue_kind)atomic_load_explicit(&cache->segments[found->segment].queue,
                                                 memory_order_relaxed);
}

/* Does the set belong to the run? The first decides of which kind it is. */
ALWAYS_INLINE bool plan(struct run *run, const struct cache_key *key, const struct cache_set *set,
                        struct step *step)
{
    const struct cache *cache = run->thread->cache;
    if (UNLIKELY(!item_fits(cache, run->tenant, key->bytes.n, set->value.n) ||
                 !hint_finds(cache, run->tenant, key, &step->old) || !is_simple(run, &step->old)))
        return false;
    struct item_shape shape = shape_of(cache, key, set);
    step->layout = item_layout(&shape);
    size_t size = round_to_unit(cache, item_shape_n_bytes(&shape, step->layout));
    size_t size_old = item_size(cache, step->old.item);
    enum queue_kind queue = queue_of(cache, &step->old);
    if (run->n == 0) {
        run->queue = queue;
        run->group = size_group(size);
    }
    if (UNLIKELY(queue != run->queue || size_group(size) != run->group ||
                 size_group(size_old) != run->group ||
                 run->size + size > cache->segment_size / RUN_SHARE))
        return false;
    step->size = (uint32_t)size;
    step->size_old = (uint32_t)size_old;
    run->size += size;
    run->n++;
    return true;
}

#define CACHE_LINE 64u

/* What follows the room is the next run's: nobody has touched it for long, and the first lock that
 * is taken behind the writing would wait for it. */
ALWAYS_INLINE void prefetch_room(const struct room *room)
{
    const char *end = (const char *)room->item + room->size;
    for (size_t at = 0; at < room->size; at += CACHE_LINE)
        __builtin_prefetch(end + at, 1);
}

/* Room for all of them in the open segment. */
static bool reserve(struct run *run)
{
    struct cache_tenant *tenant = run->tenant;
    uint32_t number =
        atomic_load_explicit(&tenant->open[run->queue][run->group], memory_order_acquire);
    if (!log_enter(tenant, number, run->size, LOG_STORE, &run->room))
        return false;
    prefetch_room(&run->room);
    return true;
}

static void fill(struct run *run, const struct cache_key *keys, const struct cache_set *sets,
                 uint64_t *cas_out)
{
    const struct cache *cache = run->thread->cache;
    uint32_t location = run->room.location;
    for (size_t i = 0; i < run->n; i++) {
        struct step *step = &run->steps[i];
        struct item *item = location_item(cache, location);
        struct item_shape shape = shape_of(cache, &keys[i], &sets[i]);
        item_init(item, &shape, step->layout, run->now);
        item_store_exptime(item, sets[i].exptime);
        cas_out[i] = run->cas + (run->cas == 0 ? 0 : i);
        item_set_cas(item, cas_out[i]);
        if (LIKELY(sets[i].value.n > 0))
            memcpy((uint8_t *)item + item_value_at(item), sets[i].value.p, sets[i].value.n);
        step->location = location;
        location += step->size >> cache->unit_shift;
    }
}

/* Is the old item still in its slot, or another of the key that will do as well? The bucket is
 * locked. */
ALWAYS_INLINE bool is_there_still(const struct run *run, const struct cache_key *key,
                                  const struct bucket *bucket, struct step *step)
{
    const struct cache *cache = run->thread->cache;
    unsigned slot = hint_slot(key->hint);
    if (LIKELY(bucket_has_tag(bucket, slot, hash_tag(key->hash)) &&
               bucket_location(bucket, slot) == step->old.location))
        return true;
    if (!hint_finds(cache, run->tenant, key, &step->old) || !is_simple(run, &step->old) ||
        queue_of(cache, &step->old) != run->queue)
        return false;
    step->size_old = (uint32_t)item_size(cache, step->old.item);
    return size_group(step->size_old) == run->group;
}

/* One that meets a flush, or another writer, is not published. */
ALWAYS_INLINE bool publish(const struct run *run, const struct cache_key *key, uint32_t exptime,
                           struct step *step, uint64_t *cas_out)
{
    struct cache *cache = run->thread->cache;
    struct item *item = location_item(cache, step->location);
    struct bucket *bucket = hint_bucket(&cache->index, key->hint);
    bucket_lock(bucket);
    bool is_done = is_there_still(run, key, bucket, step) &&
                   segment_owner(cache, run->room.segment) == tenant_word(run->tenant);
    if (LIKELY(is_done)) {
        if (UNLIKELY(item_cas(step->old.item) >= *cas_out && cache->has_cas)) {
            *cas_out = cas_next(run->thread, item_cas(step->old.item));
            item_set_cas(item, *cas_out);
        }
        item_inherit(item, step->old.item);
        bucket_switch(bucket, hint_slot(key->hint), step->location);
        horizon_add(cache, run->room.segment, exptime, (int32_t)step->size);
        item_bury(cache, run->tenant, &step->old, step->size_old);
    }
    bucket_unlock(bucket);
    return is_done;
}

/* What was not published is dead from the start. */
NEVER_INLINE void abandon_from(const struct run *run, size_t i)
{
    struct cache *cache = run->thread->cache;
    for (; i < run->n; i++) {
        item_store_state(location_item(cache, run->steps[i].location), ITEM_DEAD);
        log_add_dead(cache, run->room.segment, run->steps[i].size);
    }
}

static void count(const struct run *run, size_t n)
{
    struct counters *counters = thread_counters(run->thread, run->tenant);
    int64_t n_bytes = 0;
    for (size_t i = 0; i < n; i++)
        n_bytes += (int64_t)run->steps[i].size - run->steps[i].size_old;
    counter_add(&counters->total_items, (int64_t)n);
    counter_add(&counters->bytes, n_bytes);
    counter_add(&counters->groups[run->group].n_bytes, n_bytes);
}

static size_t execute(struct run *run, const struct cache_key *keys, const struct cache_set *sets,
                      uint64_t *cas_out)
{
    size_t i = 0;
    run->cas = cas_next_run(run->thread, run->n);
    fill(run, keys, sets, cas_out);
    while (i < run->n &&
           LIKELY(publish(run, &keys[i], sets[i].exptime, &run->steps[i], &cas_out[i])))
        i++;
    if (UNLIKELY(i < run->n))
        abandon_from(run, i);
    log_leave(run->thread->cache, &run->room);
    count(run, i);
    return i;
}

size_t cache_set_many(struct cache_thread *thread, struct cache_tenant *tenant,
                      const struct cache_key *keys, const struct cache_set *sets, size_t n,
                      uint32_t now, uint64_t *cas_out)
{
    struct run run;
    size_t n_done = 0;
    run.thread = thread;
    run.tenant = tenant;
    run.word = tenant_word(tenant);
    run.now = thread->now = now;
    do {
        run.n = run.size = 0;
        while (n_done + run.n < n &&
               plan(&run, &keys[n_done + run.n], &sets[n_done + run.n], &run.steps[run.n]))
            continue;
        if (run.n == 0 || !reserve(&run))
            break;
        size_t n_stored = execute(&run, keys + n_done, sets + n_done, cas_out + n_done);
        n_done += n_stored;
        if (UNLIKELY(n_stored < run.n))
            break;
    } while (n_done < n);
    return n_done;
}
