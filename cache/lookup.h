/* lookup.h - from a key to its item: without a lock for readers, with locked buckets for writers.
 * Owns: nothing.   Thread: online ones.
 * Never: judges whether an item is expired or flushed: item_judge does. */
#ifndef CACHE_LOOKUP_H
#define CACHE_LOOKUP_H

#include "cache/engine.h"

struct found {
    struct item *item; /* NULL: no such key */
    uint32_t location;
    uint32_t segment;
    uint64_t owner;
};

/* The key's entry with its bucket locked, or the want of one with both of its buckets locked. */
struct place {
    struct bucket *locked[2]; /* the second is NULL when one is enough: both are the same, or the
                               * entry was where the hint said */
    struct bucket *bucket;    /* where the entry is */
    unsigned slot;
    struct found found;
};

ALWAYS_INLINE bool short_key_equals(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x[2], y[2];
    if (n >= sizeof x[0]) {
        memcpy(&x[0], a, sizeof x[0]);
        memcpy(&y[0], b, sizeof y[0]);
        memcpy(&x[1], a + n - sizeof x[1], sizeof x[1]);
        memcpy(&y[1], b + n - sizeof y[1], sizeof y[1]);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* Keys are short: a call of memcmp costs more than the compare, and registers of the caller. */
ALWAYS_INLINE bool key_equals(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x[2], y[2];
    if (UNLIKELY(n < sizeof x))
        return short_key_equals(a, b, n);
    for (size_t left = n;; left -= sizeof x, a += sizeof x, b += sizeof y) {
        if (left < sizeof x) { /* the last bytes, with some of those before them */
            a -= sizeof x - left;
            b -= sizeof y - left;
            left = sizeof x;
        }
        memcpy(x, a, sizeof x);
        memcpy(y, b, sizeof y);
        if (UNLIKELY(((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0))
            return false;
        if (left == sizeof x)
            return true;
    }
}

ALWAYS_INLINE bool item_has_key(const struct item *item, struct slice key)
{
    return item->n_key == key.n &&
           key_equals((const uint8_t *)item + item_key_at(item), key.p, key.n);
}

/* Is the item at this location the tenant's item of this key? */
ALWAYS_INLINE bool location_is_of(const struct cache *cache, const struct cache_tenant *tenant,
                                  struct slice key, uint32_t location, struct found *found_out)
{
    struct item *item = location_item(cache, location);
    if (UNLIKELY(!item_has_key(item, key)))
        return false;
    uint32_t segment = location_segment(cache, location);
    uint64_t owner = segment_owner(cache, segment);
    if (UNLIKELY(word_tenant(owner) != tenant->id))
        return false;
    *found_out = (struct found){item, location, segment, owner};
    return true;
}

/* Is the key still in the slot where it was when its item was prefetched? */
ALWAYS_INLINE bool hint_finds(const struct cache *cache, const struct cache_tenant *tenant,
                              const struct cache_key *key, struct found *found_out)
{
    const struct bucket *bucket = hint_bucket(&cache->index, key->hint);
    unsigned slot = hint_slot(key->hint);
    return key->hint != 0 && bucket_has_tag(bucket, slot, hash_tag(key->hash)) &&
           location_is_of(cache, tenant, key->bytes, bucket_location(bucket, slot), found_out);
}

/* lookup_find without regard to the hint. */
bool lookup_search(const struct cache *cache, const struct cache_tenant *tenant,
                   const struct cache_key *key, struct found *found_out);

/* False: the key is not there (found_out->item is NULL). */
ALWAYS_INLINE bool lookup_find(const struct cache *cache, const struct cache_tenant *tenant,
                               const struct cache_key *key, struct found *found_out)
{
    return LIKELY(hint_finds(cache, tenant, key, found_out)) ||
           lookup_search(cache, tenant, key, found_out);
}

void place_open(struct cache *cache, const struct cache_tenant *tenant, const struct cache_key *key,
                struct place *place_out);
void place_close(struct place *place);

/* Points the key at a location: the commit of every store. False: no slot could be freed (rare to
 * the point of absence; the caller answers with CACHE_NO_MEMORY). */
MUST_USE bool place_insert(struct cache_thread *thread, struct place *place, uint64_t hash,
                           uint32_t location);
MUST_USE static inline bool place_publish(struct cache_thread *thread, struct place *place,
                                          uint64_t hash, uint32_t location)
{
    if (place->found.item == NULL)
        return place_insert(thread, place, hash, location);
    bucket_switch(place->bucket, place->slot, location);
    return true;
}
/* Takes the entry out. */
void place_clear(struct cache_thread *thread, struct place *place);

/* An item whose location is known, such as one met in its segment: locks the bucket that points to
 * it. False: no slot does. */
MUST_USE bool place_open_location(struct cache *cache, uint64_t hash, uint32_t location,
                                  struct place *place_out);

/* Splits buckets while the index is too full. Called outside of every lock. */
void lookup_grow(struct cache_thread *thread);
/* The same behind a store, which gives cause only when its thread has told of new entries. */
static inline void lookup_grow_if_due(struct cache_thread *thread)
{
    if (UNLIKELY(thread->may_grow_index))
        lookup_grow(thread);
}

static inline enum cache_result item_judge(const struct found *found, uint64_t word, uint32_t now)
{
    if (found->item == NULL)
        return CACHE_MISS;
    if (found->owner != word)
        return CACHE_FLUSHED;
    return item_is_expired(found->item, now) ? CACHE_EXPIRED : CACHE_OK;
}

#endif
