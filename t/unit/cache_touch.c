/* Touches of items that never expired, which get a word for it: nothing else about them changes. */
#include "t/unit/cache_case.h"

#define LATER      (NOW + 50)
#define EXPTIME    4    /* bytes of the word */
#define LARGE_FROM 512u /* values that have it from the beginning */

/* ---- one item of each kind ---- */

struct shape_row {
    const char *name;
    uint32_t n_value;
    uint32_t client_flags;
    uint64_t cas; /* 0: the cache's */
    bool key_is_base64;
    bool is_counter;
    bool is_stale;
    bool is_won;
    bool is_fetched;
};

static const struct shape_row shape_rows[] = {
    {.name = "plain", .n_value = 100},
    {.name = "empty"},
    {.name = "flags", .n_value = 7, .client_flags = 0xdeadbeef},
    {.name = "wide cas", .n_value = 8, .cas = UINT64_MAX - 1},
    {.name = "flags and wide cas", .n_value = 9, .client_flags = 5, .cas = UINT64_MAX / 3},
    {.name = "base64", .n_value = 10, .key_is_base64 = true},
    {.name = "counter", .is_counter = true},
    {.name = "counter with wide cas", .is_counter = true, .cas = UINT64_MAX - 1},
    {.name = "stale", .n_value = 11, .is_stale = true},
    {.name = "stale and won", .n_value = 12, .is_stale = true, .is_won = true},
    {.name = "fetched", .n_value = 13, .is_fetched = true},
    {.name = "next size group", .n_value = 255 - 16 - 1},
    {.name = "longest", .n_value = LARGE_FROM - 1},
    {.name = "all",
     .n_value = 301,
     .client_flags = 1,
     .cas = UINT64_MAX,
     .key_is_base64 = true,
     .is_stale = true,
     .is_won = true,
     .is_fetched = true},
};

static uint8_t value[1 << 20];

static void fill_value(void)
{
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 7 + i / 256);
}

static void set_item(const char *key, uint32_t n, uint32_t exptime)
{
    struct cache_key k = frame_key(&f, key);
    struct cache_store store = {.value = slice_of(value, n), .exptime = exptime};
    struct cache_stored stored;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, f.now, &store, &stored), CACHE_OK);
}

static void make_counter(const struct shape_row *row)
{
    struct cache_arith arith = {
        .creates = true, .initial = 4711, .sets_cas = row->cas != 0, .new_cas = row->cas};
    struct cache_item item;
    uint64_t number;
    ck_assert_int_eq(frame_arith(&f, "k", &arith, &number, &item), CACHE_OK);
}

static void make_value(const struct shape_row *row)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.client_flags = row->client_flags,
                                .value = slice_of(value, row->n_value),
                                .key_is_base64 = row->key_is_base64,
                                .sets_cas = row->cas != 0,
                                .new_cas = row->cas};
    struct cache_remove invalidate = {
        .invalidates = true, .sets_cas = row->cas != 0, .new_cas = row->cas};
    struct cache_access meta = {.has_state = true};
    struct cache_stored stored;
    struct cache_item item;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, f.now, &store, &stored), CACHE_OK);
    if (row->is_stale)
        ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, f.now, &invalidate), CACHE_OK);
    if (row->is_won)
        ck_assert_int_eq(frame_access(&f, "k", &meta, &item), CACHE_OK);
    if (row->is_fetched)
        ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
}

/* What there is to know of an item, the value in `bytes`. */
static struct cache_item look(const char *key, uint8_t *bytes)
{
    static const struct cache_access silent = {.is_silent = true};
    struct cache_item item;
    ck_assert_int_eq(frame_access(&f, key, &silent, &item), CACHE_OK);
    frame_value(&f, &item, bytes);
    return item;
}

static struct cache_item touch(const char *key, uint32_t exptime)
{
    struct cache_access access = {.does_touch = true, .is_silent = true, .exptime = exptime};
    struct cache_item item;
    ck_assert_int_eq(frame_access(&f, key, &access, &item), CACHE_OK);
    ck_assert_uint_eq(item.exptime, exptime);
    return item;
}

static struct cache_stats stats(void)
{
    struct cache_stats stats;
    cache_stats_read(f.cache, NULL, &stats);
    return stats;
}

/* The bytes that the size groups count, which must be those of the whole. */
static uint64_t bytes_of_classes(void)
{
    uint64_t n = 0;
    for (unsigned i = 1; i <= CACHE_N_CLASSES; i++) {
        struct cache_class_stats group;
        cache_class_stats_read(f.cache, NULL, i, f.now, &group);
        n += group.n_bytes;
    }
    return n;
}

static void check_same(const struct cache_item *a, const struct cache_item *b)
{
    ck_assert_uint_eq(a->cas, b->cas);
    ck_assert_uint_eq(a->client_flags, b->client_flags);
    ck_assert_uint_eq(a->n_value, b->n_value);
    ck_assert_uint_eq(a->last_access, b->last_access);
    ck_assert_int_eq(a->was_fetched, b->was_fetched);
    ck_assert_int_eq(a->is_stale, b->is_stale);
    ck_assert_int_eq(a->is_already_won, b->is_already_won);
    ck_assert_int_eq(a->key_is_base64, b->key_is_base64);
}

static void check_touched(const struct cache_item *before, const uint8_t *bytes_before,
                          uint32_t exptime)
{
    static uint8_t bytes[LARGE_FROM];
    struct cache_item after = look("k", bytes);
    check_same(before, &after);
    ck_assert_mem_eq(bytes, bytes_before, before->n_value);
    ck_assert_uint_eq(after.exptime, exptime);
    ck_assert_uint_eq(after.size, before->size + EXPTIME);
}

START_TEST(touch_keeps_the_rest)
{
    static uint8_t bytes[LARGE_FROM];
    const struct shape_row *row = &shape_rows[_i];
    fill_value();
    if (row->is_counter)
        make_counter(row);
    else
        make_value(row);
    f.now += 3;
    struct cache_item before = look("k", bytes);
    struct cache_stats books = stats();
    ck_assert_uint_eq(before.exptime, CACHE_NEVER);
    ck_assert_int_eq(before.is_stale, row->is_stale);
    ck_assert_int_eq(before.is_already_won, row->is_won);
    if (row->cas != 0)
        ck_assert_uint_eq(before.cas, row->cas);
    struct cache_item touched = touch("k", LATER);
    ck_assert_uint_eq(touched.exptime_before, CACHE_NEVER);
    check_touched(&before, bytes, LATER);
    (void)touch("k", CACHE_NEVER);
    check_touched(&before, bytes, CACHE_NEVER);
    (void)touch("k", LATER + 1);
    check_touched(&before, bytes, LATER + 1);
    struct cache_stats now = stats();
    ck_assert_uint_eq(now.curr_items, 1);
    ck_assert_uint_eq(now.total_items, books.total_items);
    ck_assert_uint_eq(now.bytes, books.bytes + EXPTIME);
    ck_assert_uint_eq(bytes_of_classes(), now.bytes);
    f.now = LATER + 1;
    assert_miss(&f, "k");
    ck_assert_uint_eq(stats().bytes, 0);
    ck_assert_uint_eq(bytes_of_classes(), 0);
}
END_TEST

/* An expiry in the past takes an item away too, and none leaves it where it is. */
START_TEST(touch_to_the_past_and_to_never)
{
    static uint8_t bytes[LARGE_FROM];
    fill_value();
    set_item("k", 20, CACHE_NEVER);
    uint64_t handle = look("k", bytes).handle;
    (void)touch("k", CACHE_NEVER);
    ck_assert_uint_eq(look("k", bytes).handle, handle);
    (void)touch("k", CACHE_PAST);
    assert_miss(&f, "k");
    ck_assert_uint_eq(stats().curr_items, 0);
}
END_TEST

/* Values long enough, in one segment or several, and what expires already, stay where they are. */
START_TEST(touch_copies_only_what_is_small)
{
    static const struct {
        uint32_t n_value, exptime;
        bool is_copied;
    } rows[] = {{LARGE_FROM - 1, CACHE_NEVER, true},
                {LARGE_FROM - 1, NOW + 5, false},
                {LARGE_FROM, CACHE_NEVER, false},
                {20000, CACHE_NEVER, false},
                {1000000, CACHE_NEVER, false}};
    static uint8_t bytes[1 << 20];
    fill_value();
    for (unsigned i = 0; i < N_ROWS(rows); i++) {
        set_item("k", rows[i].n_value, rows[i].exptime);
        struct cache_item before = look("k", bytes);
        (void)touch("k", LATER);
        struct cache_item after = look("k", bytes);
        ck_assert_int_eq(after.handle != before.handle, rows[i].is_copied);
        check_same(&before, &after);
        ck_assert_uint_eq(after.exptime, LATER);
        ck_assert_mem_eq(bytes, value, rows[i].n_value);
    }
}
END_TEST

/* A reader has the bytes that it was shown, pinned even after the touch. */
START_TEST(touch_leaves_readers_their_bytes)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_item item;
    fill_value();
    set_item("k", 300, CACHE_NEVER);
    ck_assert_int_eq(cache_get(f.thread, f.tenant, &k, f.now, &item), CACHE_OK);
    (void)touch("k", LATER);
    ck_assert_mem_eq(item.value, value, 300);
    ck_assert(cache_pin(f.thread, &item));
    for (unsigned i = 0; i < 40000; i++) {
        char text[32];
        snprintf(text, sizeof text, "flood-%u", i);
        set_item(text, 400, CACHE_NEVER);
        frame_turn(&f);
    }
    ck_assert_mem_eq(item.value, value, 300);
    cache_unpin(f.thread, item.handle, item.n_value);
}
END_TEST

/* ---- by other ways ---- */

START_TEST(arith_touches_what_never_expired)
{
    struct cache_arith arith = {.creates = true, .initial = 7};
    struct cache_item item;
    uint64_t number;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(frame_arith(&f, "k", &arith, &number, &item), CACHE_OK);
        ck_assert_uint_eq(number, 7 + i);
        ck_assert_uint_eq(item.exptime, arith.does_touch ? LATER : CACHE_NEVER);
        arith = (struct cache_arith){.delta = 1, .does_touch = true, .exptime = LATER};
    }
    assert_value(&f, "k", "9");
    f.now = LATER;
    assert_miss(&f, "k");
}
END_TEST

/* What is put together from a touched item, and what becomes stale, keeps its expiry. */
START_TEST(rewriting_keeps_the_expiry)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_remove remove = {.invalidates = true};
    struct cache_item item;
    ck_assert_int_eq(frame_set(&f, "k", "b"), CACHE_OK);
    ck_assert_int_eq(frame_store(&f, CACHE_APPEND, "k", "c"), CACHE_OK);
    (void)touch("k", LATER);
    ck_assert_int_eq(frame_store(&f, CACHE_PREPEND, "k", "a"), CACHE_OK);
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, f.now, &remove), CACHE_OK);
    assert_value(&f, "k", "abc");
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert_uint_eq(item.exptime, LATER);
    ck_assert(item.is_stale);
    ck_assert_int_eq(frame_set(&f, "k", "new"), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert_uint_eq(item.exptime, CACHE_NEVER);
}
END_TEST

/* ---- when memory is short ---- */

/* What this turn was shown holds all memory back that is emptied: there is no room for a copy. */
START_TEST(touch_without_memory_changes_nothing)
{
    static uint8_t bytes[LARGE_FROM];
    struct cache_access access = {.does_touch = true, .exptime = LATER};
    struct cache_stored stored;
    struct cache_item item;
    char text[32];
    unsigned n = 0;
    enum cache_result result;
    fill_value();
    do {
        snprintf(text, sizeof text, "key-%u", n++);
        struct cache_key k = frame_key(&f, text);
        struct cache_store store = {.value = slice_of(value, 500)};
        result = cache_store(f.thread, f.tenant, &k, f.now, &store, &stored);
        if (n == 1)
            ck_assert_int_eq(frame_get(&f, text, &item), CACHE_OK);
    } while (result == CACHE_OK);
    ck_assert_int_eq(result, CACHE_NO_MEMORY);
    snprintf(text, sizeof text, "key-%u", n - 2);
    struct cache_item before = look(text, bytes);
    ck_assert_int_eq(frame_access(&f, text, &access, &item), CACHE_NO_MEMORY);
    struct cache_item after = look(text, bytes);
    check_same(&before, &after);
    ck_assert_uint_eq(after.exptime, CACHE_NEVER);
    ck_assert_uint_eq(after.handle, before.handle);
    ck_assert_mem_eq(bytes, value, 500);
    frame_turn(&f);
    (void)touch(text, LATER);
}
END_TEST

/* Where nothing may be evicted every item has the word, so that a touch of a full cache works. */
START_TEST(touch_without_eviction_needs_no_room)
{
    struct cache_config config = frame_config(4 << 20);
    char text[32], filling[401] = {0};
    unsigned n = 0;
    frame_close(&f);
    config.is_evicting = false;
    frame_open(&f, &config);
    memset(filling, 'x', sizeof filling - 1);
    do
        snprintf(text, sizeof text, "key-%u", n++);
    while (frame_set(&f, text, filling) == CACHE_OK);
    uint64_t before = stats().bytes;
    ck_assert_uint_gt(n, 5000);
    for (unsigned i = 0; i + 1 < n; i++) {
        snprintf(text, sizeof text, "key-%u", i);
        (void)touch(text, LATER);
    }
    ck_assert_uint_eq(stats().bytes, before);
    f.now = LATER;
    assert_miss(&f, "key-0");
}
END_TEST

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_touch", &tc);
    tcase_add_loop_test(tc, touch_keeps_the_rest, 0, N_ROWS(shape_rows));
    tcase_add_test(tc, touch_to_the_past_and_to_never);
    tcase_add_test(tc, touch_copies_only_what_is_small);
    tcase_add_test(tc, touch_leaves_readers_their_bytes);
    tcase_add_test(tc, arith_touches_what_never_expired);
    tcase_add_test(tc, rewriting_keeps_the_expiry);
    tcase_add_test(tc, touch_without_memory_changes_nothing);
    tcase_add_test(tc, touch_without_eviction_needs_no_room);
    return unit_run(suite);
}
