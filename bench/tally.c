#include "bench/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

void tally_begin(struct tally *tally, uint64_t server_pid)
{
    tally->is_measuring = true;
    tally->load_began = cpu_time_of(getpid());
    if (server_pid != 0)
        tally->server_began = cpu_time_of((pid_t)server_pid);
    tally->began_ns = cpu_clock_ns();
}

void tally_end(struct tally *tally, uint64_t server_pid)
{
    tally->is_measuring = false;
    tally->ended_ns = cpu_clock_ns();
    if (server_pid != 0)
        tally->server_ended = cpu_time_of((pid_t)server_pid);
    tally->load_ended = cpu_time_of(getpid());
}

static double per(double sum, double n)
{
    return n > 0 ? sum / n : 0;
}

void tally_print(const struct tally *t)
{
    double ns = (double)(t->ended_ns - t->began_ns);
    double n_ops = (double)t->n_ops;
    double user, system, load_user, load_system;
    cpu_time_between(t->server_began, t->server_ended, &user, &system);
    cpu_time_between(t->load_began, t->load_ended, &load_user, &load_system);
    printf("{\"ops\": %" PRIu64 ", \"seconds\": %.6f, \"ops_per_second\": %.1f, "
           "\"misses\": %" PRIu64 ", \"bytes_in\": %" PRIu64 ", \"resumed\": %" PRIu64
           ", \"refused\": %" PRIu64 ", ",
           t->n_ops, ns * 1e-9, ns > 0 ? n_ops * 1e9 / ns : 0, t->n_misses, t->n_bytes_in,
           t->n_resumed, t->n_refused);
    printf("\"server_user_ns\": %.1f, \"server_system_ns\": %.1f, \"server_busy\": %.4f, "
           "\"load_ns\": %.1f, \"load_busy\": %.4f, ",
           per(user, n_ops), per(system, n_ops), per(user + system, ns),
           per(load_user + load_system, n_ops), per(load_user + load_system, ns));
    printf("\"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64
           ", \"max_ns\": %" PRIu64 "}\n",
           histogram_at(&t->latency, 0.50), histogram_at(&t->latency, 0.99),
           histogram_at(&t->latency, 0.999), t->latency.max);
}
