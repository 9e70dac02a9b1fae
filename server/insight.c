#include "server/insight.h"

#include <pthread.h>
#include <stdlib.h>

struct insight {
    pthread_mutex_t lock; /* covers both */
    struct top_keys top;
    struct ghost_list *ghosts;
    _Atomic uint64_t n_left_out; /* gets of followed keys that met a taken lock */
};

struct insight *insight_create(void)
{
    struct insight *in = calloc(1, sizeof *in);
    if (in == NULL)
        return NULL;
    pthread_mutex_init(&in->lock, NULL);
    in->ghosts = ghost_list_create();
    if (in->ghosts == NULL)
        insight_destroy(&in);
    return in;
}

void insight_destroy(struct insight **insight)
{
    struct insight *in = *insight;
    if (in == NULL)
        return;
    *insight = NULL;
    ghost_list_destroy(&in->ghosts);
    pthread_mutex_destroy(&in->lock);
    free(in);
}

void insight_draw(struct insight *insight, const struct cache_key *key)
{
    if (pthread_mutex_trylock(&insight->lock) != 0)
        return;
    top_keys_add(&insight->top, key->bytes, key->hash);
    pthread_mutex_unlock(&insight->lock);
}

uint64_t insight_get(struct insight *insight, uint64_t hash, uint32_t size)
{
    if (pthread_mutex_trylock(&insight->lock) == 0) {
        ghost_list_get(insight->ghosts, hash, size);
        pthread_mutex_unlock(&insight->lock);
    } else {
        atomic_fetch_add_explicit(&insight->n_left_out, 1, memory_order_relaxed);
    }
    return ghost_list_limit(insight->ghosts);
}

uint64_t insight_set(struct insight *insight, uint64_t hash, uint32_t size)
{
    if (pthread_mutex_trylock(&insight->lock) == 0) {
        ghost_list_set(insight->ghosts, hash, size);
        pthread_mutex_unlock(&insight->lock);
    }
    return ghost_list_limit(insight->ghosts);
}

void insight_drop(struct insight *insight, uint64_t hash)
{
    if (pthread_mutex_trylock(&insight->lock) != 0)
        return;
    ghost_list_drop(insight->ghosts, hash);
    pthread_mutex_unlock(&insight->lock);
}

void insight_reset(struct insight *insight)
{
    pthread_mutex_lock(&insight->lock);
    memset(&insight->top, 0, sizeof insight->top);
    ghost_list_reset(insight->ghosts);
    atomic_store(&insight->n_left_out, 0);
    pthread_mutex_unlock(&insight->lock);
}

void insight_top(struct insight *insight, struct top_keys *out)
{
    pthread_mutex_lock(&insight->lock);
    *out = insight->top;
    pthread_mutex_unlock(&insight->lock);
    top_keys_sort(out);
}

void insight_advise(struct insight *insight, uint64_t n_bytes, uint64_t n_gets,
                    struct insight_advice *out)
{
    pthread_mutex_lock(&insight->lock);
    double n_left_out =
        (double)atomic_load(&insight->n_left_out) / ghost_list_rate(insight->ghosts);
    n_gets = n_left_out < (double)n_gets ? n_gets - (uint64_t)n_left_out : 0;
    out->n_samples = ghost_list_samples(insight->ghosts);
    out->rate = ghost_list_rate(insight->ghosts);
    out->now = ghost_list_hit_ratio(insight->ghosts, n_bytes, n_gets);
    out->half = ghost_list_hit_ratio(insight->ghosts, n_bytes / 2, n_gets);
    out->twice = ghost_list_hit_ratio(insight->ghosts, n_bytes * 2, n_gets);
    pthread_mutex_unlock(&insight->lock);
}
