/* tally.h - what a run has counted, and how it is printed.
 * Owns: nothing.   Thread: one.
 * Never: counts while is_measuring is false. */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include "bench/cpu.h"
#include "bench/histogram.h"

#include <stdbool.h>

struct tally {
    bool is_measuring;
    uint64_t n_ops;
    uint64_t n_misses;
    uint64_t n_bytes_in;
    uint64_t n_refused; /* keys that could not be stored beforehand */
    uint64_t n_resumed; /* TLS sessions that were resumed */
    uint64_t began_ns, ended_ns;
    struct cpu_time server_began, server_ended;
    struct cpu_time load_began, load_ended;
    struct histogram latency;
};

/* server_pid 0: the server's CPU time is not looked at. */
void tally_begin(struct tally *tally, uint64_t server_pid);
void tally_end(struct tally *tally, uint64_t server_pid);

/* One line of JSON on stdout. */
void tally_print(const struct tally *tally);

#endif
