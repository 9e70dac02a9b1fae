/* commit.h - the one way by which an item becomes visible, and the one by which it ends.
 * Owns: cas numbers, and the counts of items and bytes.
 * Thread: online ones.
 * Never: waits for memory while a bucket is locked. */
#ifndef CACHE_COMMIT_H
#define CACHE_COMMIT_H

#include "cache/horizon.h"
#include "cache/log.h"
#include "cache/lookup.h"

enum item_end {
    END_REPLACED, /* or removed */
    END_EVICTED,
    END_EXPIRED,
    END_FLUSHED,
};

/* Adds n items of n_bytes in all to what the statistics tell. */
void count_items(struct counters *counters, struct group_counters *group, bool is_probation,
                 int64_t n, int64_t n_bytes);

/* Of an item that no slot points to any more; the bucket it was in is still locked. */
void item_end_life(struct cache_thread *thread, struct cache_tenant *tenant,
                   const struct found *found, enum item_end why);

/* Everything about the end of an item but its counts; likewise. */
static inline void item_bury(struct cache *cache, struct cache_tenant *tenant,
                             const struct found *found, size_t size)
{
    const struct segment *segment = &cache->segments[found->segment];
    item_store_state(found->item, item_load_state(found->item) | ITEM_DEAD);
    if (UNLIKELY(segment->is_chain)) {
        log_chain_retire(tenant, found->segment);
        return;
    }
    uint32_t n_dead = log_add_dead(cache, found->segment, size);
    horizon_add(cache, found->segment, item_load_exptime(found->item), -(int32_t)size);
    if (UNLIKELY(n_dead == segment_position(segment)))
        log_retire_if_spent(tenant, found->segment);
}

/* Takes out an item that a reader found expired or flushed, if it is still there. */
void item_reap(struct cache_thread *thread, struct cache_tenant *tenant,
               const struct cache_key *key, uint32_t now);

/* The next cas; above `old` unless a client chose that. 0 without cas. */
uint64_t cas_next(struct cache_thread *thread, uint64_t old);
/* The first of n in a row, at most CAS_RUN_MAX, for items that may turn out to need a higher one.
 */
#define CAS_RUN_MAX 64u
uint64_t cas_next_run(struct cache_thread *thread, size_t n);

/* A new item in its room, with everything but its cas set. */
struct commit {
    const struct room *room;
    uint32_t exptime;
    unsigned state; /* ITEM_STALE, ITEM_WON */
    bool keeps_cas; /* the old item's */
    bool sets_cas;
    uint64_t new_cas;
};

/* Does an item with this expiry get the word for it? Where nothing may be evicted, all do: a touch
 * could find no room to add it. */
static inline bool commit_needs_exptime(const struct cache *cache, uint32_t exptime)
{
    return exptime != CACHE_NEVER || !cache->is_evicting;
}

/* Of an item that takes another's place. */
static inline void item_inherit(struct item *item, const struct item *old)
{
    unsigned hits = atomic_load_explicit(&old->hits, memory_order_relaxed);
    atomic_store_explicit(&item->hits, (uint8_t)(hits & ITEM_HITS), memory_order_relaxed);
}

/* With the key's place open and the decision taken: publishes the new item, ends the old one.
 * False: the room is of a flushed generation, or the index is full; nothing has changed. */
MUST_USE bool commit_publish(struct cache_thread *thread, struct cache_tenant *tenant,
                             const struct cache_key *key, uint32_t now, struct place *place,
                             const struct commit *commit, uint64_t *cas_out);

/* With the place of a live item open: what lies in the room, a copy of it, takes its place; its cas
 * stays. False: the room is of a flushed generation; nothing has changed. */
MUST_USE bool commit_copy(struct cache_thread *thread, struct cache_tenant *tenant,
                          struct place *place, const struct room *room);

/* Gives up an item that was not published. */
void commit_abandon(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct room *room);

/* Room for an item of this shape, with header and key written: shared or a whole chain. The queue
 * follows from what is known of the key. Views are void after it, as after log_reserve. */
MUST_USE bool commit_prepare(struct cache_thread *thread, struct cache_tenant *tenant,
                             const struct cache_key *key, const struct item_shape *shape,
                             struct room *room_out);

/* Writes into, or reads from, an item that may be a chain; `at` counts from the header. */
void span_write_chain(struct cache *cache, const struct room *room, size_t at, struct slice bytes);
static inline void span_write(struct cache *cache, const struct room *room, size_t at,
                              struct slice bytes)
{
    if (UNLIKELY(room->is_chain))
        span_write_chain(cache, room, at, bytes);
    else if (bytes.n > 0)
        memcpy((uint8_t *)room->item + at, bytes.p, bytes.n);
}
/* The bytes of an item from `at` on that lie together, at most to n_end. */
struct slice span_read(const struct cache *cache, uint32_t location, size_t at, size_t n_end);

void tenant_count_no_memory(struct cache_thread *thread, struct cache_tenant *tenant, size_t size);

#endif
