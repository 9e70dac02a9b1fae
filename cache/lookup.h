/* lookup.h - from a key to its item: without a lock for readers, with its buckets locked for
 * writers. Owns: nothing.   Thread: online ones. Never: judges whether an item is expired or
 * flushed: item_judge does. */
#ifndef CACHE_LOOKUP_H
#define CACHE_LOOKUP_H

#include "cache/engine.h"

struct found {
    struct item *item; /* NULL: no such key */
    uint32_t location;
    uint32_t segment;
    uint64_t owner;
};

/* The key's entry with both of its buckets locked, or the want of one. */
struct place {
    struct bucket *locked[2]; /* the second is NULL when both are the same */
    struct bucket *bucket;    /* where the entry is */
    unsigned slot;
    struct found found;
};

/* False: the key is not there (found_out->item is NULL). */
bool lookup_find(const struct cache *cache, const struct cache_tenant *tenant,
                 const struct cache_key *key, struct found *found_out);

void place_open(struct cache *cache, const struct cache_tenant *tenant, const struct cache_key *key,
                struct place *place_out);
void place_close(struct place *place);

/* Points the key at a location: the commit of every store. False: no slot could be freed (rare to
 * the point of absence; the caller answers with CACHE_NO_MEMORY). */
MUST_USE bool place_publish(struct cache_thread *thread, struct place *place, uint64_t hash,
                            uint32_t location);
/* Takes the entry out. */
void place_clear(struct cache_thread *thread, struct place *place);

/* An item whose location is known, such as one met in its segment: locks the bucket that points to
 * it. False: no slot does. */
MUST_USE bool place_open_location(struct cache *cache, uint64_t hash, uint32_t location,
                                  struct place *place_out);

/* Splits buckets while the index is too full. Called outside of every lock. */
void lookup_grow(struct cache_thread *thread);

static inline enum cache_result item_judge(const struct found *found, uint64_t word, uint32_t now)
{
    if (found->item == NULL)
        return CACHE_MISS;
    if (found->owner != word)
        return CACHE_FLUSHED;
    return item_is_expired(found->item, now) ? CACHE_EXPIRED : CACHE_OK;
}

#endif
