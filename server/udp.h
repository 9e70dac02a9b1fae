/* udp.h - requests in datagrams (-U), each answered by itself; off unless asked for.
 * Owns: the UDP sockets; for each a connection object of its own, which never has another state.
 * Thread: opened and destroyed by main; each socket is served by one worker.
 * Never: keeps anything from one datagram to the next; sends more than `udp_reply_limit` times what
 *        it received, so that a forged sender gains nothing. */
#ifndef SERVER_UDP_H
#define SERVER_UDP_H

#include "base/must.h"
#include "server/server.h"

#include <stdio.h>

struct udp_set;

/* Opens what the settings and the service manager ask for: *set_out is NULL when that is nothing.
 * False: error says what failed. */
MUST_USE bool udp_set_create(struct server *server, struct udp_set **set_out, char *error,
                             size_t n_error);
void udp_set_destroy(struct udp_set **set);

/* Hands each socket to a worker; before the workers start. False when memory is short. */
MUST_USE bool udp_set_start(struct udp_set *set);

/* "UDP INET: 11211" for each socket. Accepts NULL. */
void udp_set_write_ports(const struct udp_set *set, FILE *file);

/* Each socket in turn, -1 beyond the last. Accepts NULL. */
int udp_set_fd(const struct udp_set *set, size_t index);
/* Unix second of its last datagram; of its start when there was none. */
uint32_t udp_set_last_active(const struct udp_set *set, size_t index);

#endif
