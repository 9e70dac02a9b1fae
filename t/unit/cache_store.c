/* Storing in every mode, and the compares of cas. */
#include "t/unit/cache_case.h"

struct mode_row {
    enum cache_mode mode;
    const char *before; /* NULL: no item */
    enum cache_result result;
    const char *after;
};

static const struct mode_row mode_rows[] = {
    {CACHE_SET, NULL, CACHE_OK, "new"},
    {CACHE_SET, "old", CACHE_OK, "new"},
    {CACHE_ADD, NULL, CACHE_OK, "new"},
    {CACHE_ADD, "old", CACHE_NOT_STORED, "old"},
    {CACHE_REPLACE, NULL, CACHE_NOT_STORED, NULL},
    {CACHE_REPLACE, "old", CACHE_OK, "new"},
    {CACHE_APPEND, NULL, CACHE_NOT_STORED, NULL},
    {CACHE_APPEND, "old", CACHE_OK, "oldnew"},
    {CACHE_PREPEND, NULL, CACHE_NOT_STORED, NULL},
    {CACHE_PREPEND, "old", CACHE_OK, "newold"},
    {CACHE_APPEND, "", CACHE_OK, "new"},
};

START_TEST(mode_row)
{
    const struct mode_row *row = &mode_rows[_i];
    if (row->before != NULL)
        ck_assert_int_eq(frame_set(&f, "k", row->before), CACHE_OK);
    ck_assert_int_eq(frame_store(&f, row->mode, "k", "new"), row->result);
    if (row->after != NULL)
        assert_value(&f, "k", row->after);
    else
        assert_miss(&f, "k");
}
END_TEST

/* An expired and a flushed item are as good as none. */
START_TEST(mode_row_over)
{
    const struct mode_row *row = &mode_rows[_i];
    if (row->before != NULL)
        return;
    ck_assert_int_eq(frame_set_until(&f, "k", "dead", CACHE_PAST), CACHE_OK);
    ck_assert_int_eq(frame_store(&f, row->mode, "k", "new"), row->result);
    ck_assert_int_eq(frame_set(&f, "l", "dead"), CACHE_OK);
    cache_flush(f.tenant, 0);
    ck_assert_int_eq(frame_store(&f, row->mode, "l", "new"), row->result);
}
END_TEST

START_TEST(flags_exptime_and_append)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {
        .client_flags = 0xdeadbeef, .exptime = NOW + 5, .value = SLICE("abc")};
    struct cache_stored stored;
    struct cache_item item;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    store = (struct cache_store){
        .mode = CACHE_APPEND, .client_flags = 1, .exptime = 0, .value = SLICE("def")};
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    ck_assert_uint_eq(stored.n_value, 6);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert_uint_eq(item.client_flags, 0xdeadbeef);
    ck_assert_uint_eq(item.exptime, NOW + 5);
    ck_assert_uint_eq(item.cas, stored.cas);
    assert_value(&f, "k", "abcdef");
}
END_TEST

START_TEST(append_vivifies)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.mode = CACHE_APPEND,
                                .does_vivify = true,
                                .vivify_exptime = NOW + 9,
                                .client_flags = 7,
                                .value = SLICE("x")};
    struct cache_stored stored;
    struct cache_item item;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert_uint_eq(item.exptime, NOW + 9);
    ck_assert_uint_eq(item.client_flags, 7);
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    assert_value(&f, "k", "xx");
}
END_TEST

struct size_row {
    size_t n_key, n_value;
};

static const struct size_row size_rows[] = {
    {1, 0},    {1, 1},    {250, 0},        {250, 300},      {3, 65535}, {3, 65536},
    {7, 8100}, {7, 8170}, {7, 16384 - 27}, {7, 16384 - 26}, {7, 40000}, {9, 1000000},
};

START_TEST(sizes_come_back_whole)
{
    const struct size_row *row = &size_rows[_i];
    static uint8_t value[1 << 20], back[1 << 20];
    char text[CACHE_KEY_MAX + 1] = "";
    struct cache_item item;
    struct cache_stored stored;
    memset(text, 'k', row->n_key);
    for (size_t i = 0; i < row->n_value; i++)
        value[i] = (uint8_t)(i * 7 + i / 256);
    struct cache_key k = frame_key(&f, text);
    for (unsigned round = 0; round < 3; round++) {
        struct cache_store store = {.client_flags = round, .value = {value, row->n_value}};
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
        ck_assert_int_eq(frame_get(&f, text, &item), CACHE_OK);
        ck_assert_uint_eq(item.n_value, row->n_value);
        ck_assert_uint_eq(item.client_flags, round);
        ck_assert(slice_equal(frame_value(&f, &item, back), store.value));
        frame_turn(&f);
    }
}
END_TEST

START_TEST(too_large_is_refused)
{
    static uint8_t value[(1 << 20) + 1];
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.value = {value, 1 << 20}};
    struct cache_stored stored;
    struct cache_upload *upload = NULL;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_TOO_LARGE);
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, 1 << 20, 0, &upload),
                     CACHE_TOO_LARGE);
    store.value.n = 1048516; /* the largest that memcached takes with a key of one byte */
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    store = (struct cache_store){.mode = CACHE_APPEND, .value = {value, 100}};
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_TOO_LARGE);
}
END_TEST

/* ---- cas ---- */

static enum cache_result store_cas(const char *value, uint64_t cas, bool invalidates,
                                   uint64_t new_cas)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.compares_cas = true,
                                .cas = cas,
                                .invalidates = invalidates,
                                .sets_cas = new_cas != 0,
                                .new_cas = new_cas,
                                .value = slice_str(value)};
    struct cache_stored stored;
    return cache_store(f.thread, f.tenant, &k, f.now, &store, &stored);
}

START_TEST(cas_compares)
{
    ck_assert_int_eq(store_cas("x", 0, false, 0), CACHE_MISS);
    ck_assert_int_eq(frame_set(&f, "k", "old"), CACHE_OK);
    uint64_t cas = cas_of("k");
    ck_assert_int_eq(store_cas("x", 0, false, 0), CACHE_EXISTS);
    ck_assert_int_eq(store_cas("x", cas + 1, false, 0), CACHE_EXISTS);
    ck_assert_int_eq(store_cas("new", cas, false, 0), CACHE_OK);
    ck_assert_uint_gt(cas_of("k"), cas);
    ck_assert_int_eq(store_cas("x", cas, false, 0), CACHE_EXISTS);
    assert_value(&f, "k", "new");
}
END_TEST

START_TEST(cas_grows_over_many_updates)
{
    uint64_t last = 0;
    struct cache_thread *other = cache_thread_create(f.cache);
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.value = SLICE("v")};
    struct cache_stored stored;
    for (unsigned i = 0; i < 5000; i++) {
        struct cache_thread *thread = i % 3 == 0 ? other : f.thread;
        ck_assert_int_eq(cache_store(thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
        ck_assert_uint_gt(stored.cas, last);
        last = stored.cas;
    }
    cache_thread_destroy(&other);
}
END_TEST

/* What memcached does with the meta flags E and I. */
START_TEST(cas_chosen_by_client)
{
    static const uint64_t chosen[] = {1234, 1300, 1ull << 50, UINT64_MAX, 5};
    struct cache_key k = frame_key(&f, "k");
    struct cache_store store = {.sets_cas = true, .value = SLICE("v")};
    struct cache_stored stored;
    for (unsigned i = 0; i < 5; i++) {
        store.new_cas = chosen[i];
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
        ck_assert_uint_eq(stored.cas, chosen[i]);
        ck_assert_uint_eq(cas_of("k"), chosen[i]);
    }
    ck_assert_int_eq(frame_set(&f, "k", "w"), CACHE_OK);
    ck_assert_uint_ne(cas_of("k"), 5);
}
END_TEST

START_TEST(lower_cas_stores_stale)
{
    struct cache_item item;
    struct cache_access mg = {.has_state = true};
    ck_assert_int_eq(frame_set_until(&f, "k", "v", NOW + 77), CACHE_OK);
    ck_assert_int_eq(store_cas("x", UINT64_MAX, true, 0), CACHE_EXISTS);
    ck_assert_int_eq(store_cas("w", 0, true, 1400), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert_uint_eq(item.cas, 1400);
    ck_assert_uint_eq(item.exptime, NOW + 77);
    ck_assert(item.is_stale && item.is_won && !item.is_already_won);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert(item.is_stale && !item.is_won && item.is_already_won);
    assert_value(&f, "k", "w");
}
END_TEST

START_TEST(without_cas_everything_is_0)
{
    struct cache_config config = frame_config(8 << 20);
    struct frame g;
    config.has_cas = false;
    frame_open(&g, &config);
    struct cache_key k = frame_key(&g, "k");
    struct cache_store store = {.value = SLICE("v"), .sets_cas = true, .new_cas = 9};
    struct cache_stored stored;
    struct cache_item item;
    ck_assert_int_eq(cache_store(g.thread, g.tenant, &k, NOW, &store, &stored), CACHE_OK);
    ck_assert_uint_eq(stored.cas, 0);
    ck_assert_int_eq(frame_get(&g, "k", &item), CACHE_OK);
    ck_assert_uint_eq(item.cas, 0);
    store = (struct cache_store){.value = SLICE("v"), .compares_cas = true};
    ck_assert_int_eq(cache_store(g.thread, g.tenant, &k, NOW, &store, &stored), CACHE_EXISTS);
    frame_close(&g);
}
END_TEST

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_store", &tc);
    tcase_add_loop_test(tc, mode_row, 0, N_ROWS(mode_rows));
    tcase_add_loop_test(tc, mode_row_over, 0, N_ROWS(mode_rows));
    tcase_add_test(tc, flags_exptime_and_append);
    tcase_add_test(tc, append_vivifies);
    tcase_add_loop_test(tc, sizes_come_back_whole, 0, N_ROWS(size_rows));
    tcase_add_test(tc, too_large_is_refused);
    tcase_add_test(tc, cas_compares);
    tcase_add_test(tc, cas_grows_over_many_updates);
    tcase_add_test(tc, cas_chosen_by_client);
    tcase_add_test(tc, lower_cas_stores_stale);
    tcase_add_test(tc, without_cas_everything_is_0);
    return unit_run(suite);
}
