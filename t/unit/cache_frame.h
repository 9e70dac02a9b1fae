/* cache_frame.h - what the tests of the engine share: a small cache, its default tenant, one
 * thread, and short names for the operations. */
#ifndef T_UNIT_CACHE_FRAME_H
#define T_UNIT_CACHE_FRAME_H

#include "cache/cache.h"
#include "t/unit/unit.h"

#include <stdio.h>

#define NOW 1000000u

struct frame {
    struct cache *cache;
    struct cache_tenant *tenant;
    struct cache_thread *thread;
    uint32_t now;
};

static inline struct cache_config frame_config(size_t memory)
{
    return (struct cache_config){.memory = memory,
                                 .item_max = 1 << 20,
                                 .is_evicting = true,
                                 .has_cas = true,
                                 .hash_seed = 42};
}

static inline void frame_open(struct frame *f, const struct cache_config *config)
{
    char error[128] = "";
    f->cache = cache_create(config, error, sizeof error);
    ck_assert_msg(f->cache != NULL, "%s", error);
    f->tenant = cache_default_tenant(f->cache);
    f->thread = cache_thread_create(f->cache);
    ck_assert(f->thread != NULL);
    f->now = NOW;
    cache_tick(f->cache, NOW);
    cache_thread_online(f->thread);
}

static inline void frame_close(struct frame *f)
{
    cache_thread_offline(f->thread);
    cache_thread_destroy(&f->thread);
    cache_destroy(&f->cache);
}

/* Between two turns of a worker's loop. */
static inline void frame_turn(struct frame *f)
{
    cache_thread_offline(f->thread);
    cache_thread_online(f->thread);
}

static inline struct cache_key frame_key(const struct frame *f, const char *text)
{
    struct cache_key key = {.bytes = slice_str(text)};
    key.hash = cache_hash(f->cache, f->tenant, key.bytes);
    return key;
}

static inline enum cache_result frame_store(struct frame *f, enum cache_mode mode, const char *key,
                                            const char *value)
{
    struct cache_key k = frame_key(f, key);
    struct cache_store store = {.mode = mode, .value = slice_str(value)};
    struct cache_stored stored;
    return cache_store(f->thread, f->tenant, &k, f->now, &store, &stored);
}

static inline enum cache_result frame_set(struct frame *f, const char *key, const char *value)
{
    return frame_store(f, CACHE_SET, key, value);
}

static inline enum cache_result frame_set_until(struct frame *f, const char *key, const char *value,
                                                uint32_t exptime)
{
    struct cache_key k = frame_key(f, key);
    struct cache_store store = {.value = slice_str(value), .exptime = exptime};
    struct cache_stored stored;
    return cache_store(f->thread, f->tenant, &k, f->now, &store, &stored);
}

/* A get that tells all there is to know of the item. */
static inline enum cache_result frame_get(struct frame *f, const char *key, struct cache_item *item)
{
    static const struct cache_access plain = {0};
    struct cache_key k = frame_key(f, key);
    return cache_access(f->thread, f->tenant, &k, f->now, &plain, item);
}

static inline enum cache_result frame_access(struct frame *f, const char *key,
                                             const struct cache_access *access,
                                             struct cache_item *item)
{
    struct cache_key k = frame_key(f, key);
    return cache_access(f->thread, f->tenant, &k, f->now, access, item);
}

static inline enum cache_result frame_remove(struct frame *f, const char *key)
{
    struct cache_key k = frame_key(f, key);
    struct cache_remove remove = {0};
    return cache_remove(f->thread, f->tenant, &k, f->now, &remove);
}

static inline enum cache_result frame_arith(struct frame *f, const char *key,
                                            const struct cache_arith *arith, uint64_t *number,
                                            struct cache_item *item)
{
    struct cache_key k = frame_key(f, key);
    bool was_created;
    return cache_arith(f->thread, f->tenant, &k, f->now, arith, number, &was_created, item);
}

/* The whole value of a hit, in a buffer of the caller's. */
static inline struct slice frame_value(const struct frame *f, const struct cache_item *item,
                                       uint8_t *buffer)
{
    for (size_t at = 0; at < item->n_value;) {
        struct slice part = cache_item_chunk(f->cache, item, at);
        ck_assert(part.n > 0 && part.n <= item->n_value - at);
        memcpy(buffer + at, part.p, part.n);
        at += part.n;
    }
    return slice_of(buffer, item->n_value);
}

#define assert_value(f, key, text)                                                          \
    do {                                                                                    \
        struct cache_item item_;                                                            \
        uint8_t buffer_[4096];                                                              \
        ck_assert_int_eq(frame_get(f, key, &item_), CACHE_OK);                              \
        ck_assert_msg(slice_is(frame_value(f, &item_, buffer_), text), "%s is '%.*s'", key, \
                      (int)item_.n_value, buffer_);                                         \
    } while (0)

#define assert_miss(f, key)                                    \
    do {                                                       \
        struct cache_item item_;                               \
        ck_assert_int_ne(frame_get(f, key, &item_), CACHE_OK); \
    } while (0)

#endif
