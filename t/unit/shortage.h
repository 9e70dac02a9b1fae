/* shortage.h - memory, threads and descriptors that our own code asks for run out at the n-th call.
 * The calls are taken by the linker (shortage_wrap in t/unit/torture.am): libraries keep theirs.
 * Owns: the count of calls, and of what our code holds.   Thread: any; one test at a time.
 * Never: fails a call outside of shortage_begin and shortage_end. */
#ifndef T_UNIT_SHORTAGE_H
#define T_UNIT_SHORTAGE_H

#include <check.h>
#include <stdbool.h>

/* From here on calls are counted, and one of them fails; what the scenario does before or after is
 * only its frame. May be used several times in a scenario: counting goes on. */
void shortage_begin(void);
/* Were they counted? */
bool shortage_end(void);

/* Has a call failed in this run of the scenario? */
bool shortage_has_struck(void);

/* Run again and again: each time a later call fails, until none does; the last run is the one
 * without a failure. A scenario asserts that what was asked for was either done or refused, that
 * all else is as before, and leaves nothing behind: what is held, and open descriptors, are
 * compared after each run with what a run without a failure leaves behind (cyrus forgets a few
 * bytes at each of its ends). */
struct scenario {
    const char *name;
    void (*run)(void);
};

#define SCENARIO(function)                 \
    {                                      \
        .name = #function, .run = function \
    }

/* A suite with one case for each of the n scenarios, `setup` and `teardown` around each: NULL is
 * none. */
Suite *shortage_suite(const char *name, const struct scenario *scenarios, size_t n,
                      void (*setup)(void), void (*teardown)(void));

#endif
