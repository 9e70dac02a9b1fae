#include "auth/remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_S 10

struct remote {
    int fd;
    bool may_show_password; /* nobody else can read along */
    SSL_CTX *context;
    SSL *ssl; /* NULL without TLS */
    size_t at, n;
    char bytes[16384];
};

static void set_timeouts(int fd)
{
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int connect_unix(const char *path, char *error, size_t n_error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error, n_error, "%s: the path is too long", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    snprintf(error, n_error, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* "host:port", "[::1]:port" */
static bool split(const char *text, char *host, size_t n_host, const char **port_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0')
        return false;
    size_t n = (size_t)(colon - text);
    if (text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= n_host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    *port_out = colon + 1;
    return true;
}

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (address->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int connect_tcp(const char *host, const char *port, bool *is_loopback_out, char *error,
                       size_t n_error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int fd = -1, failed = getaddrinfo(host, port, &hints, &list);
    if (failed != 0) {
        snprintf(error, n_error, "%s: %s", host, gai_strerror(failed));
        return -1;
    }
    for (struct addrinfo *each = list; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            set_timeouts(fd);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) == 0) {
            *is_loopback_out = is_loopback(each->ai_addr);
            break;
        }
        snprintf(error, n_error, "%s:%s: %s", host, port, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* The certificate has to name the host, and to lead to an authority that is trusted. */
static bool start_tls(struct remote *r, const struct remote_config *config, const char *host,
                      char *error, size_t n_error)
{
    unsigned char number[16];
    bool is_number =
        inet_pton(AF_INET, host, number) == 1 || inet_pton(AF_INET6, host, number) == 1;
    r->context = SSL_CTX_new(TLS_client_method());
    bool is_ready = r->context != NULL && SSL_CTX_set_min_proto_version(r->context, TLS1_2_VERSION);
    if (config->ca_file != NULL && access(config->ca_file, R_OK) != 0) {
        snprintf(error, n_error, "--ca %s: %s", config->ca_file, strerror(errno));
        return false;
    }
    if (is_ready && config->ca_file != NULL)
        is_ready = SSL_CTX_load_verify_file(r->context, config->ca_file) == 1;
    else if (is_ready)
        is_ready = SSL_CTX_set_default_verify_paths(r->context) == 1;
    if (is_ready) {
        SSL_CTX_set_verify(r->context, SSL_VERIFY_PEER, NULL);
        r->ssl = SSL_new(r->context);
    }
    is_ready = r->ssl != NULL && SSL_set_fd(r->ssl, r->fd) == 1;
    if (is_ready && is_number)
        is_ready = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(r->ssl), host) == 1;
    else if (is_ready)
        is_ready = SSL_set1_host(r->ssl, host) == 1 && SSL_set_tlsext_host_name(r->ssl, host) == 1;
    if (is_ready && SSL_connect(r->ssl) == 1)
        return true;
    long verified = r->ssl != NULL ? SSL_get_verify_result(r->ssl) : X509_V_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, n_error, "TLS: %s",
             verified != X509_V_OK ? X509_verify_cert_error_string(verified)
             : reason != NULL      ? reason
                                   : "the connection ended");
    return false;
}

struct remote *remote_open(const struct remote_config *config, char *error, size_t n_error)
{
    char host[256] = "";
    const char *port;
    struct remote *r = calloc(1, sizeof *r);
    if (r == NULL) {
        snprintf(error, n_error, "out of memory");
        return NULL;
    }
    r->fd = -1;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with it: a server that has gone is an error */
    if (config->socket != NULL) {
        r->may_show_password = true;
        r->fd = connect_unix(config->socket, error, n_error);
    } else if (!split(config->address, host, sizeof host, &port)) {
        snprintf(error, n_error, "\"%s\" is not HOST:PORT", config->address);
    } else {
        r->fd = connect_tcp(host, port, &r->may_show_password, error, n_error);
    }
    if (r->fd >= 0)
        set_timeouts(r->fd);
    if (r->fd < 0 || (config->is_tls && !start_tls(r, config, host, error, n_error)))
        remote_close(&r);
    if (r != NULL && config->is_tls)
        r->may_show_password = true;
    return r;
}

void remote_close(struct remote **remote)
{
    struct remote *r = *remote;
    if (r == NULL)
        return;
    *remote = NULL;
    if (r->ssl != NULL)
        (void)SSL_shutdown(r->ssl);
    SSL_free(r->ssl);
    SSL_CTX_free(r->context);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static bool send_bytes(struct remote *r, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t sent =
            r->ssl != NULL ? SSL_write(r->ssl, p, (int)n) : send(r->fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

bool remote_send(struct remote *remote, const char *text)
{
    return send_bytes(remote, text, strlen(text));
}

static int next_byte(struct remote *r)
{
    if (r->at == r->n) {
        ssize_t n = r->ssl != NULL ? SSL_read(r->ssl, r->bytes, sizeof r->bytes)
                                   : recv(r->fd, r->bytes, sizeof r->bytes, 0);
        if (n <= 0)
            return -1;
        r->at = 0;
        r->n = (size_t)n;
    }
    return (unsigned char)r->bytes[r->at++];
}

bool remote_line(struct remote *remote, char *line)
{
    size_t n = 0;
    int byte;
    while ((byte = next_byte(remote)) >= 0 && byte != '\n') {
        if (n + 1 < REMOTE_LINE_MAX)
            line[n++] = (char)byte;
    }
    if (n > 0 && line[n - 1] == '\r')
        n--;
    line[n] = '\0';
    return byte == '\n';
}

bool remote_login(struct remote *remote, const char *user, const struct secret *password,
                  char *error, size_t n_error)
{
    char head[64], line[REMOTE_LINE_MAX];
    if (!remote->may_show_password) {
        snprintf(error, n_error, "a password goes to another host with --tls only");
        return false;
    }
    snprintf(head, sizeof head, "set auth 0 0 %zu\r\n", strlen(user) + 1 + password->n);
    bool is_sent = remote_send(remote, head) && remote_send(remote, user) &&
                   remote_send(remote, " ") && send_bytes(remote, password->p, password->n) &&
                   remote_send(remote, "\r\n");
    if (!is_sent || !remote_line(remote, line)) {
        snprintf(error, n_error, "the server closed the connection");
        return false;
    }
    if (strcmp(line, "STORED") == 0)
        return true;
    snprintf(error, n_error, "login: %s", line);
    return false;
}
