#include "server/takeover.h"

#include "server/listen_socket.h"
#include "server/listener.h"
#include "server/sysevent.h"
#include "server/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKETS_MAX (1 + TAKEOVER_SOCKETS_MAX)
#define BACKLOG     4
#define MODE        0600
#define ANSWER_MS   5000
#define END_MS      120000

static const char hello[] = "keepd sockets 1";
static const char relief[] = "serving";

struct takeover {
    struct server *server;
    int listen_fd;
    int elder_fd;   /* to the process that still serves, or -1 */
    int younger_fd; /* to the one that has asked for the sockets, or -1 */
    struct event *accept_event;
    struct event *younger_event;
    bool is_done;
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(SOCKETS_MAX * sizeof(int))];
};

/* ---- who is there ---- */

/* Root, this process's user, and the user that it is going to be. */
static bool is_trusted(const struct takeover *takeover, int fd)
{
    const struct settings *settings = takeover->server->settings;
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    const struct passwd *user =
        geteuid() == 0 && settings->user != NULL ? getpwnam(settings->user) : NULL;
    return user != NULL && user->pw_uid == peer.uid;
}

static bool wait_readable(int fd, int timeout_ms)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    int n;
    do {
        n = poll(&readable, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* ---- taking ---- */

/* Sockets without a gap between their numbers: the control socket first, then those of clients.
 * Where a service manager gives sockets, those are what is wanted. */
static bool note_sockets(struct takeover *takeover, const int *fds, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (fds[i] != fds[0] + (int)i)
            return false;
    if (n < 2)
        return false;
    takeover->listen_fd = fds[0];
    struct listen_handed *handed = &takeover->server->handed;
    struct listen_handed given = {.first = fds[1], .n = (unsigned)(n - 1), .is_predecessors = true};
    if (handed->n > 0)
        listen_handed_close_rest(&given);
    else
        *handed = given;
    return true;
}

static bool receive_sockets(struct takeover *takeover)
{
    char text[sizeof hello] = "";
    union control control = {0};
    int fds[SOCKETS_MAX];
    struct iovec part = {text, sizeof text};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    if (!wait_readable(takeover->elder_fd, ANSWER_MS) ||
        recvmsg(takeover->elder_fd, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof hello)
        return false;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (memcmp(text, hello, sizeof hello) != 0 || header == NULL ||
        header->cmsg_type != SCM_RIGHTS || (message.msg_flags & MSG_CTRUNC) != 0)
        return false;
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), n * sizeof(int));
    return note_sockets(takeover, fds, n);
}

/* True with elder_fd -1 when nobody listens there. */
static bool connect_elder(struct takeover *takeover, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        takeover->elder_fd = fd;
        return true;
    }
    int error = errno;
    close(fd);
    errno = error;
    return error == ENOENT || error == ECONNREFUSED;
}

static bool begin(struct takeover *takeover, const char *path, char *error, size_t n_error)
{
    if (!connect_elder(takeover, path)) {
        snprintf(error, n_error, "--takeover %s: %s", path, strerror(errno));
        return false;
    }
    if (takeover->elder_fd < 0) {
        char reason[256];
        takeover->listen_fd =
            listen_socket_open_unix(path, MODE, BACKLOG, NULL, reason, sizeof reason);
        if (takeover->listen_fd < 0)
            snprintf(error, n_error, "--takeover %s: %s", path, reason);
        return takeover->listen_fd >= 0;
    }
    if (is_trusted(takeover, takeover->elder_fd) && receive_sockets(takeover))
        return true;
    snprintf(error, n_error, "--takeover %s: who listens there does not give its sockets", path);
    return false;
}

struct takeover *takeover_create(struct server *server, const char *path, char *error,
                                 size_t n_error)
{
    struct takeover *takeover = malloc(sizeof *takeover);
    snprintf(error, n_error, "out of memory");
    if (takeover == NULL)
        return NULL;
    *takeover =
        (struct takeover){.server = server, .listen_fd = -1, .elder_fd = -1, .younger_fd = -1};
    if (!begin(takeover, path, error, n_error))
        takeover_destroy(&takeover);
    return takeover;
}

bool takeover_has_predecessor(const struct takeover *takeover)
{
    return takeover->elder_fd >= 0;
}

bool takeover_relieve(struct takeover *takeover, bool waits)
{
    char rest[8];
    bool has_ended = !waits;
    (void)!send(takeover->elder_fd, relief, sizeof relief, MSG_NOSIGNAL);
    if (waits)
        has_ended = wait_readable(takeover->elder_fd, END_MS) &&
                    recv(takeover->elder_fd, rest, sizeof rest, 0) <= 0;
    close(takeover->elder_fd);
    takeover->elder_fd = -1;
    return has_ended;
}

/* ---- giving ---- */

bool takeover_can_give(const struct takeover *takeover)
{
    const struct server *server = takeover->server;
    size_t n_listeners = 0, n_udp = 0;
    while (listener_at(server->listeners, n_listeners) != NULL)
        n_listeners++;
    while (udp_set_fd(server->udp, n_udp) >= 0)
        n_udp++;
    return n_listeners + n_udp <= TAKEOVER_SOCKETS_MAX;
}

static size_t list_sockets(const struct takeover *takeover, int *fds)
{
    const struct server *server = takeover->server;
    const struct listener *listener;
    size_t n = 0;
    int fd;
    fds[n++] = takeover->listen_fd;
    for (size_t i = 0; n < SOCKETS_MAX && (listener = listener_at(server->listeners, i)); i++)
        fds[n++] = listener_fd(listener);
    for (size_t i = 0; n < SOCKETS_MAX && (fd = udp_set_fd(server->udp, i)) >= 0; i++)
        fds[n++] = fd;
    return n;
}

static bool send_sockets(const struct takeover *takeover)
{
    union control control = {0};
    int fds[SOCKETS_MAX];
    size_t n = list_sockets(takeover, fds);
    struct iovec part = {(void *)hello, sizeof hello};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    return sendmsg(takeover->younger_fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof hello;
}

static void dismiss(struct takeover *takeover)
{
    if (takeover->younger_event != NULL)
        event_free(takeover->younger_event);
    takeover->younger_event = NULL;
    if (takeover->younger_fd >= 0)
        close(takeover->younger_fd);
    takeover->younger_fd = -1;
}

/* It says that it serves, or it has failed to start and nothing changes. The connection stays open
 * until this process has saved what it has: its end is what the successor waits for. */
static void on_younger(evutil_socket_t fd, short what, void *arg)
{
    struct takeover *takeover = arg;
    char text[sizeof relief] = "";
    (void)what;
    ssize_t n = recv(fd, text, sizeof text, 0);
    if (n != (ssize_t)sizeof relief || memcmp(text, relief, sizeof relief) != 0) {
        sysevent(takeover->server, LOG_LEVEL_WARNING, "takeover_failed", LOG_END);
        dismiss(takeover);
        return;
    }
    sysevent(takeover->server, LOG_LEVEL_WARNING, "taken_over", LOG_END);
    event_del(takeover->younger_event);
    takeover->is_done = true;
    server_stop(takeover->server, true);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct takeover *takeover = arg;
    (void)what;
    int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0)
        return;
    if (takeover->younger_fd >= 0 || !is_trusted(takeover, peer)) {
        close(peer);
        return;
    }
    takeover->younger_fd = peer;
    takeover->younger_event = event_new(event_get_base(takeover->accept_event), peer,
                                        EV_READ | EV_PERSIST, on_younger, takeover);
    if (takeover->younger_event == NULL || event_add(takeover->younger_event, NULL) != 0 ||
        !send_sockets(takeover))
        dismiss(takeover);
}

bool takeover_serve(struct takeover *takeover, struct event_base *base)
{
    takeover->accept_event =
        event_new(base, takeover->listen_fd, EV_READ | EV_PERSIST, on_accept, takeover);
    return evutil_make_socket_nonblocking(takeover->listen_fd) == 0 &&
           takeover->accept_event != NULL && event_add(takeover->accept_event, NULL) == 0;
}

bool takeover_is_done(const struct takeover *takeover)
{
    return takeover->is_done;
}

void takeover_destroy(struct takeover **takeover)
{
    struct takeover *t = *takeover;
    if (t == NULL)
        return;
    *takeover = NULL;
    dismiss(t);
    if (t->accept_event != NULL)
        event_free(t->accept_event);
    if (t->listen_fd >= 0)
        close(t->listen_fd);
    if (t->elder_fd >= 0)
        close(t->elder_fd);
    free(t);
}
