#include "server/transport.h"

#include "server/conn.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/steps.h"
#include "tls/tls.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static enum io plain_handshake(struct conn *conn)
{
    (void)conn;
    return IO_DONE;
}

/* As many bytes of a record's head tell a hello from anything else. */
#define OPENING_ENOUGH 3

/* Whose client library has TLS turned on for a port without: it would wait for an answer that it
 * never understands. first is all that has come and was not taken by a request. */
static bool speaks_tls(struct conn *conn, struct slice first)
{
    char address[ADDRESS_TEXT_MAX];
    bool looks_like_tls = tls_recognise(first) == TLS_OPENING_HELLO;
    conn->is_unclear = looks_like_tls && first.n < OPENING_ENOUGH;
    if (conn->is_unclear)
        return false;
    conn->has_opened = true;
    if (!looks_like_tls)
        return false;
    address_render_host(&conn->peer, address, sizeof address);
    log_security(conn->worker->server->log, "tls_on_plain_port", LOG_STR("address", address),
                 LOG_STR("listener", listener_name(conn->listener)), LOG_END);
    return true;
}

/* Until it has opened, a connection reads into its input only: what came before lies in front. */
static struct slice unread_with(struct conn *conn, size_t n_new)
{
    const struct input *in = conn_input(conn);
    return slice_of(in->p + in->at, in->n - in->at + n_new);
}

static enum io plain_readv(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    for (;;) {
        ssize_t got = n_iov == 1 ? recv(conn->fd, iov->iov_base, iov->iov_len, 0)
                                 : recvmsg(conn->fd, &message, 0);
        if (got > 0) {
            if (UNLIKELY(!conn->has_opened) && speaks_tls(conn, unread_with(conn, (size_t)got)))
                return IO_CLOSED;
            *n_out = (size_t)got;
            return IO_DONE;
        }
        if (got == 0)
            return IO_CLOSED;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return IO_WANT_READ;
        if (errno != EINTR)
            return IO_CLOSED;
    }
}

static enum io plain_writev(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    for (;;) {
        ssize_t sent = n_iov == 1 ? send(conn->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                                  : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            *n_out = (size_t)sent;
            return IO_DONE;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return IO_WANT_WRITE;
        if (errno != EINTR)
            return IO_CLOSED;
    }
}

static bool plain_has_pending(const struct conn *conn)
{
    (void)conn;
    return false;
}

static void plain_close(struct conn *conn)
{
    (void)conn;
}

static void plain_free(struct conn *conn)
{
    (void)conn;
}

const struct transport transport_plain = {
    .name = "plain",
    .handshake = plain_handshake,
    .readv = plain_readv,
    .writev = plain_writev,
    .has_pending = plain_has_pending,
    .close = plain_close,
    .free = plain_free,
};
