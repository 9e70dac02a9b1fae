/* create_auth.h - from settings to auth, the time that auth is told, and what the operator is told.
 * Owns: nothing; server.auth is main's.   Thread: the master, before others are started; auth_time
 *       any.
 * Never: starts logins when none are configured. */
#ifndef SERVER_CREATE_AUTH_H
#define SERVER_CREATE_AUTH_H

#include "auth/auth.h"
#include "server/server.h"

/* False after saying on stderr what is wrong. server->auth stays NULL when no login is asked for.
 */
MUST_USE bool create_auth(struct server *server);

/* How many tenants there are now. 0: no login is configured. Thread: any. */
unsigned count_tenants(const struct server *server);

/* The tenants' guarantees are promised from this much memory from now on. False: those of today do
 * not fit, error_out tells where, and nothing has changed. Thread: any. */
MUST_USE bool promise_memory(struct server *server, uint64_t n_bytes, struct auth_error *error_out);

/* The server's clock, as auth wants it. */
struct auth_now auth_time(const struct server *server);

/* --check-auth USER, on stdout. */
void explain_auth(struct server *server, const char *user);

#endif
