/* session.h - one connection's TLS state, for the files of this room.
 * Owns: the SSL and a reference to the context it began with; not the descriptor.
 * Thread: the connection's.
 * Never: calls OpenSSL again after a fatal error. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <openssl/ssl.h>

#include "tls/state.h"
#include "tls/tls.h"

struct tls_session {
    SSL *ssl;
    struct context *context;
    int fd;
    unsigned n_recvs_left;        /* that this call may still do: no peer keeps a worker */
    uint32_t n_fruitless;         /* bytes received since the last data */
    uint32_t n_retry;             /* bytes that the next tls_write must offer at least */
    enum tls_outcome retry_wants; /* what that write waits for */
    int system_error;             /* errno of the socket's failure, 0 = none */
    unsigned long openssl_error;  /* the cause of the failure, 0 = none */
    enum tls_fault fault;
    enum tls_opening opening;
    bool is_followed; /* another tls_write comes at once */
    bool may_hold;    /* the record on its way is followed by another */
    bool has_held;    /* the last one may lie in the kernel, waiting for that */
    bool is_ready;    /* the handshake is finished */
    bool is_drained;  /* the last read took all that OpenSSL had */
    bool has_ended;   /* nothing can be read any more */
    bool is_sparing;  /* the handshake is to stop before what costs */
    bool has_paused;  /* ... and has */
    bool is_broken;   /* OpenSSL is not to be called again, nothing can be sent */
    bool saw_eof;     /* the socket's end, with or without close_notify */
};

static inline struct tls_session *session_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

#endif
