#include "tls/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/opensslconf.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/session.h"

#ifdef OPENSSL_NO_KTLS
#define KERNEL_TLS_IS_BUILT false
#else
#define KERNEL_TLS_IS_BUILT true
#endif

static bool is_transient(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

/* The socket's answer in the form that OpenSSL wants. */
static int settle(BIO *bio, struct tls_session *session, ssize_t n, int retry_flag)
{
    if (n >= 0)
        return (int)n;
    if (is_transient(errno))
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    else
        session->system_error = errno;
    return -1;
}

static int wire_read(BIO *bio, char *out, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    /* The poller will call again: the socket stays readable. */
    if (session->n_recvs_left == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    session->n_recvs_left--;
    ssize_t n;
    do
        n = recv(session->fd, out, (size_t)size, 0);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        session->saw_eof = true;
    /* Less than was asked for is all there was: another recv would only say so. */
    if (n > 0 && n < size)
        session->n_recvs_left = 0;
    if (n > 0)
        session->n_fruitless += (uint32_t)n;
    if (n > 0 && session->opening == TLS_OPENING_NONE)
        session->opening = tls_recognise(slice_of(out, (size_t)n));
    return settle(bio, session, n, BIO_FLAGS_READ);
}

/* The socket is full, so what follows has to wait: what was held for it must not. */
static void release_held(struct tls_session *session)
{
    int on = 1, error = errno;
    (void)setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    session->has_held = false;
    errno = error;
}

static int wire_write(BIO *bio, const char *bytes, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    int flags = MSG_NOSIGNAL | (session->may_hold ? MSG_MORE : 0);
    BIO_clear_retry_flags(bio);
    ssize_t n;
    do
        n = send(session->fd, bytes, (size_t)size, flags);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        session->has_held = session->may_hold;
    else if (session->has_held && is_transient(errno))
        release_held(session);
    return settle(bio, session, n, BIO_FLAGS_WRITE);
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    const struct tls_session *session = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_EOF:
        return session->saw_eof;
    default:
        return 0;
    }
}

BIO_METHOD *wire_create(void)
{
    BIO_METHOD *wire = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "keepd socket");
    if (wire == NULL)
        return NULL;
    bool is_whole = BIO_meth_set_read(wire, wire_read) && BIO_meth_set_write(wire, wire_write) &&
                    BIO_meth_set_ctrl(wire, wire_control);
    if (!is_whole) {
        BIO_meth_free(wire);
        return NULL;
    }
    return wire;
}

bool wire_attach(struct tls_session *session, const BIO_METHOD *wire, bool has_kernel_tls)
{
    if (has_kernel_tls)
        return SSL_set_fd(session->ssl, session->fd) == 1;
    BIO *bio = BIO_new(wire);
    if (bio == NULL)
        return false;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    return true;
}

/* A socket that is not connected is told so by a kernel that has TLS, and "no such thing" else. */
bool wire_kernel_tls_works(void)
{
    int fd = KERNEL_TLS_IS_BUILT ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    bool works =
        setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 || errno == ENOTCONN;
    (void)close(fd);
    return works;
}
