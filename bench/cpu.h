/* cpu.h - how much processor time a process has used so far, from /proc.
 * Owns: nothing.   Thread: any.
 * Never: fails: a process that is not there has used 0. */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>

struct cpu_time {
    uint64_t user_ns;
    uint64_t system_ns;
};

/* All threads of the process that are alive. The sum is exact (the scheduler's run time), the split
 * between user and system follows the kernel's accounting of ticks. */
struct cpu_time cpu_time_of(pid_t pid);

uint64_t cpu_clock_ns(void);

#endif
