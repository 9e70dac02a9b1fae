/* insight.h - what is learnt about one tenant's keys by looking at a few of them.
 * Owns: the tenant's hot keys and its ghost list, about 160 KiB.
 * Thread: any. A worker that finds it taken leaves its sample out, it does not wait.
 * Never: is made before the tenant is used. */
#ifndef SERVER_INSIGHT_H
#define SERVER_INSIGHT_H

#include "base/must.h"
#include "cache/cache.h"
#include "server/ghost_list.h"
#include "server/top_keys.h"

#define INSIGHT_EVERY 128 /* one get in this many, on average, is a sample for the hot keys */

struct insight;

/* NULL when memory is short. */
MUST_USE struct insight *insight_create(void);
void insight_destroy(struct insight **insight);

/* A get that was drawn. */
void insight_draw(struct insight *insight, const struct cache_key *key);

/* Keys whose hash is at most the limit; each gives the limit from now on. */
uint64_t insight_get(struct insight *insight, uint64_t hash, uint32_t size);
uint64_t insight_set(struct insight *insight, uint64_t hash, uint32_t size);
void insight_drop(struct insight *insight, uint64_t hash);

/* `stats reset`. */
void insight_reset(struct insight *insight);

/* The hot keys, ordered. */
void insight_top(struct insight *insight, struct top_keys *out);

struct insight_advice {
    uint64_t n_samples;
    double rate; /* share of the keys that is followed */
    double now;
    double half;
    double twice;
};
/* Hit ratios with n_bytes of items, half and twice of it. n_gets: all gets since the last reset. */
void insight_advise(struct insight *insight, uint64_t n_bytes, uint64_t n_gets,
                    struct insight_advice *out);

#endif
