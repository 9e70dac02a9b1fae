#include "cache/store.h"

#include <sched.h>

uint32_t cache_item_size(size_t n_key, uint32_t n_value, uint32_t client_flags, bool has_exptime)
{
    struct item_shape shape = {.key.n = n_key,
                               .client_flags = client_flags,
                               .n_value = n_value,
                               .has_exptime = has_exptime};
    return (uint32_t)item_shape_n_bytes(&shape, item_layout(&shape));
}

/* May the store act on what is there? `old` is the item when verdict is CACHE_OK. */
static enum cache_result judge_store(const struct cache *cache, const struct cache_store *store,
                                     enum cache_result verdict, const struct item *old,
                                     bool *is_stale_out)
{
    bool is_there = verdict == CACHE_OK;
    *is_stale_out = false;
    if (store->mode == CACHE_ADD)
        return is_there ? CACHE_NOT_STORED : CACHE_OK;
    if (store->compares_cas) {
        if (!is_there)
            return CACHE_MISS;
        uint64_t cas = item_cas(old);
        if (cache->has_cas && store->cas == cas)
            return CACHE_OK;
        *is_stale_out = cache->has_cas && store->invalidates && store->cas < cas;
        return *is_stale_out ? CACHE_OK : CACHE_EXISTS;
    }
    if (!is_there && store->mode != CACHE_SET)
        return CACHE_NOT_STORED;
    return CACHE_OK;
}

/* A set takes the place of whatever is there. */
static inline bool has_conditions(const struct cache_store *store)
{
    return store->mode != CACHE_SET || store->compares_cas;
}

/* The same without a lock, so that refused stores cost no memory. */
NEVER_INLINE enum cache_result judge_early(const struct cache *cache, struct cache_tenant *tenant,
                                           const struct cache_key *key, uint32_t now,
                                           const struct cache_store *store)
{
    struct found found;
    bool is_stale;
    (void)lookup_find(cache, tenant, key, &found);
    if (found.item != NULL && found.item->layout & ITEM_IS_COUNTER)
        return CACHE_OK;
    enum cache_result verdict = item_judge(&found, tenant_word(tenant), now);
    enum cache_result result = judge_store(cache, store, verdict, found.item, &is_stale);
    if (result == CACHE_NOT_STORED && verdict == CACHE_OK)
        item_bump(found.item, now);
    return result;
}

ALWAYS_INLINE struct commit commit_of(const struct cache_store *store, const struct room *room)
{
    return (struct commit){.room = room,
                           .exptime = store->exptime,
                           .sets_cas = store->sets_cas,
                           .new_cas = store->new_cas};
}

ALWAYS_INLINE enum cache_result fill(struct cache_thread *thread, struct cache_tenant *tenant,
                                     const struct cache_key *key, uint32_t now,
                                     const struct cache_store *store, const struct room *room,
                                     struct cache_stored *stored_out)
{
    struct commit commit = commit_of(store, room);
    struct place place;
    bool is_stale = false, is_done = false;
    enum cache_result result = CACHE_OK;
    place_open(thread->cache, tenant, key, &place);
    if (UNLIKELY(has_conditions(store)))
        result =
            judge_store(thread->cache, store, item_judge(&place.found, tenant_word(tenant), now),
                        place.found.item, &is_stale);
    if (result == CACHE_OK) {
        if (is_stale) {
            commit.state = ITEM_STALE;
            commit.exptime = item_load_exptime(place.found.item);
        }
        stored_out->n_value = item_n_value(room->item);
        is_done = commit_publish(thread, tenant, key, now, &place, &commit, &stored_out->cas);
    }
    place_close(&place);
    if (LIKELY(is_done))
        log_leave(thread->cache, room);
    else if (result != CACHE_OK)
        commit_abandon(thread, tenant, room);
    lookup_grow_if_due(thread);
    return result == CACHE_OK && !is_done ? CACHE_FLUSHED : result;
}

enum cache_result store_filled(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *key, uint32_t now,
                               const struct cache_store *store, const struct room *room,
                               struct cache_stored *stored_out)
{
    return fill(thread, tenant, key, now, store, room, stored_out);
}

/* One that invalidates may come to keep the old item's expiry. */
static inline bool needs_exptime(const struct cache *cache, const struct cache_store *store)
{
    return commit_needs_exptime(cache, store->exptime) || store->invalidates;
}

/* A value that is at hand. */
static enum cache_result store_whole(struct cache_thread *thread, struct cache_tenant *tenant,
                                     const struct cache_key *key, uint32_t now,
                                     const struct cache_store *store,
                                     struct cache_stored *stored_out)
{
    struct item_shape shape = {.key = key->bytes,
                               .cas = store->sets_cas ? store->new_cas : 0,
                               .client_flags = store->client_flags,
                               .n_value = (uint32_t)store->value.n,
                               .key_is_base64 = store->key_is_base64,
                               .has_exptime = needs_exptime(thread->cache, store)};
    for (unsigned i = 0; i < STORE_TRIES; i++) {
        struct room room;
        enum cache_result result = CACHE_OK;
        if (has_conditions(store))
            result = judge_early(thread->cache, tenant, key, now, store);
        if (result != CACHE_OK)
            return result;
        if (!commit_prepare(thread, tenant, key, &shape, &room))
            return CACHE_NO_MEMORY;
        span_write(thread->cache, &room, item_value_at(room.item), store->value);
        result = fill(thread, tenant, key, now, store, &room, stored_out);
        if (result != CACHE_FLUSHED)
            return result;
        commit_abandon(thread, tenant, &room);
    }
    return CACHE_NO_MEMORY;
}

enum cache_result cache_store(struct cache_thread *thread, struct cache_tenant *tenant,
                              const struct cache_key *key, uint32_t now,
                              const struct cache_store *store, struct cache_stored *stored_out)
{
    *stored_out = (struct cache_stored){0};
    thread->now = now;
    if (store->mode == CACHE_APPEND || store->mode == CACHE_PREPEND)
        return concat_store(thread, tenant, key, now, store, NULL, stored_out);
    if (!item_fits(thread->cache, tenant, key->bytes.n, store->value.n))
        return CACHE_TOO_LARGE;
    return store_whole(thread, tenant, key, now, store, stored_out);
}

/* ---- remove ---- */

static enum cache_result judge_remove(const struct cache *cache, const struct cache_remove *remove,
                                      enum cache_result verdict, const struct item *old)
{
    if (verdict != CACHE_OK)
        return verdict;
    if (remove->compares_cas && (!cache->has_cas || item_cas(old) != remove->cas))
        return CACHE_EXISTS;
    return CACHE_OK;
}

static enum cache_result remove_whole(struct cache_thread *thread, struct cache_tenant *tenant,
                                      const struct cache_key *key, uint32_t now,
                                      const struct cache_remove *remove)
{
    struct place place;
    place_open(thread->cache, tenant, key, &place);
    enum cache_result verdict = item_judge(&place.found, tenant_word(tenant), now);
    enum cache_result result = judge_remove(thread->cache, remove, verdict, place.found.item);
    if (place.found.item != NULL && result != CACHE_EXISTS) {
        place_clear(thread, &place);
        item_end_life(thread, tenant, &place.found,
                      verdict == CACHE_OK        ? END_REPLACED
                      : verdict == CACHE_EXPIRED ? END_EXPIRED
                                                 : END_FLUSHED);
    }
    place_close(&place);
    return result;
}

enum cache_result cache_remove(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *key, uint32_t now,
                               const struct cache_remove *remove)
{
    thread->now = now;
    if (remove->invalidates || remove->empties)
        return concat_remove(thread, tenant, key, now, remove);
    return remove_whole(thread, tenant, key, now, remove);
}
