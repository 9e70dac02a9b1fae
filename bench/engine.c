/* engine.c - measures the storage engine without a server.
 *
 *   engine get   [millions]          one at a time and in prefetched batches
 *   engine set   [millions]          new keys while evicting
 *   engine density                   bytes per item at the first eviction, -m 256
 *   engine replay KIB... < trace     miss ratio; records as in the traces' README
 *   engine footprint < trace         bytes of all distinct items */
#include "cache/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW   1000000u
#define BATCH 32

struct bench {
    struct cache *cache;
    struct cache_tenant *tenant;
    struct cache_thread *thread;
    uint32_t now;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bench_open(struct bench *b, size_t memory, bool has_huge_pages)
{
    char error[128];
    struct cache_config config = {.memory = memory,
                                  .item_max = 1 << 20,
                                  .is_evicting = true,
                                  .has_cas = true,
                                  .has_huge_pages = has_huge_pages};
    b->cache = cache_create(&config, error, sizeof error);
    if (b->cache == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(EXIT_FAILURE);
    }
    b->tenant = cache_default_tenant(b->cache);
    b->thread = cache_thread_create(b->cache);
    b->now = NOW;
    cache_thread_online(b->thread);
}

static void bench_close(struct bench *b)
{
    cache_thread_destroy(&b->thread);
    cache_destroy(&b->cache);
}

static void turn(struct bench *b)
{
    cache_thread_offline(b->thread);
    cache_thread_online(b->thread);
}

/* A key of n bytes that is different for each number. */
static struct cache_key make_key(const struct bench *b, uint8_t *text, size_t n, uint64_t number)
{
    for (size_t i = 0; i < n; i++) {
        text[i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    struct cache_key key = {.bytes = slice_of(text, n)};
    key.hash = cache_hash(b->cache, b->tenant, key.bytes);
    return key;
}

static enum cache_result put(struct bench *b, const struct cache_key *key, size_t n_value,
                             uint32_t exptime, uint32_t client_flags)
{
    static uint8_t value[1 << 20];
    struct cache_store store = {
        .exptime = exptime, .client_flags = client_flags, .value = {value, n_value}};
    struct cache_stored stored;
    return cache_store(b->thread, b->tenant, key, b->now, &store, &stored);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- speed ---- */

static void fill(struct bench *b, unsigned n_items)
{
    uint8_t text[20];
    double start = seconds();
    for (unsigned i = 0; i < n_items; i++) {
        struct cache_key key = make_key(b, text, sizeof text, i);
        if (put(b, &key, 100, 0, 0) != CACHE_OK)
            printf("a set failed\n");
        if (i % 64 == 0)
            turn(b);
    }
    printf("set of new keys, growing index: %.0f ns\n", (seconds() - start) * 1e9 / n_items);
}

static void get_batch(struct bench *b, struct cache_key *keys, unsigned n, unsigned *n_hits)
{
    for (unsigned i = 0; i < n; i++)
        cache_prefetch_bucket(b->cache, keys[i].hash);
    for (unsigned i = 0; i < n; i++)
        keys[i].hint = cache_prefetch_item(b->cache, keys[i].hash);
    for (unsigned i = 0; i < n; i++) {
        struct cache_item item;
        *n_hits += cache_get(b->thread, b->tenant, &keys[i], b->now, &item) == CACHE_OK;
    }
}

static void measure_get(struct bench *b, unsigned n_items, bool is_batch)
{
    static uint8_t texts[BATCH][20];
    struct cache_key keys[BATCH];
    uint64_t random = 88172645463325252ull;
    unsigned n = 4000000, n_hits = 0;
    double start = seconds();
    for (unsigned i = 0; i < n; i += BATCH) {
        for (unsigned k = 0; k < BATCH; k++)
            keys[k] = make_key(b, texts[k], 20, next_random(&random) % n_items);
        for (unsigned k = 0; k < BATCH; k += is_batch ? BATCH : 1)
            if (is_batch) {
                get_batch(b, keys, BATCH, &n_hits);
            } else {
                struct cache_item item;
                n_hits += cache_get(b->thread, b->tenant, &keys[k], b->now, &item) == CACHE_OK;
            }
        turn(b);
    }
    printf("get %s: %.0f ns (hits %.3f)\n", is_batch ? "in batches of 32" : "one at a time",
           (seconds() - start) * 1e9 / n, (double)n_hits / n);
}

static void run_get(unsigned millions)
{
    struct bench b;
    bench_open(&b, (size_t)millions * 170 << 20, false);
    fill(&b, millions * 1000000);
    measure_get(&b, millions * 1000000, false);
    measure_get(&b, millions * 1000000, true);
    bench_close(&b);
}

static void run_set(unsigned millions)
{
    struct bench b;
    struct cache_stats stats;
    bench_open(&b, (size_t)256 << 20, false);
    fill(&b, millions * 1000000);
    cache_stats_read(b.cache, NULL, &stats);
    printf("items %lu, evictions %lu, moved %lu\n", (unsigned long)stats.curr_items,
           (unsigned long)stats.evictions, (unsigned long)stats.moved);
    bench_close(&b);
}

/* ---- density ---- */

static size_t rss(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &size, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return resident * 4096;
}

static void run_density(void)
{
    static const size_t rows[][2] = {{16, 8}, {20, 100}, {40, 300}, {60, 1000}};
    static const double memcached[] = {103.8, 201.9, 494.4, 1215};
    for (unsigned row = 0; row < 4; row++) {
        struct bench b;
        struct cache_stats stats;
        uint8_t text[64];
        size_t before = rss();
        bench_open(&b, (size_t)256 << 20, false);
        uint64_t n = 0;
        do {
            for (unsigned i = 0; i < 1000; i++, n++) {
                struct cache_key key = make_key(&b, text, rows[row][0], n);
                (void)!put(&b, &key, rows[row][1], 0, 0);
            }
            turn(&b);
            cache_stats_read(b.cache, NULL, &stats);
        } while (stats.evictions == 0);
        double bytes = (double)(rss() - before) / (double)stats.curr_items;
        printf("%zu/%zu: items %lu, bytes of RSS per item %.1f, memcached %.1f, ratio %.2f; "
               "with 5 MB of process %.2f\n",
               rows[row][0], rows[row][1], (unsigned long)stats.curr_items, bytes, memcached[row],
               memcached[row] / bytes, memcached[row] / (bytes + 5e6 / (double)stats.curr_items));
        bench_close(&b);
    }
}

/* ---- traces ---- */

struct record {
    uint64_t key;
    uint32_t second, ttl, n_value;
    uint8_t n_key, operation, has_flags, zero;
};

static struct record *read_trace(size_t *n_out)
{
    size_t n = 0, room = 1 << 20;
    struct record *records = malloc(room * sizeof *records);
    while (records != NULL && fread(&records[n], sizeof *records, 1, stdin) == 1) {
        if (++n < room)
            continue;
        struct record *grown = realloc(records, (room *= 2) * sizeof *records);
        if (grown == NULL)
            free(records);
        records = grown;
    }
    *n_out = n;
    return records;
}

static struct cache_key trace_key(const struct bench *b, uint8_t *text, const struct record *r)
{
    memset(text, 'k', 250);
    memcpy(text, &r->key, 8);
    struct cache_key key = {.bytes = slice_of(text, r->n_key < 8 ? 8 : r->n_key)};
    key.hash = cache_hash(b->cache, b->tenant, key.bytes);
    return key;
}

static bool replay_one(struct bench *b, const struct record *r)
{
    uint8_t text[250];
    struct cache_item item;
    struct cache_key key = trace_key(b, text, r);
    uint32_t exptime = r->ttl == 0 ? 0 : b->now + r->ttl;
    if (r->operation == 2) {
        struct cache_remove remove = {0};
        (void)!cache_remove(b->thread, b->tenant, &key, b->now, &remove);
        return true;
    }
    bool is_hit =
        r->operation == 1 || cache_get(b->thread, b->tenant, &key, b->now, &item) == CACHE_OK;
    if (r->operation == 1 || !is_hit)
        (void)!put(b, &key, r->n_value, exptime, r->has_flags);
    return is_hit;
}

static double replay(const struct record *records, size_t n, size_t memory)
{
    struct bench b;
    size_t n_gets = 0, n_misses = 0;
    bench_open(&b, memory, false);
    for (size_t i = 0; i < n; i++) {
        b.now = NOW + records[i].second;
        if (i % 64 == 0)
            turn(&b);
        bool is_hit = replay_one(&b, &records[i]);
        n_gets += records[i].operation == 0 || records[i].operation == 3;
        n_misses += !is_hit;
    }
    struct cache_stats stats;
    cache_stats_read(b.cache, NULL, &stats);
    printf("memory %zu KiB: misses %.4f; items %lu evicted %lu reclaimed %lu moved %lu ghost %lu "
           "refused %lu\n",
           memory >> 10, (double)n_misses / (double)n_gets, (unsigned long)stats.curr_items,
           (unsigned long)stats.evictions, (unsigned long)stats.reclaimed,
           (unsigned long)stats.moved, (unsigned long)stats.ghost_hits,
           (unsigned long)stats.no_memory);
    bench_close(&b);
    return (double)n_misses / (double)n_gets;
}

static size_t footprint(const struct record *records, size_t n)
{
    struct bench b;
    struct cache_stats stats;
    bench_open(&b, (size_t)12 << 30, false);
    for (size_t i = 0; i < n; i++) {
        uint8_t text[250];
        struct cache_key key = trace_key(&b, text, &records[i]);
        if (records[i].operation != 2)
            (void)!put(&b, &key, records[i].n_value, 0, records[i].has_flags);
        if (i % 64 == 0)
            turn(&b);
    }
    cache_stats_read(b.cache, NULL, &stats);
    bench_close(&b);
    return stats.bytes;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    unsigned number = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 8;
    size_t n;
    if (strcmp(what, "get") == 0) {
        run_get(number);
    } else if (strcmp(what, "set") == 0) {
        run_set(number);
    } else if (strcmp(what, "density") == 0) {
        run_density();
    } else if (strcmp(what, "replay") == 0) {
        struct record *records = read_trace(&n);
        for (int i = 2; i < argc; i++)
            (void)replay(records, n, strtoul(argv[i], NULL, 10) << 10);
        free(records);
    } else if (strcmp(what, "footprint") == 0) {
        struct record *records = read_trace(&n);
        printf("%zu requests, %zu bytes\n", n, footprint(records, n));
        free(records);
    } else {
        fprintf(stderr, "usage: engine get|set|density|replay KIB...|footprint\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
