/* touch.h - another expiry for an item that is there.
 * Owns: nothing.   Thread: online ones.
 * Never: changes anything else that can be seen of the item. */
#ifndef CACHE_TOUCH_H
#define CACHE_TOUCH_H

#include "cache/lookup.h"

/* Under the bucket's lock; the item takes the expiry (item_takes_exptime). */
void item_touch(struct cache *cache, const struct found *found, uint32_t exptime);

/* Gives the key's item the word for an expiry: the item is copied, and the copy takes its place.
 * Nothing is done, and true returned, when the key has no such item any more. False: no memory.
 * Outside of bucket locks; views are void after it, as after log_reserve. */
MUST_USE bool touch_add_word(struct cache_thread *thread, struct cache_tenant *tenant,
                             const struct cache_key *key, uint32_t now);

#endif
