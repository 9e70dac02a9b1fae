/* Reading, the state of an item, hints, pins, the walk and the counters. */
#include "t/unit/cache_case.h"

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

static size_t get_many(const char *const *texts, size_t n, bool is_moved, struct cache_view *views)
{
    struct cache_key keys[8];
    for (size_t i = 0; i < n; i++)
        keys[i] = frame_key(&f, texts[i]);
    cache_prefetch(f.cache, f.tenant, keys, n);
    if (is_moved) /* what was prefetched has moved meanwhile */
        for (size_t i = 0; i < n; i++)
            keys[i].hint = i > 0 ? keys[i - 1].hint : 0;
    return cache_get_many(f.thread, f.tenant, keys, n, f.now, views);
}

/* Hits in a row, up to the first that is none, or is more than bytes. */
START_TEST(many_gets_end_at_the_first_that_is_more)
{
    static const char *const hits[] = {"a", "flags", "a-key-of-more-than-sixteen-bytes"};
    static const char *const with[][3] = {{"a", "none", "flags"},   {"a", "over", "flags"},
                                          {"a", "number", "flags"}, {"a", "large", "flags"},
                                          {"a", "chain", "flags"},  {"none", "a", "flags"}};
    static char large[CACHE_VIEW_MAX + 2], chain[CACHE_VIEW_MAX + 1];
    struct cache_view views[8];
    struct cache_store store = {.client_flags = 7, .value = SLICE("22")};
    struct cache_stored stored;
    struct cache_item item;
    uint64_t number;
    struct cache_key flags = frame_key(&f, "flags");
    memset(large, 'x', sizeof large - 1);
    memset(chain, 'x', sizeof chain - 1);
    ck_assert_int_eq(frame_set(&f, "a", "1"), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, hits[2], "333"), CACHE_OK);
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &flags, f.now, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "large", large), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "chain", chain), CACHE_OK);
    ck_assert_uint_le(cache_segment_size(8 << 20, 0), sizeof chain);
    ck_assert_int_eq(frame_set(&f, "number", "41"), CACHE_OK);
    ck_assert_int_eq(frame_set_until(&f, "over", "v", NOW + 1), CACHE_OK);
    struct cache_arith arith = {.delta = 1};
    ck_assert_int_eq(frame_arith(&f, "number", &arith, &number, &item), CACHE_OK);
    f.now = NOW + 1;
    ck_assert_uint_eq(get_many(hits, 3, _i == 1, views), 3);
    ck_assert(slice_is(slice_of(views[0].value, views[0].n_value), "1"));
    ck_assert(slice_is(slice_of(views[1].value, views[1].n_value), "22"));
    ck_assert(slice_is(slice_of(views[2].value, views[2].n_value), "333"));
    ck_assert(views[0].client_flags == 0 && views[1].client_flags == 7);
    ck_assert_uint_eq(views[1].cas, stored.cas);
    ck_assert_int_eq(frame_get(&f, "a", &item), CACHE_OK);
    ck_assert_uint_eq(views[0].size, item.size);
    for (size_t i = 0; i < N_ROWS(with); i++)
        ck_assert_uint_eq(get_many(with[i], 3, _i == 1, views), i + 1 < N_ROWS(with));
    ck_assert_int_eq(frame_get(&f, "a", &item), CACHE_OK);
    struct cache_access silent = {.is_silent = true};
    ck_assert_int_eq(frame_access(&f, "flags", &silent, &item), CACHE_OK);
    ck_assert(item.was_fetched && item.last_access == f.now);
    cache_flush(f.tenant, 0);
    ck_assert_uint_eq(get_many(hits, 3, _i == 1, views), 0);
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

/* ---- looks ---- */

static enum cache_result look(const char *text, struct cache_item *item)
{
    struct cache_key key = hinted_key(text);
    return cache_look(f.thread, f.tenant, &key, f.now, item);
}

/* Stores the same twice, under "look" and "access". */
static void set_both(const struct cache_store *store)
{
    static const char *const names[] = {"look", "access"};
    for (unsigned i = 0; i < 2; i++) {
        struct cache_key key = frame_key(&f, names[i]);
        struct cache_stored stored;
        ck_assert_int_eq(cache_store(f.thread, f.tenant, &key, f.now, store, &stored), CACHE_OK);
    }
}

static void change_both(const struct cache_remove *remove)
{
    struct cache_key a = frame_key(&f, "look"), b = frame_key(&f, "access");
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &a, f.now, remove), CACHE_OK);
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &b, f.now, remove), CACHE_OK);
}

static void assert_alike(enum cache_result expected)
{
    struct cache_access access = {.has_state = true};
    struct cache_item a, b;
    ck_assert_int_eq(look("look", &a), expected);
    ck_assert_int_eq(frame_access(&f, "access", &access, &b), expected);
    if (expected != CACHE_OK)
        return;
    ck_assert(slice_equal(slice_of(a.value, a.n_value), slice_of(b.value, b.n_value)));
    ck_assert_uint_eq(a.size + 2, b.size); /* by the name */
    ck_assert_uint_eq(a.client_flags, b.client_flags);
    ck_assert_uint_eq(a.exptime, b.exptime);
    ck_assert_uint_eq(a.exptime_before, b.exptime_before);
    ck_assert_uint_eq(a.last_access, b.last_access);
    ck_assert_int_eq(a.was_fetched, b.was_fetched);
    ck_assert_int_eq(a.is_stale, b.is_stale);
    ck_assert_int_eq(a.is_won, b.is_won);
    ck_assert_int_eq(a.is_already_won, b.is_already_won);
    ck_assert_int_eq(a.key_is_base64, b.key_is_base64);
}

START_TEST(look_sees_what_an_access_sees)
{
    struct cache_store plain = {.value = SLICE("value")};
    struct cache_store rich = {.value = SLICE("7"),
                               .client_flags = 9,
                               .exptime = NOW + 30,
                               .key_is_base64 = true,
                               .sets_cas = true,
                               .new_cas = UINT64_MAX};
    struct cache_remove stale = {.invalidates = true, .does_touch = true, .exptime = NOW + 40};
    struct cache_item item;
    assert_alike(CACHE_MISS);
    set_both(&plain);
    assert_alike(CACHE_OK);
    f.now = NOW + 5;
    assert_alike(CACHE_OK); /* fetched, and in this second */
    set_both(&rich);
    assert_alike(CACHE_OK);
    ck_assert_int_eq(look("look", &item), CACHE_OK);
    ck_assert_uint_eq(item.cas, UINT64_MAX);
    change_both(&stale);
    assert_alike(CACHE_OK); /* won */
    assert_alike(CACHE_OK); /* by another */
    f.now = NOW + 40;
    assert_alike(CACHE_EXPIRED);
    assert_alike(CACHE_MISS);
}
END_TEST

START_TEST(look_sees_a_counter)
{
    struct cache_arith add = {.delta = 5};
    struct cache_item item;
    uint64_t number;
    ck_assert_int_eq(frame_set(&f, "look", "10"), CACHE_OK);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(frame_arith(&f, "look", &add, &number, &item), CACHE_OK);
    ck_assert_int_eq(look("look", &item), CACHE_OK);
    ck_assert(slice_is(slice_of(item.value, item.n_value), "20"));
    ck_assert_uint_eq(item.cas, cas_of("look"));
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
    ck_assert_uint_eq(stats.bytes, 40);
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

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_read", &tc);
    tcase_add_test(tc, expiry_is_exact);
    tcase_add_test(tc, touch_changes_exptime_only);
    tcase_add_test(tc, access_is_remembered_unless_silent);
    tcase_add_test(tc, look_sees_what_an_access_sees);
    tcase_add_test(tc, look_sees_a_counter);
    tcase_add_test(tc, miss_vivifies_once);
    tcase_add_test(tc, recache_is_won_once);
    tcase_add_test(tc, hinted_key_is_compared_whole);
    tcase_add_test(tc, hint_is_not_trusted);
    tcase_add_loop_test(tc, many_gets_end_at_the_first_that_is_more, 0, 2);
    tcase_add_loop_test(tc, hint_of_a_store_is_not_trusted, 0, 2);
    tcase_add_test(tc, pin_keeps_bytes_over_a_flood);
    tcase_add_test(tc, pins_are_bounded);
    tcase_add_test(tc, walk_meets_everything_while_the_index_grows);
    tcase_add_test(tc, counters_follow);
    return unit_run(suite);
}
