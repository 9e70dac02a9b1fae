#include "server/latency.h"
#include "protocol/request.h"
#include "t/unit/unit.h"

#include <string.h>

static const uint64_t times[] = {
    0,   1,    63,     64,     65,      79,         80,         127,        128,
    999, 1000, 123456, 999999, 1 << 30, 1ull << 33, 1ull << 34, 1ull << 40, UINT64_MAX - 1};

START_TEST(a_time_lies_in_its_bucket)
{
    uint64_t ns = times[_i];
    unsigned bucket = latency_bucket(ns);
    ck_assert_uint_lt(bucket, N_LATENCY_BUCKETS);
    ck_assert_uint_lt(ns, latency_bucket_end(bucket));
    if (bucket > 0)
        ck_assert_uint_ge(ns, latency_bucket_end(bucket - 1));
}
END_TEST

START_TEST(buckets_are_narrow_and_meet)
{
    for (unsigned i = 1; i + 1 < N_LATENCY_BUCKETS; i++) {
        uint64_t begin = latency_bucket_end(i - 1), end = latency_bucket_end(i);
        ck_assert_uint_le(end - begin, begin / 4);
        ck_assert_uint_eq(latency_bucket(begin), i);
        ck_assert_uint_eq(latency_bucket(end - 1), i);
    }
}
END_TEST

START_TEST(quantiles)
{
    uint64_t n[N_LATENCY_BUCKETS] = {0};
    ck_assert_uint_eq(latency_quantile(n, 0.5), 0);
    n[latency_bucket(1000)] = 98;
    n[latency_bucket(50000)] = 2;
    ck_assert_uint_eq(latency_count(n), 100);
    ck_assert_uint_eq(latency_quantile(n, 0.5), latency_bucket_end(latency_bucket(1000)));
    ck_assert_uint_eq(latency_quantile(n, 0.98), latency_bucket_end(latency_bucket(1000)));
    ck_assert_uint_eq(latency_quantile(n, 0.99), latency_bucket_end(latency_bucket(50000)));
    ck_assert_uint_eq(latency_quantile(n, 1), latency_bucket_end(latency_bucket(50000)));
}
END_TEST

START_TEST(one_turn_in_many_is_timed)
{
    struct latency_sample sample = {0};
    unsigned n = 0;
    ck_assert(latency_is_due(&sample));
    for (unsigned i = 0; i < 1000 * LATENCY_EVERY; i++)
        n += latency_is_due(&sample);
    ck_assert_uint_gt(n, 900);
    ck_assert_uint_lt(n, 1100);
}
END_TEST

START_TEST(requests_of_a_turn_are_added_to_their_verbs)
{
    static struct latency latency;
    static struct latency_totals totals;
    struct latency_sample sample = {0};
    uint64_t ns;
    latency_begin(&sample);
    ck_assert(!latency_end(&sample, &ns));
    latency_begin(&sample);
    latency_note(&sample, VERB_GET, 2);
    latency_note(&sample, VERB_TOUCH, 1);
    latency_note(&sample, VERB_STATS, 1);
    ck_assert(latency_end(&sample, &ns));
    latency_add(&latency, &sample, 1000);
    latency_sum(&totals, &latency);
    ck_assert_uint_eq(latency_count(totals.n[LATENCY_GET]), 2);
    ck_assert_uint_eq(latency_count(totals.n[LATENCY_TOUCH]), 1);
    ck_assert_uint_eq(latency_count(totals.n[LATENCY_OTHER]), 1);
    ck_assert_uint_eq(latency_count(totals.n[LATENCY_SET]), 0);
    ck_assert_uint_eq(totals.sum_ns[LATENCY_GET], 2000);
    struct latency_totals *twice = calloc(1, sizeof *twice);
    latency_totals_add(twice, &totals);
    latency_totals_add(twice, &totals);
    latency_subtract(twice, &totals);
    ck_assert_mem_eq(twice, &totals, sizeof totals);
    free(twice);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("latency");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, a_time_lies_in_its_bucket, 0, sizeof times / sizeof *times);
    tcase_add_test(tc, buckets_are_narrow_and_meet);
    tcase_add_test(tc, quantiles);
    tcase_add_test(tc, one_turn_in_many_is_timed);
    tcase_add_test(tc, requests_of_a_turn_are_added_to_their_verbs);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
