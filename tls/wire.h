/* wire.h - the OpenSSL BIO between a session and its socket.
 * Owns: nothing.   Thread: the connection's.
 * Never: raises SIGPIPE; receives more often in one call than the session allows. */
#ifndef TLS_WIRE_H
#define TLS_WIRE_H

#include <openssl/bio.h>

#include "tls/tls.h"

/* OpenSSL's own socket BIO would raise SIGPIPE and cannot say what the first bytes were. */
MUST_USE BIO_METHOD *wire_create(void);

/* Connects session and socket; kernel TLS works through OpenSSL's socket BIO only. */
MUST_USE bool wire_attach(struct tls_session *session, const BIO_METHOD *wire, bool has_kernel_tls);

/* Can kernel and OpenSSL do it? Asks the kernel: at the start only. */
bool wire_kernel_tls_works(void);

#endif
