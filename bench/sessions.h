/* sessions.h - short connections: open, shake hands, log in, one exchange, close, again.
 * Owns: its connections while it runs.   Thread: one.
 * Never: goes on after a refusal: it prints what came and ends the process. */
#ifndef BENCH_SESSIONS_H
#define BENCH_SESSIONS_H

#include "bench/plan.h"
#include "bench/tally.h"

struct ssl_ctx_st;

/* Is this --kind one of connect, handshake, resume, login, scram-login,
 * text-login? */
bool sessions_knows(const char *kind);

/* Keeps plan->connections sessions going. An operation is one whole session; its latency runs from
 * connect to the reply. */
void sessions_run(const struct plan *plan, struct ssl_ctx_st *tls, struct tally *tally);

#endif
