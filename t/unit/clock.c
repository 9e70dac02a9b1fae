#include "server/clock.h"
#include "t/unit/unit.h"

/* A clock that was started so many seconds and nanoseconds ago. */
static struct clock started_before(time_t s, long ns)
{
    struct clock clock;
    clock_init(&clock);
    clock.monotonic_at_start.tv_sec -= s;
    clock.monotonic_at_start.tv_nsec -= ns;
    if (clock.monotonic_at_start.tv_nsec < 0) {
        clock.monotonic_at_start.tv_sec--;
        clock.monotonic_at_start.tv_nsec += 1000000000;
    }
    return clock;
}

START_TEST(time_passes_with_the_monotonic_clock_only)
{
    struct clock clock = started_before(3600, 0);
    clock.wall_at_start = 1000; /* whatever the wall clock says by now */
    ck_assert_uint_ge(clock_now_s(&clock), 4600);
    ck_assert_uint_lt(clock_now_s(&clock), 5600);
    ck_assert_int_ge(clock_passed_ms(&clock), 3600000);
}
END_TEST

/* The tick behind that wait must find the next second, from wherever in a second it starts. */
START_TEST(the_next_second_is_waited_for)
{
    struct clock clock = started_before(5, _i * 99999999L);
    int64_t before_ms = clock_passed_ms(&clock);
    int64_t wait_us = clock_next_second_us(&clock);
    int64_t after_ms = clock_passed_ms(&clock);
    ck_assert_int_gt(wait_us, 0);
    ck_assert_int_le(wait_us, 1001000);
    ck_assert_int_gt((after_ms + 1) * 1000 + wait_us, (before_ms / 1000 + 1) * 1000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tc = tcase_create("clock");
    tcase_add_test(tc, time_passes_with_the_monotonic_clock_only);
    tcase_add_loop_test(tc, the_next_second_is_waited_for, 0, 11);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
