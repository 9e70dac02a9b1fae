/* cpu.h - how much processor time a process has used so far, from /proc.
 * Owns: nothing.   Thread: any.
 * Never: fails: a process that is not there has used 0. */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>

struct cpu_time {
    uint64_t run_ns; /* exact: the scheduler's run time of all threads */
    uint64_t user_ticks, system_ticks;
};

/* All threads of the process that are alive. */
struct cpu_time cpu_time_of(pid_t pid);

/* What was used in between. The sum is exact, the split follows the kernel's accounting of ticks.
 */
void cpu_time_between(struct cpu_time began, struct cpu_time ended, double *user_ns_out,
                      double *system_ns_out);

uint64_t cpu_clock_ns(void);

#endif
