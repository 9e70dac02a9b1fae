/* flow.h - the closed loop: every connection sends a window, checks every reply, sends the next.
 * Owns: its connections while it runs.   Thread: one.
 * Never: goes on after a wrong reply: it prints what came and ends the process. */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include "bench/ops.h"
#include "bench/plan.h"
#include "bench/tally.h"

struct ssl_ctx_st;

/* Runs the plan's kind for warmup and seconds (or requests) and fills tally. */
void flow_run(const struct plan *plan, const struct kind *kind, struct keyspace *ks,
              struct ssl_ctx_st *tls, struct tally *tally);

/* Stores every key once, over one connection, with quiet meta sets. Returns how many of them the
 * server refused, which ends the run unless the plan allows it. */
uint64_t flow_preload(const struct plan *plan, struct keyspace *ks, struct ssl_ctx_st *tls);

/* Prints the first bytes of a reply, readable, and ends the process. */
_Noreturn void flow_fail(const char *what, const uint8_t *reply, size_t n);

#endif
