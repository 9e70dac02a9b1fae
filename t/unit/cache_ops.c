/* Every operation of cache/cache.h, one thread, nothing evicted. */
#include "t/unit/cache_frame.h"

static struct frame f;

static void setup(void)
{
    struct cache_config config = frame_config(8 << 20);
    frame_open(&f, &config);
}

static void teardown(void)
{
    frame_close(&f);
}

static uint64_t cas_of(const char *key)
{
    struct cache_item item;
    ck_assert_int_eq(frame_get(&f, key, &item), CACHE_OK);
    return item.cas;
}

/* ---- storing ---- */

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

/* The flows that inventory part 2.5 records for E and I. */
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

/* ---- reading and state ---- */

START_TEST(expiry_is_exact)
{
    struct cache_item item;
    ck_assert_int_eq(frame_set_until(&f, "k", "v", NOW + 2), CACHE_OK);
    f.now = NOW + 1;
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    f.now = NOW + 2;
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_EXPIRED);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_MISS);
    ck_assert_int_eq(frame_set_until(&f, "p", "v", CACHE_PAST), CACHE_OK);
    assert_miss(&f, "p");
}
END_TEST

START_TEST(touch_changes_exptime_only)
{
    struct cache_access touch = {.does_touch = true, .exptime = NOW + 50};
    struct cache_item item;
    ck_assert_int_eq(frame_access(&f, "k", &touch, &item), CACHE_MISS);
    ck_assert_int_eq(frame_set_until(&f, "k", "v", NOW + 5), CACHE_OK);
    uint64_t cas = cas_of("k");
    ck_assert_int_eq(frame_access(&f, "k", &touch, &item), CACHE_OK);
    ck_assert_uint_eq(item.exptime_before, NOW + 5);
    ck_assert_uint_eq(item.exptime, NOW + 50);
    ck_assert_uint_eq(cas_of("k"), cas);
    f.now = NOW + 49;
    assert_value(&f, "k", "v");
    touch.exptime = CACHE_PAST;
    ck_assert_int_eq(frame_access(&f, "k", &touch, &item), CACHE_OK);
    assert_miss(&f, "k");
}
END_TEST

START_TEST(access_is_remembered_unless_silent)
{
    struct cache_access silent = {.is_silent = true};
    struct cache_item item;
    ck_assert_int_eq(frame_set(&f, "k", "v"), CACHE_OK);
    f.now = NOW + 10;
    ck_assert_int_eq(frame_access(&f, "k", &silent, &item), CACHE_OK);
    ck_assert(!item.was_fetched);
    ck_assert_uint_eq(item.last_access, NOW);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert(!item.was_fetched);
    ck_assert_uint_eq(item.last_access, NOW);
    ck_assert_int_eq(frame_get(&f, "k", &item), CACHE_OK);
    ck_assert(item.was_fetched);
    ck_assert_uint_eq(item.last_access, NOW + 10);
}
END_TEST

/* ---- hints ---- */

static struct cache_key hinted_key(const char *text)
{
    struct cache_key key = frame_key(&f, text);
    key.hint = cache_prefetch_item(f.cache, key.hash);
    return key;
}

static void assert_get(const struct cache_key *key, const char *value)
{
    struct cache_item item;
    ck_assert_int_eq(cache_get(f.thread, f.tenant, key, f.now, &item),
                     value == NULL ? CACHE_MISS : CACHE_OK);
    if (value != NULL)
        ck_assert(slice_is(slice_of(item.value, item.n_value), value));
}

/* Keys around the widths in which they are compared, with each byte changed in turn. */
START_TEST(hinted_key_is_compared_whole)
{
    static const uint8_t lengths[] = {1, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 47, 48, 250};
    for (unsigned i = 0; i < sizeof lengths; i++) {
        char text[CACHE_KEY_MAX + 1] = {0};
        memset(text, 'a', lengths[i]);
        ck_assert_int_eq(frame_set(&f, text, "here"), CACHE_OK);
        struct cache_key key = hinted_key(text); /* its bytes are text's */
        ck_assert_uint_ne(key.hint, 0);
        assert_get(&key, "here");
        for (unsigned at = 0; at < lengths[i]; at++) {
            text[at]++;
            assert_get(&key, NULL);
            text[at]--;
        }
    }
}
END_TEST

/* What a hint points at may have changed since, or never have been the key's. */
START_TEST(hint_is_not_trusted)
{
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "b", "2"), CACHE_OK);
    struct cache_key a = hinted_key("a"), wrong = a, none = frame_key(&f, "c");
    wrong.hint = none.hint = hinted_key("b").hint;
    assert_get(&a, "1");
    assert_get(&wrong, "1");
    assert_get(&none, NULL);
    ck_assert_int_eq(frame_set(&f, "a", "3"), CACHE_OK);
    assert_get(&a, "3");
    ck_assert_int_eq(frame_remove(&f, "a"), CACHE_OK);
    assert_get(&a, NULL);
    ck_assert_int_eq(frame_set(&f, "a", "4"), CACHE_OK);
    assert_get(&a, "4");
    assert_get(&wrong, "4");
}
END_TEST

/* A store with a wrong hint replaces the key's own item, and makes no second one. */
START_TEST(hint_of_a_store_is_not_trusted)
{
    struct cache_store store = {.value = SLICE("new")};
    struct cache_stored stored;
    struct cache_remove remove = {0};
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "b", "2"), CACHE_OK);
    struct cache_key a = frame_key(&f, "a");
    a.hint = _i == 0 ? hinted_key("a").hint : hinted_key("b").hint;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &a, f.now, &store, &stored), CACHE_OK);
    assert_value(&f, "a", "new");
    assert_value(&f, "b", "2");
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &a, f.now, &remove), CACHE_OK);
    assert_miss(&f, "a");
    assert_value(&f, "b", "2");
}
END_TEST

START_TEST(miss_vivifies_once)
{
    struct cache_access access = {.has_state = true,
                                  .does_vivify = true,
                                  .vivify_exptime = NOW + 30,
                                  .sets_cas = true,
                                  .new_cas = 77,
                                  .key_is_base64 = true};
    struct cache_item item;
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_MISS);
    ck_assert(item.is_won && !item.is_already_won && item.key_is_base64);
    ck_assert_uint_eq(item.cas, 77);
    ck_assert_uint_eq(item.n_value, 0);
    ck_assert_uint_eq(item.exptime, NOW + 30);
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_OK);
    ck_assert(!item.is_won && item.is_already_won);
    f.now = NOW + 30;
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_EXPIRED);
    ck_assert(item.is_won);
}
END_TEST

START_TEST(recache_is_won_once)
{
    struct cache_access access = {.has_state = true, .does_recache = true, .recache_ttl = 30};
    struct cache_item item;
    ck_assert_int_eq(frame_set_until(&f, "k", "v", NOW + 30), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_OK);
    ck_assert(!item.is_won);
    f.now = NOW + 1;
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_OK);
    ck_assert(item.is_won);
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_OK);
    ck_assert(!item.is_won && item.is_already_won);
    ck_assert_int_eq(frame_set(&f, "k", "v"), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &access, &item), CACHE_OK);
    ck_assert(!item.is_won && !item.is_already_won);
}
END_TEST

/* ---- arithmetic ---- */

struct number_row {
    const char *before;
    bool is_decrement;
    uint64_t delta;
    enum cache_result result;
    const char *after;
};

static const struct number_row number_rows[] = {
    {"9", false, 1, CACHE_OK, "10"},
    {"100", true, 1, CACHE_OK, "99 "},
    {"5", true, 7, CACHE_OK, "0"},
    {"18446744073709551615", false, 1, CACHE_OK, "0                   "},
    {"18446744073709551614", false, 1, CACHE_OK, "18446744073709551615"},
    {" 12", false, 1, CACHE_OK, "13 "},
    {"12 ", false, 1, CACHE_OK, "13 "},
    {"+12", false, 1, CACHE_OK, "13 "},
    {"1 2 ", false, 1, CACHE_OK, "2   "},
    {"0000000000000000000000001", false, 1, CACHE_OK, "2                        "},
    {"-1", false, 1, CACHE_NON_NUMERIC, "-1"},
    {"abc", false, 1, CACHE_NON_NUMERIC, "abc"},
    {"12x", false, 1, CACHE_NON_NUMERIC, "12x"},
    {"0x10", false, 1, CACHE_NON_NUMERIC, "0x10"},
    {"", false, 1, CACHE_NON_NUMERIC, ""},
    {"   ", false, 1, CACHE_NON_NUMERIC, "   "},
    {"18446744073709551616", false, 1, CACHE_NON_NUMERIC, "18446744073709551616"},
};

static enum cache_result arith(const struct cache_arith *a, uint64_t *number,
                               struct cache_item *item)
{
    struct cache_key k = frame_key(&f, "n");
    bool was_created;
    return cache_arith(f.thread, f.tenant, &k, f.now, a, number, &was_created, item);
}

START_TEST(number_row)
{
    const struct number_row *row = &number_rows[_i];
    struct cache_arith a = {.is_decrement = row->is_decrement, .delta = row->delta};
    struct cache_item item;
    uint64_t number;
    ck_assert_int_eq(frame_set(&f, "n", row->before), CACHE_OK);
    uint64_t cas = cas_of("n");
    ck_assert_int_eq(arith(&a, &number, &item), row->result);
    assert_value(&f, "n", row->after);
    if (row->result == CACHE_OK) {
        ck_assert_uint_gt(cas_of("n"), cas);
        ck_assert_uint_eq(cas_of("n"), item.cas);
    }
}
END_TEST

START_TEST(counter_keeps_flags_and_exptime)
{
    struct cache_key k = frame_key(&f, "n");
    struct cache_store store = {.client_flags = 3, .exptime = NOW + 60, .value = SLICE("95")};
    struct cache_arith a = {.delta = 3};
    struct cache_stored stored;
    struct cache_item item;
    uint64_t number;
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    for (unsigned i = 1; i <= 40; i++) {
        ck_assert_int_eq(arith(&a, &number, &item), CACHE_OK);
        ck_assert_uint_eq(number, 95 + 3 * i);
        ck_assert_uint_eq(item.client_flags, 3);
        ck_assert_uint_eq(item.exptime, NOW + 60);
    }
    ck_assert_int_eq(frame_store(&f, CACHE_APPEND, "n", "0"), CACHE_OK);
    assert_value(&f, "n", "2150");
    a.does_touch = true;
    a.exptime = NOW + 1;
    ck_assert_int_eq(arith(&a, &number, &item), CACHE_OK);
    f.now = NOW + 1;
    assert_miss(&f, "n");
}
END_TEST

START_TEST(counter_is_created_and_compared)
{
    struct cache_key k = frame_key(&f, "n");
    struct cache_arith a = {.delta = 5};
    struct cache_item item;
    uint64_t number;
    bool was_created;
    ck_assert_int_eq(arith(&a, &number, &item), CACHE_MISS);
    a.creates = true;
    a.initial = 42;
    a.create_exptime = NOW + 10;
    a.sets_cas = true;
    a.new_cas = 1ull << 60;
    ck_assert_int_eq(cache_arith(f.thread, f.tenant, &k, NOW, &a, &number, &was_created, &item),
                     CACHE_OK);
    ck_assert(was_created);
    ck_assert_uint_eq(number, 42);
    ck_assert_uint_eq(item.cas, 1ull << 60);
    a.sets_cas = false;
    a.compares_cas = true;
    a.cas = 1;
    ck_assert_int_eq(arith(&a, &number, &item), CACHE_EXISTS);
    a.cas = 1ull << 60;
    ck_assert_int_eq(arith(&a, &number, &item), CACHE_OK);
    ck_assert_uint_eq(number, 47);
    assert_value(&f, "n", "47");
}
END_TEST

START_TEST(counter_of_300_bytes_stays_300)
{
    char text[301] = "1";
    struct cache_arith a = {.delta = 1};
    struct cache_item item;
    uint64_t number;
    memset(text + 1, ' ', 299);
    ck_assert_int_eq(frame_set(&f, "n", text), CACHE_OK);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(arith(&a, &number, &item), CACHE_OK);
    ck_assert_uint_eq(number, 4);
    ck_assert_uint_eq(item.n_value, 300);
}
END_TEST

/* ---- removing ---- */

START_TEST(remove_and_compare)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_remove remove = {.compares_cas = true, .cas = 1};
    ck_assert_int_eq(frame_remove(&f, "k"), CACHE_MISS);
    ck_assert_int_eq(frame_set(&f, "k", "v"), CACHE_OK);
    remove.cas = cas_of("k") + 1;
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_EXISTS);
    remove.cas--;
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_OK);
    assert_miss(&f, "k");
    ck_assert_int_eq(frame_remove(&f, "k"), CACHE_MISS);
}
END_TEST

/* `ms s 2 T100`, `md s I T30`, `mg s`, `mg s`, `ms s` of the inventory. */
START_TEST(invalidate_flow)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_remove remove = {.invalidates = true, .does_touch = true, .exptime = NOW + 30};
    struct cache_access mg = {.has_state = true};
    struct cache_item item;
    ck_assert_int_eq(frame_set_until(&f, "k", "v", NOW + 100), CACHE_OK);
    uint64_t cas = cas_of("k");
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert(item.is_stale && item.is_won);
    ck_assert_uint_eq(item.exptime, NOW + 30);
    ck_assert_uint_gt(item.cas, cas);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert(item.is_stale && item.is_already_won && !item.is_won);
    ck_assert_int_eq(frame_set(&f, "k", "v2"), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert(!item.is_stale && !item.is_won && !item.is_already_won);
}
END_TEST

START_TEST(empty_flow)
{
    struct cache_key k = frame_key(&f, "k");
    struct cache_remove remove = {.empties = true};
    struct cache_access mg = {.has_state = true};
    struct cache_item item;
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_MISS);
    ck_assert_int_eq(frame_set(&f, "k", "value"), CACHE_OK);
    uint64_t cas = cas_of("k");
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_OK);
    assert_value(&f, "k", "");
    ck_assert_uint_eq(cas_of("k"), cas);
    remove = (struct cache_remove){.empties = true,
                                   .invalidates = true,
                                   .does_touch = true,
                                   .exptime = NOW + 30,
                                   .sets_flags = true,
                                   .client_flags = 9};
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &k, NOW, &remove), CACHE_OK);
    ck_assert_int_eq(frame_access(&f, "k", &mg, &item), CACHE_OK);
    ck_assert(item.is_stale && item.is_won);
    ck_assert_uint_eq(item.client_flags, 9);
    ck_assert_uint_eq(item.exptime, NOW + 30);
}
END_TEST

/* ---- flush ---- */

START_TEST(flush_kills_what_is_there_only)
{
    struct cache_stats stats;
    struct cache_item item;
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    cache_flush(f.tenant, 0);
    ck_assert_int_eq(frame_set(&f, "b", "2"), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "a", &item), CACHE_FLUSHED);
    assert_value(&f, "b", "2");
    cache_thread_offline(f.thread);
    for (unsigned i = 0; i < 3; i++)
        cache_maintain(f.cache, NOW);
    cache_stats_read(f.cache, f.tenant, &stats);
    ck_assert_uint_eq(stats.curr_items, 1);
    cache_thread_online(f.thread);
}
END_TEST

START_TEST(flush_with_delay)
{
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    cache_flush(f.tenant, NOW + 2);
    cache_tick(f.cache, f.now = NOW + 1);
    ck_assert_int_eq(frame_set(&f, "b", "2"), CACHE_OK);
    assert_value(&f, "a", "1");
    cache_tick(f.cache, f.now = NOW + 2);
    assert_miss(&f, "a");
    assert_miss(&f, "b");
    ck_assert_int_eq(frame_set(&f, "a", "3"), CACHE_OK);
    cache_tick(f.cache, f.now = NOW + 3);
    assert_value(&f, "a", "3");
}
END_TEST

/* memcached 1.6.45 brings items back that an immediate flush had killed (inventory BUG-4). */
START_TEST(second_flush_brings_nothing_back)
{
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    cache_tick(f.cache, f.now = NOW + 3);
    cache_flush(f.tenant, 0);
    cache_flush(f.tenant, NOW + 100);
    assert_miss(&f, "a");
    cache_flush(f.tenant, NOW + 200);
    ck_assert_int_eq(frame_set(&f, "a", "2"), CACHE_OK);
    cache_tick(f.cache, f.now = NOW + 100);
    assert_value(&f, "a", "2");
    cache_tick(f.cache, f.now = NOW + 200);
    assert_miss(&f, "a");
}
END_TEST

/* ---- uploads ---- */

static const uint32_t upload_rows[] = {1, 100, 5000, 8000, 16000, 16384, 50000, 700000};
#define N_UPLOADS ((int)(sizeof upload_rows / sizeof *upload_rows))

static uint8_t byte_of(uint32_t i)
{
    return (uint8_t)(i * 13 + i / 251);
}

/* Sends bytes up to n_end; false when the engine refuses. */
static bool send_until(struct cache_upload *upload, uint32_t *at, uint32_t n_end)
{
    while (*at < n_end) {
        uint8_t *p;
        size_t n;
        if (cache_upload_space(f.thread, upload, &p, &n) != CACHE_OK)
            return false;
        ck_assert(n > 0);
        if (n > n_end - *at)
            n = n_end - *at;
        if (n > 3000)
            n = 3000;
        for (size_t i = 0; i < n; i++)
            p[i] = byte_of(*at + (uint32_t)i);
        cache_upload_advance(upload, n);
        *at += (uint32_t)n;
        frame_turn(&f);
    }
    return true;
}

START_TEST(upload_commits)
{
    static uint8_t back[1 << 20];
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {.exptime = NOW + 9, .key_is_base64 = true};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i], at = 0;
    ck_assert_int_eq(frame_set(&f, "u", "before"), CACHE_OK);
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 5, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n / 2));
    assert_value(&f, "u", "before");
    ck_assert(send_until(upload, &at, n));
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert(upload == NULL);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    ck_assert_uint_eq(item.n_value, n);
    ck_assert_uint_eq(item.client_flags, 5);
    ck_assert_uint_eq(item.exptime, NOW + 9);
    ck_assert(item.key_is_base64);
    frame_value(&f, &item, back);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(back[i], byte_of(i));
}
END_TEST

START_TEST(upload_lives_through_a_flush)
{
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {0};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i], at = 0;
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n));
    cache_flush(f.tenant, 0);
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    ck_assert_uint_eq(item.n_value, n);
}
END_TEST

START_TEST(upload_appends)
{
    static uint8_t back[1 << 20];
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {.mode = _i % 2 ? CACHE_APPEND : CACHE_PREPEND};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i / 2], at = 0;
    ck_assert_int_eq(frame_set(&f, "u", "0123456789"), CACHE_OK);
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n));
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert_uint_eq(stored.n_value, n + 10);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    frame_value(&f, &item, back);
    ck_assert_uint_eq(back[_i % 2 ? 0 : n], '0');
    ck_assert_uint_eq(back[_i % 2 ? 10 : 0], byte_of(0));
}
END_TEST

START_TEST(upload_refused_and_aborted_gives_memory_back)
{
    struct cache_key k = frame_key(&f, "u");
    struct cache_store add = {.mode = CACHE_ADD};
    struct cache_stored stored;
    struct cache_stats stats;
    ck_assert_int_eq(frame_set(&f, "u", "kept"), CACHE_OK);
    for (unsigned round = 0; round < 60; round++)
        for (int row = 0; row < N_UPLOADS; row++) {
            struct cache_upload *upload;
            uint32_t at = 0, n = upload_rows[row];
            ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
            ck_assert(send_until(upload, &at, round % 4 == 3 ? n : n * (round % 4) / 4));
            if (round % 4 == 3)
                ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &add, &stored),
                                 CACHE_NOT_STORED);
            else
                cache_upload_abort(f.thread, &upload);
            ck_assert(upload == NULL);
        }
    assert_value(&f, "u", "kept");
    cache_thread_offline(f.thread);
    for (unsigned i = 0; i < 4; i++)
        cache_maintain(f.cache, NOW);
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_eq(stats.curr_items, 1);
    ck_assert_uint_ge(stats.segments_free + 40, stats.segments_total);
}
END_TEST

/* ---- pins, walk, counters ---- */

START_TEST(pin_keeps_bytes_over_a_flood)
{
    static uint8_t value[30000];
    struct cache_key k = frame_key(&f, "pinned");
    struct cache_store store = {.value = {value, sizeof value}};
    struct cache_stored stored;
    struct cache_stats stats;
    struct cache_item item;
    memset(value, 'p', sizeof value);
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "pinned", &item), CACHE_OK);
    ck_assert(cache_pin(f.thread, &item));
    memset(value, 'x', sizeof value);
    for (unsigned i = 0; i < 2000; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%u", i);
        k = frame_key(&f, text);
        frame_turn(&f);
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    }
    assert_miss(&f, "pinned");
    for (size_t at = 0; at < item.n_value;) {
        struct slice part = cache_item_chunk(f.cache, &item, at);
        for (size_t i = 0; i < part.n; i++)
            ck_assert_uint_eq(part.p[i], 'p');
        at += part.n;
    }
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_gt(stats.bytes_pinned, 0);
    cache_unpin(f.thread, item.handle, item.n_value);
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_eq(stats.bytes_pinned, 0);
}
END_TEST

START_TEST(pins_are_bounded)
{
    static uint8_t value[20000];
    struct cache_store store = {.value = {value, sizeof value}};
    struct cache_stored stored;
    struct cache_item items[200];
    unsigned n = 0;
    for (unsigned i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%u", i);
        struct cache_key k = frame_key(&f, text);
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
        ck_assert_int_eq(frame_get(&f, text, &items[n]), CACHE_OK);
        if (cache_pin(f.thread, &items[n]))
            n++;
    }
    ck_assert_uint_ge(n, 20);
    ck_assert_uint_le(n * sizeof value, (1 << 20) + 3 * sizeof value);
    while (n > 0) {
        n--;
        cache_unpin(f.thread, items[n].handle, items[n].n_value);
    }
}
END_TEST

#define N_WALKED 5000

static void count_visit(void *arg, struct slice key, const struct cache_item *item)
{
    unsigned *seen = arg;
    char text[16] = "";
    ck_assert_uint_lt(key.n, sizeof text);
    memcpy(text, key.p, key.n);
    ck_assert_uint_eq(item->n_value, 1);
    if (text[0] == 'w')
        seen[atoi(text + 1)]++;
}

START_TEST(walk_meets_everything_while_the_index_grows)
{
    static unsigned seen[N_WALKED];
    struct cache_cursor cursor = {0};
    char text[16];
    unsigned n_more = 0;
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < N_WALKED; i++) {
        snprintf(text, sizeof text, "w%u", i);
        ck_assert_int_eq(frame_set(&f, text, "v"), CACHE_OK);
    }
    while (cache_walk(f.thread, f.tenant, &cursor, 50, NOW, count_visit, seen))
        for (unsigned i = 0; i < 30; i++) {
            snprintf(text, sizeof text, "more%u", n_more++);
            ck_assert_int_eq(frame_set(&f, text, "v"), CACHE_OK);
        }
    for (unsigned i = 0; i < N_WALKED; i++)
        ck_assert_msg(seen[i] > 0, "w%u was not met", i);
}
END_TEST

START_TEST(counters_follow)
{
    struct cache_stats stats;
    struct cache_class_stats group;
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "a", "2"), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "b", "2"), CACHE_OK);
    cache_stats_read(f.cache, f.tenant, &stats);
    ck_assert_uint_eq(stats.curr_items, 2);
    ck_assert_uint_eq(stats.total_items, 3);
    ck_assert_uint_eq(stats.bytes, 48);
    ck_assert_uint_eq(stats.bytes_limit, 8 << 20);
    cache_class_stats_read(f.cache, NULL, 1, NOW + 7, &group);
    ck_assert_uint_eq(group.n_items, 2);
    ck_assert_uint_eq(group.n_probation, 2);
    ck_assert_uint_eq(group.n_segments, 1);
    ck_assert_uint_eq(group.age, 7);
    cache_stats_reset(f.cache, NULL);
    ck_assert_int_eq(frame_remove(&f, "a"), CACHE_OK);
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_eq(stats.curr_items, 1);
    ck_assert_uint_eq(stats.total_items, 0);
}
END_TEST

#define N_ROWS(rows) ((int)(sizeof(rows) / sizeof *(rows)))

int main(void)
{
    Suite *suite = suite_create("cache_ops");
    TCase *tc = tcase_create("ops");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
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
    tcase_add_test(tc, expiry_is_exact);
    tcase_add_test(tc, touch_changes_exptime_only);
    tcase_add_test(tc, access_is_remembered_unless_silent);
    tcase_add_test(tc, miss_vivifies_once);
    tcase_add_test(tc, recache_is_won_once);
    tcase_add_loop_test(tc, number_row, 0, N_ROWS(number_rows));
    tcase_add_test(tc, counter_keeps_flags_and_exptime);
    tcase_add_test(tc, counter_is_created_and_compared);
    tcase_add_test(tc, counter_of_300_bytes_stays_300);
    tcase_add_test(tc, remove_and_compare);
    tcase_add_test(tc, invalidate_flow);
    tcase_add_test(tc, empty_flow);
    tcase_add_test(tc, flush_kills_what_is_there_only);
    tcase_add_test(tc, flush_with_delay);
    tcase_add_test(tc, second_flush_brings_nothing_back);
    tcase_add_loop_test(tc, upload_commits, 0, N_UPLOADS);
    tcase_add_loop_test(tc, upload_lives_through_a_flush, 0, N_UPLOADS);
    tcase_add_loop_test(tc, upload_appends, 0, 2 * N_UPLOADS);
    tcase_add_test(tc, upload_refused_and_aborted_gives_memory_back);
    tcase_add_test(tc, hinted_key_is_compared_whole);
    tcase_add_test(tc, hint_is_not_trusted);
    tcase_add_loop_test(tc, hint_of_a_store_is_not_trusted, 0, 2);
    tcase_add_test(tc, pin_keeps_bytes_over_a_flood);
    tcase_add_test(tc, pins_are_bounded);
    tcase_add_test(tc, walk_meets_everything_while_the_index_grows);
    tcase_add_test(tc, counters_follow);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
