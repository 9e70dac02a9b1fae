/* address.h - a socket address as `stats conns` and the log show it.
 * Owns: nothing.   Thread: any.
 * Never: asks a name server. */
#ifndef SERVER_ADDRESS_H
#define SERVER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_MAX 128

union address {
    sa_family_t family;
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The host alone, without port: "127.0.0.1", "2001:db8::1", "unix". */
void address_render_host(const union address *address, char *out, size_t n_out);

/* "tcp:127.0.0.1:11211", "tcp6:[::1]:11211", "unix" */
void address_render(const union address *address, char *out, size_t n_out);

/* 0 for a unix socket. */
int address_port(const union address *address);

/* Only processes of this host reach it. */
bool address_is_loopback(const union address *address);

#endif
