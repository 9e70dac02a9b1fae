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

/* ---- many sets ---- */

#define N_MANY_KEYS 24u

struct many {
    struct frame frame;
    char names[N_MANY_KEYS][8];
    uint64_t cas[N_MANY_KEYS];
    bool is_one_by_one;
};

struct wish {
    unsigned key;
    struct cache_set set;
};

static void store_one(struct many *m, const struct cache_key *key, const struct wish *wish)
{
    struct cache_store store = {.client_flags = wish->set.client_flags,
                                .exptime = wish->set.exptime,
                                .value = wish->set.value};
    struct cache_stored stored;
    ck_assert_int_eq(
        cache_store(m->frame.thread, m->frame.tenant, key, m->frame.now, &store, &stored),
        CACHE_OK);
    m->cas[wish->key] = stored.cas;
}

/* As a server does it. Returns how many did not need to be stored one by one. */
static size_t store_all(struct many *m, const struct wish *wishes, size_t n)
{
    struct cache_key keys[CACHE_SETS_MAX];
    struct cache_set sets[CACHE_SETS_MAX];
    uint64_t cas[CACHE_SETS_MAX];
    size_t n_many = 0;
    for (size_t i = 0; i < n; i++) {
        keys[i] = frame_key(&m->frame, m->names[wishes[i].key]);
        sets[i] = wishes[i].set;
    }
    cache_prefetch(m->frame.cache, m->frame.tenant, keys, n);
    for (size_t i = 0; i < n; i++) {
        size_t n_done = m->is_one_by_one
                            ? 0
                            : cache_set_many(m->frame.thread, m->frame.tenant, &keys[i], &sets[i],
                                             n - i, m->frame.now, cas);
        for (size_t k = 0; k < n_done; k++) {
            uint64_t *last = &m->cas[wishes[i + k].key];
            ck_assert(cas[k] > *last || (cas[k] == 0 && *last == 0));
            *last = cas[k];
        }
        n_many += n_done;
        i += n_done;
        if (i < n)
            store_one(m, &keys[i], &wishes[i]);
    }
    return n_many;
}

static unsigned draw(uint64_t *random, unsigned n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*random >> 33) % n;
}

static const uint8_t many_values[200000];

static struct wish draw_wish(uint64_t *random, uint32_t now)
{
    static const uint32_t sizes[] = {0, 10, 100, 150, 230, 260, 1500, 65536, 150000};
    static const uint32_t ends[] = {CACHE_NEVER, CACHE_NEVER, CACHE_NEVER, CACHE_PAST, 3, 100};
    uint32_t end = ends[draw(random, N_ROWS(ends))];
    unsigned n_kinds = draw(random, 3) == 0 ? N_ROWS(sizes) : 4;
    size_t n_value = sizes[draw(random, n_kinds)];
    return (struct wish){.key = draw(random, N_MANY_KEYS),
                         .set = {.value = slice_of(many_values, n_value),
                                 .client_flags = draw(random, 4) == 0 ? 7 : 0,
                                 .exptime = end > CACHE_PAST ? now + end : end}};
}

/* What else happens between the batches, the same in both. */
static void disturb(struct many *m, unsigned what, unsigned key)
{
    struct cache_access touch = {.does_touch = true, .exptime = m->frame.now + 50};
    struct cache_item item;
    if (what == 0)
        (void)frame_remove(&m->frame, m->names[key]);
    else if (what == 1)
        (void)frame_access(&m->frame, m->names[key], &touch, &item);
    else if (what == 2)
        m->frame.now += 2;
    else if (what == 3)
        cache_flush(m->frame.tenant, 0);
    frame_turn(&m->frame);
}

static void check_alike(struct many *a, struct many *b)
{
    struct cache_stats x, y;
    for (unsigned i = 0; i < N_MANY_KEYS; i++) {
        struct cache_item p, q;
        enum cache_result result = frame_get(&a->frame, a->names[i], &p);
        ck_assert_int_eq(frame_get(&b->frame, b->names[i], &q), result);
        if (result != CACHE_OK)
            continue;
        ck_assert_uint_eq(p.cas, a->cas[i]);
        ck_assert_uint_eq(q.cas, b->cas[i]);
        ck_assert_uint_eq(p.n_value, q.n_value);
        ck_assert_uint_eq(p.exptime, q.exptime);
        ck_assert_uint_eq(p.client_flags, q.client_flags);
        ck_assert_uint_eq(p.last_access, q.last_access);
    }
    cache_stats_read(a->frame.cache, a->frame.tenant, &x);
    cache_stats_read(b->frame.cache, b->frame.tenant, &y);
    ck_assert_uint_eq(x.curr_items, y.curr_items);
    ck_assert_uint_eq(x.bytes, y.bytes);
    ck_assert_uint_eq(x.total_items, y.total_items);
    ck_assert_uint_eq(x.reclaimed, y.reclaimed);
}

/* Sets in one call, some of which meet keys that are not there, expired, flushed, of another size,
 * in a chain, or twice in the call: all is as if they had come one by one. */
START_TEST(many_are_like_one_by_one)
{
    struct cache_config config = frame_config(16 << 20);
    struct many many = {.is_one_by_one = false}, one = {.is_one_by_one = true};
    uint64_t random = 1;
    size_t n_many = 0;
    config.has_cas = _i != 1;
    config.is_evicting = _i != 2;
    frame_open(&many.frame, &config);
    frame_open(&one.frame, &config);
    for (unsigned i = 0; i < N_MANY_KEYS; i++) {
        snprintf(many.names[i], sizeof many.names[i], "key-%u", i);
        memcpy(one.names[i], many.names[i], sizeof one.names[i]);
    }
    for (unsigned round = 0; round < 3000; round++) {
        struct wish wishes[CACHE_SETS_MAX];
        size_t n = 1 + draw(&random, CACHE_SETS_MAX);
        for (size_t i = 0; i < n; i++)
            wishes[i] = draw_wish(&random, many.frame.now);
        n_many += store_all(&many, wishes, n);
        (void)store_all(&one, wishes, n);
        unsigned what = draw(&random, 3) == 0 ? draw(&random, 4) : 4;
        unsigned key = draw(&random, N_MANY_KEYS);
        if (what == 3 && draw(&random, 8) != 0)
            what = 4;
        disturb(&many, what, key);
        disturb(&one, what, key);
        check_alike(&many, &one);
    }
    ck_assert_uint_gt(n_many, 1000);
    frame_close(&many.frame);
    frame_close(&one.frame);
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
    tcase_add_loop_test(tc, many_are_like_one_by_one, 0, 3);
    return unit_run(suite);
}
