/* plain_sets.h - the short way of sets that replace a value, and are told no more than that.
 *       What execute and command_store ask for each request is asked once here, or has one answer.
 * Owns: nothing.   Thread: the connection's worker, online.
 * Never: is needed: the long way does the same. */
#ifndef SERVER_PLAIN_SETS_H
#define SERVER_PLAIN_SETS_H

#include "server/conn.h"

/* Carries out the bare sets of the worker's batch from entry i on, up to entry n at most, while the
 * turn's budget lasts and what they ask for is simple. Returns how many; 0: this one goes the long
 * way. */
MUST_USE size_t plain_sets_execute(struct conn *conn, const struct input *in, size_t i, size_t n);

#endif
