#include "cache/engine.h"

void cache_thread_online(struct cache_thread *thread)
{
    if (atomic_load_explicit(&thread->slot->epoch, memory_order_relaxed) != 0)
        return;
    thread_refresh(thread);
}

void thread_refresh(struct cache_thread *thread)
{
    uint64_t epoch = atomic_load(&thread->cache->epoch);
    /* A full barrier: what is read from here on is read after others can see the epoch. */
    (void)atomic_exchange(&thread->slot->epoch, epoch);
    thread->has_views = false;
}

void cache_thread_offline(struct cache_thread *thread)
{
    thread->has_views = false;
    atomic_store_explicit(&thread->slot->epoch, 0, memory_order_release);
}

void cache_thread_forget(struct cache_thread *thread)
{
    thread->has_views = false;
}

uint64_t epoch_retire(struct cache *cache)
{
    return atomic_fetch_add(&cache->epoch, 1);
}

uint64_t epoch_oldest(const struct cache *cache)
{
    uint64_t oldest = UINT64_MAX;
    unsigned n = atomic_load(&cache->n_slots);
    for (unsigned i = 0; i < n; i++) {
        uint64_t epoch = atomic_load(&cache->epochs[i].epoch);
        if (epoch != 0 && epoch < oldest)
            oldest = epoch;
    }
    return oldest;
}
