#include "cache/reaper.h"

#include "cache/evict.h"
#include "cache/lookup.h"
#include "cache/pool.h"
#include "cache/tenant.h"

#define GARBAGE_STEP 64u  /* segments cleaned per tenant and second */
#define STEPS_MAX    256u /* evictions in a row before the reaper looks around */

void reaper_init(struct cache *cache)
{
    pthread_mutex_init(&cache->maintenance, NULL);
    pthread_mutex_init(&cache->reaper_lock, NULL);
    pthread_cond_init(&cache->reaper_wake, NULL);
}

void reaper_fini(struct cache *cache)
{
    pthread_cond_destroy(&cache->reaper_wake);
    pthread_mutex_destroy(&cache->reaper_lock);
    pthread_mutex_destroy(&cache->maintenance);
}

/* Evicts until there is enough in reserve. What is in limbo counts: it comes free by itself. */
static void keep_reserve(struct cache_thread *thread)
{
    struct cache *cache = thread->cache;
    uint32_t wanted = cache->n_low + cache->n_low / 2;
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        pool_reclaim(cache);
        if (pool_n_available(cache) + pool_n_coming(cache) >= wanted + pool_n_excess(cache))
            return;
        if (!evict_somewhere(thread, NULL))
            return;
        thread_refresh(thread);
    }
}

static void clean_tenants(struct cache_thread *thread)
{
    struct cache *cache = thread->cache;
    unsigned n = atomic_load(&cache->n_tenants);
    for (unsigned i = 0; i < n; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL)
            (void)evict_garbage(thread, tenant, GARBAGE_STEP);
        thread_refresh(thread);
    }
}

void cache_maintain(struct cache *cache, uint32_t now)
{
    struct cache_thread *thread = cache->maintainer;
    pthread_mutex_lock(&cache->maintenance);
    thread->now = now;
    cache_thread_online(thread);
    clean_tenants(thread);
    keep_reserve(thread);
    lookup_grow(thread);
    cache_thread_offline(thread);
    index_join_pages(&cache->index);
    pool_reclaim(cache);
    tenant_bury(cache);
    pthread_mutex_unlock(&cache->maintenance);
}

static void make_room(struct cache *cache)
{
    struct cache_thread *thread = cache->maintainer;
    pthread_mutex_lock(&cache->maintenance);
    thread->now = atomic_load(&cache->now);
    cache_thread_online(thread);
    keep_reserve(thread);
    cache_thread_offline(thread);
    pool_reclaim(cache);
    pthread_mutex_unlock(&cache->maintenance);
}

static void *run(void *arg)
{
    struct cache *cache = arg;
    uint32_t last = 0;
    pthread_mutex_lock(&cache->reaper_lock);
    while (cache->reaper_is_wanted) {
        while (cache->reaper_is_wanted && !cache->reaper_has_work)
            pthread_cond_wait(&cache->reaper_wake, &cache->reaper_lock);
        cache->reaper_has_work = false;
        atomic_store(&cache->reaper_was_woken, false);
        pthread_mutex_unlock(&cache->reaper_lock);
        uint32_t now = atomic_load(&cache->now);
        if (now != last)
            cache_maintain(cache, now);
        else
            make_room(cache);
        last = now;
        pthread_mutex_lock(&cache->reaper_lock);
    }
    pthread_mutex_unlock(&cache->reaper_lock);
    return NULL;
}

bool cache_start(struct cache *cache)
{
    cache->reaper_is_wanted = true;
    if (pthread_create(&cache->reaper, NULL, run, cache) != 0) {
        cache->reaper_is_wanted = false;
        return false;
    }
    cache->reaper_exists = true;
    atomic_store(&cache->reaper_runs, true);
    return true;
}

void cache_stop(struct cache *cache)
{
    if (!cache->reaper_exists)
        return;
    atomic_store(&cache->reaper_runs, false);
    pthread_mutex_lock(&cache->reaper_lock);
    cache->reaper_is_wanted = false;
    pthread_cond_signal(&cache->reaper_wake);
    pthread_mutex_unlock(&cache->reaper_lock);
    pthread_join(cache->reaper, NULL);
    cache->reaper_exists = false;
}

void evict_wake_reaper(struct cache *cache)
{
    if (atomic_exchange(&cache->reaper_was_woken, true))
        return;
    pthread_mutex_lock(&cache->reaper_lock);
    cache->reaper_has_work = true;
    pthread_cond_signal(&cache->reaper_wake);
    pthread_mutex_unlock(&cache->reaper_lock);
}

void cache_tick(struct cache *cache, uint32_t now)
{
    atomic_store(&cache->now, now);
    unsigned n = atomic_load(&cache->n_tenants);
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < n; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL)
            tenant_tick(tenant, now);
    }
    pthread_mutex_unlock(&cache->registry);
    evict_wake_reaper(cache);
}
