#include "base/secret.h"
#include "t/unit/unit.h"

START_TEST(append_fills_and_then_refuses)
{
    struct secret *s = secret_create(4);
    ck_assert(secret_append(s, SLICE("abc")));
    ck_assert(!secret_append(s, SLICE("de")));
    ck_assert_uint_eq(s->n, 3);
    ck_assert(secret_append(s, SLICE("d")));
    ck_assert(secret_append(s, slice_of(NULL, 0)));
    ck_assert(secret_equal(slice_of(s->p, s->n), SLICE("abcd")));
    secret_destroy(&s);
    ck_assert_ptr_null(s);
    secret_destroy(&s);
}
END_TEST

START_TEST(equality_needs_length_and_bytes)
{
    ck_assert(secret_equal(SLICE("x"), SLICE("x")));
    ck_assert(secret_equal(SLICE(""), SLICE("")));
    ck_assert(!secret_equal(SLICE("x"), SLICE("xx")));
    ck_assert(!secret_equal(SLICE("xx"), SLICE("x")));
    ck_assert(!secret_equal(SLICE(""), SLICE("x")));
    ck_assert(!secret_equal(SLICE("abc"), SLICE("abd")));
}
END_TEST

START_TEST(wipe_leaves_zeroes)
{
    uint8_t bytes[16];
    memset(bytes, 0xaa, sizeof bytes);
    secret_wipe(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secret");
    TCase *tc = tcase_create("secret");
    tcase_add_test(tc, append_fills_and_then_refuses);
    tcase_add_test(tc, equality_needs_length_and_bytes);
    tcase_add_test(tc, wipe_leaves_zeroes);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
