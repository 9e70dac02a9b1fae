/* transport_tls.h - the TLS transport's beginning; all else goes through struct transport.
 * Owns: the session, which hangs on the connection.
 * Thread: the connection's worker, and a job thread while the state is JOB.
 * Never: lets handshakes hold a worker up. */
#ifndef SERVER_TRANSPORT_TLS_H
#define SERVER_TRANSPORT_TLS_H

#include "base/must.h"
#include "server/transport.h"

struct tls_session;

extern const struct transport transport_tls;

/* Gives a new connection its session. False when memory is short. */
MUST_USE bool transport_tls_attach(struct conn *conn);

/* The session under a connection, NULL without TLS. */
struct tls_session *transport_tls_session(const struct conn *conn);

#endif
