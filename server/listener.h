/* listener.h - the sockets that clients connect to, and the limit on how many may.
 * Owns: the listening sockets; new connections until a worker takes them.
 * Thread: the master, but for the functions that say otherwise.
 * Never: reads from a client, or waits for one. */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/must.h"
#include "protocol/parse.h"
#include "server/server.h"

struct event_base;
struct listener;
struct listener_set;

/* Opens what the settings ask for. NULL: error says what failed, in memcached's words. */
MUST_USE struct listener_set *listener_set_create(struct server *server, char *error,
                                                  size_t n_error);
void listener_set_destroy(struct listener_set **set);

/* Begins to accept on this loop. */
MUST_USE bool listener_set_start(struct listener_set *set, struct event_base *base);
/* Accepts no more; the sockets are closed. */
void listener_set_stop(struct listener_set *set);

/* Writes the bound ports where MEMCACHED_PORT_FILENAME says. False: error says why not. */
MUST_USE bool listener_write_ports(const struct listener_set *set, const char *path, char *error,
                                   size_t n_error);

/* A connection has ended. Any thread. */
void listener_conn_closed(struct listener_set *set);

/* Constant after start; any thread. NULL beyond the last. */
const struct listener *listener_at(const struct listener_set *set, size_t index);
/* These two take NULL for what came by UDP. */
bool listener_is_unix(const struct listener *listener);
const char *listener_name(const struct listener *listener);
int listener_fd(const struct listener *listener); /* -1 when it is closed */
enum protocol listener_protocol(const struct listener *listener);
const struct listen_spec *listener_spec(const struct listener *listener);
bool listener_has_tls(const struct listener *listener);

#endif
