/* remote.h - keepctl's connection to a running server: unix socket, TCP or TLS, text protocol.
 * Owns: the socket and what TLS needs.   Thread: one.
 * Never: sends a password over TCP without TLS to another host. */
#ifndef AUTH_REMOTE_H
#define AUTH_REMOTE_H

#include "base/must.h"
#include "base/secret.h"

#define REMOTE_LINE_MAX 4096

struct remote;

struct remote_config {
    const char *socket;  /* path, or NULL */
    const char *address; /* HOST:PORT, or NULL */
    bool is_tls;
    const char *ca_file; /* NULL: the system's */
};

/* NULL: error says why. */
MUST_USE struct remote *remote_open(const struct remote_config *config, char *error,
                                    size_t n_error);
void remote_close(struct remote **remote);

/* The first `set` of a text connection is its login. False: error says why. */
MUST_USE bool remote_login(struct remote *remote, const char *user, const struct secret *password,
                           char *error, size_t n_error);

/* Sends bytes; reads one line without its CR LF into line (REMOTE_LINE_MAX). False when the
 * connection ended or 10 seconds passed. */
MUST_USE bool remote_send(struct remote *remote, const char *text);
MUST_USE bool remote_line(struct remote *remote, char *line);

#endif
