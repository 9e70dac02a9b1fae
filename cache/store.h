/* store.h - the writing operations: whole values, parts put together, removals.
 * Owns: nothing.   Thread: online ones.
 * Never: keeps an item pointer over a reservation of room. */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "cache/commit.h"

/* A store that meets a flush, or another writer, begins again so many times. */
#define STORE_TRIES 10000u

/* What memcached's largest item holds besides key and value; counted here too, so that the same -I
 * accepts the same values. */
#define REFERENCE_OVERHEAD     51 /* header, the NUL of the key, CR LF */
#define REFERENCE_OVERHEAD_CAS 8

MUST_USE static inline bool item_fits(const struct cache *cache, const struct cache_tenant *tenant,
                                      size_t n_key, size_t n_value)
{
    size_t item_max = atomic_load_explicit(&tenant->item_max, memory_order_relaxed);
    size_t n_overhead = REFERENCE_OVERHEAD + (cache->has_cas ? REFERENCE_OVERHEAD_CAS : 0);
    return n_value <= item_max && n_overhead + n_key <= item_max - n_value;
}

/* Counts an access: hits up to their limit, the second, and that it was fetched. */
void item_bump(struct item *item, uint32_t now);

/* Fills item_out for an item whose bucket is locked. */
void item_describe_locked(const struct cache *cache, const struct found *found,
                          struct cache_item *item_out);

/* Stores an item that lies filled in its room. CACHE_FLUSHED: the room is of a flushed generation
 * and still the caller's; after every other result it is not. */
MUST_USE enum cache_result store_filled(struct cache_thread *thread, struct cache_tenant *tenant,
                                        const struct cache_key *key, uint32_t now,
                                        const struct cache_store *store, const struct room *room,
                                        struct cache_stored *stored_out);

/* append and prepend. The added bytes are store->value, or the value of `added` (an upload's item,
 * which stays the caller's). */
MUST_USE enum cache_result concat_store(struct cache_thread *thread, struct cache_tenant *tenant,
                                        const struct cache_key *key, uint32_t now,
                                        const struct cache_store *store, const struct room *added,
                                        struct cache_stored *stored_out);

/* meta md with I or x: a new item that is stale, or empty, or both. */
MUST_USE enum cache_result concat_remove(struct cache_thread *thread, struct cache_tenant *tenant,
                                         const struct cache_key *key, uint32_t now,
                                         const struct cache_remove *remove);

#endif
