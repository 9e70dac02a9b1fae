#include "base/number.h"
#include "t/unit/unit.h"

#include <stdio.h>

struct parse_row {
    const char *text;
    uint64_t max;
    bool is_accepted;
    uint64_t value;
};

static const struct parse_row u64_rows[] = {
    {"0", UINT64_MAX, true, 0},
    {"007", UINT64_MAX, true, 7},
    {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
    {"18446744073709551616", UINT64_MAX, false, 0},
    {"99999999999999999999", UINT64_MAX, false, 0},
    {"000000000000000000001", UINT64_MAX, false, 0},
    {"", UINT64_MAX, false, 0},
    {"+1", UINT64_MAX, false, 0},
    {"-1", UINT64_MAX, false, 0},
    {"1x", UINT64_MAX, false, 0},
    {" 1", UINT64_MAX, false, 0},
    {"256", 255, false, 0},
    {"255", 255, true, 255},
};

START_TEST(parse_u64_row)
{
    const struct parse_row *row = &u64_rows[_i];
    uint64_t value = 42;
    ck_assert_int_eq(number_parse_u64(slice_str(row->text), row->max, &value), row->is_accepted);
    ck_assert_uint_eq(value, row->is_accepted ? row->value : 42);
}
END_TEST

START_TEST(parse_s64_bounds)
{
    int64_t value = 42;
    ck_assert(number_parse_s64(SLICE("-2147483648"), INT32_MIN, INT32_MAX, &value));
    ck_assert_int_eq(value, INT32_MIN);
    ck_assert(!number_parse_s64(SLICE("-2147483649"), INT32_MIN, INT32_MAX, &value));
    ck_assert(!number_parse_s64(SLICE("-"), INT32_MIN, INT32_MAX, &value));
    ck_assert(!number_parse_s64(SLICE("--1"), INT32_MIN, INT32_MAX, &value));
    ck_assert_int_eq(value, INT32_MIN);
}
END_TEST

static const struct parse_row size_rows[] = {
    {"64m", UINT64_MAX, true, 64ull << 20},
    {"2G", UINT64_MAX, true, 2ull << 30},
    {"1k", 1024, true, 1024},
    {"2k", 1024, false, 0},
    {"k", UINT64_MAX, false, 0},
    {"", UINT64_MAX, false, 0},
    {"1kk", UINT64_MAX, false, 0},
    {"99999999999999t", UINT64_MAX, false, 0},
};

START_TEST(parse_size_row)
{
    const struct parse_row *row = &size_rows[_i];
    uint64_t value = 42;
    ck_assert_int_eq(number_parse_size(slice_str(row->text), row->max, &value), row->is_accepted);
    ck_assert_uint_eq(value, row->is_accepted ? row->value : 42);
}
END_TEST

START_TEST(parse_size_nul_is_no_suffix)
{
    uint64_t value;
    ck_assert(!number_parse_size(slice_of("1\0", 2), UINT64_MAX, &value));
}
END_TEST

START_TEST(render_then_parse_is_identity)
{
    static const uint64_t values[] = {0,   1,    9,    10,    99,         100,
                                      101, 1234, 9999, 10000, UINT32_MAX, UINT64_MAX};
    uint64_t value = values[_i], back;
    uint8_t text[NUMBER_U64_MAX_DIGITS];
    size_t n = number_render_u64(text, value);
    ck_assert(number_parse_u64(slice_of(text, n), UINT64_MAX, &back));
    ck_assert_uint_eq(back, value);
}
END_TEST

/* Around every power of ten and of two the number of digits is right. */
START_TEST(render_around_powers)
{
    static const struct {
        uint64_t base;
        int n;
    } series[] = {{10, 20}, {2, 64}};
    uint64_t power = 1;
    for (int i = 0; i < series[_i].n; i++, power *= series[_i].base) {
        for (uint64_t value = power - 1; value != power + 2; value++) {
            char expected[NUMBER_U64_MAX_DIGITS + 1];
            uint8_t text[NUMBER_U64_MAX_DIGITS];
            snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
            ck_assert(slice_is(slice_of(text, number_render_u64(text, value)), expected));
        }
    }
}
END_TEST

START_TEST(render_negative)
{
    uint8_t text[NUMBER_U64_MAX_DIGITS + 1];
    size_t n = number_render_s64(text, INT64_MIN);
    ck_assert(slice_is(slice_of(text, n), "-9223372036854775808"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("number");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, parse_u64_row, 0, N_ROWS(u64_rows));
    tcase_add_test(tc, parse_s64_bounds);
    tcase_add_loop_test(tc, parse_size_row, 0, N_ROWS(size_rows));
    tcase_add_test(tc, parse_size_nul_is_no_suffix);
    tcase_add_loop_test(tc, render_then_parse_is_identity, 0, 12);
    tcase_add_loop_test(tc, render_around_powers, 0, 2);
    tcase_add_test(tc, render_negative);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
