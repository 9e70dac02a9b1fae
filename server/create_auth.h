/* create_auth.h - from settings to auth, the time that auth is told, and what the operator is told.
 * Owns: nothing; server.auth is main's.   Thread: the master, before others are started; auth_time
 *       any.
 * Never: starts logins when none are configured. */
#ifndef SERVER_CREATE_AUTH_H
#define SERVER_CREATE_AUTH_H

#include "auth/auth.h"
#include "server/server.h"

/* False after saying on stderr what is wrong. server->auth stays NULL when no login is asked for. */
MUST_USE bool create_auth(struct server *server);

/* The server's clock, as auth wants it. */
struct auth_now auth_time(const struct server *server);

/* --check-auth USER, on stdout. */
void explain_auth(struct server *server, const char *user);

#endif
