/* log.h - room for new items: open segments, and chains for what is too large to share one.
 * Owns: the tenants' open segments and the order of their queues.
 * Thread: online ones, outside of bucket locks; takes the tenant's lock.
 * Never: publishes an item. */
#ifndef CACHE_LOG_H
#define CACHE_LOG_H

#include "cache/engine.h"

/* Room for one item that is not published yet; it keeps evictors off its segment until
 * log_leave. A chain's room is its first segment. */
struct room {
    struct item *item;
    uint32_t location;
    uint32_t segment;
    uint32_t size; /* bytes in this segment */
    bool is_chain;
    bool is_upload;
};

/* Where room may come from. */
enum log_purpose {
    LOG_STORE,  /* a new item: may evict others, and leaves some segments for copying */
    LOG_COPY,   /* an evictor's copy: takes the last segment, never evicts */
    LOG_UPLOAD, /* like LOG_STORE, in segments that only uploads share */
};

static inline _Atomic uint32_t *log_open_segment(struct cache_tenant *tenant, enum queue_kind queue,
                                                 size_t size, enum log_purpose purpose)
{
    return purpose == LOG_UPLOAD ? &tenant->open_upload : &tenant->open[queue][size_group(size)];
}

/* Adds the item's size to the segment's position and itself to its writers, in one step. */
static inline bool segment_enter(struct cache *cache, uint32_t number, size_t size,
                                 uint64_t *before_out)
{
    struct segment *segment = &cache->segments[number];
    uint64_t room = atomic_load_explicit(&segment->room, memory_order_acquire);
    do {
        if (UNLIKELY(room & ROOM_SEALED || (uint32_t)room + size > cache->segment_size))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&segment->room, &room,
                                                    room + ROOM_WRITER + size, memory_order_acq_rel,
                                                    memory_order_acquire));
    *before_out = room;
    return true;
}

/* Room in this segment, if it is open, of the present generation and has so much left. */
static inline bool log_enter(struct cache_tenant *tenant, uint32_t number, size_t size,
                             enum log_purpose purpose, struct room *room_out)
{
    struct cache *cache = tenant->cache;
    uint64_t before;
    if (UNLIKELY(number == SEGMENT_NONE || segment_owner(cache, number) != tenant_word(tenant) ||
                 !segment_enter(cache, number, size, &before)))
        return false;
    room_out->segment = number;
    room_out->location = segment_location(cache, number, (uint32_t)before);
    room_out->item = location_item(cache, room_out->location);
    room_out->size = (uint32_t)size;
    room_out->is_chain = false;
    room_out->is_upload = purpose == LOG_UPLOAD;
    if (purpose == LOG_UPLOAD && before >> 32 == 0)
        atomic_fetch_add(&cache->n_upload_segments, 1);
    return true;
}

/* Room in a shared segment; size is rounded and at most shared_size_max. May evict: item pointers
 * of a thread that has handed out no views are void after it. May wait, in the worst case for 5 s,
 * for threads that empty segments or have not been run since they looked at one. False: no memory.
 */
MUST_USE bool log_reserve_anew(struct cache_thread *thread, struct cache_tenant *tenant,
                               enum queue_kind queue, size_t size, enum log_purpose purpose,
                               struct room *room_out);
MUST_USE static inline bool log_reserve(struct cache_thread *thread, struct cache_tenant *tenant,
                                        enum queue_kind queue, size_t size,
                                        enum log_purpose purpose, struct room *room_out)
{
    _Atomic uint32_t *open = log_open_segment(tenant, queue, size, purpose);
    uint32_t number = atomic_load_explicit(open, memory_order_acquire);
    return LIKELY(log_enter(tenant, number, size, purpose, room_out)) ||
           log_reserve_anew(thread, tenant, queue, size, purpose, room_out);
}

/* A segment of its own for the first bytes of a large item, and one more for an existing chain.
 * The tenant holds them from then on; they are in no queue. */
MUST_USE bool log_chain_begin(struct cache_thread *thread, struct cache_tenant *tenant,
                              struct room *room_out);
MUST_USE bool log_chain_extend(struct cache_thread *thread, struct cache_tenant *tenant,
                               uint32_t first, uint32_t *last);
/* Puts a chain into its queue (before it is published), takes it out and into limbo (when no slot
 * points to it any more). */
void log_chain_enqueue(struct cache_tenant *tenant, uint32_t first, enum queue_kind queue,
                       uint32_t now);
void log_chain_retire(struct cache_tenant *tenant, uint32_t first);
/* A chain that was never published. */
void log_chain_discard(struct cache_tenant *tenant, uint32_t first);

/* The item is whole, published or dead: evictors may come. */
void log_leave_upload(struct cache *cache, const struct room *room);
static inline void log_leave(struct cache *cache, const struct room *room)
{
    if (room->is_chain)
        return;
    if (UNLIKELY(room->is_upload))
        log_leave_upload(cache, room);
    else
        atomic_fetch_sub_explicit(&cache->segments[room->segment].room, ROOM_WRITER,
                                  memory_order_acq_rel);
}

/* The bytes of an item in a shared segment are of no use any more. Returns how many of the
 * segment's are not, these included. */
static inline uint32_t log_add_dead(struct cache *cache, uint32_t segment, size_t size)
{
    return (uint32_t)size + atomic_fetch_add_explicit(&cache->segments[segment].dead,
                                                      (uint32_t)size, memory_order_relaxed);
}

/* A sealed segment without a live byte comes free at once, rather than when it is the oldest. */
void log_retire_if_spent(struct cache_tenant *tenant, uint32_t segment);

/* ---- queues; with the tenant's lock ---- */
void queue_append(struct cache_tenant *tenant, uint32_t segment);
void queue_unlink(struct cache_tenant *tenant, uint32_t segment);
/* No more items in this open segment. */
void segment_seal(struct cache_tenant *tenant, uint32_t segment);

static inline uint32_t segment_position(const struct segment *segment)
{
    return (uint32_t)atomic_load_explicit(&segment->room, memory_order_acquire) &
           (uint32_t)(ROOM_SEALED - 1);
}

static inline bool segment_has_writers(const struct segment *segment)
{
    return atomic_load_explicit(&segment->room, memory_order_acquire) >> 32 != 0;
}

#endif
