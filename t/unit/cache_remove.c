/* Removing, invalidating and flushing. */
#include "t/unit/cache_case.h"

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

/* `ms s 2 T100`, `md s I T30`, `mg s`, `mg s`, `ms s` of meta clients. */
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

/* memcached 1.6.45 brings items back that an immediate flush had killed. */
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

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_remove", &tc);
    tcase_add_test(tc, remove_and_compare);
    tcase_add_test(tc, invalidate_flow);
    tcase_add_test(tc, empty_flow);
    tcase_add_test(tc, flush_kills_what_is_there_only);
    tcase_add_test(tc, flush_with_delay);
    tcase_add_test(tc, second_flush_brings_nothing_back);
    return unit_run(suite);
}
