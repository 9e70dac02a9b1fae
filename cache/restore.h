/* restore.h - a cache from its memory file and the state saved beside it.
 * Owns: the state's bytes, until restore_fini.   Thread: the one that creates the cache.
 * Never: changes the file before the state has been found to belong to it; leaves a cache half
 *        restored: after a failure it can only be destroyed. */
#ifndef CACHE_RESTORE_H
#define CACHE_RESTORE_H

#include "cache/saved.h"

struct restore {
    uint8_t *state; /* NULL: nothing to restore */
    struct saved saved;
    const char *reason; /* why there is nothing, or NULL */
};

/* Takes the state from beside the file: it is not there any more, whatever comes of it. */
void restore_take(struct restore *restore, struct arena_file *file);
void restore_fini(struct restore *restore);

/* Buckets that the index had, or 0. */
uint32_t restore_n_buckets(const struct restore *restore);

/* Fills an empty cache. False: reason. */
MUST_USE bool restore_apply(struct restore *restore, struct cache *cache, uint32_t now);

#endif
