/* peer.h - a non-blocking stream to a server, or of one: TCP, unix socket, each plain or TLS.
 * Owns: the descriptor and the TLS session.   Thread: one.
 * Never: verifies certificates: the server under test is our own. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "base/bytes.h"
#include "base/must.h"

#include <sys/uio.h>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

struct peer {
    int fd;
    struct ssl_st *ssl;
};

enum peer_result {
    PEER_OK = 0,
    PEER_AGAIN,  /* nothing now: wait until the descriptor is ready */
    PEER_CLOSED, /* the other side ended the stream */
    PEER_FAILED,
};

/* Both leave the process with a message when OpenSSL refuses. The client speaks TLS 1.minor only,
 * the server 1.2 and 1.3. */
struct ssl_ctx_st *peer_client_tls_create(unsigned minor);
struct ssl_ctx_st *peer_server_tls_create(const char *certificate, const char *key);
void peer_tls_destroy(struct ssl_ctx_st **tls);

/* address is HOST:PORT (numbers) or the path of a unix socket. Returns once TCP is connected; with
 * tls (may be NULL) the handshake is still to do. False and errno when it fails. */
MUST_USE bool peer_open(struct peer *peer, const char *address, struct ssl_ctx_st *tls);

/* The same from the address 127.0.0.0 + source, so that a server sees many addresses. 0: any. */
MUST_USE bool peer_open_from(struct peer *peer, const char *address, uint32_t source,
                             struct ssl_ctx_st *tls);

/* A listening descriptor, or -1 and errno. */
MUST_USE int peer_listen(const char *address);
MUST_USE bool peer_accept(struct peer *peer, int listener, struct ssl_ctx_st *tls);

/* One step of the TLS handshake; PEER_OK at once without TLS. */
MUST_USE enum peer_result peer_handshake(struct peer *peer);

/* A session to resume with the next handshake, and the one that this stream may be resumed with. */
void peer_resume(struct peer *peer, struct ssl_session_st *session);
struct ssl_session_st *peer_session_take(struct peer *peer);
void peer_session_drop(struct ssl_session_st **session);
bool peer_is_resumed(const struct peer *peer);

MUST_USE enum peer_result peer_read(struct peer *peer, uint8_t *p, size_t n, size_t *n_out);
/* Writes what fits; *n_out may be less than the sum. */
MUST_USE enum peer_result peer_write(struct peer *peer, const struct iovec *iov, int n_iov,
                                     size_t *n_out);

/* is_abrupt resets the TCP stream, so that thousands of them leave no TIME_WAIT behind. */
void peer_close(struct peer *peer, bool is_abrupt);

#endif
