#include "cache/tenant.h"

#include "cache/pool.h"

#include <stdlib.h>

#define GENERATION_MASK (((uint64_t)1 << 48) - 1)
#define GHOST_BYTES     64u /* the least mean item size that the ghost's address space is for */

/* ---- counters ---- */

/* All counters are int64_t words, so that sums need no list of names. */
#define N_COUNTERS (sizeof(struct counters) / sizeof(_Atomic int64_t))

static void add_counters(struct counters *to, const struct counters *from)
{
    _Atomic int64_t *sum = (_Atomic int64_t *)to;
    const _Atomic int64_t *n = (const _Atomic int64_t *)from;
    for (size_t i = 0; i < N_COUNTERS; i++)
        counter_add(&sum[i], atomic_load_explicit(&n[i], memory_order_relaxed));
}

/* With the registry's lock. */
static bool give_counters(struct cache_thread *thread, struct cache_tenant *tenant)
{
    struct counters *counters = calloc(1, sizeof *counters);
    if (counters == NULL)
        return false;
    atomic_store_explicit(&thread->counters[tenant->id], counters, memory_order_release);
    return true;
}

static void take_counters(struct cache_thread *thread, struct cache_tenant *tenant)
{
    struct counters *counters = thread_counters(thread, tenant);
    if (counters == NULL)
        return;
    add_counters(&tenant->former, counters);
    atomic_store(&thread->counters[tenant->id], NULL);
    free(counters);
}

/* ---- threads ---- */

static bool equip_thread(struct cache *cache, struct cache_thread *thread)
{
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL && !give_counters(thread, tenant))
            return false;
    }
    return true;
}

static void strip_thread(struct cache *cache, struct cache_thread *thread)
{
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL)
            take_counters(thread, tenant);
    }
    for (struct cache_tenant *left = cache->leaving; left != NULL; left = left->next_leaving)
        take_counters(thread, left);
}

static bool enlist(struct cache *cache, struct cache_thread *thread)
{
    unsigned number = 0;
    while (number < N_THREADS_MAX && cache->threads[number] != NULL)
        number++;
    if (number == N_THREADS_MAX || !equip_thread(cache, thread))
        return false;
    thread->number = number;
    thread->slot = &cache->epochs[number];
    cache->threads[number] = thread;
    if (number >= atomic_load(&cache->n_slots))
        atomic_store(&cache->n_slots, number + 1);
    return true;
}

struct cache_thread *cache_thread_create(struct cache *cache)
{
    struct cache_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL)
        return NULL;
    thread->cache = cache;
    pthread_mutex_lock(&cache->registry);
    bool is_done = enlist(cache, thread);
    if (!is_done)
        strip_thread(cache, thread);
    pthread_mutex_unlock(&cache->registry);
    if (is_done)
        return thread;
    free(thread);
    return NULL;
}

void cache_thread_destroy(struct cache_thread **thread)
{
    if (*thread == NULL)
        return;
    struct cache *cache = (*thread)->cache;
    cache_thread_offline(*thread);
    atomic_fetch_add(&cache->index.n_items, (*thread)->index_delta);
    pthread_mutex_lock(&cache->registry);
    strip_thread(cache, *thread);
    cache->threads[(*thread)->number] = NULL;
    pthread_mutex_unlock(&cache->registry);
    free(*thread);
    *thread = NULL;
}

/* ---- tenants ---- */

static void set_bounds(struct cache_tenant *tenant, const struct cache_tenant_config *config)
{
    size_t limit = config->limit == 0 ? SIZE_MAX : config->limit;
    size_t below = tenant->cache->segment_size - 1; /* bytes missing in the last segment, at most */
    atomic_store(&tenant->guarantee, config->guarantee > SIZE_MAX - below
                                         ? SIZE_MAX
                                         : (config->guarantee + below) & ~below);
    atomic_store(&tenant->limit, limit);
    atomic_store(&tenant->item_max,
                 config->item_max == 0 ? tenant->cache->item_max : config->item_max);
}

void cache_tenant_configure(struct cache_tenant *tenant, const struct cache_tenant_config *config)
{
    set_bounds(tenant, config);
}

static void init_queues(struct cache_tenant *tenant)
{
    for (unsigned queue = 0; queue < N_QUEUES; queue++)
        for (unsigned group = 0; group < N_GROUPS; group++) {
            atomic_store(&tenant->open[queue][group], SEGMENT_NONE);
            tenant->queues[queue][group] = (struct segment_queue){SEGMENT_NONE, SEGMENT_NONE, 0};
        }
    atomic_store(&tenant->open_upload, SEGMENT_NONE);
}

static bool equip_tenant(struct cache *cache, struct cache_tenant *tenant)
{
    for (unsigned i = 0; i < N_THREADS_MAX; i++)
        if (cache->threads[i] != NULL && !give_counters(cache->threads[i], tenant))
            return false;
    return true;
}

static void strip_tenant(struct cache *cache, struct cache_tenant *tenant)
{
    for (unsigned i = 0; i < N_THREADS_MAX; i++)
        if (cache->threads[i] != NULL)
            take_counters(cache->threads[i], tenant);
}

static void free_tenant(struct cache_tenant *tenant)
{
    atomic_fetch_sub(&tenant->cache->n_ghost_bytes, ghost_n_bytes(&tenant->ghost));
    ghost_fini(&tenant->ghost);
    pthread_mutex_destroy(&tenant->lock);
    free(tenant->name);
    free(tenant);
}

/* With the registry's lock. */
static bool is_id_taken(const struct cache *cache, unsigned id)
{
    const struct cache_tenant *leaving = cache->leaving;
    while (leaving != NULL && leaving->id != id)
        leaving = leaving->next_leaving;
    return leaving != NULL || atomic_load(&cache->tenants[id]) != NULL;
}

/* With the registry's lock. */
static bool register_tenant(struct cache *cache, struct cache_tenant *tenant)
{
    unsigned id = 0;
    while (id < N_TENANTS_MAX && is_id_taken(cache, id))
        id++;
    if (id == N_TENANTS_MAX)
        return false;
    tenant->id = (uint16_t)id;
    tenant->salt = ++cache->next_salt;
    /* The generation begins where no former owner of the id can have been. */
    atomic_store(&tenant->word, (uint64_t)id << 48 | (tenant->salt << 24 & GENERATION_MASK));
    if (!equip_tenant(cache, tenant)) {
        strip_tenant(cache, tenant);
        return false;
    }
    if (id >= atomic_load(&cache->n_tenants))
        atomic_store(&cache->n_tenants, id + 1);
    atomic_store(&cache->tenants[id], tenant);
    return true;
}

/* One that came back from the memory file, or NULL. */
static struct cache_tenant *claim(struct cache *cache, const char *name)
{
    struct cache_tenant *found = NULL;
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < N_TENANTS_MAX && found == NULL; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant == NULL || !tenant->is_unclaimed || strcmp(tenant->name, name) != 0)
            continue;
        tenant->is_unclaimed = false;
        found = tenant;
    }
    pthread_mutex_unlock(&cache->registry);
    return found;
}

void cache_forget_unclaimed(struct cache *cache)
{
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant == NULL || !tenant->is_unclaimed)
            continue;
        tenant->is_unclaimed = false;
        cache_tenant_destroy(&tenant);
    }
}

struct cache_tenant *cache_tenant_create(struct cache *cache,
                                         const struct cache_tenant_config *config)
{
    struct cache_tenant *tenant = claim(cache, config->name);
    if (tenant != NULL) {
        set_bounds(tenant, config);
        return tenant;
    }
    tenant = calloc(1, sizeof *tenant);
    if (tenant == NULL)
        return NULL;
    tenant->cache = cache;
    tenant->name = strdup(config->name);
    pthread_mutex_init(&tenant->lock, NULL);
    init_queues(tenant);
    set_bounds(tenant, config);
    ghost_init(&tenant->ghost, cache->n_arena / GHOST_BYTES);
    pthread_mutex_lock(&cache->registry);
    bool is_done = tenant->name != NULL && register_tenant(cache, tenant);
    pthread_mutex_unlock(&cache->registry);
    if (is_done)
        return tenant;
    free_tenant(tenant);
    return NULL;
}

void cache_tenant_destroy(struct cache_tenant **tenant)
{
    if (*tenant == NULL)
        return;
    cache_flush(*tenant, 0);
    atomic_store(&(*tenant)->died, epoch_retire((*tenant)->cache));
    atomic_store(&(*tenant)->is_dying, true);
    *tenant = NULL;
}

struct cache_tenant *cache_default_tenant(struct cache *cache)
{
    return cache->default_tenant;
}

/* ---- flush ---- */

static void flush_now(struct cache_tenant *tenant)
{
    uint64_t word = atomic_load(&tenant->word), next;
    do {
        next = (word & ~GENERATION_MASK) | ((word + 1) & GENERATION_MASK);
    } while (!atomic_compare_exchange_weak(&tenant->word, &word, next));
}

void cache_flush(struct cache_tenant *tenant, uint32_t at)
{
    atomic_store(&tenant->flush_at, at);
    if (at == 0)
        flush_now(tenant);
}

void tenant_tick(struct cache_tenant *tenant, uint32_t now)
{
    uint32_t at = atomic_load(&tenant->flush_at);
    if (at != 0 && at <= now && atomic_compare_exchange_strong(&tenant->flush_at, &at, 0))
        flush_now(tenant);
}

/* ---- the end of tenants ---- */

static bool holds_nothing(struct cache_tenant *tenant)
{
    return atomic_load(&tenant->is_dying) && atomic_load(&tenant->n_held) == 0 &&
           atomic_load(&tenant->n_emptying) == 0 && atomic_load(&tenant->n_pinned) == 0 &&
           atomic_load(&tenant->n_uploads) == 0 && pool_n_limbo(tenant->cache) == 0 &&
           atomic_load(&tenant->died) < epoch_oldest(tenant->cache);
}

/* No thread can find it from here on; one that looks for somebody to evict from may have. */
static void unlink_tenant(struct cache *cache, struct cache_tenant *tenant)
{
    atomic_store(&cache->tenants[tenant->id], NULL);
    atomic_store(&tenant->died, epoch_retire(cache));
    tenant->next_leaving = cache->leaving;
    cache->leaving = tenant;
}

static void free_unseen(struct cache *cache)
{
    struct cache_tenant **link = &cache->leaving;
    while (*link != NULL) {
        struct cache_tenant *tenant = *link;
        if (atomic_load(&tenant->died) >= epoch_oldest(cache)) {
            link = &tenant->next_leaving;
            continue;
        }
        *link = tenant->next_leaving;
        strip_tenant(cache, tenant);
        free_tenant(tenant);
    }
}

void tenant_bury(struct cache *cache)
{
    pthread_mutex_lock(&cache->registry);
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL && holds_nothing(tenant))
            unlink_tenant(cache, tenant);
    }
    free_unseen(cache);
    pthread_mutex_unlock(&cache->registry);
}

void tenant_fini_all(struct cache *cache)
{
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL)
            free_tenant(tenant);
        atomic_store(&cache->tenants[i], NULL);
    }
    while (cache->leaving != NULL) {
        struct cache_tenant *tenant = cache->leaving;
        cache->leaving = tenant->next_leaving;
        free_tenant(tenant);
    }
}
