#include "auth/throttle.h"
#include "t/unit/unit.h"

#include <stdio.h>

static struct throttle *throttle;
static const struct auth_address one = {.family = AUTH_PEER_IPV4, .ip = {192, 0, 2, 1}};
static const struct auth_address two = {.family = AUTH_PEER_IPV4, .ip = {192, 0, 2, 2}};

static void setup(void)
{
    throttle = throttle_create();
    ck_assert_ptr_nonnull(throttle);
}

static void teardown(void)
{
    throttle_destroy(&throttle);
}

/* One wrong guess at this time; false when it was not checked. The wait is added to *wait_ms. */
static bool guess(const struct auth_address *address, const char *user, uint64_t now_ms)
{
    uint32_t wait_ms;
    enum throttle_admission admission =
        throttle_admit(throttle, address, slice_str(user), now_ms, &wait_ms);
    if (admission == THROTTLE_REFUSE)
        return false;
    throttle_fail(throttle, address, slice_str(user), now_ms + wait_ms,
                  admission == THROTTLE_LATER);
    return true;
}

START_TEST(delays_grow_to_a_bound)
{
    uint32_t last = 0;
    for (int i = 0; i < 40; i++) {
        uint32_t delay = throttle_fail(throttle, &one, SLICE("alice"), 1000, false);
        ck_assert_uint_ge(delay, last);
        ck_assert_uint_le(delay, THROTTLE_DELAY_MAX_MS);
        last = delay;
    }
    ck_assert_uint_eq(last, THROTTLE_DELAY_MAX_MS);
    ck_assert_uint_eq(throttle_fail(throttle, &two, SLICE("alice"), 1000, false),
                      THROTTLE_DELAY_MIN_MS);
    ck_assert_uint_eq(
        throttle_fail(throttle, &one, SLICE("alice"), 1000 + THROTTLE_FORGET_MS, false),
        THROTTLE_DELAY_MIN_MS);
}
END_TEST

START_TEST(a_guesser_gets_a_hundred_checks_a_second)
{
    unsigned n_checked = 0;
    /* A thousand tries each second for ten seconds, nobody waits for replies. */
    for (uint64_t now = 1000; now < 11000; now++) {
        char user[16];
        snprintf(user, sizeof user, "user%u", (unsigned)(now % 50));
        n_checked += guess(&one, user, now);
    }
    ck_assert_uint_le(n_checked, 1000);
    ck_assert_uint_ge(n_checked, 500);
}
END_TEST

START_TEST(others_do_not_wait)
{
    uint32_t wait_ms;
    for (uint64_t now = 1000; now < 3000; now++)
        guess(&one, "alice", now);
    ck_assert_int_eq(throttle_admit(throttle, &two, SLICE("alice"), 3000, &wait_ms), THROTTLE_NOW);
    ck_assert_int_ne(throttle_admit(throttle, &one, SLICE("alice"), 3000, &wait_ms), THROTTLE_NOW);
}
END_TEST

START_TEST(a_known_user_of_the_address_does_not_wait_for_the_guesser)
{
    uint32_t wait_ms;
    throttle_succeed(throttle, &one, SLICE("alice"), 500, false);
    for (uint64_t now = 1000; now < 3000; now++)
        guess(&one, "bob", now);
    ck_assert_int_eq(throttle_admit(throttle, &one, SLICE("alice"), 3000, &wait_ms), THROTTLE_NOW);
    /* Guessing at alice herself is limited all the same. */
    unsigned n_checked = 0;
    for (uint64_t now = 3000; now < 5000; now++)
        n_checked += guess(&one, "alice", now);
    ck_assert_uint_le(n_checked, 300);
}
END_TEST

START_TEST(the_right_user_gets_in_within_two_seconds)
{
    uint32_t wait_ms = 0;
    uint64_t now = 1000;
    for (; now < 5000; now++)
        guess(&one, "bob", now);
    /* First login of alice, tried each millisecond beside the guesser. */
    enum throttle_admission admission = THROTTLE_REFUSE;
    for (uint64_t end = now + 800; now < end && admission == THROTTLE_REFUSE; now++)
        admission = throttle_admit(throttle, &one, SLICE("alice"), now, &wait_ms);
    ck_assert_int_eq(admission, THROTTLE_LATER);
    ck_assert_uint_le(wait_ms, THROTTLE_WAIT_MAX_MS);
    throttle_succeed(throttle, &one, SLICE("alice"), now + wait_ms, true);
    ck_assert_int_eq(throttle_admit(throttle, &one, SLICE("alice"), now + wait_ms, &wait_ms),
                     THROTTLE_NOW);
}
END_TEST

START_TEST(ipv6_counts_by_48_bits_and_mapped_addresses_as_ipv4)
{
    struct auth_address a = {.family = AUTH_PEER_IPV6, .ip = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 1}};
    struct auth_address b = a, c = a;
    struct auth_address mapped = {.family = AUTH_PEER_IPV6,
                                  .ip = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}};
    b.ip[7] = 2;
    c.ip[5] = 2;
    uint32_t first = throttle_fail(throttle, &a, SLICE("x"), 1, false);
    ck_assert_uint_gt(throttle_fail(throttle, &b, SLICE("x"), 1, false), first);
    ck_assert_uint_eq(throttle_fail(throttle, &c, SLICE("x"), 1, false), first);
    throttle_fail(throttle, &one, SLICE("x"), 1, false);
    ck_assert_uint_gt(throttle_fail(throttle, &mapped, SLICE("x"), 1, false), first);
}
END_TEST

START_TEST(many_addresses_do_not_grow_it)
{
    for (uint32_t i = 0; i < 100000; i++) {
        struct auth_address address = {.family = AUTH_PEER_IPV4};
        memcpy(address.ip, &i, 4);
        throttle_fail(throttle, &address, SLICE("x"), 1000 + i, false);
    }
    ck_assert_uint_eq(throttle_fail(throttle, &one, SLICE("x"), 200000, false),
                      THROTTLE_DELAY_MIN_MS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_throttle");
    TCase *tc = tcase_create("auth_throttle");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, delays_grow_to_a_bound);
    tcase_add_test(tc, a_guesser_gets_a_hundred_checks_a_second);
    tcase_add_test(tc, others_do_not_wait);
    tcase_add_test(tc, a_known_user_of_the_address_does_not_wait_for_the_guesser);
    tcase_add_test(tc, the_right_user_gets_in_within_two_seconds);
    tcase_add_test(tc, ipv6_counts_by_48_bits_and_mapped_addresses_as_ipv4);
    tcase_add_test(tc, many_addresses_do_not_grow_it);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
