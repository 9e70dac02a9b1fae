#include "server/listener.h"

#include "server/address.h"
#include "server/conn.h"
#include "server/listen_socket.h"
#include "server/log.h"
#include "server/probes.h"
#include "server/strangers.h"
#include "server/sysevent.h"
#include "server/udp.h"
#include "server/wake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ACCEPT_BURST         128   /* connections taken before other events are looked at */
#define LISTENER_WORKERS_MAX 1024  /* the largest -t */
#define RETRY_ACCEPT_US      10000 /* after EMFILE, when no connection of ours closes */

struct listener {
    struct listener_set *set;
    struct listen_spec spec;
    struct event *event;
    atomic_int fd; /* -1 when the stop has closed it; `stats conns` reads it */
    bool is_unix;
    char name[ADDRESS_TEXT_MAX];
};

struct listener_set {
    struct server *server;
    struct listener *listeners;
    size_t n_listeners;
    unsigned next_worker;
    int wake_fd; /* a connection closed while accepting was suspended */
    struct event *wake_event;
    struct event *retry_event;
    struct timespec suspended_at;
    atomic_bool is_suspended;
    atomic_uint n_arriving; /* accepted, and not yet a connection of a worker */
};

/* A socket on its way to its worker. */
struct arrival {
    struct message message;
    int fd;
    const struct listener *listener;
    bool is_counted;  /* within the limit; else a stranger goes for it */
    unsigned n_asked; /* times that a worker had none */
    union address peer;
};

const struct listener *listener_at(const struct listener_set *set, size_t index)
{
    return index < set->n_listeners ? &set->listeners[index] : NULL;
}

const char *listener_name(const struct listener *listener)
{
    return listener != NULL ? listener->name : "udp";
}

int listener_fd(const struct listener *listener)
{
    return atomic_load(&((struct listener *)listener)->fd);
}

enum protocol listener_protocol(const struct listener *listener)
{
    if (listener->spec.has_protocol)
        return listener->spec.protocol;
    return listener->set->server->settings->protocol;
}

const struct listen_spec *listener_spec(const struct listener *listener)
{
    return &listener->spec;
}

bool listener_has_tls(const struct listener *listener)
{
    return listener->set->server->tls != NULL && !listener->is_unix &&
           listener->spec.tls != LISTEN_TLS_OFF;
}

bool listener_is_unix(const struct listener *listener)
{
    return listener != NULL && listener->is_unix;
}

/* ---- accepting ---- */

/* At the limit a newcomer is taken only where a stranger can go for it. */
static bool is_full(const struct server *server)
{
    return atomic_load(&((struct server *)server)->n_connections) >=
           server->settings->max_connections;
}

/* Those on their way to a worker are strangers too: a burst is taken before any worker has seen it.
 */
static bool has_strangers(struct listener_set *set)
{
    struct server *server = set->server;
    return atomic_load(&server->n_strangers) > 0 ||
           (server->auth != NULL && atomic_load(&set->n_arriving) > 0);
}

/* Over the limit: the protocol's line, if the socket takes it at once, and the end. */
static void refuse(struct listener_set *set, int fd)
{
    static const char line[] = "ERROR Too many open connections\r\n";
    ssize_t n = send(fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n;
    close(fd);
    atomic_fetch_add(&set->server->n_rejected, 1);
}

static void arrived(struct arrival *arrival)
{
    atomic_fetch_sub(&arrival->listener->set->n_arriving, 1);
    free(arrival);
}

/* A connection that ended since the arrival was accepted left its place. */
static bool take_place(struct server *server)
{
    unsigned n = atomic_load(&server->n_connections);
    while (n < server->settings->max_connections) {
        if (atomic_compare_exchange_weak(&server->n_connections, &n, n + 1))
            return true;
    }
    return false;
}

/* The oldest stranger of this worker makes room, or of the next one. False: it goes on there, or
 * there is no stranger. Each worker is asked twice: on the first visit those that are closing may
 * hold their places still. */
static bool make_room(struct worker *worker, struct arrival *arrival)
{
    struct server *server = arrival->listener->set->server;
    if (arrival->is_counted || take_place(server))
        return true;
    if (strangers_close_oldest(worker)) {
        atomic_fetch_add(&server->n_connections, 1);
        return true;
    }
    if (++arrival->n_asked < 2 * server->n_workers) {
        struct worker *next = server->workers[(worker->id + 1) % server->n_workers];
        worker_tell(next, &arrival->message);
        return false;
    }
    refuse(arrival->listener->set, arrival->fd);
    arrived(arrival);
    return false;
}

static void run_arrival(struct worker *worker, struct message *message)
{
    struct arrival *arrival = (struct arrival *)message;
    struct listener_set *set = arrival->listener->set;
    if (!make_room(worker, arrival))
        return;
    if (!conn_create(worker, arrival->fd, arrival->listener, &arrival->peer))
        listener_conn_closed(set);
    arrived(arrival);
}

static void drop_arrival(struct message *message)
{
    struct arrival *arrival = (struct arrival *)message;
    close(arrival->fd);
    if (arrival->is_counted)
        listener_conn_closed(arrival->listener->set);
    arrived(arrival);
}

static void suspend(struct listener_set *set)
{
    static const struct timeval retry = {.tv_usec = RETRY_ACCEPT_US};
    if (atomic_exchange(&set->is_suspended, true))
        return;
    for (size_t i = 0; i < set->n_listeners; i++)
        event_del(set->listeners[i].event);
    atomic_store(&set->server->is_accepting, false);
    atomic_fetch_add(&set->server->n_listen_disabled, 1);
    clock_gettime(CLOCK_MONOTONIC, &set->suspended_at);
    sysevent_shown(set->server, "accepting_suspended", LOG_END);
    event_add(set->retry_event, &retry);
}

static void resume(struct listener_set *set)
{
    struct timespec now;
    static const struct timeval retry = {.tv_usec = RETRY_ACCEPT_US};
    if (!atomic_load(&set->is_suspended))
        return;
    if (is_full(set->server) && !has_strangers(set)) {
        event_add(set->retry_event, &retry);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t us = (now.tv_sec - set->suspended_at.tv_sec) * 1000000 +
                 (now.tv_nsec - set->suspended_at.tv_nsec) / 1000;
    atomic_fetch_add(&set->server->listen_disabled_us, (uint64_t)us);
    atomic_store(&set->is_suspended, false);
    atomic_store(&set->server->is_accepting, true);
    sysevent_shown(set->server, "accepting_resumed", LOG_NUMBER("after_us", us), LOG_END);
    for (size_t i = 0; i < set->n_listeners; i++)
        event_add(set->listeners[i].event, NULL);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct listener_set *set = arg;
    (void)what;
    if (fd >= 0)
        wake_clear(fd);
    resume(set);
}

void listener_conn_closed(struct listener_set *set)
{
    atomic_fetch_sub(&set->server->n_connections, 1);
    if (!atomic_load(&set->is_suspended))
        return;
    wake_signal(set->wake_fd);
}

/* Hands the socket to the next worker; it is woken when the burst is over. */
static struct worker *dispatch(struct listener *listener, int fd, const union address *peer)
{
    struct listener_set *set = listener->set;
    struct arrival *arrival = malloc(sizeof *arrival);
    if (arrival == NULL) {
        close(fd);
        return NULL;
    }
    *arrival = (struct arrival){.message = {.run = run_arrival, .drop = drop_arrival},
                                .fd = fd,
                                .listener = listener,
                                .is_counted = take_place(set->server),
                                .peer = *peer};
    atomic_fetch_add(&set->n_arriving, 1);
    struct worker *worker = set->server->workers[set->next_worker];
    set->next_worker = (set->next_worker + 1) % set->server->n_workers;
    PROBE(2, conn__dispatch, arrival->fd, worker->id);
    (void)worker_post(worker, &arrival->message); /* on_accept wakes */
    return worker;
}

static bool is_passing_error(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH;
}

/* Takes one connection; false when there is no more to take now. */
static bool accept_one(struct listener *listener, bool *is_posted)
{
    struct listener_set *set = listener->set;
    const struct settings *settings = set->server->settings;
    union address peer = {0};
    socklen_t n = sizeof peer;
    if (!settings->is_refusing_fast && is_full(set->server) && !has_strangers(set)) {
        suspend(set);
        return false;
    }
    int fd = accept4(listener->fd, &peer.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (is_passing_error(errno))
            return true;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            suspend(set); /* out of descriptors or memory: try again when some are back */
        return false;
    }
    if (is_full(set->server) && !has_strangers(set)) {
        refuse(set, fd);
        return true;
    }
    if (listener->is_unix)
        peer.family = AF_UNIX;
    struct worker *worker = dispatch(listener, fd, &peer);
    if (worker != NULL)
        is_posted[worker->id] = true;
    return true;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;
    struct server *server = listener->set->server;
    bool is_posted[LISTENER_WORKERS_MAX] = {false};
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < ACCEPT_BURST && accept_one(listener, is_posted); i++)
        ;
    for (unsigned i = 0; i < server->n_workers; i++) {
        if (is_posted[i])
            worker_wake(server->workers[i]);
    }
}

/* ---- life ---- */

static struct listen_handed *predecessors(struct listener_set *set)
{
    return set->server->handed.is_predecessors ? &set->server->handed : NULL;
}

/* Adds the sockets of one spec: a name can have several addresses. */
static bool open_spec(struct listener_set *set, const struct listen_spec *spec, int port,
                      char *error, size_t n_error)
{
    int fds[LISTEN_SOCKETS_MAX];
    size_t n = listen_sockets_open_tcp(spec->host, port, (int)set->server->settings->tcp_backlog,
                                       predecessors(set), fds, error, n_error);
    if (n == 0)
        return false;
    struct listener *grown = realloc(set->listeners, (set->n_listeners + n) * sizeof *grown);
    if (grown == NULL) {
        snprintf(error, n_error, "out of memory");
        while (n > 0)
            close(fds[--n]);
        return false;
    }
    set->listeners = grown;
    for (size_t i = 0; i < n; i++) {
        struct listener *listener = &set->listeners[set->n_listeners++];
        *listener = (struct listener){.set = set, .spec = *spec, .fd = fds[i]};
        union address address = {0};
        socklen_t n_address = sizeof address;
        (void)getsockname(fds[i], &address.any, &n_address);
        address_render(&address, listener->name, sizeof listener->name);
    }
    return true;
}

static bool open_unix(struct listener_set *set, char *error, size_t n_error)
{
    const struct settings *settings = set->server->settings;
    int fd = listen_socket_open_unix(settings->socket_path, (unsigned)settings->socket_mask,
                                     (int)settings->tcp_backlog, predecessors(set), error, n_error);
    if (fd < 0)
        return false;
    set->listeners = calloc(1, sizeof *set->listeners);
    if (set->listeners == NULL) {
        close(fd);
        return false;
    }
    set->n_listeners = 1;
    struct listener *listener = &set->listeners[0];
    *listener = (struct listener){.set = set, .fd = fd, .is_unix = true};
    snprintf(listener->name, sizeof listener->name, "unix:%s", settings->socket_path);
    return true;
}

/* ---- sockets that the service manager opened: they take the place of -l, -p and -s ---- */

/* The manners of the -l with the same port, or none. */
static struct listen_spec handed_spec(const struct settings *settings, const union address *address)
{
    int port = address_port(address);
    for (size_t i = 0; i < settings->n_listeners; i++) {
        const struct listen_spec *spec = &settings->listeners[i];
        if (port > 0 && (spec->port == port || (spec->port < 0 && settings->tcp_port == port)))
            return *spec;
    }
    return (struct listen_spec){.port = LISTEN_PORT_UNSET};
}

static bool is_listening_stream(int fd)
{
    int type = 0, is_listening = 0;
    socklen_t n_type = sizeof type, n_listening = sizeof is_listening;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &n_listening) == 0 &&
           is_listening != 0;
}

static void name_handed(struct listener *listener, const union address *address, socklen_t n)
{
    const struct sockaddr_un *local = (const struct sockaddr_un *)address;
    listener->is_unix = address->family == AF_UNIX;
    if (!listener->is_unix)
        address_render(address, listener->name, sizeof listener->name);
    else
        snprintf(listener->name, sizeof listener->name, "unix:%.*s",
                 (int)(n - offsetof(struct sockaddr_un, sun_path)), local->sun_path);
}

static bool adopt(struct listener_set *set, int fd, char *error, size_t n_error)
{
    const struct settings *settings = set->server->settings;
    union {
        union address any;
        struct sockaddr_un local;
    } address = {0};
    socklen_t n = sizeof address;
    if (!is_listening_stream(fd) || getsockname(fd, &address.any.any, &n) != 0 ||
        evutil_make_socket_nonblocking(fd) != 0) {
        snprintf(error, n_error, "descriptor %d of the service manager is no listening socket", fd);
        return false;
    }
    if (settings->requires_auth && !settings->requires_login &&
        !address_is_loopback(&address.any)) {
        snprintf(error, n_error, "--require-auth: descriptor %d is open to other hosts", fd);
        return false;
    }
    struct listener *listener = &set->listeners[set->n_listeners++];
    *listener = (struct listener){.set = set, .fd = fd};
    listener->spec = handed_spec(settings, &address.any);
    name_handed(listener, &address.any, n);
    return true;
}

static bool adopt_all(struct listener_set *set, char *error, size_t n_error)
{
    struct listen_handed *handed = &set->server->handed;
    set->listeners = calloc(handed->n, sizeof *set->listeners);
    if (set->listeners == NULL)
        return false;
    for (unsigned i = 0; i < handed->n; i++) {
        int fd = handed->first + (int)i;
        if (listen_socket_is_datagram(fd))
            continue;
        if (!adopt(set, fd, error, n_error))
            return false;
        handed->is_taken[i] = true;
    }
    return true;
}

static bool open_all(struct listener_set *set, char *error, size_t n_error)
{
    const struct settings *settings = set->server->settings;
    if (set->server->handed.n > 0 && !set->server->handed.is_predecessors)
        return adopt_all(set, error, n_error);
    if (settings->socket_path != NULL)
        return open_unix(set, error, n_error);
    for (size_t i = 0; i < settings->n_listeners; i++) {
        const struct listen_spec *spec = &settings->listeners[i];
        int port = spec->port == LISTEN_PORT_UNSET ? settings->tcp_port : spec->port;
        if (port == 0 && spec->port == LISTEN_PORT_UNSET)
            continue; /* -p 0: no TCP */
        bool is_optional = settings->listen_text == NULL && set->n_listeners > 0;
        if (!open_spec(set, spec, port < 0 ? 0 : port, error, n_error) && !is_optional)
            return false; /* the default's second address (::1) may be missing on this host */
    }
    return true;
}

struct listener_set *listener_set_create(struct server *server, char *error, size_t n_error)
{
    struct listener_set *set = calloc(1, sizeof *set);
    snprintf(error, n_error, "out of memory");
    if (set == NULL)
        return NULL;
    set->server = server;
    set->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (set->wake_fd < 0 || !open_all(set, error, n_error))
        listener_set_destroy(&set);
    return set;
}

void listener_set_stop(struct listener_set *set)
{
    for (size_t i = 0; i < set->n_listeners; i++) {
        struct listener *listener = &set->listeners[i];
        if (listener->event != NULL)
            event_free(listener->event);
        listener->event = NULL;
        int fd = atomic_exchange(&listener->fd, -1);
        if (fd >= 0)
            close(fd);
    }
    if (set->wake_event != NULL)
        event_free(set->wake_event);
    if (set->retry_event != NULL)
        event_free(set->retry_event);
    set->wake_event = set->retry_event = NULL;
    atomic_store(&set->is_suspended, false);
}

void listener_set_destroy(struct listener_set **set)
{
    struct listener_set *s = *set;
    if (s == NULL)
        return;
    *set = NULL;
    listener_set_stop(s);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    free(s->listeners);
    free(s);
}

bool listener_set_start(struct listener_set *set, struct event_base *base)
{
    set->wake_event = event_new(base, set->wake_fd, EV_READ | EV_PERSIST, on_resume, set);
    set->retry_event = event_new(base, -1, 0, on_resume, set);
    if (set->wake_event == NULL || set->retry_event == NULL ||
        event_add(set->wake_event, NULL) != 0)
        return false;
    for (size_t i = 0; i < set->n_listeners; i++) {
        struct listener *listener = &set->listeners[i];
        listener->event = event_new(base, listener->fd, EV_READ | EV_PERSIST, on_accept, listener);
        if (listener->event == NULL || event_add(listener->event, NULL) != 0)
            return false;
    }
    atomic_store(&set->server->is_accepting, true);
    return true;
}

bool listener_write_ports(const struct listener_set *set, const char *path, char *error,
                          size_t n_error)
{
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.lck", path) >= sizeof temporary) {
        snprintf(error, n_error, "MEMCACHED_PORT_FILENAME is too long");
        return false;
    }
    FILE *file = fopen(temporary, "we");
    if (file == NULL) {
        snprintf(error, n_error, "Failed to open \"%s\": %s", temporary, strerror(errno));
        return false;
    }
    for (size_t i = 0; i < set->n_listeners; i++) {
        union address address = {0};
        socklen_t n = sizeof address;
        if (getsockname(set->listeners[i].fd, &address.any, &n) != 0)
            continue;
        if (address.family == AF_INET)
            fprintf(file, "TCP INET: %u\n", ntohs(address.v4.sin_port));
        else if (address.family == AF_INET6)
            fprintf(file, "TCP INET6: %u\n", ntohs(address.v6.sin6_port));
    }
    udp_set_write_ports(set->server->udp, file);
    bool is_written = fclose(file) == 0 && rename(temporary, path) == 0;
    if (!is_written)
        snprintf(error, n_error, "Failed to write \"%s\": %s", path, strerror(errno));
    return is_written;
}
