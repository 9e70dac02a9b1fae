#include "config.h"

#include "bench/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 8192

union any_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
};

static _Noreturn void tls_give_up(const char *what)
{
    fprintf(stderr, "bench: TLS: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL_CTX *tls_create(const SSL_METHOD *method)
{
    SSL_CTX *tls = SSL_CTX_new(method);
    if (tls == NULL || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION))
        tls_give_up("no context");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    return tls;
}

struct ssl_ctx_st *peer_client_tls_create(unsigned minor)
{
    int version = minor == 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX *tls = tls_create(TLS_client_method());
    if (!SSL_CTX_set_min_proto_version(tls, version) ||
        !SSL_CTX_set_max_proto_version(tls, version))
        tls_give_up("the version is not supported");
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return tls;
}

struct ssl_ctx_st *peer_server_tls_create(const char *certificate, const char *key)
{
    SSL_CTX *tls = tls_create(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        tls_give_up("certificate or key refused");
    return tls;
}

void peer_tls_destroy(struct ssl_ctx_st **tls)
{
    SSL_CTX_free(*tls);
    *tls = NULL;
}

static bool address_parse(const char *text, union any_address *address_out, socklen_t *n_out)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    memset(address_out, 0, sizeof *address_out);
    errno = EINVAL;
    if (text[0] == '/' || colon == NULL) {
        if (strlen(text) >= sizeof address_out->un.sun_path)
            return false;
        address_out->un.sun_family = AF_UNIX;
        memcpy(address_out->un.sun_path, text, strlen(text) + 1);
        *n_out = sizeof address_out->un;
        return true;
    }
    if ((size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    address_out->in.sin_family = AF_INET;
    address_out->in.sin_port = htons((uint16_t)atoi(colon + 1));
    *n_out = sizeof address_out->in;
    return inet_pton(AF_INET, host, &address_out->in.sin_addr) == 1;
}

/* Wraps a connected descriptor; on failure the descriptor is closed. */
static bool wrap(struct peer *peer, int fd, SSL_CTX *tls)
{
    int one = 1;
    *peer = (struct peer){.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        goto fail;
    if (tls == NULL)
        return true;
    peer->ssl = SSL_new(tls);
    if (peer->ssl != NULL && SSL_set_fd(peer->ssl, fd) == 1)
        return true;
fail:
    peer_close(peer, true);
    return false;
}

static bool bind_source(int fd, uint32_t source)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(UINT32_C(0x7f000000) + source)};
    return source == 0 || bind(fd, (struct sockaddr *)&from, sizeof from) == 0;
}

bool peer_open(struct peer *peer, const char *address, struct ssl_ctx_st *tls)
{
    return peer_open_from(peer, address, 0, tls);
}

bool peer_open_from(struct peer *peer, const char *address, uint32_t source, struct ssl_ctx_st *tls)
{
    union any_address to;
    socklen_t n;
    if (!address_parse(address, &to, &n))
        return false;
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (!bind_source(fd, source) || connect(fd, &to.any, n) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return false;
    }
    if (!wrap(peer, fd, tls))
        return false;
    if (peer->ssl != NULL)
        SSL_set_connect_state(peer->ssl);
    return true;
}

int peer_listen(const char *address)
{
    union any_address at;
    socklen_t n;
    int one = 1;
    if (!address_parse(address, &at, &n))
        return -1;
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &at.any, n) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

bool peer_accept(struct peer *peer, int listener, struct ssl_ctx_st *tls)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || !wrap(peer, fd, tls))
        return false;
    if (peer->ssl != NULL)
        SSL_set_accept_state(peer->ssl);
    return true;
}

static enum peer_result tls_result(SSL *ssl, int returned)
{
    switch (SSL_get_error(ssl, returned)) {
    case SSL_ERROR_NONE:
        return PEER_OK;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return PEER_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return PEER_CLOSED;
    default:
        return PEER_FAILED;
    }
}

enum peer_result peer_handshake(struct peer *peer)
{
    if (peer->ssl == NULL)
        return PEER_OK;
    ERR_clear_error();
    return tls_result(peer->ssl, SSL_do_handshake(peer->ssl));
}

void peer_resume(struct peer *peer, struct ssl_session_st *session)
{
    SSL_set_session(peer->ssl, session);
}

struct ssl_session_st *peer_session_take(struct peer *peer)
{
    return SSL_get1_session(peer->ssl);
}

void peer_session_drop(struct ssl_session_st **session)
{
    SSL_SESSION_free(*session);
    *session = NULL;
}

bool peer_is_resumed(const struct peer *peer)
{
    return SSL_session_reused(peer->ssl) == 1;
}

static enum peer_result socket_result(ssize_t n)
{
    if (n >= 0)
        return PEER_OK;
    return errno == EAGAIN || errno == EINTR ? PEER_AGAIN : PEER_FAILED;
}

enum peer_result peer_read(struct peer *peer, uint8_t *p, size_t n, size_t *n_out)
{
    if (peer->ssl != NULL) {
        ERR_clear_error();
        return tls_result(peer->ssl, SSL_read_ex(peer->ssl, p, n, n_out));
    }
    ssize_t n_read = recv(peer->fd, p, n, 0);
    if (n_read == 0)
        return PEER_CLOSED;
    if (n_read > 0)
        *n_out = (size_t)n_read;
    return socket_result(n_read);
}

static enum peer_result tls_write(struct peer *peer, const struct iovec *iov, int n_iov,
                                  size_t *n_out)
{
    size_t n_all = 0;
    for (int i = 0; i < n_iov; i++) {
        size_t at = 0;
        while (at < iov[i].iov_len) {
            size_t n_one = 0;
            ERR_clear_error();
            int returned = SSL_write_ex(peer->ssl, (const uint8_t *)iov[i].iov_base + at,
                                        iov[i].iov_len - at, &n_one);
            enum peer_result result = tls_result(peer->ssl, returned);
            if (result == PEER_AGAIN && n_all > 0) {
                *n_out = n_all;
                return PEER_OK;
            }
            if (result != PEER_OK)
                return result;
            at += n_one;
            n_all += n_one;
        }
    }
    *n_out = n_all;
    return PEER_OK;
}

enum peer_result peer_write(struct peer *peer, const struct iovec *iov, int n_iov, size_t *n_out)
{
    if (peer->ssl != NULL)
        return tls_write(peer, iov, n_iov, n_out);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)n_iov};
    ssize_t n_sent = n_iov == 1 ? send(peer->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                                : sendmsg(peer->fd, &message, MSG_NOSIGNAL);
    if (n_sent >= 0)
        *n_out = (size_t)n_sent;
    return socket_result(n_sent);
}

void peer_close(struct peer *peer, bool is_abrupt)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    /* Without this OpenSSL takes the session for broken and never resumes it. */
    if (peer->ssl != NULL)
        SSL_set_shutdown(peer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer->ssl);
    if (is_abrupt)
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (peer->fd >= 0)
        close(peer->fd);
    *peer = (struct peer){.fd = -1};
}
