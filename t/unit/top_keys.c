#include "server/top_keys.h"
#include "t/unit/unit.h"

#include <stdio.h>

static void add(struct top_keys *top, unsigned number)
{
    char key[16];
    int n = snprintf(key, sizeof key, "k%u", number);
    top_keys_add(top, slice_of(key, (size_t)n), number * 0x9e3779b97f4a7c15ull);
}

START_TEST(few_keys_are_counted_exactly)
{
    struct top_keys *top = calloc(1, sizeof *top);
    for (unsigned key = 0; key < TOP_KEYS; key++) {
        for (unsigned i = 0; i <= key; i++)
            add(top, key);
    }
    top_keys_sort(top);
    ck_assert_uint_eq(top->n, TOP_KEYS);
    for (unsigned i = 0; i < TOP_KEYS; i++) {
        ck_assert_uint_eq(top->rows[i].n, TOP_KEYS - i);
        ck_assert_uint_eq(top->rows[i].error, 0);
    }
    free(top);
}
END_TEST

/* A tenth of the samples is one key, another tenth a second; the rest never comes again. */
START_TEST(hot_keys_stand_out_of_many)
{
    struct top_keys *top = calloc(1, sizeof *top);
    for (unsigned i = 0; i < 100000; i++)
        add(top, i % 10 == 0 ? 1 : i % 10 == 5 ? 2 : 1000 + i);
    top_keys_sort(top);
    ck_assert_uint_eq(top->n_samples, 100000);
    for (unsigned i = 0; i < 2; i++) {
        const struct top_key *row = &top->rows[i];
        ck_assert_uint_eq(row->n_key, 2);
        ck_assert_uint_ge(row->n, 10000);
        ck_assert_uint_le(row->n - row->error, 10000);
    }
    ck_assert_mem_ne(top->rows[0].key, top->rows[1].key, 2);
    free(top);
}
END_TEST

START_TEST(equal_hashes_are_not_equal_keys)
{
    struct top_keys *top = calloc(1, sizeof *top);
    top_keys_add(top, SLICE("a"), 7);
    top_keys_add(top, SLICE("b"), 7);
    top_keys_add(top, slice_of(NULL, 0), 7);
    ck_assert_uint_eq(top->n, 2);
    free(top);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("top_keys");
    TCase *tc = tcase_create("keys");
    tcase_add_test(tc, few_keys_are_counted_exactly);
    tcase_add_test(tc, hot_keys_stand_out_of_many);
    tcase_add_test(tc, equal_hashes_are_not_equal_keys);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
