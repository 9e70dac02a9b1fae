/* plain_gets.h - the short way of gets that only read, and show a value: most of all requests.
 *       What execute and command_get ask for each request is asked once here, or has one answer.
 * Owns: nothing.   Thread: the connection's worker, online.
 * Never: is needed: the long way does the same. */
#ifndef SERVER_PLAIN_GETS_H
#define SERVER_PLAIN_GETS_H

#include "server/execute.h"

/* Carries out the plain gets of the worker's batch from entry i on: that one, and those behind it,
 * up to entry n at most, while the output has room and the turn's budget lasts. How many, and the
 * result of the last. */
MUST_USE enum execute_result plain_gets_execute(struct conn *conn, const struct input *in, size_t i,
                                                size_t n, size_t *n_done_out);

#endif
