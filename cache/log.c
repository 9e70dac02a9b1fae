#include "cache/log.h"

#include "cache/evict.h"
#include "cache/horizon.h"
#include "cache/pool.h"

#include <sched.h>
#include <time.h>

#define KEEP_FOR_COPIES 2u   /* segments that a store never takes */
#define ATTEMPTS        64u  /* evictions for one segment before a store gives up */
#define WAITS           550u /* for threads that hold segments back or empty them: 5 s in all */
#define WAIT_STEP       50u  /* yields at first, then naps that double after so many */
#define NAP_NS          100000l

void queue_append(struct cache_tenant *tenant, uint32_t number)
{
    struct segment *segments = tenant->cache->segments, *segment = &segments[number];
    struct segment_queue *queue = &tenant->queues[atomic_load(&segment->queue)][segment->group];
    segment->prev = queue->tail;
    segment->next = SEGMENT_NONE;
    if (queue->tail == SEGMENT_NONE)
        queue->head = number;
    else
        segments[queue->tail].next = number;
    queue->tail = number;
    queue->n_segments += segment->n_chain;
}

void queue_unlink(struct cache_tenant *tenant, uint32_t number)
{
    struct segment *segments = tenant->cache->segments, *segment = &segments[number];
    struct segment_queue *queue = &tenant->queues[atomic_load(&segment->queue)][segment->group];
    if (segment->prev == SEGMENT_NONE)
        queue->head = segment->next;
    else
        segments[segment->prev].next = segment->next;
    if (segment->next == SEGMENT_NONE)
        queue->tail = segment->prev;
    else
        segments[segment->next].prev = segment->prev;
    queue->n_segments -= segment->n_chain;
}

void segment_seal(struct cache_tenant *tenant, uint32_t number)
{
    struct segment *segment = &tenant->cache->segments[number];
    atomic_fetch_or(&segment->room, ROOM_SEALED);
    atomic_store_explicit(&segment->state, SEGMENT_SEALED, memory_order_release);
}

static size_t n_limit_segments(const struct cache_tenant *tenant)
{
    size_t limit = atomic_load_explicit(&tenant->limit, memory_order_relaxed);
    if (limit == SIZE_MAX)
        return SIZE_MAX;
    size_t n = limit >> tenant->cache->segment_shift;
    return n < 2 ? 2 : n;
}

/* Nothing may be lost by going on: the thread has shown nobody an item in this turn. */
static void refresh_if_unseen(struct cache_thread *thread)
{
    if (!thread->has_views)
        thread_refresh(thread);
}

/* Is enough in limbo already, so that evicting more would only throw items away? */
static bool room_is_coming(struct cache *cache)
{
    return pool_n_available(cache) + pool_n_coming(cache) > cache->n_low + pool_n_excess(cache);
}

/* What this thread has shown to its caller holds limbo back: waiting would not help. */
static bool blocks_itself(const struct cache_thread *thread)
{
    return thread->has_views && atomic_load(&thread->slot->epoch) <= epoch_oldest(thread->cache);
}

/* A thread that is online ends its turn soon, unless the kernel lets it wait for a processor. */
static void pause_for_others(unsigned n_before)
{
    unsigned step = n_before / WAIT_STEP;
    struct timespec nap = {.tv_nsec = step == 0 ? 0 : NAP_NS << (step - 1)};
    if (step == 0)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

/* Another thread may be emptying the tenant's last segment just now. What others' tenants lose does
 * not help this one: it is not waited for. */
static bool stay_below_limit(struct cache_thread *thread, struct cache_tenant *tenant)
{
    size_t limit = n_limit_segments(tenant);
    unsigned n_evicted = 0, n_waited = 0;
    while (atomic_load(&tenant->n_held) >= limit) {
        bool was_in_hand = atomic_load(&tenant->n_emptying) > 0;
        if (n_evicted == ATTEMPTS || n_waited == WAITS)
            return false;
        if (evict_from(thread, tenant))
            n_evicted++;
        else if (was_in_hand || atomic_load(&tenant->n_emptying) > 0)
            pause_for_others(n_waited++);
        else
            return atomic_load(&tenant->n_held) < limit;
    }
    return true;
}

/* Counts on in *n_waited, which is less than WAITS when nothing is coming any more. */
static uint32_t wait_for_others(struct cache_thread *thread, unsigned *n_waited)
{
    for (; *n_waited < WAITS && !blocks_itself(thread); ++*n_waited) {
        refresh_if_unseen(thread);
        /* Looked at first: what an evictor lets go is in limbo before it is none in hand. */
        bool is_coming =
            atomic_load(&thread->cache->n_emptying) > 0 || pool_n_coming(thread->cache) > 0;
        uint32_t number = pool_take(thread->cache, KEEP_FOR_COPIES);
        if (number != SEGMENT_NONE || !is_coming)
            return number;
        pause_for_others(*n_waited);
    }
    *n_waited = WAITS;
    return pool_take(thread->cache, KEEP_FOR_COPIES);
}

/* What was coming may be taken by another thread: then more is evicted. */
static uint32_t take_or_evict(struct cache_thread *thread, struct cache_tenant *tenant)
{
    struct cache *cache = thread->cache;
    bool has_reaper = atomic_load_explicit(&cache->reaper_runs, memory_order_relaxed);
    unsigned n_waited = 0;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        uint32_t number = pool_take(cache, has_reaper ? KEEP_FOR_COPIES : cache->n_low);
        if (has_reaper && pool_n_available(cache) <= cache->n_low)
            evict_wake_reaper(cache);
        if (number != SEGMENT_NONE)
            return number;
        refresh_if_unseen(thread);
        bool is_coming = room_is_coming(cache);
        if (!is_coming && evict_somewhere(thread, tenant))
            continue;
        unsigned n_before = n_waited;
        number = wait_for_others(thread, &n_waited);
        bool was_coming = is_coming || n_waited > n_before;
        if (number != SEGMENT_NONE || !was_coming || n_waited == WAITS)
            return number;
    }
    return wait_for_others(thread, &n_waited);
}

/* The kernel clears new memory page by page, which may take it longer than to copy what still lives
 * in an old segment. Of small items there are too many in one for that. */
static void prefer_used_memory(struct cache_thread *thread, struct cache_tenant *tenant)
{
    if (pool_is_used_up(thread->cache) && evict_for_reuse(thread, tenant))
        refresh_if_unseen(thread);
}

static uint32_t take_segment(struct cache_thread *thread, struct cache_tenant *tenant,
                             unsigned group, enum log_purpose purpose)
{
    uint32_t number;
    if (purpose != LOG_COPY && group == N_GROUPS - 1)
        prefer_used_memory(thread, tenant);
    if (purpose == LOG_COPY)
        number = pool_take(thread->cache, 0);
    else if (!stay_below_limit(thread, tenant))
        number = SEGMENT_NONE;
    else
        number = take_or_evict(thread, tenant);
    if (number != SEGMENT_NONE)
        atomic_fetch_add(&tenant->n_held, 1);
    return number;
}

static void give_segment(struct cache_tenant *tenant, uint32_t number)
{
    atomic_fetch_sub(&tenant->n_held, 1);
    pool_give(tenant->cache, number);
}

static void segment_init(struct cache_tenant *tenant, uint32_t number, enum segment_state state,
                         uint32_t now)
{
    struct cache *cache = tenant->cache;
    struct segment *segment = &cache->segments[number];
    atomic_store(&segment->dead, 0);
    atomic_store(&segment->n_pins, 0);
    segment->chain_next = SEGMENT_NONE;
    segment->n_chain = 1;
    segment->is_chain = state == SEGMENT_PRIVATE;
    segment->opened_at = now;
    horizon_clear(cache, number);
    atomic_store_explicit(&cache->owners[number], tenant_word(tenant), memory_order_release);
    atomic_store(&segment->state, (uint8_t)state);
    atomic_store_explicit(&segment->room, 0, memory_order_release);
}

/* Replaces the open segment `old`, unless another thread was faster. */
static bool open_segment(struct cache_thread *thread, struct cache_tenant *tenant,
                         _Atomic uint32_t *open, uint32_t old, enum queue_kind queue,
                         unsigned group, enum log_purpose purpose)
{
    uint32_t number = take_segment(thread, tenant, group, purpose);
    if (number == SEGMENT_NONE)
        return atomic_load(open) != old; /* made room for by somebody else */
    pthread_mutex_lock(&tenant->lock);
    if (atomic_load(open) != old) {
        pthread_mutex_unlock(&tenant->lock);
        give_segment(tenant, number);
        return true;
    }
    if (old != SEGMENT_NONE)
        segment_seal(tenant, old);
    struct segment *segment = &tenant->cache->segments[number];
    segment_init(tenant, number, SEGMENT_OPEN, thread->now);
    atomic_store(&segment->queue, (uint8_t)queue);
    segment->group = (uint8_t)group;
    segment->opened_seq = ++tenant->sequence;
    queue_append(tenant, number);
    atomic_store_explicit(open, number, memory_order_release);
    pthread_mutex_unlock(&tenant->lock);
    return true;
}

bool log_reserve_anew(struct cache_thread *thread, struct cache_tenant *tenant,
                      enum queue_kind queue, size_t size, enum log_purpose purpose,
                      struct room *room_out)
{
    _Atomic uint32_t *open = log_open_segment(tenant, queue, size, purpose);
    for (;;) {
        uint32_t number = atomic_load_explicit(open, memory_order_acquire);
        if (log_enter(tenant, number, size, purpose, room_out))
            return true;
        if (!open_segment(thread, tenant, open, number, queue, size_group(size), purpose))
            return false;
    }
}

void log_leave_upload(struct cache *cache, const struct room *room)
{
    uint64_t before = atomic_fetch_sub_explicit(&cache->segments[room->segment].room, ROOM_WRITER,
                                                memory_order_acq_rel);
    if (before >> 32 == 1)
        atomic_fetch_sub(&cache->n_upload_segments, 1);
}

/* Is every byte of it dead, and will no more come? */
static bool is_spent(const struct segment *segment)
{
    uint64_t room = atomic_load_explicit(&segment->room, memory_order_acquire);
    uint32_t position = (uint32_t)(room & (ROOM_SEALED - 1));
    return room >> 32 == 0 && (room & ROOM_SEALED) && !segment->is_chain &&
           atomic_load_explicit(&segment->dead, memory_order_relaxed) == position;
}

void log_retire_if_spent(struct cache_tenant *tenant, uint32_t number)
{
    struct cache *cache = tenant->cache;
    struct segment *segment = &cache->segments[number];
    if (LIKELY(!is_spent(segment)))
        return;
    pthread_mutex_lock(&tenant->lock);
    bool is_mine = atomic_load(&segment->state) == SEGMENT_SEALED && is_spent(segment) &&
                   word_tenant(segment_owner(cache, number)) == tenant->id;
    if (is_mine) {
        queue_unlink(tenant, number);
        atomic_store(&segment->state, SEGMENT_EMPTYING);
        atomic_fetch_sub(&tenant->n_held, segment->n_chain);
    }
    pthread_mutex_unlock(&tenant->lock);
    if (is_mine)
        pool_retire(cache, number);
}

/* ---- chains ---- */

bool log_chain_begin(struct cache_thread *thread, struct cache_tenant *tenant,
                     struct room *room_out)
{
    uint32_t number = take_segment(thread, tenant, N_GROUPS - 1, LOG_STORE);
    if (number == SEGMENT_NONE)
        return false;
    segment_init(tenant, number, SEGMENT_PRIVATE, thread->now);
    room_out->segment = number;
    room_out->location = segment_location(tenant->cache, number, 0);
    room_out->item = location_item(tenant->cache, room_out->location);
    room_out->size = (uint32_t)tenant->cache->segment_size;
    room_out->is_chain = true;
    room_out->is_upload = false;
    return true;
}

bool log_chain_extend(struct cache_thread *thread, struct cache_tenant *tenant, uint32_t first,
                      uint32_t *last)
{
    struct segment *segments = tenant->cache->segments;
    uint32_t number = take_segment(thread, tenant, N_GROUPS - 1, LOG_STORE);
    if (number == SEGMENT_NONE)
        return false;
    segment_init(tenant, number, SEGMENT_PRIVATE, thread->now);
    segments[*last].chain_next = number;
    segments[first].n_chain++;
    *last = number;
    return true;
}

void log_chain_enqueue(struct cache_tenant *tenant, uint32_t first, enum queue_kind queue,
                       uint32_t now)
{
    struct segment *segment = &tenant->cache->segments[first];
    pthread_mutex_lock(&tenant->lock);
    atomic_store(&segment->queue, (uint8_t)queue);
    atomic_store(&segment->state, SEGMENT_CHAIN);
    segment->group = N_GROUPS - 1;
    segment->opened_at = now;
    segment->opened_seq = tenant->sequence += segment->n_chain;
    queue_append(tenant, first);
    pthread_mutex_unlock(&tenant->lock);
}

void log_chain_retire(struct cache_tenant *tenant, uint32_t first)
{
    struct segment *segment = &tenant->cache->segments[first];
    pthread_mutex_lock(&tenant->lock);
    bool is_mine = atomic_load(&segment->state) == SEGMENT_CHAIN;
    if (is_mine) {
        atomic_store(&segment->state, SEGMENT_EMPTYING);
        queue_unlink(tenant, first);
    }
    pthread_mutex_unlock(&tenant->lock);
    if (!is_mine)
        return; /* an evictor has it and will retire it */
    atomic_fetch_sub(&tenant->n_held, segment->n_chain);
    pool_retire(tenant->cache, first);
}

/* No reader has seen these segments: they are free at once. */
void log_chain_discard(struct cache_tenant *tenant, uint32_t first)
{
    while (first != SEGMENT_NONE) {
        uint32_t next = tenant->cache->segments[first].chain_next;
        give_segment(tenant, first);
        first = next;
    }
}
