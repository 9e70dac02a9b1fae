/* Arithmetic on values. */
#include "t/unit/cache_case.h"

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
    return frame_arith(&f, "n", a, number, item);
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

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_arith", &tc);
    tcase_add_loop_test(tc, number_row, 0, N_ROWS(number_rows));
    tcase_add_test(tc, counter_keeps_flags_and_exptime);
    tcase_add_test(tc, counter_is_created_and_compared);
    tcase_add_test(tc, counter_of_300_bytes_stays_300);
    return unit_run(suite);
}
