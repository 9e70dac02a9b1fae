/* clock.h - the server's time: wall time at the start plus what has passed since, so that a jump of
 * the wall clock neither expires nor revives an item.
 * Owns: nothing.   Thread: any, once it is set.
 * Never: goes back. */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdint.h>
#include <time.h>

struct clock {
    time_t wall_at_start;
    struct timespec monotonic_at_start;
};

/* It is this second of the wall clock; from here on it counts by itself. */
void clock_init(struct clock *clock);

/* Unix seconds. */
uint32_t clock_now_s(const struct clock *clock);

/* Milliseconds since clock_init. */
int64_t clock_passed_ms(const struct clock *clock);

/* Microseconds until clock_now_s is certain to tell the next second; at most a second and a bit. */
uint32_t clock_next_second_us(const struct clock *clock);

#endif
