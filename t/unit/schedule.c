#include "base/schedule.h"

#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What sched_getattr(2) tells of a thread. */
struct found {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns; /* 0 before Linux 6.12 */
    uint64_t deadline_ns, period_ns;
};

struct change {
    void (*make)(void);
    int nice_before;
    bool is_allowed; /* here, for an ordinary thread */
    struct found before, after;
};

static bool look(struct found *out)
{
    *out = (struct found){0};
    return syscall(SYS_sched_getattr, 0, out, sizeof *out, 0) == 0;
}

/* A thread of its own: what was given away does not come back. */
static void *apply(void *arg)
{
    struct change *change = arg;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), change->nice_before);
    change->is_allowed =
        look(&change->before) && syscall(SYS_sched_setattr, 0, &change->before, 0) == 0;
    change->make();
    (void)look(&change->after);
    return NULL;
}

static void make(struct change *change)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, apply, change), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* Elsewhere the kernel, or who started the test, decides. */
static bool is_ordinary(const struct change *change)
{
    return change->is_allowed && change->before.policy == SCHED_OTHER;
}

START_TEST(who_serves_has_short_slices_and_stays_as_nice)
{
    struct change change = {.make = schedule_serve, .nice_before = 3};
    make(&change);
    ck_assert_int_eq(change.after.nice, change.before.nice);
    ck_assert_int_eq(change.after.policy, change.before.policy);
    if (is_ordinary(&change) && change.before.slice_ns > 0)
        ck_assert_uint_eq(change.after.slice_ns, 400000);
}
END_TEST

START_TEST(who_computes_gives_way)
{
    struct change change = {.make = schedule_give_way, .nice_before = 3};
    make(&change);
    if (!is_ordinary(&change))
        return;
    ck_assert_int_eq(change.after.nice, change.before.nice < 15 ? 15 : change.before.nice);
    ck_assert_int_eq(change.after.policy, SCHED_BATCH);
    if (change.before.slice_ns > 0)
        ck_assert_uint_gt(change.after.slice_ns, change.before.slice_ns);
}
END_TEST

START_TEST(who_is_nicer_already_stays_so)
{
    struct change change = {.make = schedule_give_way, .nice_before = 17};
    make(&change);
    if (is_ordinary(&change))
        ck_assert_int_eq(change.after.nice, change.before.nice);
}
END_TEST

static void *count_one(void *arg)
{
    unsigned *n_found = arg;
    cpu_set_t allowed, one;
    int processor = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    while (!CPU_ISSET(processor, &allowed))
        processor++;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    *n_found = schedule_processors();
    return NULL;
}

START_TEST(processors_are_those_of_the_thread)
{
    pthread_t thread;
    unsigned n_found = 0;
    ck_assert_uint_ge(schedule_processors(), 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, count_one, &n_found), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(n_found, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tcase = tcase_create("schedule");
    tcase_add_test(tcase, who_serves_has_short_slices_and_stays_as_nice);
    tcase_add_test(tcase, who_computes_gives_way);
    tcase_add_test(tcase, who_is_nicer_already_stays_so);
    tcase_add_test(tcase, processors_are_those_of_the_thread);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
