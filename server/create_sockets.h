/* create_sockets.h - the sockets of the settings, opened while the rights of the start last.
 * Owns: nothing; the server has what it makes.   Thread: main, before others are started.
 * Never: accepts anybody: that begins when everything is ready. */
#ifndef SERVER_CREATE_SOCKETS_H
#define SERVER_CREATE_SOCKETS_H

#include "base/must.h"
#include "server/server.h"

/* Each returns 0, or the exit code (options.h) after saying on stderr what is wrong. */

/* Makes server->listeners, and ->udp where the settings want it; closes the sockets of
 * server->handed that neither took. */
MUST_USE int create_listeners(struct server *server);

/* Makes server->metrics where the settings want it. */
MUST_USE int create_metrics(struct server *server);

/* The ports that listeners have, in the file that MEMCACHED_PORT_FILENAME names, as memcached's
 * tests and tools want it. */
MUST_USE int create_ports_file(const struct server *server);

#endif
