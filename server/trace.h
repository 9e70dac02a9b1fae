/* trace.h - what -vv and `watch rawcmds` show: connections that come and go, and each request.
 * Owns: nothing.   Thread: the connection's worker.
 * Never: shows a value, a password or the data of a login. */
#ifndef SERVER_TRACE_H
#define SERVER_TRACE_H

#include "server/conn.h"
#include "server/server.h"

#define TRACE_VERBOSITY 2 /* -vv */

enum trace_reader { TRACE_LOGGED = 1, TRACE_WATCHED = 2 };

/* Somebody wants to see requests, or does not any more. Thread: any. */
void trace_turn(struct server *server, enum trace_reader reader, bool is_on);

/* One load on the way of each request. */
static inline bool trace_is_on(const struct conn *conn)
{
    return UNLIKELY(
        atomic_load_explicit(&conn->worker->server->trace_readers, memory_order_relaxed) != 0);
}

/* To be called only while trace_is_on. */
void trace_opened(const struct conn *conn);
void trace_closed(const struct conn *conn);
void trace_request(struct conn *conn, const struct request *request);

#endif
