/* cache.h - the storage engine: items of tenants in a log of segments, found by a tagged index.
 * Owns: all item and index memory, and the threads that reclaim and grow it.
 * Thread: each thread that calls in has a struct cache_thread; calls that take one may run at any
 *         time between cache_thread_online and cache_thread_offline of that thread.
 * Never: reads a clock (`now` is an argument, Unix seconds), logs, or knows a protocol. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/bytes.h"
#include "base/must.h"

struct cache;
struct cache_tenant;
struct cache_thread;
struct cache_upload;

#define CACHE_TENANTS_MAX 4096u
#define CACHE_KEY_MAX     250
#define CACHE_NEVER       0u /* exptime: never expires */
#define CACHE_PAST        1u /* exptime: over already */

enum cache_result {
    CACHE_OK,
    CACHE_MISS,        /* no such item */
    CACHE_EXPIRED,     /* a miss, because its time was over */
    CACHE_FLUSHED,     /* a miss, because of a flush */
    CACHE_EXISTS,      /* the cas given differs from the item's */
    CACHE_NOT_STORED,  /* add: the key is there; replace, append, prepend: it is not */
    CACHE_TOO_LARGE,   /* the item would exceed the tenant's item_max */
    CACHE_NO_MEMORY,   /* no room and nothing may be evicted, or malloc failed */
    CACHE_NON_NUMERIC, /* arithmetic on a value that is no number */
};

/* ---- life ---- */

struct cache_item;

/* Who hears of the items that leave because room is needed: is_wanted is asked once for each
 * segment that is emptied, tell is called by the thread that makes room, outside of the cache's
 * locks. Key and item are valid during the call; neither may call the cache. */
struct cache_eviction_listener {
    bool (*is_wanted)(void *arg);
    void (*tell)(void *arg, const struct cache_tenant *tenant, struct slice key,
                 const struct cache_item *item, uint32_t now);
    void *arg;
};

struct cache_config {
    size_t memory;           /* bytes for items and index together (-m) */
    size_t item_max;         /* bytes of the largest item, header included (-I) */
    bool is_evicting;        /* false: a full cache answers CACHE_NO_MEMORY (-M) */
    bool has_cas;            /* false: every cas is 0 (-C) */
    bool has_huge_pages;     /* advise transparent huge pages for arena and index */
    unsigned n_tenants;      /* expected: the more, the smaller the segments; 0 = few */
    unsigned hash_power;     /* log2 of the index's slots at start; 0 = chosen */
    uint64_t hash_seed;      /* 0 = random; otherwise fixed (tests) */
    const char *memory_file; /* items lie in this file (-e); NULL: they end with the process */
    uint32_t now;            /* Unix second, by the wall clock; with memory_file */
    struct cache_eviction_listener evictions; /* tell NULL: nobody */
};

/* Bytes of the segments that a cache created with this memory and n_tenants gives out: what tenants
 * hold, and what they are guaranteed, counts in whole ones. */
size_t cache_segment_size(size_t memory, unsigned n_tenants);

/* NULL with a sentence in error on failure. Makes the tenant "default" (all memory). */
MUST_USE struct cache *cache_create(const struct cache_config *config, char *error, size_t n_error);
/* After cache_stop, when all threads are destroyed. Accepts NULL, clears. */
void cache_destroy(struct cache **cache);

/* What cache_create found in its memory_file. */
enum cache_restoration {
    CACHE_NEW,      /* nothing was saved */
    CACHE_RESTORED, /* the items that were saved, but for those whose time is over */
    CACHE_REFUSED,  /* the cache is empty; reason says what is wrong with that which was saved */
};

struct cache_restored {
    enum cache_restoration what;
    uint64_t n_items;
    uint64_t n_expired; /* while nobody served */
    uint32_t started;   /* Unix second, as given to cache_save, by today's clock */
    char reason[96];
};

/* Constant from cache_create on; never NULL. */
const struct cache_restored *cache_restored(const struct cache *cache);
/* Drops what was restored for tenants that nobody has created since. */
void cache_forget_unclaimed(struct cache *cache);

/* Makes what is in memory_file fit to be restored by the next cache_create with the same memory.
 * After cache_stop, with no other thread online; the cache must not be used after it but to be
 * destroyed. `now` is the cache's clock, `wall` the one that the next process will start with.
 * False: nothing will be restored, and error says why. */
MUST_USE bool cache_save(struct cache *cache, uint32_t started, uint32_t now, uint32_t wall,
                         char *error, size_t n_error);

/* Starts and stops the reaper (free reserve, expiry, compaction, index growth). Without it the
 * work is done by writers when they need room, and by cache_maintain (tests). */
MUST_USE bool cache_start(struct cache *cache);
void cache_stop(struct cache *cache);
void cache_maintain(struct cache *cache, uint32_t now);

/* Once per second, from one thread: publishes now to the reaper, carries out delayed flushes. */
void cache_tick(struct cache *cache, uint32_t now);

/* What a thread needs to read and write items; used by that thread only. NULL when memory is short,
 * or there are too many. Destroying it, before the cache, accepts NULL and clears. Thread: any. */
MUST_USE struct cache_thread *cache_thread_create(struct cache *cache);
void cache_thread_destroy(struct cache_thread **thread);

/* Items seen by this thread stay readable until it goes offline. A worker is online during a turn
 * of its loop and offline while it waits; both are cheap and may be repeated. */
void cache_thread_online(struct cache_thread *thread);
void cache_thread_offline(struct cache_thread *thread);
/* Nothing that was handed out since the thread went online is looked at again, unless pinned: a
 * store that needs room may have it. Costs nothing; between two requests of a turn. */
void cache_thread_forget(struct cache_thread *thread);

/* ---- tenants ---- */

struct cache_tenant_config {
    const char *name; /* copied */
    size_t guarantee; /* bytes that other tenants cannot take; counts as whole segments */
    size_t limit;     /* bytes it may hold at most; 0 = all memory */
    size_t item_max;  /* 0 = the cache's */
};

/* NULL when memory is short or there are too many (CACHE_TENANTS_MAX). A tenant of this name that
 * the memory file brought is given back with its items. */
MUST_USE struct cache_tenant *cache_tenant_create(struct cache *cache,
                                                  const struct cache_tenant_config *config);
/* Takes effect at once for what is stored, gradually for what is held. The name stays. */
void cache_tenant_configure(struct cache_tenant *tenant, const struct cache_tenant_config *config);
/* Drops its items; the handle is invalid once every thread has been offline. */
void cache_tenant_destroy(struct cache_tenant **tenant);
/* Lives as long as the cache. */
struct cache_tenant *cache_default_tenant(struct cache *cache);

/* Kills every item of the tenant: at once (at = 0) or at Unix second `at`. A second call replaces
 * a pending one, and never brings an item back. O(1). Items stored after it, live. */
void cache_flush(struct cache_tenant *tenant, uint32_t at);

/* ---- keys ---- */

struct cache_key {
    struct slice bytes; /* 1..CACHE_KEY_MAX */
    uint64_t hash;      /* cache_hash of bytes for the tenant */
    uint32_t hint;      /* of the prefetch, or 0: looked at first, never trusted */
};

/* Keyed with a secret of the process (hash.h). Thread: any. */
uint64_t cache_hash(const struct cache *cache, const struct cache_tenant *tenant, struct slice key);
/* Hashes the keys of a batch, and fetches what looking them up will touch: the buckets of a key
 * some keys before its item, so that cache misses overlap. What comes of an empty key means
 * nothing. */
void cache_prefetch(const struct cache *cache, const struct cache_tenant *tenant,
                    struct cache_key *keys, size_t n);
/* The parts of it for a key that is hashed. The second tells where the item seems to be, which
 * spares the search for it. */
void cache_prefetch_bucket(const struct cache *cache, uint64_t hash);
MUST_USE uint32_t cache_prefetch_item(const struct cache *cache, uint64_t hash);

/* ---- reading ---- */

/* What is known of an item; valid until the thread goes offline. */
struct cache_item {
    uint64_t cas;
    uint32_t client_flags;
    uint32_t exptime;        /* after the access; CACHE_NEVER or Unix seconds */
    uint32_t exptime_before; /* before it */
    uint32_t last_access;    /* Unix seconds, before this access */
    uint32_t n_value;
    uint32_t size;       /* bytes with header and key */
    uint8_t item_class;  /* size group, 1.. */
    bool was_fetched;    /* before this access */
    bool is_stale;       /* meta X */
    bool is_won;         /* meta W: this access won the right to recache */
    bool is_already_won; /* meta Z */
    bool key_is_base64;
    const uint8_t *value; /* contiguous, or NULL: use cache_item_chunk */
    uint64_t handle;      /* for cache_pin and cache_item_chunk */
    uint8_t number[24];   /* a counter's value is copied here (value points to it) */
};

/* How an access goes beyond reading; all false or zero is a plain get. */
struct cache_access {
    bool does_touch;    /* set exptime */
    bool is_silent;     /* neither bump nor mark fetched */
    bool has_state;     /* take part in stale, won and recache (meta mg) */
    bool does_vivify;   /* create an empty item on a miss, as won */
    bool does_recache;  /* win when fewer than recache_ttl seconds are left */
    bool sets_cas;      /* cas of a vivified item */
    bool key_is_base64; /* for a vivified item */
    uint32_t exptime;
    uint32_t vivify_exptime;
    uint32_t recache_ttl;
    uint64_t new_cas;
};

/* The plain get: no lock, no shared write when the item is hot. Of the item it tells cas,
 * client_flags, n_value, size, value and handle; the rest is left alone. */
MUST_USE enum cache_result cache_get(struct cache_thread *thread, struct cache_tenant *tenant,
                                     const struct cache_key *key, uint32_t now,
                                     struct cache_item *item_out);

/* What a batch of plain gets shows of an item. */
struct cache_view {
    uint64_t cas;
    const uint8_t *value; /* contiguous */
    uint32_t n_value;     /* at most CACHE_VIEW_MAX */
    uint32_t size;        /* bytes with header and key */
    uint32_t client_flags;
};

#define CACHE_VIEW_MAX (16u << 10)

/* Plain gets of keys that went through cache_prefetch, as long as they need no more than a look:
 * returns how many were hits, in a row from the first. What became of the next key, cache_get
 * tells. */
MUST_USE size_t cache_get_many(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *keys, size_t n, uint32_t now,
                               struct cache_view *views_out);

/* A touch of an item that never expired before makes a copy of it, for which memory may lack:
 * CACHE_NO_MEMORY, and the item is as it was.
 * CACHE_MISS and its kinds also when it was vivified; then item_out->is_won is true and item_out
 * describes the new item (was it a miss? result; is there an item to show? is_won). */
MUST_USE enum cache_result cache_access(struct cache_thread *thread, struct cache_tenant *tenant,
                                        const struct cache_key *key, uint32_t now,
                                        const struct cache_access *access,
                                        struct cache_item *item_out);

/* cache_access with has_state alone, as meta reads; item_class may be left alone. */
MUST_USE enum cache_result cache_look(struct cache_thread *thread, struct cache_tenant *tenant,
                                      const struct cache_key *key, uint32_t now,
                                      struct cache_item *item_out);

/* Its item_class, also after a plain get. */
uint8_t cache_item_class(const struct cache *cache, const struct cache_item *item);

/* The bytes of the value from offset on that lie together; 0 < n <= n_value - offset. */
struct slice cache_item_chunk(const struct cache *cache, const struct cache_item *item,
                              size_t offset);

/* Keeps the item's bytes readable after the thread goes offline, until cache_unpin. False when the
 * tenant's share for pins is used up: copy the bytes then. */
MUST_USE bool cache_pin(struct cache_thread *thread, const struct cache_item *item);
/* Handle and n_value as cache_pin had them; once for each time that it was true. */
void cache_unpin(struct cache_thread *thread, uint64_t handle, uint32_t n_value);

/* ---- writing ---- */

enum cache_mode { CACHE_SET, CACHE_ADD, CACHE_REPLACE, CACHE_APPEND, CACHE_PREPEND };

struct cache_store {
    enum cache_mode mode;
    bool compares_cas; /* act only on an item with this cas; none there: CACHE_MISS */
    bool invalidates; /* meta I: a cas lower than the item's stores as stale, keeping its exptime */
    bool sets_cas;
    bool does_vivify; /* append, prepend on a miss: create with vivify_exptime */
    bool key_is_base64;
    uint32_t client_flags;
    uint32_t exptime;
    uint32_t vivify_exptime;
    uint64_t cas;
    uint64_t new_cas;
    struct slice value;
};

struct cache_stored {
    uint64_t cas;     /* of the item now there; 0 when nothing was stored */
    uint32_t n_value; /* after append or prepend: the whole */
};

/* CACHE_OK: stored. NOT_STORED, EXISTS, MISS, by mode and cas; TOO_LARGE, NO_MEMORY. Whatever is
 * not OK leaves what was there before. *stored_out is written in each case. */
MUST_USE enum cache_result cache_store(struct cache_thread *thread, struct cache_tenant *tenant,
                                       const struct cache_key *key, uint32_t now,
                                       const struct cache_store *store,
                                       struct cache_stored *stored_out);

/* Bytes that such an item takes, header and all, before they are rounded. */
uint32_t cache_item_size(size_t n_key, uint32_t n_value, uint32_t client_flags, bool has_exptime);

/* A plain set of a value that is at hand. */
struct cache_set {
    struct slice value;
    uint32_t client_flags;
    uint32_t exptime;
};

#define CACHE_SETS_MAX 16u

/* Plain sets of keys that went through cache_prefetch, at most CACHE_SETS_MAX, as long as each
 * finds an item to take the place of, and room without more ado: returns how many were stored, in a
 * row from the first, with their cas. What becomes of the next key, cache_store tells. */
MUST_USE size_t cache_set_many(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *keys, const struct cache_set *sets, size_t n,
                               uint32_t now, uint64_t *cas_out);

/* A value that arrives in pieces goes straight to its place. The upload survives going offline; it
 * takes memory as bytes arrive, and holds back no other writer. The key is copied. */
MUST_USE enum cache_result cache_upload_create(struct cache_thread *thread,
                                               struct cache_tenant *tenant,
                                               const struct cache_key *key, uint32_t n_value,
                                               uint32_t client_flags,
                                               struct cache_upload **upload_out);
/* Where the next bytes go: at least 1, at most what the value lacks. CACHE_NO_MEMORY: abort and
 * swallow. */
MUST_USE enum cache_result cache_upload_space(struct cache_thread *thread,
                                              struct cache_upload *upload, uint8_t **p_out,
                                              size_t *n_out);
/* n bytes were written where cache_upload_space said; at most as many as it said. */
void cache_upload_advance(struct cache_upload *upload, size_t n);
/* All n_value bytes are there: store them (store->value is ignored). Destroys the upload. */
MUST_USE enum cache_result cache_upload_commit(struct cache_thread *thread,
                                               struct cache_upload **upload, uint32_t now,
                                               const struct cache_store *store,
                                               struct cache_stored *stored_out);
/* Gives its memory back; accepts NULL, clears. */
void cache_upload_abort(struct cache_thread *thread, struct cache_upload **upload);

struct cache_arith {
    bool is_decrement;
    bool compares_cas;
    bool creates; /* on a miss: an item with `initial`; the result is CACHE_OK */
    bool sets_cas;
    bool does_touch; /* set exptime of an existing item */
    bool key_is_base64;
    uint64_t delta;
    uint64_t initial;
    uint64_t cas;
    uint64_t new_cas;
    uint32_t exptime;        /* does_touch */
    uint32_t create_exptime; /* creates */
};

/* incr wraps, decr stops at 0; a shorter result is padded with spaces. number_out is the new value.
 * *was_created_out tells a created item from an updated one. */
MUST_USE enum cache_result cache_arith(struct cache_thread *thread, struct cache_tenant *tenant,
                                       const struct cache_key *key, uint32_t now,
                                       const struct cache_arith *arith, uint64_t *number_out,
                                       bool *was_created_out, struct cache_item *item_out);

struct cache_remove {
    bool compares_cas;
    bool invalidates; /* meta I: keep it, stale */
    bool empties;     /* meta x: keep an empty item */
    bool does_touch;  /* with one of the two: set exptime */
    bool sets_flags;  /* with empties: client_flags */
    bool sets_cas;
    uint32_t exptime;
    uint32_t client_flags;
    uint64_t cas;
    uint64_t new_cas;
};

/* CACHE_OK; CACHE_MISS and its kinds; CACHE_EXISTS: the cas differs; CACHE_NO_MEMORY where a new
 * item takes the place of the old one. */
MUST_USE enum cache_result cache_remove(struct cache_thread *thread, struct cache_tenant *tenant,
                                        const struct cache_key *key, uint32_t now,
                                        const struct cache_remove *remove);

/* ---- memory and sight ---- */

/* A new value for cache_config.memory. Takes effect gradually when lower. False: out of bounds, or
 * the memory is a file. */
MUST_USE bool cache_set_memory(struct cache *cache, size_t memory);

struct cache_stats {
#define CACHE_COUNTER(name, help) uint64_t name;
#include "cache/counters.def"
#undef CACHE_COUNTER
};

/* Sums for one tenant, or for all (tenant NULL). */
void cache_stats_read(struct cache *cache, struct cache_tenant *tenant, struct cache_stats *out);
/* Zeroes what counts events; sizes and numbers of items stay. */
void cache_stats_reset(struct cache *cache, struct cache_tenant *tenant);

#define CACHE_N_CLASSES 4 /* size groups, shown as slab classes 1..4 */

struct cache_class_stats {
    uint64_t n_items;
    uint64_t n_bytes;     /* live, with headers */
    uint64_t n_probation; /* items in the probation queue */
    uint64_t n_segments;
    uint64_t segment_size;
    uint64_t size_min; /* item sizes of this class */
    uint64_t size_max;
    uint64_t age; /* seconds since the oldest segment was opened */
    uint64_t evictions;
    uint64_t evicted_unfetched;
    uint64_t expired_unfetched;
    uint64_t reclaimed;
    uint64_t n_no_memory;
};

/* item_class is 1..CACHE_N_CLASSES; tenant NULL: all. Thread: any. */
void cache_class_stats_read(struct cache *cache, struct cache_tenant *tenant, unsigned item_class,
                            uint32_t now, struct cache_class_stats *out);

/* Dumps: visits items of a tenant a part at a time. Start with a zeroed cursor; each call visits at
 * least one bucket and calls visit for up to about n_max live items; false when the walk is over.
 * An item present during the whole walk is visited at least once. */
struct cache_cursor {
    uint64_t position;
};

typedef void cache_visit(void *arg, struct slice key, const struct cache_item *item);

MUST_USE bool cache_walk(struct cache_thread *thread, struct cache_tenant *tenant,
                         struct cache_cursor *cursor, unsigned n_max, uint32_t now,
                         cache_visit *visit, void *arg);

#endif
