/* listen_socket.h - opening sockets to listen on.
 * Owns: nothing; the caller owns the descriptors.   Thread: the master.
 * Never: logs; what failed is told in memcached's words. */
#ifndef SERVER_LISTEN_SOCKET_H
#define SERVER_LISTEN_SOCKET_H

#include "base/must.h"

#include <stddef.h>

#define LISTEN_SOCKETS_MAX 16 /* addresses of one name */

/* Non-blocking listening sockets for every address of host (NULL: any), port 0 = any free one.
 * Returns how many; 0: error tells why. */
MUST_USE size_t listen_sockets_open_tcp(const char *host, int port, int backlog, int *fds_out,
                                        char *error, size_t n_error);

/* The same on ports that other processes of this user may have as well (SO_REUSEPORT). */
MUST_USE size_t listen_sockets_open_shared(const char *host, int port, int backlog, int *fds_out,
                                           char *error, size_t n_error);

/* The same for datagrams. */
MUST_USE size_t listen_sockets_open_udp(const char *host, int port, int *fds_out, char *error,
                                        size_t n_error);
/* A unix socket at path with this access mode. An old socket file there is replaced. -1: error. */
MUST_USE int listen_socket_open_unix(const char *path, unsigned mode, int backlog, char *error,
                                     size_t n_error);

#endif
