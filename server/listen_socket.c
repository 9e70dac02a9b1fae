#include "server/listen_socket.h"

#include "server/address.h"

#include <errno.h>
#include <stdbool.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UDP_SEND_BUFFER (8 << 20) /* the kernel takes as much of it as it allows */

static void set_int(int fd, int level, int name, int value)
{
    /* All of these make service better, none makes it possible: a failure is no error. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void set_options(int fd, bool is_stream)
{
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, is_stream);
    if (is_stream) {
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    } else {
        set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_SEND_BUFFER);
    }
}

/* ---- sockets of the predecessor ---- */

bool listen_socket_is_datagram(int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_DGRAM;
}

/* Port 0 wants any. */
static bool is_same_address(const struct sockaddr *wanted, const struct sockaddr *bound)
{
    if (wanted->sa_family != bound->sa_family)
        return false;
    if (wanted->sa_family == AF_INET) {
        const struct sockaddr_in *w = (const void *)wanted, *b = (const void *)bound;
        return (w->sin_port == 0 || w->sin_port == b->sin_port) &&
               w->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    if (wanted->sa_family == AF_INET6) {
        const struct sockaddr_in6 *w = (const void *)wanted, *b = (const void *)bound;
        return (w->sin6_port == 0 || w->sin6_port == b->sin6_port) &&
               w->sin6_scope_id == b->sin6_scope_id &&
               IN6_ARE_ADDR_EQUAL(&w->sin6_addr, &b->sin6_addr);
    }
    const struct sockaddr_un *w = (const void *)wanted, *b = (const void *)bound;
    return strncmp(w->sun_path, b->sun_path, sizeof w->sun_path) == 0;
}

/* The socket with this address, or -1. */
static int take_handed(struct listen_handed *handed, const struct sockaddr *wanted, bool is_stream)
{
    for (unsigned i = 0; handed != NULL && i < handed->n; i++) {
        int fd = handed->first + (int)i;
        struct sockaddr_storage bound = {0};
        socklen_t n = sizeof bound;
        if (handed->is_taken[i] || listen_socket_is_datagram(fd) == is_stream ||
            getsockname(fd, (struct sockaddr *)&bound, &n) != 0 ||
            !is_same_address(wanted, (struct sockaddr *)&bound))
            continue;
        handed->is_taken[i] = true;
        return fd;
    }
    return -1;
}

void listen_handed_close_rest(struct listen_handed *handed)
{
    for (unsigned i = 0; i < handed->n; i++) {
        if (!handed->is_taken[i])
            close(handed->first + (int)i);
        handed->is_taken[i] = true;
    }
}

/* ---- opening ---- */

/* What bind() said, and what can be done. */
static void explain_bind(const struct sockaddr *address, int code, char *error, size_t n_error)
{
    unsigned port = address->sa_family == AF_INET
                        ? ntohs(((const struct sockaddr_in *)address)->sin_port)
                        : ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    const char *advice = code == EADDRINUSE      ? "another process has port %u, see ss -lnp"
                         : code == EACCES        ? "port %u wants root at the start, with -u"
                         : code == EADDRNOTAVAIL ? "this machine has no such address (port %u)"
                                                 : NULL;
    int n = snprintf(error, n_error, "bind(): %s%s", strerror(code), advice != NULL ? "; " : "");
    if (advice != NULL && n > 0 && (size_t)n < n_error)
        snprintf(error + n, n_error - (size_t)n, advice, port);
}

static int open_address(const struct addrinfo *address, int backlog, bool is_shared,
                        struct listen_handed *handed, char *error, size_t n_error)
{
    bool is_stream = address->ai_socktype == SOCK_STREAM;
    int fd = take_handed(handed, address->ai_addr, is_stream);
    if (fd >= 0) {
        if (is_stream)
            (void)listen(fd, backlog); /* it listens; this changes how many may wait */
        return fd;
    }
    fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        snprintf(error, n_error, "socket(): %s", strerror(errno));
        return -1;
    }
    if (address->ai_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_options(fd, is_stream);
    if (is_shared)
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        (!is_stream || listen(fd, backlog) == 0))
        return fd;
    explain_bind(address->ai_addr, errno, error, n_error);
    close(fd);
    return -1;
}

/* Every address after the first takes the port that the first one was given. */
static int port_of(int fd)
{
    union address bound = {0};
    socklen_t n = sizeof bound;
    return getsockname(fd, &bound.any, &n) == 0 ? address_port(&bound) : 0;
}

static void set_port(struct addrinfo *address, int port)
{
    if (address->ai_family == AF_INET)
        ((struct sockaddr_in *)address->ai_addr)->sin_port = htons((uint16_t)port);
    else if (address->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)address->ai_addr)->sin6_port = htons((uint16_t)port);
}

struct manner {
    int type;
    int backlog;
    bool is_shared;
    struct listen_handed *handed;
};

static size_t open_host(const char *host, int port, const struct manner *manner, int *fds_out,
                        char *error, size_t n_error)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = manner->type};
    struct addrinfo *addresses;
    char service[16];
    size_t n = 0;
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(host, service, &hints, &addresses);
    if (failed != 0) {
        snprintf(error, n_error, "getaddrinfo(): %s",
                 failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return 0;
    }
    for (struct addrinfo *a = addresses; a != NULL && n < LISTEN_SOCKETS_MAX; a = a->ai_next) {
        if (n > 0 && port == 0)
            set_port(a, port_of(fds_out[0]));
        int fd =
            open_address(a, manner->backlog, manner->is_shared, manner->handed, error, n_error);
        if (fd >= 0)
            fds_out[n++] = fd;
    }
    freeaddrinfo(addresses);
    return n;
}

size_t listen_sockets_open_tcp(const char *host, int port, int backlog,
                               struct listen_handed *handed, int *fds_out, char *error,
                               size_t n_error)
{
    struct manner manner = {SOCK_STREAM, backlog, false, handed};
    return open_host(host, port, &manner, fds_out, error, n_error);
}

size_t listen_sockets_open_shared(const char *host, int port, int backlog, int *fds_out,
                                  char *error, size_t n_error)
{
    struct manner manner = {SOCK_STREAM, backlog, true, NULL};
    return open_host(host, port, &manner, fds_out, error, n_error);
}

size_t listen_sockets_open_udp(const char *host, int port, struct listen_handed *handed,
                               int *fds_out, char *error, size_t n_error)
{
    struct manner manner = {SOCK_DGRAM, 0, false, handed};
    return open_host(host, port, &manner, fds_out, error, n_error);
}

int listen_socket_open_unix(const char *path, unsigned mode, int backlog,
                            struct listen_handed *handed, char *error, size_t n_error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error, n_error, "the path is longer than %zu bytes", sizeof address.sun_path - 1);
        return -1;
    }
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int taken = take_handed(handed, (const struct sockaddr *)&address, true);
    if (taken >= 0)
        return taken;
    bool is_there = lstat(path, &status) == 0;
    if (is_there && S_ISSOCK(status.st_mode))
        (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        snprintf(error, n_error, "socket(): %s", strerror(errno));
        return -1;
    }
    /* The mode holds from the first moment: nobody connects before a chmod. */
    mode_t old = umask((mode_t)(~mode & 0777));
    bool is_bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int bind_error = errno;
    umask(old);
    if (is_bound && listen(fd, backlog) == 0)
        return fd;
    bool is_no_socket = !is_bound && bind_error == EADDRINUSE && is_there;
    snprintf(error, n_error, "bind(): %s%s", strerror(is_bound ? errno : bind_error),
             is_no_socket ? ": remove what is there, it is no socket" : "");
    close(fd);
    return -1;
}
