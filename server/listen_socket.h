/* listen_socket.h - opening sockets to listen on.
 * Owns: nothing; the caller owns the descriptors.   Thread: the master.
 * Never: logs; what failed is told in memcached's words. */
#ifndef SERVER_LISTEN_SOCKET_H
#define SERVER_LISTEN_SOCKET_H

#include "base/must.h"

#include <stdbool.h>
#include <stddef.h>

#define LISTEN_SOCKETS_MAX 16 /* addresses of one name */

#define LISTEN_HANDED_MAX 1024

/* Sockets that another process opened: the service manager, whose choice of addresses holds, or the
 * predecessor, from which those are taken that are still wanted. */
struct listen_handed {
    int first; /* the others follow */
    unsigned n;
    bool is_predecessors;
    bool is_taken[LISTEN_HANDED_MAX];
};

/* Closes those that nobody has taken. */
void listen_handed_close_rest(struct listen_handed *handed);

/* Is this socket for datagrams? */
MUST_USE bool listen_socket_is_datagram(int fd);

/* In what follows handed is NULL, or where to look first for a socket with the address.
 *
 * Non-blocking listening sockets for every address of host (NULL: any), port 0 = any free one.
 * Returns how many; 0: error tells why. */
MUST_USE size_t listen_sockets_open_tcp(const char *host, int port, int backlog,
                                        struct listen_handed *handed, int *fds_out, char *error,
                                        size_t n_error);

/* The same on ports that other processes of this user may have as well (SO_REUSEPORT). */
MUST_USE size_t listen_sockets_open_shared(const char *host, int port, int backlog, int *fds_out,
                                           char *error, size_t n_error);

/* The same for datagrams. */
MUST_USE size_t listen_sockets_open_udp(const char *host, int port, struct listen_handed *handed,
                                        int *fds_out, char *error, size_t n_error);
/* A unix socket at path with this access mode. An old socket file there is replaced. -1: error. */
MUST_USE int listen_socket_open_unix(const char *path, unsigned mode, int backlog,
                                     struct listen_handed *handed, char *error, size_t n_error);

#endif
