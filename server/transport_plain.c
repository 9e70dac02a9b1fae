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
NEVER_INLINE bool speaks_tls(struct conn *conn, struct slice first)
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

NEVER_INLINE ssize_t receive_many(int fd, const struct iovec *iov, int n_iov)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    return recvmsg(fd, &message, 0);
}

NEVER_INLINE ssize_t send_many(int fd, const struct iovec *iov, int n_iov)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* What a refused call means; `want` if nothing but time is missing. */
static enum io refusal(enum io want)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? want : IO_CLOSED;
}

static enum io plain_readv(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    ssize_t got = LIKELY(n_iov == 1) ? recv(conn->fd, iov->iov_base, iov->iov_len, 0)
                                     : receive_many(conn->fd, iov, n_iov);
    if (UNLIKELY(got <= 0))
        return got == 0 ? IO_CLOSED : refusal(IO_WANT_READ);
    if (UNLIKELY(!conn->has_opened) && speaks_tls(conn, unread_with(conn, (size_t)got)))
        return IO_CLOSED;
    *n_out = (size_t)got;
    return IO_DONE;
}

static enum io plain_writev(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    ssize_t sent = LIKELY(n_iov == 1) ? send(conn->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                                      : send_many(conn->fd, iov, n_iov);
    if (UNLIKELY(sent < 0))
        return refusal(IO_WANT_WRITE);
    *n_out = (size_t)sent;
    return IO_DONE;
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
    .close = plain_close,
    .free = plain_free,
};
