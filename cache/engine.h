/* engine.h - the engine's structures, shared by the files of this folder.
 * Owns: the layout of struct cache, its tenants, threads and segments.
 * Thread: each field says who may touch it; lock order: bucket, tenant, pool. `registry` is outside
 *         of them and held only while threads and tenants come and go, or are counted.
 * Never: is included outside cache/. */
#ifndef CACHE_ENGINE_H
#define CACHE_ENGINE_H

#include "base/hash.h"
#include "cache/arena_file.h"
#include "cache/cache.h"
#include "cache/ghost.h"
#include "cache/index.h"
#include "cache/item.h"

#include <pthread.h>
#include <stdatomic.h>

#define SEGMENT_NONE  UINT32_MAX
#define N_THREADS_MAX 512u
#define N_TENANTS_MAX CACHE_TENANTS_MAX
#define N_GROUPS      CACHE_N_CLASSES
#define N_HORIZONS    32u /* classes of remaining life: two per power of two seconds */

enum segment_state {
    SEGMENT_FREE,     /* in the pool */
    SEGMENT_OPEN,     /* takes items */
    SEGMENT_SEALED,   /* full */
    SEGMENT_PRIVATE,  /* of a chain, but not its published first */
    SEGMENT_CHAIN,    /* first of a chain that holds one published item */
    SEGMENT_EMPTYING, /* an evictor owns it */
    SEGMENT_LIMBO,    /* waits until no reader can see it */
};

enum queue_kind { QUEUE_PROBATION, QUEUE_MAIN, N_QUEUES };

#define ROOM_SEALED ((uint64_t)1 << 31)
#define ROOM_WRITER ((uint64_t)1 << 32)

struct segment {
    _Atomic uint64_t room; /* writers inside << 32 | sealed | position */
    _Atomic uint32_t dead; /* bytes of items that no slot points to */
    _Atomic uint32_t n_pins;
    _Atomic uint8_t state; /* enum segment_state; changed under the tenant's or the pool's lock */
    _Atomic uint8_t queue; /* set while the segment is nobody else's */
    uint8_t group;         /* likewise */
    bool is_chain;         /* likewise */
    uint32_t prev;         /* tenant lock */
    uint32_t next;         /* tenant lock; pool lock when free or in limbo */
    uint32_t chain_next;   /* fixed while the item is published */
    uint32_t n_chain;      /* segments of the chain, on its first */
    uint32_t opened_at;    /* Unix second */
    uint32_t opened_seq;   /* the tenant's count of openings */
    uint32_t spare;
    uint64_t retired; /* pool lock: epoch of retirement */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct segment) == 64, "a segment's entry is a cache line");

/* Live bytes of a segment by the time when they expire (horizon.h). */
struct horizons {
    _Atomic int32_t n[N_HORIZONS];
};

/* Segments that belong to nobody. */
struct pool {
    pthread_mutex_t lock;
    uint32_t free_head;
    uint32_t parked_head; /* given back to the kernel */
    uint32_t limbo_head;
    uint32_t limbo_tail;
    uint32_t n_parked;
    uint32_t n_limbo;
    uint32_t n_limbo_pinned;      /* of them those that only pins keep, when last looked at */
    _Atomic uint32_t n_fresh;     /* segments ever used: the next ones are untouched */
    _Atomic uint32_t n_free;      /* on the free list */
    _Atomic uint32_t n_committed; /* free, used or in limbo */
    _Atomic uint32_t n_target;    /* what memory and index allow */
};

struct segment_queue {
    uint32_t head; /* tenant lock */
    uint32_t tail;
    uint32_t n_segments;
};

struct group_counters {
    _Atomic int64_t n_items, n_bytes, n_probation;
    _Atomic int64_t evictions, evicted_unfetched, expired_unfetched, reclaimed, n_no_memory;
};

/* One per thread and tenant: plain adds by the thread, sums by the reader. */
struct counters {
#define CACHE_COUNTER(name, help) _Atomic int64_t name;
#include "cache/counters.def"
#undef CACHE_COUNTER
    struct group_counters groups[N_GROUPS];
};

struct cache_tenant {
    struct cache *cache;
    char *name;
    uint16_t id;
    uint64_t salt;         /* never used twice, unlike id */
    _Atomic uint64_t word; /* id << 48 | generation of flush */
    _Atomic uint32_t flush_at;
    _Atomic size_t item_max;
    _Atomic size_t guarantee; /* bytes */
    _Atomic size_t limit;     /* bytes; SIZE_MAX: none */
    _Atomic bool is_dying;
    _Atomic uint64_t died;             /* epoch of its destruction, then of its unlinking */
    struct cache_tenant *next_leaving; /* registry */
    _Atomic uint32_t n_uploads;
    bool is_unclaimed;           /* registry: restored, but not asked for yet */
    _Atomic uint32_t n_held;     /* segments */
    _Atomic uint32_t n_emptying; /* its segments that evictors have in hand; not held any more */
    _Atomic uint32_t n_pinned;
    _Atomic uint32_t open[N_QUEUES][N_GROUPS];
    _Atomic uint32_t open_upload;
    pthread_mutex_t lock;
    struct segment_queue queues[N_QUEUES][N_GROUPS]; /* lock */
    uint32_t sequence;                               /* lock: segments opened */
    uint32_t scan_at;                                /* lock: next segment to look for garbage in */
    _Atomic uint32_t n_poor;                         /* evictions in a row that freed little */
    struct ghost ghost;
    struct counters baseline; /* registry: at the last reset */
    struct counters former;   /* registry: of threads that ended */
};

struct epoch_slot {
    _Atomic uint64_t epoch; /* 0: offline */
} __attribute__((aligned(64)));

struct cache_thread {
    struct cache *cache;
    struct epoch_slot *slot;
    unsigned number;
    bool has_views; /* has handed out items since it went online */
    bool met_full_index;
    bool may_grow_index; /* has added entries to the index's sum, or met it full */
    uint32_t now;        /* of the operation it is in */
    int32_t index_delta;
    uint64_t cas_next;
    uint64_t cas_end;
    uint64_t random;
    _Atomic(struct counters *) counters[N_TENANTS_MAX];
};

struct cache {
    struct index index;
    struct arena_file file; /* behind the arena, or none */
    struct cache_restored restored;
    uint8_t *arena;
    size_t n_arena;      /* bytes of address space */
    size_t n_usable;     /* bytes of it that may be written; pool lock */
    unsigned unit_shift; /* log2 of a location's unit */
    unsigned segment_shift;
    size_t segment_size;
    uint32_t n_segments_max;
    struct segment *segments;
    struct horizons *horizons;
    _Atomic uint64_t *owners; /* by segment: the tenant's word at its opening */
    struct pool pool;
    struct hash_key hash_key;
    bool is_evicting;
    bool has_cas;
    bool has_huge_pages;
    size_t item_max;
    _Atomic size_t memory;
    _Atomic uint64_t epoch;
    struct epoch_slot *epochs; /* N_THREADS_MAX */
    _Atomic uint64_t cas;
    _Atomic uint32_t now;
    _Atomic uint32_t walked_until; /* Unix second; entries move upwards only before it */
    uint32_t n_low;                /* free segments below which room is made */
    _Atomic uint32_t n_slots;      /* epochs in use: the first so many */
    _Atomic uint32_t n_tenants;    /* entries of tenants in use: the first so many */
    _Atomic size_t n_ghost_bytes;
    _Atomic size_t n_upload_bytes;
    _Atomic uint32_t n_upload_segments;

    pthread_mutex_t registry;
    _Atomic(struct cache_tenant *) tenants[N_TENANTS_MAX];
    struct cache_tenant *leaving; /* registry: unlinked, but seen by a thread perhaps */
    struct cache_thread *threads[N_THREADS_MAX]; /* registry */
    uint64_t next_salt;                          /* registry */
    _Atomic unsigned next_giver; /* where the search for the tenant that gives begins */
    _Atomic unsigned n_emptying; /* segments that evictors have in hand: limbo comes next */
    struct cache_tenant *default_tenant;
    struct cache_eviction_listener evictions; /* constant */
    struct cache_thread *maintainer;          /* maintenance lock */

    pthread_mutex_t maintenance; /* one maintainer at a time */
    pthread_t reaper;
    pthread_mutex_t reaper_lock;
    pthread_cond_t reaper_wake;
    bool reaper_is_wanted; /* reaper lock */
    bool reaper_has_work;  /* reaper lock */
    bool reaper_exists;
    _Atomic bool reaper_runs;
    _Atomic bool reaper_was_woken;
};

/* ---- addresses ---- */

static inline size_t location_offset(const struct cache *cache, uint32_t location)
{
    return (size_t)location << cache->unit_shift;
}

static inline uint32_t location_segment(const struct cache *cache, uint32_t location)
{
    return (uint32_t)(location_offset(cache, location) >> cache->segment_shift);
}

static inline struct item *location_item(const struct cache *cache, uint32_t location)
{
    return (struct item *)(void *)(cache->arena + location_offset(cache, location));
}

static inline uint8_t *segment_bytes(const struct cache *cache, uint32_t number)
{
    return cache->arena + ((size_t)number << cache->segment_shift);
}

static inline uint32_t segment_location(const struct cache *cache, uint32_t number, size_t at)
{
    return (uint32_t)((((size_t)number << cache->segment_shift) + at) >> cache->unit_shift);
}

static inline size_t round_to_unit(const struct cache *cache, size_t n)
{
    size_t unit = (size_t)1 << cache->unit_shift;
    return (n + unit - 1) & ~(unit - 1);
}

/* Bytes that an item takes in its segment. */
static inline size_t item_size(const struct cache *cache, const struct item *item)
{
    return round_to_unit(cache, item_n_bytes(item));
}

/* Larger ones own a chain of segments. */
static inline size_t shared_size_max(const struct cache *cache)
{
    return cache->segment_size / 2;
}

static inline unsigned size_group(size_t size)
{
    return LIKELY(size < 256) ? 0 : 1u + (size >= 1024) + (size >= 4096);
}

/* ---- owners ---- */

static inline uint64_t segment_owner(const struct cache *cache, uint32_t number)
{
    return atomic_load_explicit(&cache->owners[number], memory_order_acquire);
}

static inline uint64_t tenant_word(const struct cache_tenant *tenant)
{
    return atomic_load_explicit(&tenant->word, memory_order_acquire);
}

static inline unsigned word_tenant(uint64_t word)
{
    return (unsigned)(word >> 48);
}

/* ---- counters ---- */

static inline struct counters *thread_counters(struct cache_thread *thread,
                                               const struct cache_tenant *tenant)
{
    return atomic_load_explicit(&thread->counters[tenant->id], memory_order_acquire);
}

static inline void counter_add(_Atomic int64_t *counter, int64_t n)
{
    int64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* ---- epochs (epoch.c) ---- */

/* The epoch of retirement for memory that no new reader can reach any more. */
uint64_t epoch_retire(struct cache *cache);
/* Everything retired before this epoch may be used again. */
uint64_t epoch_oldest(const struct cache *cache);
/* Goes on to the present epoch: items seen before may vanish. */
void thread_refresh(struct cache_thread *thread);

#endif
