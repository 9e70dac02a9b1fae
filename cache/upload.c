#include "cache/store.h"

#include <stdlib.h>

enum upload_kind {
    UPLOAD_NOWHERE, /* no byte has been asked for */
    UPLOAD_SHARED,  /* in a segment that uploads share */
    UPLOAD_CHAIN,
    UPLOAD_HEAP, /* uploads hold too many segments: copied at the commit */
};

struct cache_upload {
    struct cache_tenant *tenant;
    uint64_t hash;
    uint32_t n_value;
    uint32_t n_done;
    uint32_t client_flags;
    enum upload_kind kind;
    struct room room;
    uint32_t last;    /* of the chain */
    uint32_t n_links; /* segments of the chain */
    uint8_t *heap;
    size_t n_held; /* bytes counted in n_upload_bytes */
    size_t n_key;
    uint8_t key[CACHE_KEY_MAX];
};

static struct item_shape shape_of(const struct cache_upload *upload)
{
    return (struct item_shape){.key = slice_of(upload->key, upload->n_key),
                               .client_flags = upload->client_flags,
                               .n_value = upload->n_value,
                               .is_roomy = true};
}

static struct cache_key key_of(const struct cache_upload *upload)
{
    return (struct cache_key){.bytes = slice_of(upload->key, upload->n_key), .hash = upload->hash};
}

enum cache_result cache_upload_create(struct cache_thread *thread, struct cache_tenant *tenant,
                                      const struct cache_key *key, uint32_t n_value,
                                      uint32_t client_flags, struct cache_upload **upload_out)
{
    if (!item_fits(thread->cache, tenant, key->bytes.n, n_value))
        return CACHE_TOO_LARGE;
    struct cache_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return CACHE_NO_MEMORY;
    upload->tenant = tenant;
    atomic_fetch_add(&tenant->n_uploads, 1);
    upload->hash = key->hash;
    upload->n_value = n_value;
    upload->client_flags = client_flags;
    upload->n_key = key->bytes.n;
    memcpy(upload->key, key->bytes.p, key->bytes.n);
    *upload_out = upload;
    return CACHE_OK;
}

/* Uploads together hold at most a quarter of the memory, or, where the largest item is more than
 * that, up to half: it must be possible to store it. */
static size_t hold_max(const struct cache *cache)
{
    size_t memory = atomic_load(&cache->memory);
    size_t largest = cache->item_max + cache->segment_size;
    if (largest <= memory / 4)
        return memory / 4;
    return largest < memory / 2 ? largest : memory / 2;
}

static bool hold(struct cache *cache, struct cache_upload *upload, size_t n)
{
    size_t before = atomic_fetch_add(&cache->n_upload_bytes, n);
    if (before + n > hold_max(cache)) {
        atomic_fetch_sub(&cache->n_upload_bytes, n);
        return false;
    }
    upload->n_held += n;
    return true;
}

static void release(struct cache *cache, struct cache_upload *upload)
{
    atomic_fetch_sub(&cache->n_upload_bytes, upload->n_held);
    upload->n_held = 0;
}

static bool begin_chain(struct cache_thread *thread, struct cache_upload *upload,
                        const struct item_shape *shape)
{
    struct cache *cache = thread->cache;
    if (!hold(cache, upload, cache->segment_size) ||
        !log_chain_begin(thread, upload->tenant, &upload->room))
        return false;
    atomic_store(&cache->segments[upload->room.segment].queue, QUEUE_PROBATION);
    item_init(upload->room.item, shape, item_layout(shape), thread->now);
    upload->last = upload->room.segment;
    upload->n_links = 1;
    upload->kind = UPLOAD_CHAIN;
    return true;
}

static bool begin_shared(struct cache_thread *thread, struct cache_upload *upload,
                         const struct item_shape *shape, size_t size)
{
    struct cache *cache = thread->cache;
    size_t n_segments = atomic_load(&cache->n_upload_segments);
    if (!hold(cache, upload, size))
        return false;
    if (n_segments << cache->segment_shift < atomic_load(&cache->memory) / 8) {
        if (!log_reserve(thread, upload->tenant, QUEUE_PROBATION, size, LOG_UPLOAD, &upload->room))
            return false;
        item_init(upload->room.item, shape, item_layout(shape), thread->now);
        upload->kind = UPLOAD_SHARED;
        return true;
    }
    upload->heap = malloc(upload->n_value);
    upload->kind = UPLOAD_HEAP;
    return upload->heap != NULL;
}

static bool begin(struct cache_thread *thread, struct cache_upload *upload)
{
    struct item_shape shape = shape_of(upload);
    size_t size = round_to_unit(thread->cache, item_shape_n_bytes(&shape, item_layout(&shape)));
    if (size > shared_size_max(thread->cache))
        return begin_chain(thread, upload, &shape);
    return begin_shared(thread, upload, &shape, size);
}

static bool space_in_chain(struct cache_thread *thread, struct cache_upload *upload,
                           struct slice *space_out)
{
    struct cache *cache = thread->cache;
    size_t at = item_value_at(upload->room.item) + upload->n_done;
    size_t link = at >> cache->segment_shift;
    if (link == upload->n_links) {
        if (!hold(cache, upload, cache->segment_size) ||
            !log_chain_extend(thread, upload->tenant, upload->room.segment, &upload->last))
            return false;
        upload->n_links++;
    }
    size_t within = at & (cache->segment_size - 1);
    *space_out =
        slice_of(segment_bytes(cache, upload->last) + within, cache->segment_size - within);
    return true;
}

enum cache_result cache_upload_space(struct cache_thread *thread, struct cache_upload *upload,
                                     uint8_t **p_out, size_t *n_out)
{
    uint32_t n_left = upload->n_value - upload->n_done;
    struct slice space = {NULL, n_left};
    MUST(n_left > 0);
    bool has_room = upload->kind != UPLOAD_NOWHERE || begin(thread, upload);
    if (has_room && upload->kind == UPLOAD_CHAIN)
        has_room = space_in_chain(thread, upload, &space);
    else if (has_room && upload->kind == UPLOAD_SHARED)
        space.p = (uint8_t *)upload->room.item + item_value_at(upload->room.item) + upload->n_done;
    else if (has_room)
        space.p = upload->heap + upload->n_done;
    if (!has_room) {
        tenant_count_no_memory(thread, upload->tenant, upload->n_value);
        return CACHE_NO_MEMORY;
    }
    *p_out = (uint8_t *)space.p;
    *n_out = space.n < n_left ? space.n : n_left;
    return CACHE_OK;
}

void cache_upload_advance(struct cache_upload *upload, size_t n)
{
    MUST(n <= upload->n_value - upload->n_done);
    upload->n_done += (uint32_t)n;
}

static bool has_room(const struct cache_upload *upload)
{
    return upload->kind == UPLOAD_SHARED || upload->kind == UPLOAD_CHAIN;
}

static struct cache_store store_of(const struct cache_upload *upload,
                                   const struct cache_store *store)
{
    struct cache_store copy = *store;
    copy.client_flags = upload->client_flags;
    copy.value = slice_of(upload->heap, upload->kind == UPLOAD_HEAP ? upload->n_value : 0);
    return copy;
}

/* The segment was flushed while the value arrived: move to a new one. */
static bool renew(struct cache_thread *thread, struct cache_upload *upload)
{
    struct item_shape shape = shape_of(upload);
    struct cache_key key = key_of(upload);
    struct room room;
    if (upload->kind == UPLOAD_CHAIN)
        return true; /* it only met a full index */
    if (!commit_prepare(thread, upload->tenant, &key, &shape, &room))
        return false;
    span_write(
        thread->cache, &room, item_value_at(room.item),
        slice_of((uint8_t *)upload->room.item + item_value_at(upload->room.item), upload->n_value));
    room.item->layout = upload->room.item->layout;
    commit_abandon(thread, upload->tenant, &upload->room);
    upload->room = room;
    return true;
}

static enum cache_result commit_room(struct cache_thread *thread, struct cache_upload *upload,
                                     uint32_t now, const struct cache_store *store,
                                     struct cache_stored *stored_out)
{
    struct cache_key key = key_of(upload);
    struct item *item = upload->room.item;
    if (store->key_is_base64)
        item->layout |= ITEM_IS_BASE64;
    atomic_store_explicit(&item->last_access, now, memory_order_relaxed);
    for (unsigned i = 0; i < STORE_TRIES; i++) {
        enum cache_result result =
            store_filled(thread, upload->tenant, &key, now, store, &upload->room, stored_out);
        if (result != CACHE_FLUSHED) {
            upload->kind = UPLOAD_NOWHERE;
            return result;
        }
        if (!renew(thread, upload))
            break;
    }
    return CACHE_NO_MEMORY;
}

static void destroy(struct cache_thread *thread, struct cache_upload **upload)
{
    if (has_room(*upload))
        commit_abandon(thread, (*upload)->tenant, &(*upload)->room);
    release(thread->cache, *upload);
    atomic_fetch_sub(&(*upload)->tenant->n_uploads, 1);
    free((*upload)->heap);
    free(*upload);
    *upload = NULL;
}

enum cache_result cache_upload_commit(struct cache_thread *thread, struct cache_upload **upload,
                                      uint32_t now, const struct cache_store *store,
                                      struct cache_stored *stored_out)
{
    struct cache_store full = store_of(*upload, store);
    struct cache_key key = key_of(*upload);
    enum cache_result result;
    MUST((*upload)->n_done == (*upload)->n_value);
    *stored_out = (struct cache_stored){0};
    thread->now = now;
    if (!has_room(*upload))
        result = cache_store(thread, (*upload)->tenant, &key, now, &full, stored_out);
    else if (store->mode == CACHE_APPEND || store->mode == CACHE_PREPEND)
        result =
            concat_store(thread, (*upload)->tenant, &key, now, &full, &(*upload)->room, stored_out);
    else
        result = commit_room(thread, *upload, now, &full, stored_out);
    destroy(thread, upload);
    return result;
}

void cache_upload_abort(struct cache_thread *thread, struct cache_upload **upload)
{
    if (*upload != NULL)
        destroy(thread, upload);
}
