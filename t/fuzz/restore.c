/* Edits of a memory file and of the state beside it, with or without right checksums: what is
 * restored can be read, walked, overwritten and evicted; what is refused leaves an empty cache. */
#include "cache/saved.h"
#include "t/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY    ((size_t)1 << 20)
#define NOW       1000000u
#define STATE_MAX 8192
#define EDIT_SIZE 6 /* where: 1 bit for the file, 31 for the place; a byte; how */

static char folder[] = "/tmp/keepd-fuzz-XXXXXX";
static char path[64], state_path[80];
static uint8_t state[STATE_MAX] __attribute__((aligned(16)));
static size_t n_state;
static uint8_t *arena;
static struct saved_head head;

static struct cache *open_cache(void)
{
    char error[256];
    struct cache_config config = {.memory = MEMORY,
                                  .item_max = 1 << 20,
                                  .is_evicting = true,
                                  .has_cas = true,
                                  .hash_seed = 7,
                                  .memory_file = path,
                                  .now = NOW};
    struct cache *cache = cache_create(&config, error, sizeof error);
    HOLDS(cache != NULL);
    return cache;
}

static void store(struct cache_thread *thread, struct cache_tenant *tenant, const char *prefix,
                  unsigned number, size_t n_value, uint32_t exptime)
{
    static uint8_t value[65536];
    char text[32];
    struct cache_stored stored;
    struct cache_store store = {
        .mode = CACHE_SET, .exptime = exptime, .value = slice_of(value, n_value)};
    snprintf(text, sizeof text, "%s%u", prefix, number);
    struct cache_key key = {.bytes = slice_str(text),
                            .hash = cache_hash(thread->cache, tenant, slice_str(text))};
    HOLDS(cache_store(thread, tenant, &key, NOW, &store, &stored) == CACHE_OK);
}

static void fill(struct cache *cache)
{
    struct cache_tenant_config config = {.name = "red"};
    struct cache_tenant *red = cache_tenant_create(cache, &config);
    struct cache_thread *thread = cache_thread_create(cache);
    HOLDS(red != NULL && thread != NULL);
    cache_thread_online(thread);
    for (unsigned i = 0; i < 200; i++)
        store(thread, i % 2 ? red : cache_default_tenant(cache), "k", i % 150, 10 + i * 7 % 900,
              i % 3 ? CACHE_NEVER : NOW + i);
    store(thread, red, "large", 0, 40000, CACHE_NEVER);
    cache_thread_destroy(&thread);
}

static uint8_t *read_file(const char *name, size_t at, size_t n)
{
    uint8_t *p = malloc(n);
    int fd = open(name, O_RDONLY);
    HOLDS(p != NULL && fd >= 0 && pread(fd, p, n, (off_t)at) == (ssize_t)n);
    close(fd);
    return p;
}

static void write_file(const char *name, size_t at, const uint8_t *p, size_t n)
{
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    HOLDS(fd >= 0 && pwrite(fd, p, n, (off_t)at) == (ssize_t)n);
    close(fd);
}

static void clean_up(void)
{
    (void)unlink(state_path);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void make_original(void)
{
    char error[256];
    struct stat status;
    HOLDS(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/memory", folder);
    snprintf(state_path, sizeof state_path, "%s.meta", path);
    atexit(clean_up);
    struct cache *cache = open_cache();
    fill(cache);
    HOLDS(cache_save(cache, NOW, NOW, NOW, error, sizeof error));
    cache_destroy(&cache);
    HOLDS(stat(state_path, &status) == 0 && status.st_size <= STATE_MAX);
    n_state = (size_t)status.st_size;
    uint8_t *p = read_file(state_path, 0, n_state);
    memcpy(state, p, n_state);
    memcpy(&head, p, sizeof head);
    free(p);
    arena = read_file(path, ARENA_FILE_HEAD, MEMORY);
}

/* ---- one input ---- */

static uint8_t combine(uint8_t old, uint8_t byte, uint8_t how)
{
    return how & 1 ? byte : (uint8_t)(old ^ byte);
}

static void edit(uint8_t *bytes, uint8_t *items, const uint8_t *p)
{
    uint32_t where;
    memcpy(&where, p, sizeof where);
    size_t at = where & ~(uint32_t)1;
    if (where & 1) {
        at = p[5] & 2 ? at % 8192 : at % MEMORY; /* mostly where items are */
        items[at] = combine(items[at], p[4], p[5]);
    } else {
        at = (at >> 1) % n_state;
        bytes[at] = combine(bytes[at], p[4], p[5]);
    }
}

/* Sums that fit what is there now, so that the checks behind them are reached. */
static void mend(uint8_t *bytes, const uint8_t *items)
{
    struct saved_head *h = (struct saved_head *)(void *)bytes;
    struct saved_segment *segments =
        (struct saved_segment *)(void *)(bytes + saved_n_bytes(head.n_tenants, 0));
    memcpy(h->mark, head.mark, sizeof head.mark);
    for (uint32_t i = 0; i < head.n_segments; i++) {
        size_t at = (size_t)segments[i].number * head.segment_size;
        if (at < MEMORY && segments[i].n_bytes <= MEMORY - at)
            segments[i].checksum = hash_checksum(slice_of(items + at, segments[i].n_bytes));
    }
    h->checksum = saved_checksum(slice_of(bytes, n_state));
}

static void visit(void *arg, struct slice key, const struct cache_item *item)
{
    (void)arg;
    HOLDS(key.n >= 1 && key.n <= CACHE_KEY_MAX && item->size > 0);
}

static void use(struct cache *cache)
{
    struct cache_tenant_config config = {.name = "red"};
    struct cache_tenant *tenants[] = {cache_default_tenant(cache),
                                      cache_tenant_create(cache, &config)};
    struct cache_thread *thread = cache_thread_create(cache);
    cache_forget_unclaimed(cache);
    HOLDS(thread != NULL && tenants[1] != NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct cache_cursor cursor = {0};
        cache_thread_online(thread);
        while (cache_walk(thread, tenants[i], &cursor, 100, NOW, visit, NULL))
            ;
        cache_thread_offline(thread);
    }
    for (unsigned i = 0; i < 1500; i++) { /* more than there is room for */
        cache_thread_online(thread);
        store(thread, tenants[i % 2], "k", i, 800, CACHE_NEVER);
        cache_thread_offline(thread);
    }
    cache_maintain(cache, NOW + 1);
    cache_thread_destroy(&thread);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t bytes[STATE_MAX] __attribute__((aligned(16)));
    static uint8_t items[MEMORY];
    if (arena == NULL)
        make_original();
    memcpy(bytes, state, n_state);
    memcpy(items, arena, MEMORY);
    for (size_t at = 1; at + EDIT_SIZE <= n; at += EDIT_SIZE)
        edit(bytes, items, data + at);
    if (n > 0 && data[0] & 1)
        mend(bytes, items);
    size_t n_written = n > 1 && data[0] & 2 ? data[1] * n_state / 256 : n_state;
    (void)unlink(state_path);
    write_file(path, 16, head.mark, sizeof head.mark);
    write_file(path, ARENA_FILE_HEAD, items, MEMORY);
    write_file(state_path, 0, bytes, n_written);
    struct cache *cache = open_cache();
    HOLDS(cache_restored(cache)->what != CACHE_NEW || n_written == 0);
    HOLDS(n > EDIT_SIZE || cache_restored(cache)->what == CACHE_RESTORED || n_written < n_state);
    use(cache);
    cache_destroy(&cache);
    return 0;
}
