/* window.h - composes the next window of a connection: which keys, which parts, in what order.
 * Owns: nothing.   Thread: one.
 * Never: sends. */
#ifndef BENCH_WINDOW_H
#define BENCH_WINDOW_H

#include "bench/ops.h"
#include "bench/plan.h"

/* How many parts a window has: depth times (opener, batch or one, closer). */
size_t window_n_units(const struct plan *plan, const struct kind *kind);

/* Bytes an outbox needs for a window of requests or replies. */
size_t window_n_scratch(const struct plan *plan, const struct kind *kind,
                        const struct keyspace *ks);

/* Fills units. n_sent counts the connection's requests so far; it decides where sets fall. */
void window_fill(const struct plan *plan, const struct kind *kind, struct keyspace *ks,
                 uint64_t *n_sent, struct unit *units);

/* Writes the script of bench/canned: the period of windows with their sizes and replies. */
void window_emit(const struct plan *plan, const struct kind *kind, struct keyspace *ks);

#endif
