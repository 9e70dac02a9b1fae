/* listen_spec.h - the grammar of -l: text to a list of addresses with their manners.
 * Owns: the hosts' texts.   Thread: any.
 * Never: resolves a name, opens a socket, or writes to a log. */
#ifndef SERVER_LISTEN_SPEC_H
#define SERVER_LISTEN_SPEC_H

#include "base/bytes.h"
#include "base/must.h"
#include "protocol/parse.h"

#define LISTEN_TAG_MAX    8
#define LISTEN_PORT_UNSET (-2) /* -p and -U decide */

enum listen_tls {
    LISTEN_TLS_DEFAULT,      /* TLS as -Z and ssl_verify_mode say */
    LISTEN_TLS_OFF,          /* notls: */
    LISTEN_TLS_WITHOUT_PEER, /* btls: no client certificate is required */
    LISTEN_TLS_WITH_PEER,    /* mtls: a client certificate is required */
};

struct listen_spec {
    char *host;       /* NULL: every address */
    int32_t port;     /* LISTEN_PORT_UNSET, or 0 to 65535 */
    uint8_t tls;      /* enum listen_tls */
    uint8_t protocol; /* enum protocol; means something if has_protocol */
    bool has_protocol;
    char tag[LISTEN_TAG_MAX + 1]; /* empty: none */
};

/* Reads one list, separated by ',' or ';'. False: *wrong_out is memcached's message and *rest_out
 * the text it is about (both static or inside text); nothing is allocated then.
 * True: *specs_out holds *n_out specs, to be given back with listen_specs_destroy. */
MUST_USE bool listen_specs_parse(struct slice text, bool has_tls, struct listen_spec **specs_out,
                                 size_t *n_out, const char **wrong_out, struct slice *rest_out);

/* One spec for this host (NULL: any) with nothing else said. False: no memory. */
MUST_USE bool listen_spec_init(struct listen_spec *spec, const char *host);

void listen_specs_destroy(struct listen_spec **specs, size_t n);

#endif
