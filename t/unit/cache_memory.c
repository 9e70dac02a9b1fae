/* What happens when memory is short: eviction, its absence (-M), limits, tenants, uploads that
 * stall. */
#include "cache/engine.h"
#include "t/unit/cache_frame.h"

static struct frame f;

static enum cache_result put(struct cache_tenant *tenant, unsigned number, size_t n_value)
{
    static uint8_t value[1 << 20];
    char text[32];
    snprintf(text, sizeof text, "key-%u", number);
    struct cache_key k = {.bytes = slice_str(text)};
    k.hash = cache_hash(f.cache, tenant, k.bytes);
    struct cache_store store = {.value = {value, n_value}};
    struct cache_stored stored;
    frame_turn(&f);
    return cache_store(f.thread, tenant, &k, f.now, &store, &stored);
}

static bool has(struct cache_tenant *tenant, unsigned number)
{
    char text[32];
    struct cache_item item;
    snprintf(text, sizeof text, "key-%u", number);
    struct cache_key k = {.bytes = slice_str(text)};
    k.hash = cache_hash(f.cache, tenant, k.bytes);
    frame_turn(&f);
    return cache_get(f.thread, tenant, &k, f.now, &item) == CACHE_OK;
}

static unsigned count(struct cache_tenant *tenant, unsigned n)
{
    unsigned n_there = 0;
    for (unsigned i = 0; i < n; i++)
        n_there += has(tenant, i);
    return n_there;
}

static struct cache_stats stats_of(struct cache_tenant *tenant)
{
    struct cache_stats stats;
    cache_stats_read(f.cache, tenant, &stats);
    return stats;
}

static void open_with(size_t memory, bool is_evicting)
{
    struct cache_config config = frame_config(memory);
    config.is_evicting = is_evicting;
    frame_open(&f, &config);
}

/* An index of more than a huge page, whose small pages are joined while its items are in use. */
START_TEST(joined_pages_keep_their_entries)
{
    struct cache_config config = frame_config(128 << 20);
    const unsigned n = 400000;
    config.has_huge_pages = true;
    frame_open(&f, &config);
    ck_assert_uint_eq((uintptr_t)f.cache->index.buckets % (2 << 20), 0);
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(put(f.tenant, i, 10), CACHE_OK);
    ck_assert_uint_eq(f.cache->index.n_joined, 0);
    cache_maintain(f.cache, f.now);
    ck_assert_uint_eq(f.cache->index.n_joined, 2 << 20);
    ck_assert_uint_eq(count(f.tenant, n), n);
    frame_close(&f);
}
END_TEST

/* Ten times the memory within one turn: progress, never a refusal, as nothing was read in it. */
START_TEST(flood_in_one_turn)
{
    static uint8_t value[1000];
    open_with(8 << 20, true);
    for (unsigned i = 0; i < 80000; i++) {
        char text[32];
        snprintf(text, sizeof text, "key-%u", i);
        struct cache_key k = frame_key(&f, text);
        struct cache_store store = {.value = {value, sizeof value}};
        struct cache_stored stored;
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    }
    ck_assert_uint_gt(stats_of(NULL).evictions, 60000);
    ck_assert_uint_gt(stats_of(NULL).curr_items, 6500);
    frame_close(&f);
}
END_TEST

/* A turn that reads and stores ten times the memory gets room if it lets go of what it read. */
START_TEST(what_was_forgotten_holds_nothing_back)
{
    static uint8_t value[300000];
    struct cache_item item;
    open_with(8 << 20, true);
    for (unsigned i = 0; i < 3000; i++) {
        char text[32];
        snprintf(text, sizeof text, "key-%u", i);
        struct cache_key k = frame_key(&f, text);
        struct cache_store store = {.value = {value, i % 7 == 0 ? sizeof value : i * 37 % 5000}};
        struct cache_stored stored;
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
        ck_assert_int_eq(cache_get(f.thread, f.tenant, &k, NOW, &item), CACHE_OK);
        cache_thread_forget(f.thread);
    }
    frame_close(&f);
}
END_TEST

/* Clients that do not read hold their share; stores neither wait for them nor are refused. */
START_TEST(pins_do_not_starve_stores)
{
    enum { N_PINS = 64 };
    struct cache_item items[N_PINS];
    unsigned n_pinned = 0;
    open_with(8 << 20, true);
    for (unsigned i = 0; i < N_PINS; i++) {
        char text[32];
        ck_assert_int_eq(put(f.tenant, i, 20000), CACHE_OK);
        snprintf(text, sizeof text, "key-%u", i);
        struct cache_key k = frame_key(&f, text);
        ck_assert_int_eq(cache_get(f.thread, f.tenant, &k, NOW, &items[n_pinned]), CACHE_OK);
        n_pinned += cache_pin(f.thread, &items[n_pinned]);
    }
    ck_assert_uint_gt(n_pinned, 10);
    for (unsigned i = 0; i < 3000; i++)
        ck_assert_int_eq(put(f.tenant, 1000 + i, i % 9 == 0 ? 200000 : 5000), CACHE_OK);
    for (unsigned i = 0; i < n_pinned; i++)
        cache_unpin(f.thread, items[i].handle, items[i].n_value);
    frame_close(&f);
}
END_TEST

/* What is read stays, what is not leaves: a scan does not wash the cache out. */
START_TEST(hot_items_survive_a_scan)
{
    open_with(8 << 20, true);
    for (unsigned i = 0; i < 2000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    for (unsigned round = 0; round < 3; round++)
        ck_assert_uint_eq(count(f.tenant, 2000), 2000);
    for (unsigned i = 0; i < 40000; i++)
        ck_assert_int_eq(put(f.tenant, 100000 + i, 500), CACHE_OK);
    ck_assert_uint_gt(count(f.tenant, 2000), 1900);
    frame_close(&f);
}
END_TEST

START_TEST(expired_goes_before_live)
{
    open_with(8 << 20, true);
    f.now = NOW;
    for (unsigned i = 0; i < 5000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    for (unsigned i = 0; i < 9000; i++) {
        char text[32];
        snprintf(text, sizeof text, "short-%u", i);
        frame_turn(&f);
        ck_assert_int_eq(frame_set_until(&f, text, "................................", NOW + 5),
                         CACHE_OK);
    }
    cache_thread_offline(f.thread);
    cache_tick(f.cache, f.now = NOW + 60);
    for (unsigned i = 0; i < 20; i++)
        cache_maintain(f.cache, f.now);
    cache_thread_online(f.thread);
    ck_assert_uint_eq(stats_of(NULL).evictions, 0);
    ck_assert_uint_lt(stats_of(NULL).curr_items, 5000 + 4000);
    ck_assert_uint_eq(count(f.tenant, 5000), 5000);
    frame_close(&f);
}
END_TEST

START_TEST(without_eviction_nothing_is_lost)
{
    unsigned n = 0;
    open_with(4 << 20, false);
    while (put(f.tenant, n, 300) == CACHE_OK)
        n++;
    ck_assert_uint_gt(n, 9000);
    ck_assert_uint_eq(count(f.tenant, n), n);
    ck_assert_uint_eq(stats_of(NULL).evictions, 0);
    ck_assert_uint_gt(stats_of(NULL).no_memory, 0);
    for (unsigned i = 0; i < n; i += 3) {
        char text[32];
        snprintf(text, sizeof text, "key-%u", i);
        ck_assert_int_eq(frame_remove(&f, text), CACHE_OK);
    }
    for (unsigned i = 0; i < n / 5; i++)
        ck_assert_int_eq(put(f.tenant, 1000000 + i, 300), CACHE_OK);
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(has(f.tenant, i), i % 3 != 0);
    frame_close(&f);
}
END_TEST

/* Large values that are set again use the memory of those before them, rather than all there is. */
START_TEST(large_values_take_what_was_used)
{
    enum { N_KEYS = 800, N_SETS = 40000, N_VALUE = 5000 };
    static uint8_t value[N_VALUE];
    uint64_t random = 88172645463325252ull;
    open_with(64 << 20, true);
    for (unsigned i = 0; i < N_SETS; i++) {
        char text[32];
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        unsigned key = i < N_KEYS ? i : (unsigned)(random >> 33) % N_KEYS;
        snprintf(text, sizeof text, "key-%u", key);
        memcpy(value, &key, sizeof key);
        struct cache_key k = frame_key(&f, text);
        struct cache_store store = {.value = {value, N_VALUE}};
        struct cache_stored stored;
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    }
    for (unsigned key = 0; key < N_KEYS; key++) {
        char text[32];
        struct cache_item item;
        snprintf(text, sizeof text, "key-%u", key);
        ck_assert_int_eq(frame_get(&f, text, &item), CACHE_OK);
        ck_assert_mem_eq(item.value, &key, sizeof key);
    }
    uint64_t n_live = stats_of(NULL).bytes / cache_segment_size(64 << 20, 0);
    ck_assert_uint_eq(stats_of(NULL).evictions, 0);
    ck_assert_uint_eq(stats_of(NULL).curr_items, N_KEYS);
    ck_assert_uint_lt(stats_of(NULL).segments_held, 3 * n_live);
    frame_close(&f);
}
END_TEST

START_TEST(limit_goes_down_and_up)
{
    open_with(16 << 20, true);
    for (unsigned i = 0; i < 40000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    uint64_t n_full = stats_of(NULL).curr_items;
    ck_assert(cache_set_memory(f.cache, 4 << 20));
    cache_thread_offline(f.thread);
    for (unsigned i = 0; i < 20; i++)
        cache_maintain(f.cache, NOW);
    cache_thread_online(f.thread);
    ck_assert_uint_le(stats_of(NULL).bytes_arena, 4 << 20);
    ck_assert_uint_lt(stats_of(NULL).curr_items, n_full / 3);
    ck_assert(cache_set_memory(f.cache, 64 << 20));
    for (unsigned i = 0; i < 120000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    ck_assert_uint_gt(stats_of(NULL).curr_items, 3 * n_full);
    ck_assert(!cache_set_memory(f.cache, 1000));
    ck_assert(!cache_set_memory(f.cache, SIZE_MAX));
    frame_close(&f);
}
END_TEST

/* ---- tenants ---- */

static struct cache_tenant *tenant(const char *name, size_t guarantee, size_t limit)
{
    struct cache_tenant_config config = {.name = name, .guarantee = guarantee, .limit = limit};
    struct cache_tenant *made = cache_tenant_create(f.cache, &config);
    ck_assert(made != NULL);
    return made;
}

START_TEST(tenants_do_not_see_each_other)
{
    open_with(8 << 20, true);
    struct cache_tenant *a = tenant("a", 0, 0), *b = tenant("b", 0, 0);
    ck_assert_int_eq(put(a, 1, 10), CACHE_OK);
    ck_assert(has(a, 1) && !has(b, 1) && !has(f.tenant, 1));
    ck_assert_int_eq(put(b, 1, 20), CACHE_OK);
    cache_flush(a, 0);
    ck_assert(!has(a, 1) && has(b, 1));
    ck_assert_uint_eq(stats_of(b).curr_items, 1);
    frame_close(&f);
}
END_TEST

START_TEST(guarantee_is_kept)
{
    open_with(16 << 20, true);
    struct cache_tenant *small = tenant("small", 4 << 20, 0), *greedy = tenant("greedy", 0, 0);
    for (unsigned i = 0; i < 5000; i++)
        ck_assert_int_eq(put(small, i, 500), CACHE_OK);
    for (unsigned i = 0; i < 100000; i++)
        ck_assert_int_eq(put(greedy, i, 500), CACHE_OK);
    ck_assert_uint_eq(count(small, 5000), 5000);
    ck_assert_uint_eq(stats_of(small).evictions, 0);
    ck_assert_uint_gt(stats_of(greedy).curr_items, 15000);
    frame_close(&f);
}
END_TEST

START_TEST(borrowed_memory_is_given_back)
{
    open_with(16 << 20, true);
    struct cache_tenant *first = tenant("first", 2 << 20, 0), *owner = tenant("owner", 8 << 20, 0);
    for (unsigned i = 0; i < 40000; i++)
        ck_assert_int_eq(put(first, i, 500), CACHE_OK);
    ck_assert_uint_gt(stats_of(first).segments_held, stats_of(NULL).segments_total * 8 / 10);
    for (unsigned i = 0; i < 12000; i++)
        ck_assert_int_eq(put(owner, i, 500), CACHE_OK);
    ck_assert_uint_gt(count(owner, 12000), 11900);
    frame_close(&f);
}
END_TEST

START_TEST(limit_is_kept)
{
    open_with(16 << 20, true);
    struct cache_tenant *a = tenant("a", 0, 4 << 20);
    ck_assert_int_eq(put(f.tenant, 1, 500), CACHE_OK);
    for (unsigned i = 0; i < 40000; i++)
        ck_assert_int_eq(put(a, i, 500), CACHE_OK);
    struct cache_stats stats = stats_of(a);
    ck_assert_uint_le(stats.segments_held << 14, (4 << 20) + (4 << 14));
    ck_assert_uint_gt(stats.curr_items, 6000);
    ck_assert(has(f.tenant, 1));
    frame_close(&f);
}
END_TEST

START_TEST(tenant_is_buried)
{
    open_with(8 << 20, true);
    uint64_t n_free = stats_of(NULL).segments_free;
    for (unsigned round = 0; round < 20; round++) {
        struct cache_tenant *a = tenant("a", 1 << 20, 0);
        for (unsigned i = 0; i < 3000; i++)
            ck_assert_int_eq(put(a, i, 500), CACHE_OK);
        ck_assert(!has(a, 5000));
        cache_tenant_destroy(&a);
        ck_assert(a == NULL);
        cache_thread_offline(f.thread);
        for (unsigned i = 0; i < 6; i++)
            cache_maintain(f.cache, NOW);
        cache_thread_online(f.thread);
    }
    ck_assert_uint_ge(stats_of(NULL).segments_free + 2, n_free);
    ck_assert_uint_eq(stats_of(NULL).curr_items, 0);
    frame_close(&f);
}
END_TEST

/* A thread that was online before may have found it, and use it still. */
START_TEST(buried_tenant_stays_while_a_thread_may_look)
{
    open_with(8 << 20, true);
    struct cache_thread *other = cache_thread_create(f.cache);
    struct cache_tenant *a = tenant("a", 0, 0), *seen = a;
    uint16_t id = a->id;
    cache_tenant_destroy(&a);
    cache_thread_offline(f.thread);
    cache_thread_online(other);
    cache_maintain(f.cache, NOW);
    ck_assert_ptr_eq(f.cache->leaving, seen);
    ck_assert_ptr_null(atomic_load(&f.cache->tenants[id]));
    struct cache_tenant *b = tenant("b", 0, 0);
    ck_assert_uint_ne(b->id, id);
    cache_thread_offline(other);
    cache_maintain(f.cache, NOW);
    ck_assert_ptr_null(f.cache->leaving);
    ck_assert_uint_eq(tenant("c", 0, 0)->id, id);
    cache_thread_destroy(&other);
    cache_thread_online(f.thread);
    frame_close(&f);
}
END_TEST

/* ---- uploads that stall ---- */

START_TEST(stalled_uploads_do_not_starve_others)
{
    struct cache_upload *uploads[200];
    unsigned n_refused = 0;
    open_with(64 << 20, true);
    for (unsigned i = 0; i < 200; i++) {
        char text[32];
        uint8_t *p;
        size_t n;
        snprintf(text, sizeof text, "up-%u", i);
        struct cache_key k = frame_key(&f, text);
        ck_assert_int_eq(
            cache_upload_create(f.thread, f.tenant, &k, i % 2 ? 1000000 : 20000, 0, &uploads[i]),
            CACHE_OK);
        n_refused += cache_upload_space(f.thread, uploads[i], &p, &n) != CACHE_OK;
    }
    ck_assert_uint_eq(n_refused, 0);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_int_eq(put(f.tenant, i, 900000), CACHE_OK);
        ck_assert_int_eq(put(f.tenant, 10000 + i, 100), CACHE_OK);
    }
    ck_assert(has(f.tenant, 999));
    for (unsigned i = 0; i < 200; i++)
        cache_upload_abort(f.thread, &uploads[i]);
    frame_close(&f);
}
END_TEST

START_TEST(sizes_may_shift)
{
    open_with(32 << 20, true);
    for (unsigned i = 0; i < 600000; i++)
        ck_assert_int_eq(put(f.tenant, i, 60), CACHE_OK);
    for (unsigned i = 0; i < 400; i++)
        ck_assert_int_eq(put(f.tenant, 1000000 + i, 300000), CACHE_OK);
    ck_assert(has(f.tenant, 1000399) && has(f.tenant, 1000395));
    for (unsigned i = 0; i < 200000; i++)
        ck_assert_int_eq(put(f.tenant, i, 60), CACHE_OK);
    ck_assert(has(f.tenant, 199999));
    frame_close(&f);
}
END_TEST

/* More tenants than segments, as after a reload of a tenants file that has grown: each can store,
 * guarantees hold, even those below a segment, and the share of the others goes round. */
START_TEST(more_tenants_than_segments)
{
    static const size_t sizes[] = {100, 500, 2000, 10000, 40000, 90000};
    static struct cache_tenant *tenants[2000];
    open_with(64 << 20, true);
    ck_assert(cache_start(f.cache));
    struct cache_tenant *safe = tenant("safe", 4 << 20, 0);
    for (unsigned i = 0; i < 2000; i++)
        ck_assert_int_eq(put(safe, i, 1000), CACHE_OK);
    for (unsigned i = 0; i < 2000; i++)
        tenants[i] = tenant("small", i % 20 == 0 ? 10000 : 0, i % 2 == 0 ? 0 : 100000);
    unsigned n_lost = 0; /* to the reaper, which may take from just this one */
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 2000; i++) {
            ck_assert_int_eq(put(tenants[i], round, 100), CACHE_OK);
            n_lost += !has(tenants[i], round);
        }
    ck_assert_uint_le(n_lost, 60);
    for (unsigned i = 0; i < 500; i++)
        for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++)
            ck_assert_int_eq(put(tenants[i], 10 + k, sizes[k]), CACHE_OK);
    unsigned n_kept = 0;
    for (unsigned i = 0; i < 2000; i++)
        if (i % 20 == 0 && i >= 500)
            ck_assert_uint_eq(count(tenants[i], 3), 3);
        else
            n_kept += has(tenants[i], 2);
    ck_assert_uint_ge(n_kept, 400);
    ck_assert_uint_eq(count(safe, 2000), 2000);
    ck_assert_uint_le(stats_of(NULL).bytes_arena, 64 << 20);
    frame_close(&f);
}
END_TEST

#define N_HEARD_MAX 20000u

static struct {
    bool is_wanted;
    unsigned n, n_chains, n_fetched, n_of[2];
    uint8_t told[N_HEARD_MAX]; /* how often, by number of key */
    struct cache_tenant *tenants[2];
} heard;

static bool wants_evictions(void *arg)
{
    ck_assert_ptr_eq(arg, &heard);
    return heard.is_wanted;
}

static void hear_eviction(void *arg, const struct cache_tenant *tenant, struct slice key,
                          const struct cache_item *item, uint32_t now)
{
    char text[32] = "";
    unsigned number;
    ck_assert_ptr_eq(arg, &heard);
    ck_assert_uint_lt(key.n, sizeof text);
    memcpy(text, key.p, key.n);
    ck_assert_int_eq(sscanf(text, "key-%u", &number), 1);
    ck_assert_uint_lt(number, N_HEARD_MAX);
    ck_assert_uint_eq(now, f.now);
    ck_assert_uint_eq(item->exptime, CACHE_NEVER);
    ck_assert_uint_eq(item->last_access, NOW);
    ck_assert_uint_eq(item->item_class, item->n_value == 500 ? 2 : 4);
    ck_assert(item->n_value == 500 || item->n_value == 300000);
    heard.n++;
    heard.told[number]++;
    heard.n_chains += item->n_value == 300000;
    heard.n_fetched += item->was_fetched;
    heard.n_of[0] += tenant == heard.tenants[0];
    heard.n_of[1] += tenant == heard.tenants[1];
}

static void open_heard(void)
{
    struct cache_config config = frame_config(4 << 20);
    memset(&heard, 0, sizeof heard);
    config.evictions = (struct cache_eviction_listener){wants_evictions, hear_eviction, &heard};
    frame_open(&f, &config);
    heard.tenants[0] = f.tenant;
    heard.is_wanted = true;
}

START_TEST(every_eviction_is_told)
{
    open_heard();
    for (unsigned i = 0; i < N_HEARD_MAX; i++) {
        ck_assert_int_eq(put(f.tenant, i, i % 500 == 0 ? 300000 : 500), CACHE_OK);
        if (i % 10 == 0)
            (void)has(f.tenant, i);
    }
    ck_assert_uint_gt(heard.n, 10000);
    ck_assert_uint_gt(heard.n_chains, 10);
    ck_assert_uint_gt(heard.n_fetched, 20);
    ck_assert_uint_eq(heard.n, stats_of(NULL).evictions);
    for (unsigned i = 0; i < N_HEARD_MAX; i++) {
        ck_assert_uint_le(heard.told[i], 1);
        ck_assert_int_eq(has(f.tenant, i), heard.told[i] == 0);
    }
    frame_close(&f);
}
END_TEST

START_TEST(only_evictions_are_told)
{
    struct cache_tenant_config config = {.name = "other", .limit = 1 << 20};
    open_heard();
    heard.tenants[1] = cache_tenant_create(f.cache, &config);
    for (unsigned i = 0; i < 4000; i++)
        ck_assert_int_eq(put(heard.tenants[1], i, 500), CACHE_OK);
    ck_assert_uint_gt(heard.n_of[1], 1000);
    ck_assert_uint_eq(heard.n_of[0], 0);
    unsigned n = heard.n;
    heard.is_wanted = false;
    for (unsigned i = 0; i < 4000; i++)
        ck_assert_int_eq(put(heard.tenants[1], i, 500), CACHE_OK);
    heard.is_wanted = true;
    ck_assert_uint_eq(heard.n, n);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    cache_flush(f.tenant, 0);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(put(f.tenant, i, 500), CACHE_OK);
    cache_maintain(f.cache, f.now);
    ck_assert_uint_eq(heard.n_of[0], 0);
    frame_close(&f);
}
END_TEST

START_TEST(too_little_memory_is_refused)
{
    struct cache_config config = frame_config(1000);
    char error[128] = "";
    ck_assert(cache_create(&config, error, sizeof error) == NULL);
    ck_assert_uint_gt(strlen(error), 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache_memory");
    TCase *tc = tcase_create("memory");
    tcase_add_test(tc, joined_pages_keep_their_entries);
    tcase_add_test(tc, flood_in_one_turn);
    tcase_add_test(tc, what_was_forgotten_holds_nothing_back);
    tcase_add_test(tc, pins_do_not_starve_stores);
    tcase_add_test(tc, hot_items_survive_a_scan);
    tcase_add_test(tc, expired_goes_before_live);
    tcase_add_test(tc, without_eviction_nothing_is_lost);
    tcase_add_test(tc, large_values_take_what_was_used);
    tcase_add_test(tc, limit_goes_down_and_up);
    tcase_add_test(tc, tenants_do_not_see_each_other);
    tcase_add_test(tc, guarantee_is_kept);
    tcase_add_test(tc, borrowed_memory_is_given_back);
    tcase_add_test(tc, limit_is_kept);
    tcase_add_test(tc, tenant_is_buried);
    tcase_add_test(tc, buried_tenant_stays_while_a_thread_may_look);
    tcase_add_test(tc, stalled_uploads_do_not_starve_others);
    tcase_add_test(tc, sizes_may_shift);
    tcase_add_test(tc, more_tenants_than_segments);
    tcase_add_test(tc, every_eviction_is_told);
    tcase_add_test(tc, only_evictions_are_told);
    tcase_add_test(tc, too_little_memory_is_refused);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
