/* takeover.h - a rolling restart: the next keepd gets the listening sockets of this one.
 * Owns: the unix socket of --takeover, and the connection between the two processes.
 * Thread: main.
 * Never: gives a socket to another user's process, or takes one from it; stops serving before the
 *        successor says that it is able to. */
#ifndef SERVER_TAKEOVER_H
#define SERVER_TAKEOVER_H

#include "base/must.h"

#include <stdbool.h>
#include <stddef.h>

/* Listening sockets that a successor can be given: the kernel passes 253 in one message. */
#define TAKEOVER_SOCKETS_MAX 249

struct event_base;
struct server;
struct takeover;

/* At the start, with the rights to bind: asks the process that listens at path for its sockets
 * (server->handed, unless a service manager gave some), or listens there when there is none. NULL:
 * error. */
MUST_USE struct takeover *takeover_create(struct server *server, const char *path, char *error,
                                          size_t n_error);
void takeover_destroy(struct takeover **takeover);

/* Is there a process that still serves? */
bool takeover_has_predecessor(const struct takeover *takeover);
/* Lets it stop; waits until it has stopped if what it saves is needed. False: it goes on and on. */
MUST_USE bool takeover_relieve(struct takeover *takeover, bool waits);

/* Are the server's listening sockets few enough? */
MUST_USE bool takeover_can_give(const struct takeover *takeover);

/* Gives the sockets to the next one, and stops the server when that says so. */
MUST_USE bool takeover_serve(struct takeover *takeover, struct event_base *base);
/* Has somebody else the sockets now? */
bool takeover_is_done(const struct takeover *takeover);

#endif
