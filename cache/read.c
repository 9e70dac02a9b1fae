#include "base/hash_short.h"
#include "cache/store.h"
#include "cache/touch.h"

void item_bump(struct item *item, uint32_t now)
{
    unsigned hits = atomic_load_explicit(&item->hits, memory_order_relaxed);
    unsigned after = hits | ITEM_FETCHED;
    if ((hits & ITEM_HITS) < ITEM_HITS_MAX)
        after++;
    if (after != hits)
        atomic_store_explicit(&item->hits, (uint8_t)after, memory_order_relaxed);
    if (atomic_load_explicit(&item->last_access, memory_order_relaxed) != now)
        atomic_store_explicit(&item->last_access, now, memory_order_relaxed);
}

/* Would item_bump change nothing? So it is for hot items. */
ALWAYS_INLINE bool is_bumped(struct item *item, uint32_t now)
{
    return atomic_load_explicit(&item->hits, memory_order_relaxed) ==
               (ITEM_FETCHED | ITEM_HITS_MAX) &&
           atomic_load_explicit(&item->last_access, memory_order_relaxed) == now;
}

uint64_t cache_hash(const struct cache *cache, const struct cache_tenant *tenant, struct slice key)
{
    return hash_bytes(&cache->hash_key, key, tenant->salt);
}

/* The two buckets of a hash. */
struct bucket_pair {
    const struct bucket *first;
    const struct bucket *second;
};

ALWAYS_INLINE struct bucket_pair buckets_of(const struct index *index, uint64_t state,
                                            uint64_t hash)
{
    return (struct bucket_pair){index_bucket(index, state, hash, 0),
                                index_bucket(index, state, hash, 1)};
}

ALWAYS_INLINE void prefetch_buckets(struct bucket_pair pair)
{
    __builtin_prefetch(pair.first);
    __builtin_prefetch(pair.second);
}

/* Header and key are looked at before the value: what follows them may come as far as the second
 * level, which keeps the first for the other keys of a batch. */
ALWAYS_INLINE void prefetch_location(const struct cache *cache, uint32_t location)
{
    const char *item = (const char *)location_item(cache, location);
    __builtin_prefetch(item);
    __builtin_prefetch(item + 64, 0, 2);
    __builtin_prefetch(item + 128, 0, 2);
}

/* The first slot with the key's tag is nearly always the key's. Of twenty keys one has another such
 * slot: it is fetched too, for the misses of one item cost as much as several keys. In which of the
 * two buckets the first is nobody can foretell, so no branch asks. */
ALWAYS_INLINE uint32_t prefetch_item(const struct cache *cache, struct bucket_pair pair,
                                     uint64_t hash)
{
    uint8_t tag = hash_tag(hash);
    unsigned match = bucket_match(pair.first, tag) | bucket_match(pair.second, tag) << 16;
    if (UNLIKELY(match == 0))
        return 0;
    unsigned slot = (unsigned)__builtin_ctz(match) & 15;
    const struct bucket *bucket = (match & 0xffff) != 0 ? pair.first : pair.second;
    prefetch_location(cache, bucket_location(bucket, slot));
    for (match &= match - 1; UNLIKELY(match != 0); match &= match - 1) {
        unsigned other = (unsigned)__builtin_ctz(match);
        prefetch_location(cache,
                          bucket_location(other < 16 ? pair.first : pair.second, other & 15));
    }
    return index_hint(&cache->index, bucket, slot);
}

void cache_prefetch_bucket(const struct cache *cache, uint64_t hash)
{
    prefetch_buckets(buckets_of(&cache->index, index_state(&cache->index), hash));
}

uint32_t cache_prefetch_item(const struct cache *cache, uint64_t hash)
{
    return prefetch_item(cache, buckets_of(&cache->index, index_state(&cache->index), hash), hash);
}

#define PREFETCH_LAG 8u /* keys between the fetch of a bucket and the look at it */

void cache_prefetch(const struct cache *cache, const struct cache_tenant *tenant,
                    struct cache_key *keys, size_t n)
{
    struct bucket_pair pairs[PREFETCH_LAG];
    uint64_t state = index_state(&cache->index), salt = tenant->salt;
    size_t i, behind = 0;
    for (i = 0; i < n; i++) {
        if (i >= PREFETCH_LAG) {
            keys[behind].hint = prefetch_item(cache, pairs[i % PREFETCH_LAG], keys[behind].hash);
            behind++;
        }
        uint64_t hash = hash_short(&cache->hash_key, keys[i].bytes, salt);
        struct bucket_pair pair = buckets_of(&cache->index, state, hash);
        prefetch_buckets(pair);
        keys[i].hash = hash;
        pairs[i % PREFETCH_LAG] = pair;
    }
    for (; behind < n; behind++)
        keys[behind].hint = prefetch_item(cache, pairs[behind % PREFETCH_LAG], keys[behind].hash);
}

/* Where the words and the value lie, and how long it is, by the item's layout. A counter's value
 * and cas are not final. */
ALWAYS_INLINE void describe_value(const struct cache *cache, const struct found *found,
                                  struct cache_item *item_out)
{
    const struct item *item = found->item;
    size_t at = item_key_at(item) + item->n_key;
    uint32_t n_value = item->n_value;
    item_out->client_flags = 0;
    if (UNLIKELY(item->layout & ~ITEM_HAS_EXPTIME)) {
        at = item_value_at(item);
        item_out->client_flags = item_client_flags(item);
        n_value = item_n_value(item);
    }
    item_out->n_value = n_value;
    item_out->size = (uint32_t)at + n_value;
    item_out->value = (const uint8_t *)item + at;
    item_out->handle = found->location;
    if (UNLIKELY(item_out->size > cache->segment_size))
        item_out->value = NULL;
}

uint8_t cache_item_class(const struct cache *cache, const struct cache_item *item)
{
    return (uint8_t)(size_group(round_to_unit(cache, item->size)) + 1);
}

/* The rest but its class, as it was before the access. */
ALWAYS_INLINE void describe_state(const struct item *item, struct cache_item *item_out)
{
    unsigned state = item_load_state(item);
    item_out->exptime = item_out->exptime_before = item_load_exptime(item);
    item_out->last_access = atomic_load_explicit(&item->last_access, memory_order_relaxed);
    item_out->was_fetched =
        (atomic_load_explicit(&item->hits, memory_order_relaxed) & ITEM_FETCHED) != 0;
    item_out->is_stale = (state & ITEM_STALE) != 0;
    item_out->is_already_won = (state & ITEM_WON) != 0;
    item_out->is_won = false;
    item_out->key_is_base64 = (item->layout & ITEM_IS_BASE64) != 0;
}

static void describe(const struct cache *cache, const struct found *found,
                     struct cache_item *item_out)
{
    describe_value(cache, found, item_out);
    describe_state(found->item, item_out);
    item_out->item_class = cache_item_class(cache, item_out);
    item_out->cas = 0;
}

/* A counter's value and cas: its bucket is locked. */
static void describe_counter(const struct item *item, struct cache_item *item_out)
{
    item_out->cas = item_cas(item);
    memcpy(item_out->number, (const uint8_t *)item + item_value_at(item), item_out->n_value);
    item_out->value = item_out->number;
}

void item_describe_locked(const struct cache *cache, const struct found *found,
                          struct cache_item *item_out)
{
    describe(cache, found, item_out);
    if (found->item->layout & ITEM_IS_COUNTER)
        describe_counter(found->item, item_out);
    else
        item_out->cas = item_cas(found->item);
}

/* The item as it is, its bucket locked; place_close is due whatever comes of it. */
static enum cache_result open_described(struct cache_thread *thread, struct cache_tenant *tenant,
                                        const struct cache_key *key, uint32_t now,
                                        struct place *place, struct cache_item *item_out)
{
    place_open(thread->cache, tenant, key, place);
    enum cache_result result = item_judge(&place->found, tenant_word(tenant), now);
    if (result == CACHE_OK)
        item_describe_locked(thread->cache, &place->found, item_out);
    return result;
}

NEVER_INLINE enum cache_result get_locked(struct cache_thread *thread, struct cache_tenant *tenant,
                                          const struct cache_key *key, uint32_t now,
                                          struct cache_item *item_out)
{
    struct place place;
    enum cache_result result = open_described(thread, tenant, key, now, &place, item_out);
    if (result == CACHE_OK)
        item_bump(place.found.item, now);
    place_close(&place);
    return result;
}

/* What is rare ends in a call of one of these, so that the rest needs no frame. */
NEVER_INLINE enum cache_result reap(struct cache_thread *thread, struct cache_tenant *tenant,
                                    const struct cache_key *key, uint32_t now,
                                    enum cache_result result)
{
    item_reap(thread, tenant, key, now);
    return result;
}

NEVER_INLINE enum cache_result bump(struct item *item, uint32_t now)
{
    item_bump(item, now);
    return CACHE_OK;
}

ALWAYS_INLINE enum cache_result get_found(struct cache_thread *thread, struct cache_tenant *tenant,
                                          const struct cache_key *key, uint32_t now,
                                          const struct found *found, struct cache_item *item_out)
{
    thread->has_views = true;
    enum cache_result result = item_judge(found, tenant_word(tenant), now);
    if (UNLIKELY(result != CACHE_OK))
        return reap(thread, tenant, key, now, result);
    if (UNLIKELY(found->item->layout & ITEM_IS_COUNTER))
        return get_locked(thread, tenant, key, now, item_out);
    describe_value(thread->cache, found, item_out);
    item_out->cas = item_cas(found->item);
    return is_bumped(found->item, now) ? CACHE_OK : bump(found->item, now);
}

NEVER_INLINE enum cache_result get_searched(struct cache_thread *thread,
                                            struct cache_tenant *tenant,
                                            const struct cache_key *key, uint32_t now,
                                            struct cache_item *item_out)
{
    struct found found;
    if (!lookup_search(thread->cache, tenant, key, &found))
        return CACHE_MISS;
    return get_found(thread, tenant, key, now, &found, item_out);
}

/* What is found by its hint stays in registers: the search has a frame of its own. */
enum cache_result cache_get(struct cache_thread *thread, struct cache_tenant *tenant,
                            const struct cache_key *key, uint32_t now, struct cache_item *item_out)
{
    struct found found;
    if (UNLIKELY(!hint_finds(thread->cache, tenant, key, &found)))
        return get_searched(thread, tenant, key, now, item_out);
    return get_found(thread, tenant, key, now, &found, item_out);
}

/* ---- many gets ---- */

/* The item that the hint points to, if it is the key's, and this tenant's of now. */
ALWAYS_INLINE struct item *hinted_item(const struct cache *cache, const struct cache_key *key,
                                       uint64_t word)
{
    const struct bucket *bucket = hint_bucket(&cache->index, key->hint);
    unsigned slot = hint_slot(key->hint);
    if (UNLIKELY(key->hint == 0 || !bucket_has_tag(bucket, slot, hash_tag(key->hash))))
        return NULL;
    uint32_t location = bucket_location(bucket, slot);
    struct item *item = location_item(cache, location);
    if (UNLIKELY(!item_has_key(item, key->bytes)))
        return NULL;
    return LIKELY(segment_owner(cache, location_segment(cache, location)) == word) ? item : NULL;
}

/* False: it is more than bytes that lie together, or large. */
ALWAYS_INLINE bool view(const struct cache *cache, const struct item *item,
                        struct cache_view *view_out)
{
    size_t at = item_key_at(item) + item->n_key;
    uint32_t n_value = item->n_value;
    uint32_t client_flags = 0;
    if (UNLIKELY(item->layout & ~ITEM_HAS_EXPTIME)) {
        if (item->layout & ITEM_IS_COUNTER)
            return false;
        at = item_value_at(item);
        client_flags = item_client_flags(item);
        n_value = item_n_value(item);
    }
    if (UNLIKELY(n_value > CACHE_VIEW_MAX || at + n_value > cache->segment_size))
        return false;
    *view_out = (struct cache_view){.cas = item_cas(item),
                                    .value = (const uint8_t *)item + at,
                                    .n_value = n_value,
                                    .size = (uint32_t)at + n_value,
                                    .client_flags = client_flags};
    return true;
}

/* The key's item, wherever it is. */
NEVER_INLINE struct item *searched_item(const struct cache *cache,
                                        const struct cache_tenant *tenant,
                                        const struct cache_key *key, uint64_t word)
{
    struct found found;
    return lookup_search(cache, tenant, key, &found) && found.owner == word ? found.item : NULL;
}

size_t cache_get_many(struct cache_thread *thread, struct cache_tenant *tenant,
                      const struct cache_key *keys, size_t n, uint32_t now,
                      struct cache_view *views_out)
{
    const struct cache *cache = thread->cache;
    uint64_t word = tenant_word(tenant);
    size_t i = 0;
    thread->has_views = true;
    for (; i < n; i++) {
        struct item *item = hinted_item(cache, &keys[i], word);
        if (UNLIKELY(item == NULL))
            item = searched_item(cache, tenant, &keys[i], word);
        if (UNLIKELY(item == NULL || item_is_expired(item, now) ||
                     !view(cache, item, &views_out[i])))
            break;
        if (UNLIKELY(!is_bumped(item, now)))
            item_bump(item, now);
    }
    return i;
}

/* ---- access: touch, and meta's stale, won and recache ---- */

static bool wins(const struct cache_item *item, const struct cache_access *access, uint32_t now)
{
    if (!access->has_state || item->is_already_won)
        return false;
    if (item->is_stale)
        return true;
    return access->does_recache && item->exptime != CACHE_NEVER &&
           (uint64_t)item->exptime < (uint64_t)now + access->recache_ttl;
}

static void change(struct cache_thread *thread, const struct found *found, uint32_t now,
                   const struct cache_access *access, struct cache_item *item_out)
{
    struct item *item = found->item;
    if (wins(item_out, access, now)) {
        item_store_state(item, item_load_state(item) | ITEM_WON);
        item_out->is_won = true;
    }
    if (access->does_touch) {
        item_touch(thread->cache, found, access->exptime);
        item_out->exptime = access->exptime;
    }
    if (!access->is_silent)
        item_bump(item, now);
}

/* *is_short_out: the item lacks the word for the expiry, and is as before. */
static enum cache_result access_locked(struct cache_thread *thread, struct cache_tenant *tenant,
                                       const struct cache_key *key, uint32_t now,
                                       const struct cache_access *access, bool *is_short_out,
                                       struct cache_item *item_out)
{
    struct place place;
    enum cache_result result = open_described(thread, tenant, key, now, &place, item_out);
    *is_short_out = result == CACHE_OK && access->does_touch &&
                    !item_takes_exptime(place.found.item, access->exptime);
    if (result == CACHE_OK && LIKELY(!*is_short_out)) {
        change(thread, &place.found, now, access, item_out);
        thread->has_views = true;
    }
    place_close(&place);
    if (result == CACHE_EXPIRED || result == CACHE_FLUSHED)
        item_reap(thread, tenant, key, now);
    return result;
}

static enum cache_result access_changing(struct cache_thread *thread, struct cache_tenant *tenant,
                                         const struct cache_key *key, uint32_t now,
                                         const struct cache_access *access,
                                         struct cache_item *item_out)
{
    for (unsigned i = 0; i < STORE_TRIES; i++) {
        bool is_short;
        enum cache_result result =
            access_locked(thread, tenant, key, now, access, &is_short, item_out);
        if (LIKELY(!is_short))
            return result;
        if (!touch_add_word(thread, tenant, key, now))
            return CACHE_NO_MEMORY;
    }
    return CACHE_NO_MEMORY;
}

/* An empty item that this caller has won. CACHE_NOT_STORED: another was faster. */
static enum cache_result vivify(struct cache_thread *thread, struct cache_tenant *tenant,
                                const struct cache_key *key, uint32_t now,
                                const struct cache_access *access, struct cache_item *item_out)
{
    struct cache *cache = thread->cache;
    struct item_shape shape = {.key = key->bytes,
                               .cas = access->sets_cas ? access->new_cas : 0,
                               .key_is_base64 = access->key_is_base64,
                               .has_exptime = commit_needs_exptime(cache, access->vivify_exptime)};
    struct room room;
    struct commit commit = {.room = &room,
                            .exptime = access->vivify_exptime,
                            .state = ITEM_WON,
                            .sets_cas = access->sets_cas,
                            .new_cas = access->new_cas};
    struct place place;
    uint64_t cas;
    thread->now = now;
    if (!commit_prepare(thread, tenant, key, &shape, &room))
        return CACHE_NO_MEMORY;
    place_open(cache, tenant, key, &place);
    bool is_mine = item_judge(&place.found, tenant_word(tenant), now) != CACHE_OK &&
                   commit_publish(thread, tenant, key, now, &place, &commit, &cas);
    if (is_mine) {
        struct found made = {room.item, room.location, room.segment, tenant_word(tenant)};
        describe(cache, &made, item_out);
        item_out->cas = cas;
        item_out->is_won = true;
        item_out->is_already_won = false;
        thread->has_views = true;
    }
    place_close(&place);
    if (is_mine)
        log_leave(cache, &room);
    else
        commit_abandon(thread, tenant, &room);
    lookup_grow_if_due(thread);
    return is_mine ? CACHE_OK : CACHE_NOT_STORED;
}

/* Most accesses meet an item that they leave as it is: no lock then. */
static bool changes(const struct item *item, const struct cache_access *access, uint32_t now)
{
    uint32_t exptime = item_load_exptime(item);
    return access->has_state && (item_load_state(item) != 0 ||
                                 (access->does_recache && exptime != CACHE_NEVER &&
                                  (uint64_t)exptime < (uint64_t)now + access->recache_ttl));
}

static enum cache_result access_once(struct cache_thread *thread, struct cache_tenant *tenant,
                                     const struct cache_key *key, uint32_t now,
                                     const struct cache_access *access, struct cache_item *item_out)
{
    struct found found;
    if (access->does_touch)
        return access_changing(thread, tenant, key, now, access, item_out);
    if (!lookup_find(thread->cache, tenant, key, &found))
        return CACHE_MISS;
    thread->has_views = true;
    enum cache_result result = item_judge(&found, tenant_word(tenant), now);
    if (result != CACHE_OK)
        return reap(thread, tenant, key, now, result);
    if (UNLIKELY(found.item->layout & ITEM_IS_COUNTER || changes(found.item, access, now)))
        return access_changing(thread, tenant, key, now, access, item_out);
    describe(thread->cache, &found, item_out);
    item_out->cas = item_cas(found.item);
    if (!access->is_silent && !is_bumped(found.item, now))
        item_bump(found.item, now);
    return CACHE_OK;
}

enum cache_result cache_access(struct cache_thread *thread, struct cache_tenant *tenant,
                               const struct cache_key *key, uint32_t now,
                               const struct cache_access *access, struct cache_item *item_out)
{
    enum cache_result result;
    item_out->is_won = false;
    for (unsigned i = 0; i < STORE_TRIES; i++) {
        result = access_once(thread, tenant, key, now, access, item_out);
        if (result == CACHE_OK || result == CACHE_NO_MEMORY || !access->does_vivify)
            return result;
        enum cache_result made = vivify(thread, tenant, key, now, access, item_out);
        if (made == CACHE_OK)
            return result;
        if (made == CACHE_NO_MEMORY)
            return made;
    }
    return CACHE_NO_MEMORY;
}

/* What has no state is read as cache_get does; all else goes the way of any access. */
enum cache_result cache_look(struct cache_thread *thread, struct cache_tenant *tenant,
                             const struct cache_key *key, uint32_t now, struct cache_item *item_out)
{
    static const struct cache_access look = {.has_state = true};
    struct found found;
    if (UNLIKELY(!hint_finds(thread->cache, tenant, key, &found) ||
                 item_judge(&found, tenant_word(tenant), now) != CACHE_OK ||
                 (found.item->layout & ITEM_IS_COUNTER) || item_load_state(found.item) != 0))
        return cache_access(thread, tenant, key, now, &look, item_out);
    thread->has_views = true;
    describe_value(thread->cache, &found, item_out);
    describe_state(found.item, item_out);
    item_out->cas = item_cas(found.item);
    return is_bumped(found.item, now) ? CACHE_OK : bump(found.item, now);
}

struct slice cache_item_chunk(const struct cache *cache, const struct cache_item *item,
                              size_t offset)
{
    if (item->value != NULL)
        return slice_of(item->value + offset, item->n_value - offset);
    size_t value_at = item->size - item->n_value;
    return span_read(cache, (uint32_t)item->handle, value_at + offset, item->size);
}

/* ---- pins ---- */

static bool may_pin_more(const struct cache *cache, const struct cache_tenant *tenant)
{
    size_t limit = atomic_load(&tenant->limit), memory = atomic_load(&cache->memory);
    size_t bound = (limit < memory ? limit : memory) / 8;
    return (size_t)atomic_load(&tenant->n_pinned) << cache->segment_shift < bound;
}

bool cache_pin(struct cache_thread *thread, const struct cache_item *item)
{
    struct cache *cache = thread->cache;
    uint32_t number = location_segment(cache, (uint32_t)item->handle);
    struct segment *segment = &cache->segments[number];
    struct cache_tenant *tenant =
        atomic_load(&cache->tenants[word_tenant(segment_owner(cache, number))]);
    /* What a pin keeps is the whole segment, so that is what counts, once. */
    if (atomic_load(&segment->n_pins) == 0 && !may_pin_more(cache, tenant))
        return false;
    if (atomic_fetch_add(&segment->n_pins, 1) == 0)
        atomic_fetch_add(&tenant->n_pinned, segment->n_chain);
    return true;
}

void cache_unpin(struct cache_thread *thread, uint64_t handle, uint32_t n_value)
{
    struct cache *cache = thread->cache;
    uint32_t number = location_segment(cache, (uint32_t)handle);
    struct segment *segment = &cache->segments[number];
    struct cache_tenant *tenant =
        atomic_load(&cache->tenants[word_tenant(segment_owner(cache, number))]);
    uint32_t n_chain = segment->n_chain;
    (void)n_value;
    uint32_t before = atomic_fetch_sub_explicit(&segment->n_pins, 1, memory_order_acq_rel);
    MUST(before > 0);
    if (before == 1)
        atomic_fetch_sub(&tenant->n_pinned, n_chain);
}
