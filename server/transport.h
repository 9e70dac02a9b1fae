/* transport.h - how bytes enter and leave a connection: plain or TLS.
 * Owns: nothing; a transport's state hangs on the connection.
 * Thread: the connection's worker.
 * Never: lets a step know which one it is. */
#ifndef SERVER_TRANSPORT_H
#define SERVER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct conn;

enum io {
    IO_DONE,       /* n_out bytes went through (read: at least 1) */
    IO_WANT_READ,  /* call again when the socket is readable */
    IO_WANT_WRITE, /* ... writable */
    IO_CLOSED,     /* the peer has gone, or the connection is broken */
    IO_JOB,        /* handshake only: a job thread works on it; conn_job_done tells its end */
};

struct transport {
    const char *name;
    enum io (*handshake)(struct conn *conn);
    /* Fills the ranges in order. Less than they hold: nothing more has come, or has_pending. */
    enum io (*readv)(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out);
    enum io (*writev)(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out);
    /* Bytes that were received but not read yet: the socket will not announce them. NULL: there
     * never are any. */
    bool (*has_pending)(const struct conn *conn);
    void (*close)(struct conn *conn); /* tells the peer, if it can be told at once */
    void (*free)(struct conn *conn);
};

extern const struct transport transport_plain;

#endif
