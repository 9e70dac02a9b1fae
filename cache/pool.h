/* pool.h - segments that belong to nobody: free, given back to the kernel, or waiting in limbo.
 * Owns: the arena's address space and struct pool.   Thread: any, under the pool's lock.
 * Never: evicts; hands out a segment that a reader may still see. */
#ifndef CACHE_POOL_H
#define CACHE_POOL_H

#include "cache/engine.h"

/* Reserves the arena for up to n_max bytes, or less when the address space is short, but at least
 * for cache->memory. False: not even that. */
MUST_USE bool pool_init(struct cache *cache, size_t n_max);
void pool_fini(struct cache *cache);

/* A segment of nobody's, or SEGMENT_NONE when no more than `keep` would be left. */
MUST_USE uint32_t pool_take(struct cache *cache, uint32_t keep);
/* Would soon memory be taken that was not used before, or was given back? */
bool pool_is_used_up(struct cache *cache);
/* Puts back a segment that no reader ever saw. */
void pool_give(struct cache *cache, uint32_t segment);
/* Takes a segment (with its chain) that no slot points to: it is free once nobody can see it. */
void pool_retire(struct cache *cache, uint32_t segment);

/* After segments of an untouched arena got owners: those between them are free. */
void pool_adopt(struct cache *cache);

/* Frees what nobody sees any more. */
void pool_reclaim(struct cache *cache);
/* Free segments and those that may still be taken from the kernel. */
uint32_t pool_n_available(const struct cache *cache);
/* Segments in use beyond what memory allows. */
uint32_t pool_n_excess(const struct cache *cache);
uint32_t pool_n_limbo(struct cache *cache);
/* Of those in limbo the ones that come free by themselves within a turn: not pinned. */
uint32_t pool_n_coming(struct cache *cache);

/* After memory, index or ghosts changed their size. */
void pool_update_target(struct cache *cache);
/* Makes the arena writable up to the present memory limit. */
MUST_USE bool pool_commit(struct cache *cache);

#endif
