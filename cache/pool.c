#include "cache/pool.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SEGMENTS_MIN 16u /* fewer cannot hold the open segments of one tenant */
#define USED_SPARE   2u  /* free segments for a store, and for the copies it makes for its sake */
#define HUGE_PAGE    ((uintptr_t)2 << 20)

static bool reserve(struct cache *cache, size_t n)
{
    void *at = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    cache->arena = at;
    cache->n_arena = n;
    return true;
}

static void *map_table(size_t n)
{
    void *at =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static bool reserve_most(struct cache *cache, size_t n_least, size_t n_max)
{
    size_t n = n_max & ~(cache->segment_size - 1);
    while (n > n_least && !reserve(cache, n))
        n = n / 2 & ~(cache->segment_size - 1);
    return cache->arena != NULL || reserve(cache, n_least);
}

/* A file is as large as the memory, and all of it may be written. */
static bool map_file(struct cache *cache, size_t n)
{
    cache->arena = arena_file_map(&cache->file, n);
    if (cache->arena == NULL)
        return false;
    cache->n_arena = cache->n_usable = n;
    return true;
}

bool pool_init(struct cache *cache, size_t n_max)
{
    struct pool *pool = &cache->pool;
    size_t n_least = (cache->memory + cache->segment_size - 1) & ~(cache->segment_size - 1);
    if (!(arena_file_is_open(&cache->file) ? map_file(cache, n_least)
                                           : reserve_most(cache, n_least, n_max)))
        return false;
    cache->n_segments_max = (uint32_t)(cache->n_arena >> cache->segment_shift);
    cache->segments = map_table(cache->n_segments_max * sizeof(struct segment));
    cache->horizons = map_table(cache->n_segments_max * sizeof(struct horizons));
    cache->owners = map_table(cache->n_segments_max * sizeof(uint64_t));
    if (cache->segments == NULL || cache->horizons == NULL || cache->owners == NULL)
        return false;
    if (cache->has_huge_pages)
        (void)madvise(cache->arena, cache->n_arena, MADV_HUGEPAGE);
    pool->free_head = pool->parked_head = pool->limbo_head = pool->limbo_tail = SEGMENT_NONE;
    return pool_commit(cache);
}

static void unmap_table(void *at, size_t n)
{
    if (at != NULL)
        munmap(at, n);
}

void pool_fini(struct cache *cache)
{
    unmap_table(cache->segments, cache->n_segments_max * sizeof(struct segment));
    unmap_table(cache->horizons, cache->n_segments_max * sizeof(struct horizons));
    unmap_table(cache->owners, cache->n_segments_max * sizeof(uint64_t));
    unmap_table(cache->arena, cache->n_arena);
    cache->arena = NULL;
}

bool pool_commit(struct cache *cache)
{
    size_t n = (cache->memory + cache->segment_size - 1) & ~(cache->segment_size - 1);
    if (n > cache->n_arena)
        return false;
    pthread_mutex_lock(&cache->pool.lock);
    bool is_done =
        n <= cache->n_usable ||
        mprotect(cache->arena + cache->n_usable, n - cache->n_usable, PROT_READ | PROT_WRITE) == 0;
    if (is_done && n > cache->n_usable)
        cache->n_usable = n;
    pthread_mutex_unlock(&cache->pool.lock);
    return is_done;
}

void pool_update_target(struct cache *cache)
{
    size_t memory = atomic_load(&cache->memory);
    size_t beside = index_n_buckets(index_state(&cache->index)) * sizeof(struct bucket) +
                    atomic_load(&cache->n_ghost_bytes);
    size_t n = memory > beside ? (memory - beside) >> cache->segment_shift : 0;
    if (n < SEGMENTS_MIN)
        n = SEGMENTS_MIN;
    if (n > cache->n_usable >> cache->segment_shift)
        n = cache->n_usable >> cache->segment_shift;
    atomic_store(&cache->pool.n_target, (uint32_t)n);
}

static void push_free(struct cache *cache, uint32_t number)
{
    struct pool *pool = &cache->pool;
    struct segment *segment = &cache->segments[number];
    atomic_store_explicit(&segment->state, SEGMENT_FREE, memory_order_relaxed);
    if (atomic_load(&pool->n_committed) > atomic_load(&pool->n_target)) {
        (void)madvise(segment_bytes(cache, number), cache->segment_size, MADV_DONTNEED);
        segment->next = pool->parked_head;
        pool->parked_head = number;
        pool->n_parked++;
        atomic_fetch_sub(&pool->n_committed, 1);
        return;
    }
    segment->next = pool->free_head;
    pool->free_head = number;
    atomic_fetch_add(&pool->n_free, 1);
}

static uint32_t pop_free(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    uint32_t number = pool->free_head;
    pool->free_head = cache->segments[number].next;
    atomic_fetch_sub(&pool->n_free, 1);
    return number;
}

/* Free segments that memory does not allow any more go back to the kernel. */
static void trim(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    while (pool->free_head != SEGMENT_NONE &&
           atomic_load(&pool->n_committed) > atomic_load(&pool->n_target))
        push_free(cache, pop_free(cache));
}

/* Before the first segment of a huge page is touched: when memory allows only a part of that page,
 * the kernel shall not fill the rest of it. */
static void keep_end_small(struct cache *cache, uint32_t number)
{
    uintptr_t begin = (uintptr_t)segment_bytes(cache, number), arena = (uintptr_t)cache->arena;
    uintptr_t page = (begin + cache->segment_size - 1) & ~(HUGE_PAGE - 1);
    uintptr_t allowed = (uintptr_t)atomic_load(&cache->pool.n_target) << cache->segment_shift;
    uintptr_t end =
        page + HUGE_PAGE < arena + cache->n_arena ? page + HUGE_PAGE : arena + cache->n_arena;
    if (cache->has_huge_pages && page >= begin && page + HUGE_PAGE > arena + allowed)
        (void)madvise((void *)page, end - page, MADV_NOHUGEPAGE);
}

static uint32_t take_from_kernel(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    uint32_t number = pool->parked_head;
    if (number != SEGMENT_NONE) {
        pool->parked_head = cache->segments[number].next;
        pool->n_parked--;
    } else {
        MUST(pool->n_fresh < cache->n_segments_max);
        number = pool->n_fresh++;
        keep_end_small(cache, number);
    }
    atomic_fetch_add(&pool->n_committed, 1);
    return number;
}

uint32_t pool_n_available(const struct cache *cache)
{
    uint32_t n_committed = atomic_load(&cache->pool.n_committed);
    uint32_t n_target = atomic_load(&cache->pool.n_target);
    uint32_t n_free = atomic_load(&cache->pool.n_free);
    if (n_committed <= n_target)
        return n_free + (n_target - n_committed);
    return n_free > n_committed - n_target ? n_free - (n_committed - n_target) : 0;
}

uint32_t pool_n_excess(const struct cache *cache)
{
    uint32_t n_committed = atomic_load(&cache->pool.n_committed);
    uint32_t n_target = atomic_load(&cache->pool.n_target);
    return n_committed > n_target ? n_committed - n_target : 0;
}

uint32_t pool_n_limbo(struct cache *cache)
{
    pthread_mutex_lock(&cache->pool.lock);
    uint32_t n = cache->pool.n_limbo;
    pthread_mutex_unlock(&cache->pool.lock);
    return n;
}

uint32_t pool_n_coming(struct cache *cache)
{
    pthread_mutex_lock(&cache->pool.lock);
    uint32_t n = cache->pool.n_limbo - cache->pool.n_limbo_pinned;
    pthread_mutex_unlock(&cache->pool.lock);
    return n;
}

/* The last comes first: the next chain begins with memory that this one has filled, and ends with
 * that of which it used the beginning only, so that the kernel need not give the rest. */
static void free_chain(struct cache *cache, uint32_t number)
{
    uint32_t turned = SEGMENT_NONE;
    while (number != SEGMENT_NONE) {
        uint32_t next = cache->segments[number].chain_next;
        cache->segments[number].chain_next = turned;
        turned = number;
        number = next;
    }
    while (turned != SEGMENT_NONE) {
        uint32_t next = cache->segments[turned].chain_next;
        push_free(cache, turned);
        turned = next;
    }
}

/* With the pool's lock. */
static void reclaim(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    uint64_t oldest = epoch_oldest(cache);
    uint32_t *link = &pool->limbo_head, last = SEGMENT_NONE;
    pool->n_limbo_pinned = 0;
    while (*link != SEGMENT_NONE) {
        uint32_t number = *link;
        struct segment *segment = &cache->segments[number];
        if (segment->retired >= oldest)
            break;
        if (atomic_load_explicit(&segment->n_pins, memory_order_acquire) != 0) {
            pool->n_limbo_pinned += segment->n_chain;
            last = number;
            link = &segment->next;
            continue;
        }
        *link = segment->next;
        if (pool->limbo_tail == number)
            pool->limbo_tail = last;
        pool->n_limbo -= segment->n_chain;
        free_chain(cache, number);
    }
}

void pool_reclaim(struct cache *cache)
{
    pthread_mutex_lock(&cache->pool.lock);
    reclaim(cache);
    trim(cache);
    pthread_mutex_unlock(&cache->pool.lock);
}

uint32_t pool_take(struct cache *cache, uint32_t keep)
{
    struct pool *pool = &cache->pool;
    uint32_t number = SEGMENT_NONE;
    pthread_mutex_lock(&pool->lock);
    /* What was used lately comes before memory that nobody has touched yet: the kernel need not
     * clear it, and the processor's cache may still hold it. */
    if (pool->limbo_head != SEGMENT_NONE &&
        (pool->free_head == SEGMENT_NONE || pool_n_available(cache) <= cache->n_low + keep))
        reclaim(cache);
    trim(cache);
    if (pool_n_available(cache) > keep)
        number = pool->free_head != SEGMENT_NONE ? pop_free(cache) : take_from_kernel(cache);
    pthread_mutex_unlock(&pool->lock);
    return number;
}

bool pool_is_used_up(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    pthread_mutex_lock(&pool->lock);
    if (atomic_load(&pool->n_free) < USED_SPARE && pool->limbo_head != SEGMENT_NONE)
        reclaim(cache);
    bool is_used_up = atomic_load(&pool->n_free) < USED_SPARE;
    pthread_mutex_unlock(&pool->lock);
    return is_used_up;
}

void pool_give(struct cache *cache, uint32_t number)
{
    pthread_mutex_lock(&cache->pool.lock);
    push_free(cache, number);
    pthread_mutex_unlock(&cache->pool.lock);
}

void pool_retire(struct cache *cache, uint32_t number)
{
    struct pool *pool = &cache->pool;
    struct segment *segment = &cache->segments[number];
    pthread_mutex_lock(&pool->lock);
    segment->retired = epoch_retire(cache);
    atomic_store_explicit(&segment->state, SEGMENT_LIMBO, memory_order_relaxed);
    segment->next = SEGMENT_NONE;
    if (pool->limbo_tail == SEGMENT_NONE)
        pool->limbo_head = number;
    else
        cache->segments[pool->limbo_tail].next = number;
    pool->limbo_tail = number;
    pool->n_limbo += segment->n_chain;
    pthread_mutex_unlock(&pool->lock);
}

void pool_adopt(struct cache *cache)
{
    struct pool *pool = &cache->pool;
    pthread_mutex_lock(&pool->lock);
    uint32_t n = cache->n_segments_max;
    while (n > 0 && atomic_load(&cache->segments[n - 1].state) == SEGMENT_FREE)
        n--;
    pool->n_fresh = n;
    atomic_store(&pool->n_committed, n);
    while (n-- > 0)
        if (atomic_load(&cache->segments[n].state) == SEGMENT_FREE)
            push_free(cache, n);
    pthread_mutex_unlock(&pool->lock);
}
