#include "cache/store.h"

#include <sched.h>

/* A new item made from the one that is there: append, prepend, invalidate, empty. */
struct rewrite {
    bool keeps_value;
    bool is_prepend;
    struct slice added;
    const struct room *added_room; /* instead of added */
    size_t n_added;
    bool sets_flags;
    bool does_touch;
    bool keeps_cas;
    bool sets_cas;
    bool compares_cas;
    bool may_create;
    bool key_is_base64; /* of a created item */
    unsigned state;
    uint32_t client_flags;
    uint32_t exptime;
    uint64_t cas;
    uint64_t new_cas;
    enum cache_result when_absent; /* CACHE_OK: the kind of miss */
};

static void copy_value(struct cache *cache, const struct room *to, size_t at,
                       const struct item *item, uint32_t location)
{
    size_t from = item_value_at(item), end = item_n_bytes(item);
    while (from < end) {
        struct slice part = span_read(cache, location, from, end);
        span_write(cache, to, at, part);
        at += part.n;
        from += part.n;
    }
}

static void copy_old(struct cache *cache, const struct rewrite *r, const struct room *room,
                     const struct found *old)
{
    size_t at = item_value_at(room->item);
    if (r->keeps_value && old->item != NULL)
        copy_value(cache, room, at + (r->is_prepend ? r->n_added : 0), old->item, old->location);
}

static void copy_added(struct cache *cache, const struct rewrite *r, const struct room *room)
{
    size_t n_old = item_n_value(room->item) - r->n_added;
    size_t at = item_value_at(room->item) + (r->is_prepend ? 0 : n_old);
    if (r->added_room != NULL)
        copy_value(cache, room, at, r->added_room->item, r->added_room->location);
    else
        span_write(cache, room, at, r->added);
}

/* While the item lies where it is, it can come to expire, but not to have the word for that. */
static bool needs_exptime(const struct cache *cache, const struct rewrite *r,
                          const struct item *old)
{
    bool keeps_exptime = old != NULL && !r->does_touch;
    return keeps_exptime ? (old->layout & ITEM_HAS_EXPTIME) != 0
                         : commit_needs_exptime(cache, r->exptime);
}

static struct item_shape shape_of(const struct cache *cache, const struct rewrite *r,
                                  const struct cache_key *key, const struct item *old)
{
    size_t n_old = old != NULL && r->keeps_value ? item_n_value(old) : 0;
    bool keeps_flags = old != NULL && !r->sets_flags;
    return (struct item_shape){
        .key = key->bytes,
        .cas = r->sets_cas                   ? r->new_cas
               : old != NULL && r->keeps_cas ? UINT64_MAX
                                             : 0,
        .client_flags = keeps_flags ? item_client_flags(old) : r->client_flags,
        .n_value = (uint32_t)(n_old + r->n_added),
        .key_is_base64 = old != NULL ? (old->layout & ITEM_IS_BASE64) != 0 : r->key_is_base64,
        .has_exptime = needs_exptime(cache, r, old)};
}

static bool is_same_shape(const struct item_shape *a, const struct item_shape *b)
{
    return a->n_value == b->n_value && a->client_flags == b->client_flags &&
           a->key_is_base64 == b->key_is_base64 && a->has_exptime == b->has_exptime;
}

static enum cache_result judge(const struct cache *cache, const struct rewrite *r,
                               enum cache_result verdict, const struct item *old, bool is_locked)
{
    if (verdict != CACHE_OK) {
        if (r->compares_cas && r->when_absent != CACHE_OK)
            return CACHE_MISS;
        return r->may_create ? CACHE_OK : r->when_absent != CACHE_OK ? r->when_absent : verdict;
    }
    bool can_see_cas = is_locked || !(old->layout & ITEM_IS_COUNTER);
    if (r->compares_cas && can_see_cas && (!cache->has_cas || item_cas(old) != r->cas))
        return CACHE_EXISTS;
    return CACHE_OK;
}

/* The live item, or none. */
static enum cache_result look(struct cache_thread *thread, struct cache_tenant *tenant,
                              const struct cache_key *key, uint32_t now, struct found *found)
{
    (void)lookup_find(thread->cache, tenant, key, found);
    enum cache_result verdict = item_judge(found, tenant_word(tenant), now);
    if (verdict != CACHE_OK)
        found->item = NULL;
    return verdict;
}

static struct commit commit_of(const struct rewrite *r, const struct room *room,
                               const struct item *old)
{
    bool keeps_exptime = old != NULL && !r->does_touch;
    return (struct commit){.room = room,
                           .exptime = keeps_exptime ? item_load_exptime(old) : r->exptime,
                           .state = r->state,
                           .keeps_cas = r->keeps_cas && old != NULL,
                           .sets_cas = r->sets_cas,
                           .new_cas = r->new_cas};
}

/* CACHE_FLUSHED: something has changed meanwhile; the room is given up and all begins again. */
static enum cache_result publish(struct cache_thread *thread, struct cache_tenant *tenant,
                                 const struct cache_key *key, uint32_t now, const struct rewrite *r,
                                 const struct room *room, const struct found *old,
                                 struct cache_stored *stored_out)
{
    struct cache *cache = thread->cache;
    struct place place;
    bool is_done = false;
    place_open(cache, tenant, key, &place);
    enum cache_result verdict = item_judge(&place.found, tenant_word(tenant), now);
    bool is_same = old->item == NULL ? verdict != CACHE_OK
                                     : verdict == CACHE_OK && place.found.location == old->location;
    enum cache_result result =
        is_same ? judge(cache, r, verdict, place.found.item, true) : CACHE_FLUSHED;
    if (result == CACHE_OK) {
        if (old->item != NULL && old->item->layout & ITEM_IS_COUNTER)
            copy_old(cache, r, room, old);
        struct commit commit = commit_of(r, room, old->item);
        stored_out->n_value = item_n_value(room->item);
        is_done = commit_publish(thread, tenant, key, now, &place, &commit, &stored_out->cas);
        if (!is_done)
            result = CACHE_FLUSHED;
    }
    place_close(&place);
    if (is_done)
        log_leave(cache, room);
    else
        commit_abandon(thread, tenant, room);
    lookup_grow_if_due(thread);
    return result;
}

static enum cache_result rewrite_once(struct cache_thread *thread, struct cache_tenant *tenant,
                                      const struct cache_key *key, uint32_t now,
                                      const struct rewrite *r, struct cache_stored *stored_out)
{
    struct cache *cache = thread->cache;
    struct found old;
    struct room room;
    enum cache_result verdict = look(thread, tenant, key, now, &old);
    enum cache_result result = judge(cache, r, verdict, old.item, false);
    if (result != CACHE_OK)
        return result == CACHE_FLUSHED ? CACHE_MISS : result;
    struct item_shape shape = shape_of(cache, r, key, old.item);
    if (!item_fits(cache, tenant, key->bytes.n, shape.n_value))
        return CACHE_TOO_LARGE;
    if (!commit_prepare(thread, tenant, key, &shape, &room))
        return CACHE_NO_MEMORY;
    /* The room may have cost the old item its memory: look again. */
    (void)look(thread, tenant, key, now, &old);
    struct item_shape again = shape_of(cache, r, key, old.item);
    if (!is_same_shape(&shape, &again)) {
        commit_abandon(thread, tenant, &room);
        return CACHE_FLUSHED;
    }
    if (old.item != NULL && !(old.item->layout & ITEM_IS_COUNTER))
        copy_old(cache, r, &room, &old);
    copy_added(cache, r, &room);
    return publish(thread, tenant, key, now, r, &room, &old, stored_out);
}

static enum cache_result rewrite_item(struct cache_thread *thread, struct cache_tenant *tenant,
                                      const struct cache_key *key, uint32_t now,
                                      const struct rewrite *r, struct cache_stored *stored_out)
{
    for (unsigned i = 0; i < STORE_TRIES; i++) {
        enum cache_result result = rewrite_once(thread, tenant, key, now, r, stored_out);
        if (result != CACHE_FLUSHED)
            return result;
        if (i > 2)
            sched_yield();
    }
    return CACHE_NO_MEMORY;
}

enum cache_result concat_store(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *key, uint32_t now,
                               const struct cache_store *store, const struct room *added,
                               struct cache_stored *stored_out)
{
    struct rewrite r = {.keeps_value = true,
                        .is_prepend = store->mode == CACHE_PREPEND,
                        .added = store->value,
                        .added_room = added,
                        .n_added = added != NULL ? item_n_value(added->item) : store->value.n,
                        .sets_cas = store->sets_cas,
                        .new_cas = store->new_cas,
                        .compares_cas = store->compares_cas,
                        .cas = store->cas,
                        .may_create = store->does_vivify,
                        .client_flags = store->client_flags,
                        .exptime = store->vivify_exptime,
                        .key_is_base64 = store->key_is_base64,
                        .when_absent = CACHE_NOT_STORED};
    return rewrite_item(thread, tenant, key, now, &r, stored_out);
}

enum cache_result concat_remove(struct cache_thread *thread, struct cache_tenant *tenant,
                                const struct cache_key *key, uint32_t now,
                                const struct cache_remove *remove)
{
    struct cache_stored stored;
    struct rewrite r = {.keeps_value = !remove->empties,
                        .sets_flags = remove->empties && remove->sets_flags,
                        .client_flags = remove->client_flags,
                        .does_touch = remove->does_touch,
                        .exptime = remove->exptime,
                        .state = remove->invalidates ? ITEM_STALE : 0,
                        .keeps_cas = !remove->invalidates,
                        .sets_cas = remove->sets_cas,
                        .new_cas = remove->new_cas,
                        .compares_cas = remove->compares_cas,
                        .cas = remove->cas,
                        .when_absent = CACHE_OK};
    return rewrite_item(thread, tenant, key, now, &r, &stored);
}
