/* evict.h - which items leave when room is needed: size-aware S3-FIFO on segments.
 * Owns: the choice of victims; the segments it empties, until they are in limbo.
 * Thread: online ones, outside of every lock.
 * Never: blocks a reader; reuses what a reader may see. */
#ifndef CACHE_EVICT_H
#define CACHE_EVICT_H

#include "cache/engine.h"

/* Empties about one segment of this tenant. False: there is nothing that may go. */
MUST_USE bool evict_from(struct cache_thread *thread, struct cache_tenant *tenant);

/* Empties about one segment of the tenant that is furthest above its guarantee, or of
 * the next one where that has nothing left; of the requester's when nobody is above. The requester
 * may be NULL. */
MUST_USE bool evict_somewhere(struct cache_thread *thread, struct cache_tenant *requester);

/* Empties segments that hold little but dead, expired or flushed items, up to n_max. */
unsigned evict_garbage(struct cache_thread *thread, struct cache_tenant *tenant, unsigned n_max);

/* Empties one segment of large items that is mostly garbage: to copy what lives there costs less
 * than to touch new memory. False: there is none. */
bool evict_for_reuse(struct cache_thread *thread, struct cache_tenant *tenant);

void evict_wake_reaper(struct cache *cache);

#endif
