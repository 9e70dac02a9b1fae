#include "cache/store.h"

#define EMPTY_STEP 64u /* buckets a call may find empty and still go on */

/* While somebody walks, entries change their bucket upwards only, so that a walk, which goes up
 * too, meets each at least once. A walk counts as given up when it has not been heard of for so
 * long. */
#define WALK_PAUSE_MAX 600u /* seconds */

static struct cache_tenant *tenant_of(struct cache *cache, uint64_t owner)
{
    return atomic_load(&cache->tenants[word_tenant(owner)]);
}

static bool describe(struct cache_thread *thread, struct cache_tenant *tenant, uint32_t location,
                     uint32_t now, struct slice *key_out, struct cache_item *item_out)
{
    struct cache *cache = thread->cache;
    struct found found = {location_item(cache, location), location,
                          location_segment(cache, location), 0};
    found.owner = segment_owner(cache, found.segment);
    if (tenant_of(cache, found.owner) != tenant)
        return false;
    struct cache_key key = {.bytes = item_key(found.item)};
    struct place place;
    key.hash = cache_hash(cache, tenant, key.bytes);
    place_open(cache, tenant, &key, &place);
    bool is_live = item_judge(&place.found, tenant_word(tenant), now) == CACHE_OK;
    if (is_live)
        item_describe_locked(cache, &place.found, item_out);
    place_close(&place);
    *key_out = key.bytes;
    return is_live;
}

static unsigned visit_bucket(struct cache_thread *thread, struct cache_tenant *tenant,
                             const struct bucket *bucket, uint32_t now, cache_visit *visit,
                             void *arg)
{
    unsigned n = 0;
    unsigned used = ~bucket_match(bucket, 0) & ((1u << BUCKET_SLOTS) - 1);
    for (; used != 0; used &= used - 1) {
        struct cache_item item;
        struct slice key;
        uint32_t location = bucket_location(bucket, (unsigned)__builtin_ctz(used));
        if (!describe(thread, tenant, location, now, &key, &item))
            continue;
        visit(arg, key, &item);
        n++;
    }
    return n;
}

bool cache_walk(struct cache_thread *thread, struct cache_tenant *tenant,
                struct cache_cursor *cursor, unsigned n_max, uint32_t now, cache_visit *visit,
                void *arg)
{
    const struct index *index = &thread->cache->index;
    unsigned n = 0, n_buckets = 0;
    thread->has_views = true;
    atomic_store(&thread->cache->walked_until, now + WALK_PAUSE_MAX);
    do {
        if (cursor->position >= index_n_buckets(index_state(index)))
            return false;
        n += visit_bucket(thread, tenant, &index->buckets[cursor->position], now, visit, arg);
        cursor->position++;
    } while (n < n_max && ++n_buckets < EMPTY_STEP + n_max);
    return true;
}
