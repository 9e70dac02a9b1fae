/* trace.h - what -vv shows: connections that come and go, and each request.
 * Owns: nothing.   Thread: the connection's worker.
 * Never: shows a value, a password or the data of a login. */
#ifndef SERVER_TRACE_H
#define SERVER_TRACE_H

#include "server/conn.h"
#include "server/server.h"

/* One load on the way of each request. */
static inline bool trace_is_on(const struct conn *conn)
{
    return UNLIKELY(atomic_load_explicit(&conn->worker->server->verbosity, memory_order_relaxed) >=
                    2);
}

/* To be called only while trace_is_on. */
void trace_opened(const struct conn *conn);
void trace_closed(const struct conn *conn);
void trace_request(const struct conn *conn, const struct request *request);

#endif
