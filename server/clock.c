#include "server/clock.h"

#define SECOND_NS INT64_C(1000000000)
#define MARGIN_US 500 /* a timer that fires early would see the old second */

void clock_init(struct clock *clock)
{
    clock->wall_at_start = time(NULL);
    clock_gettime(CLOCK_MONOTONIC, &clock->monotonic_at_start);
}

static int64_t passed_ns(const struct clock *clock)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)(now.tv_sec - clock->monotonic_at_start.tv_sec) * SECOND_NS +
           (now.tv_nsec - clock->monotonic_at_start.tv_nsec);
}

uint32_t clock_now_s(const struct clock *clock)
{
    return (uint32_t)(clock->wall_at_start + passed_ns(clock) / SECOND_NS);
}

int64_t clock_passed_ms(const struct clock *clock)
{
    return passed_ns(clock) / 1000000;
}

uint32_t clock_next_second_us(const struct clock *clock)
{
    return (uint32_t)((SECOND_NS - passed_ns(clock) % SECOND_NS) / 1000 + MARGIN_US);
}
