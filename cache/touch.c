#include "cache/touch.h"

#include "cache/commit.h"
#include "cache/horizon.h"

void item_touch(struct cache *cache, const struct found *found, uint32_t exptime)
{
    int32_t size = (int32_t)item_size(cache, found->item);
    if (!cache->segments[found->segment].is_chain) {
        horizon_add(cache, found->segment, item_load_exptime(found->item), -size);
        horizon_add(cache, found->segment, exptime, size);
    }
    item_store_exptime(found->item, exptime);
}

/* Only a live item is worth a copy. Chains have the word: their values are long. */
static bool wants_word(const struct cache *cache, const struct cache_tenant *tenant,
                       const struct found *found, uint32_t now)
{
    return item_judge(found, tenant_word(tenant), now) == CACHE_OK &&
           !(found->item->layout & ITEM_HAS_EXPTIME) && !cache->segments[found->segment].is_chain;
}

/* The same with the word: only whether there are flags and a wide cas matters. */
static struct item_shape wider_shape(struct slice key, const struct item *item)
{
    return (struct item_shape){.key = key,
                               .cas = item->layout & ITEM_HAS_WIDE_CAS ? UINT64_MAX : 0,
                               .client_flags = item->layout & ITEM_HAS_FLAGS ? UINT32_MAX : 0,
                               .n_value = item_n_value(item),
                               .key_is_base64 = (item->layout & ITEM_IS_BASE64) != 0,
                               .is_counter = (item->layout & ITEM_IS_COUNTER) != 0,
                               .has_exptime = true};
}

static bool is_copy_of(const struct item *item, const struct item *from)
{
    return item->layout == (from->layout | ITEM_HAS_EXPTIME) && item->n_value == from->n_value;
}

static void copy_item(struct item *to, const struct item *from)
{
    item_copy_head(to, from, from->layout | ITEM_HAS_EXPTIME);
    memcpy((uint8_t *)to + item_value_at(to), (const uint8_t *)from + item_value_at(from),
           from->n_value);
}

bool touch_add_word(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct cache_key *key, uint32_t now)
{
    struct cache *cache = thread->cache;
    struct found found;
    struct room room;
    struct place place;
    thread->now = now;
    if (!lookup_find(cache, tenant, key, &found) || !wants_word(cache, tenant, &found, now))
        return true;
    struct item_shape shape = wider_shape(key->bytes, found.item);
    if (!commit_prepare(thread, tenant, key, &shape, &room))
        return false;
    place_open(cache, tenant, key, &place);
    bool is_done =
        wants_word(cache, tenant, &place.found, now) && is_copy_of(room.item, place.found.item);
    if (is_done) {
        copy_item(room.item, place.found.item);
        is_done = commit_copy(thread, tenant, &place, &room);
    }
    place_close(&place);
    if (is_done)
        log_leave(cache, &room);
    else
        commit_abandon(thread, tenant, &room);
    return true;
}
