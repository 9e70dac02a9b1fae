#include "cache/cache.h"

#include "cache/engine.h"
#include "cache/evict.h"
#include "cache/pool.h"
#include "cache/reaper.h"
#include "cache/restore.h"
#include "cache/tenant.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_MIN        ((size_t)1 << 20)
#define SEGMENT_SHIFT_MIN 14u
#define SEGMENT_SHIFT_MAX 20u
#define SEGMENTS_WANTED   1024u /* in the memory given at the start */
#define SEGMENTS_TENANT   8u    /* of those, at least so many for each tenant expected */
#define GROWTH            8u    /* times the memory that address space is reserved for */
#define UNIT_SHIFT_MIN    2u
#define INDEX_POWER_MIN   10u /* log2 of the slots of the smallest index */
#define ITEM_LEAST        24u /* bytes: bounds the number of buckets that memory can need */
#define BYTES_LOW         ((size_t)1 << 20) /* that may be written while eviction goes on */

/* A tenant with one item holds a segment: many tenants need many segments. */
static unsigned choose_segment_shift(size_t memory, size_t n_tenants)
{
    unsigned shift = SEGMENT_SHIFT_MIN;
    size_t n_wanted = n_tenants * SEGMENTS_TENANT;
    if (n_wanted < SEGMENTS_WANTED)
        n_wanted = SEGMENTS_WANTED;
    while (shift < SEGMENT_SHIFT_MAX && memory >> (shift + 1) >= n_wanted)
        shift++;
    return shift;
}

size_t cache_segment_size(size_t memory, unsigned n_tenants)
{
    return (size_t)1 << choose_segment_shift(memory, n_tenants);
}

static size_t ram_size(void)
{
    long n_pages = sysconf(_SC_PHYS_PAGES), n_page = sysconf(_SC_PAGESIZE);
    return n_pages > 0 && n_page > 0 ? (size_t)n_pages * (size_t)n_page : MEMORY_MIN;
}

/* Room to grow at run time, but not so much that locations need a coarser unit for it. */
static size_t choose_arena(size_t memory)
{
    size_t fine = (size_t)1 << (32 + UNIT_SHIFT_MIN), ram = ram_size();
    size_t n = memory > SIZE_MAX / GROWTH ? memory : memory * GROWTH;
    if (n > ram)
        n = ram;
    if (n > fine && memory <= fine / 2)
        n = fine;
    return n < memory ? memory : n;
}

static uint32_t choose_low(const struct cache *cache, uint32_t n_segments)
{
    uint32_t low = (uint32_t)(BYTES_LOW >> cache->segment_shift) + 2;
    if (low > n_segments / 32)
        low = n_segments / 32;
    return low < 4 ? 4 : low;
}

static size_t choose_n_buckets(const struct cache_config *config, size_t n_before)
{
    unsigned power = config->hash_power;
    unsigned power_max = INDEX_HASH_BITS + 3;
    if (power < INDEX_POWER_MIN)
        power = INDEX_POWER_MIN;
    if (power > power_max)
        power = power_max;
    size_t n = ((size_t)1 << power) / BUCKET_SLOTS;
    while (n * sizeof(struct bucket) > config->memory / 4)
        n /= 2;
    if (n_before > n && n_before <= (size_t)1 << INDEX_HASH_BITS &&
        n_before * sizeof(struct bucket) <= config->memory / 2)
        n = n_before;
    /* A whole number of pages, so that the kernel lets it be written. */
    return (n + 63) & ~(size_t)63;
}

static void set_fields(struct cache *cache, const struct cache_config *config)
{
    atomic_store(&cache->memory, config->memory);
    cache->item_max = config->item_max;
    cache->is_evicting = config->is_evicting;
    cache->has_cas = config->has_cas;
    cache->has_huge_pages = config->has_huge_pages;
    cache->evictions = config->evictions;
    cache->segment_shift = choose_segment_shift(config->memory, config->n_tenants);
    cache->segment_size = (size_t)1 << cache->segment_shift;
    cache->n_low = choose_low(cache, (uint32_t)(config->memory >> cache->segment_shift));
    atomic_store(&cache->epoch, 1);
    atomic_store(&cache->cas, 1);
    hash_key_init(&cache->hash_key, config->hash_seed);
    pthread_mutex_init(&cache->pool.lock, NULL);
    pthread_mutex_init(&cache->registry, NULL);
    reaper_init(cache);
}

static bool init_memory(struct cache *cache, const struct cache_config *config, size_t n_before)
{
    size_t n_arena = choose_arena(config->memory);
    if (!pool_init(cache, n_arena))
        return false;
    cache->unit_shift = UNIT_SHIFT_MIN;
    while (cache->n_arena >> cache->unit_shift > (size_t)UINT32_MAX + 1)
        cache->unit_shift++;
    size_t n_buckets = choose_n_buckets(config, n_before);
    size_t n_max = cache->n_arena / ITEM_LEAST / BUCKET_SLOTS * 2 + n_buckets;
    if (n_max > (size_t)1 << INDEX_HASH_BITS)
        n_max = (size_t)1 << INDEX_HASH_BITS;
    n_max = (n_max + 63) & ~(size_t)63;
    if (!index_init(&cache->index, n_buckets, n_max, cache->has_huge_pages))
        return false;
    pool_update_target(cache);
    cache->epochs = aligned_alloc(64, N_THREADS_MAX * sizeof(struct epoch_slot));
    if (cache->epochs != NULL)
        memset(cache->epochs, 0, N_THREADS_MAX * sizeof(struct epoch_slot));
    return cache->epochs != NULL;
}

static bool init_residents(struct cache *cache)
{
    struct cache_tenant_config config = {.name = "default"};
    cache->default_tenant = cache_tenant_create(cache, &config);
    cache->maintainer = cache_thread_create(cache);
    return cache->default_tenant != NULL && cache->maintainer != NULL;
}

/* Takes over the file, which may be none; n_before is the number of buckets the index had. */
static struct cache *create_empty(const struct cache_config *config, struct arena_file *file,
                                  size_t n_before, char *error, size_t n_error)
{
    struct cache *cache = aligned_alloc(64, (sizeof *cache + 63) & ~(size_t)63);
    if (cache == NULL) {
        snprintf(error, n_error, "out of memory");
        arena_file_close(file);
        return NULL;
    }
    memset(cache, 0, sizeof *cache);
    set_fields(cache, config);
    cache->file = *file;
    snprintf(error, n_error, "cannot get %zu MiB of address space for items", config->memory >> 20);
    if (init_memory(cache, config, n_before) && init_residents(cache))
        return cache;
    cache_destroy(&cache);
    return NULL;
}

/* A cache that could only be restored in part gives its file to an empty one. */
static struct cache *begin_again(struct cache *cache, const struct cache_config *config,
                                 char *error, size_t n_error)
{
    struct arena_file file = cache->file;
    cache->file = (struct arena_file){.path = NULL};
    cache_destroy(&cache);
    return create_empty(config, &file, 0, error, n_error);
}

static struct cache *create_in_file(const struct cache_config *config, char *error, size_t n_error)
{
    struct arena_file file;
    struct restore restore;
    if (!arena_file_open(&file, config->memory_file, error, n_error))
        return NULL;
    restore_take(&restore, &file);
    struct cache *cache = create_empty(config, &file, restore_n_buckets(&restore), error, n_error);
    if (cache != NULL && restore.state != NULL && !restore_apply(&restore, cache, config->now))
        cache = begin_again(cache, config, error, n_error);
    if (cache != NULL && restore.reason != NULL) {
        cache->restored.what = CACHE_REFUSED;
        snprintf(cache->restored.reason, sizeof cache->restored.reason, "%s", restore.reason);
    }
    restore_fini(&restore);
    return cache;
}

struct cache *cache_create(const struct cache_config *config, char *error, size_t n_error)
{
    struct arena_file none = {.path = NULL};
    if (config->memory < MEMORY_MIN) {
        snprintf(error, n_error, "memory for items must be at least 1 MiB");
        return NULL;
    }
    if (config->memory_file != NULL)
        return create_in_file(config, error, n_error);
    return create_empty(config, &none, 0, error, n_error);
}

const struct cache_restored *cache_restored(const struct cache *cache)
{
    return &cache->restored;
}

void cache_destroy(struct cache **cache)
{
    if (*cache == NULL)
        return;
    cache_stop(*cache);
    cache_thread_destroy(&(*cache)->maintainer);
    tenant_fini_all(*cache);
    index_fini(&(*cache)->index);
    pool_fini(*cache);
    arena_file_close(&(*cache)->file);
    free((*cache)->epochs);
    reaper_fini(*cache);
    pthread_mutex_destroy(&(*cache)->pool.lock);
    pthread_mutex_destroy(&(*cache)->registry);
    free(*cache);
    *cache = NULL;
}

bool cache_set_memory(struct cache *cache, size_t memory)
{
    size_t before = atomic_load(&cache->memory);
    if (memory < MEMORY_MIN || memory > cache->n_arena || arena_file_is_open(&cache->file))
        return false;
    atomic_store(&cache->memory, memory);
    if (!pool_commit(cache)) {
        atomic_store(&cache->memory, before);
        return false;
    }
    pool_update_target(cache);
    evict_wake_reaper(cache);
    return true;
}
