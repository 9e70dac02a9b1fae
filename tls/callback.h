/* callback.h - what OpenSSL asks us during a handshake: names, tickets.
 * Owns: nothing.   Thread: the connection's.
 * Never: trusts a ticket from before a change of policy, CA or revocation list. */
#ifndef TLS_CALLBACK_H
#define TLS_CALLBACK_H

#include <openssl/ssl.h>

#include "tls/tls.h"

struct context;

/* context must outlive every session of ctx. */
MUST_USE bool callback_install(SSL_CTX *ctx, struct context *context);

#endif
