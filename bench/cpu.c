#include "bench/cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t cpu_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* The sum over threads of the first number of their schedstat. */
static uint64_t run_time_ns(pid_t pid)
{
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        uint64_t ns = 0;
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fscanf(file, "%" SCNu64, &ns) == 1)
            sum += ns;
        fclose(file);
    }
    closedir(tasks);
    return sum;
}

/* Fields 14 and 15 of stat; the name in field 2 may hold spaces, so count from its ')'. */
static struct cpu_time ticks_of(pid_t pid)
{
    char path[64], text[1024];
    struct cpu_time ticks = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return ticks;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    if (rest != NULL &&
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
               &ticks.user_ticks, &ticks.system_ticks) != 2)
        ticks = (struct cpu_time){0};
    return ticks;
}

struct cpu_time cpu_time_of(pid_t pid)
{
    struct cpu_time time = ticks_of(pid);
    time.run_ns = run_time_ns(pid);
    return time;
}

void cpu_time_between(struct cpu_time began, struct cpu_time ended, double *user_ns_out,
                      double *system_ns_out)
{
    double run_ns = (double)(ended.run_ns - began.run_ns);
    double user = (double)(ended.user_ticks - began.user_ticks);
    double system = (double)(ended.system_ticks - began.system_ticks);
    double share = user + system > 0 ? user / (user + system) : 0;
    *user_ns_out = run_ns * share;
    *system_ns_out = run_ns * (1 - share);
}
