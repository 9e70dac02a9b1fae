/* create_auth.h - from settings to auth, and what the operator is told about it.
 * Owns: nothing; server.auth is main's.   Thread: the master, before others are started.
 * Never: starts logins when none are configured. */
#ifndef SERVER_CREATE_AUTH_H
#define SERVER_CREATE_AUTH_H

#include "server/server.h"

/* False after saying on stderr what is wrong. server->auth stays NULL when no login is asked for. */
MUST_USE bool create_auth(struct server *server);

/* --check-auth USER, on stdout. */
void explain_auth(struct server *server, const char *user);

#endif
