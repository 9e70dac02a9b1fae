/* crew.h - the same work on many pieces, by as many threads as there are processors.
 * Owns: its threads, for as long as crew_run lasts.   Thread: any.
 * Never: leaves a piece out, but when one has failed. */
#ifndef CACHE_CREW_H
#define CACHE_CREW_H

#include "cache/cache.h"

/* One piece; thread is an online one of the cache. False: the work as a whole has failed. */
typedef bool crew_work(struct cache_thread *thread, void *arg, size_t piece);

/* False: a piece has failed, or there was no memory for a single thread. */
MUST_USE bool crew_run(struct cache *cache, size_t n_pieces, crew_work *work, void *arg);

#endif
