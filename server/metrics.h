/* metrics.h - the HTTP side of --metrics: /metrics, /healthz, the status page.
 * Owns: its sockets, its thread and its event loop.
 * Thread: open, start, stop and destroy: the master; the rest is its own thread.
 * Never: delays a worker or the accepting of connections; takes anything but GET and HEAD. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/must.h"

#include <stdbool.h>
#include <stddef.h>

struct metrics;
struct server;

/* Opens ADDRESS:PORT ([ADDRESS]:PORT for IPv6). Before root and system calls are given up. NULL:
 * error says why. */
MUST_USE struct metrics *metrics_open(struct server *server, const char *where, char *error,
                                      size_t n_error);
/* Serves from now on; warns in the log when other hosts can reach it. */
MUST_USE bool metrics_start(struct metrics *metrics);
/* Stops and closes; accepts NULL, clears. */
void metrics_close(struct metrics **metrics);

#endif
