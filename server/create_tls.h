/* create_tls.h - TLS from the settings: files read, certificates by name.
 * Owns: nothing; the server has what it makes.   Thread: main, at start.
 * Never: serves without TLS where TLS was asked for. */
#ifndef SERVER_CREATE_TLS_H
#define SERVER_CREATE_TLS_H

#include "base/must.h"
#include "server/server.h"

/* Makes server->tls when the settings want it. 0, or the exit code after saying on stderr what is
 * wrong. now_s is Unix time. */
MUST_USE int create_tls(struct server *server, int64_t now_s);

#endif
