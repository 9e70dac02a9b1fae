/* ghost_list.h - what the hit ratio would be with more or less memory, from a sample of the keys.
 * Owns: a list of hashes and sizes of at most GHOST_KEYS sampled keys, and a histogram.
 * Thread: the caller's lock; ghost_list_limit any.
 * Never: keeps a key; grows. */
#ifndef SERVER_GHOST_LIST_H
#define SERVER_GHOST_LIST_H

#include "base/must.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GHOST_KEYS  2048
#define GHOST_LIMIT (UINT64_MAX / 64) /* keys whose hash is at most this are sampled at first */

/* Spatial sampling of reuse distances with a bounded number of keys, as in "Efficient MRC
 * construction with SHARDS" (Waldspurger and others, FAST 2015): a key is followed when its hash is
 * below a limit, and the limit sinks when there are too many. The distance between two uses of a
 * key is the number of bytes of other keys used between them; a cache that holds so many bytes and
 * evicts the least recently used would have hit. */
struct ghost_list;

MUST_USE struct ghost_list *ghost_list_create(void);
void ghost_list_destroy(struct ghost_list **list);

/* Only keys whose hash is at most this are to be told. It never grows. */
uint64_t ghost_list_limit(const struct ghost_list *list);

/* A get. size: bytes of the item where it was found, 0 where it was not. */
void ghost_list_get(struct ghost_list *list, uint64_t hash, uint32_t size);
/* A store: the key is there now, as the most recently used. */
void ghost_list_set(struct ghost_list *list, uint64_t hash, uint32_t size);
/* The item is gone by the client's will, or its time was over: no memory would have kept it. */
void ghost_list_drop(struct ghost_list *list, uint64_t hash);

/* Forgets what was measured; the keys stay. */
void ghost_list_reset(struct ghost_list *list);

/* The share of gets that would hit in this much memory; 0 when nothing is known. n_gets: all gets
 * of the tenant since the last reset. The sample has them but for the hottest keys, of which it may
 * have too many or too few: what differs is counted as hits of any memory, as SHARDS-adj does. */
double ghost_list_hit_ratio(const struct ghost_list *list, uint64_t n_bytes, uint64_t n_gets);
/* Sampled gets so far, and the share of the keys that is followed. */
uint64_t ghost_list_samples(const struct ghost_list *list);
double ghost_list_rate(const struct ghost_list *list);

#endif
