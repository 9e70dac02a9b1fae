#include "base/schedule.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who is woken waits for the end of the running thread's slice, however nice that is, unless its
 * own is shorter. */
#define SERVE_SLICE_NS    400000 /* a quarter of the usual; with less, more is lost by changing */
#define GIVE_WAY_SLICE_NS 20000000
#define GIVE_WAY_NICE     15

/* sched_setattr(2); not every libc declares it. */
struct attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static bool get(struct attributes *out)
{
    *out = (struct attributes){0};
    return syscall(SYS_sched_getattr, 0, out, sizeof *out, 0) == 0;
}

static bool set(const struct attributes *attributes)
{
    return syscall(SYS_sched_setattr, 0, attributes, 0) == 0;
}

void schedule_serve(void)
{
    struct attributes attributes;
    /* Whoever chose another policy for the process knows what it is for. */
    if (!get(&attributes) || attributes.policy != SCHED_OTHER)
        return;
    attributes.runtime_ns = SERVE_SLICE_NS;
    (void)set(&attributes);
}

unsigned schedule_processors(void)
{
    cpu_set_t allowed;
    /* Refused where the kernel knows more processors than the set holds. */
    int n = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : CPU_SETSIZE;
    return n > 0 ? (unsigned)n : 1;
}

/* SCHED_BATCH keeps it from interrupting others when it is woken itself. */
void schedule_give_way(void)
{
    struct attributes attributes;
    bool is_known = get(&attributes);
    if (is_known && attributes.nice < GIVE_WAY_NICE)
        attributes.nice = GIVE_WAY_NICE;
    attributes.policy = SCHED_BATCH;
    attributes.priority = 0;
    attributes.runtime_ns = GIVE_WAY_SLICE_NS;
    if (!is_known || !set(&attributes))
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), GIVE_WAY_NICE);
}
