#include "server/udp.h"

#include "server/answer.h"
#include "server/execute.h"
#include "server/listen_socket.h"
#include "server/login.h"
#include "server/steps.h"
#include "server/stream.h"
#include "server/udp_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_DATAGRAMS 64          /* taken before other connections have their turn */
#define REPLY_MAX      (2u << 20)  /* bytes of one answer, whatever was asked for */
#define REPLY_KEPT     (64u << 10) /* a buffer that grew beyond this is given back */

struct udp_socket {
    struct conn conn; /* fd, session and peer of the datagram in work; in no list */
    bool is_conn_ready;
    uint8_t *reply; /* the answer that is being composed */
    size_t n_reply;
    size_t capacity;
    bool is_reply_lost; /* it grew beyond REPLY_MAX, or memory was short */
    size_t room;        /* bytes that may still be sent for this datagram */
    struct udp_frame frame;
};

struct udp_set {
    struct server *server;
    size_t n;
    struct udp_socket sockets[];
};

/* ---- the transport: what is written is gathered until the answer is whole ---- */

static void append(struct udp_socket *socket, const void *p, size_t n)
{
    if (n > REPLY_MAX - socket->n_reply) {
        socket->is_reply_lost = true;
        return;
    }
    if (socket->n_reply + n > socket->capacity) {
        size_t capacity = (socket->n_reply + n) * 2;
        uint8_t *grown = realloc(socket->reply, capacity);
        if (grown == NULL) {
            socket->is_reply_lost = true;
            return;
        }
        socket->reply = grown;
        socket->capacity = capacity;
    }
    memcpy(socket->reply + socket->n_reply, p, n);
    socket->n_reply += n;
}

static enum io gather_writev(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    *n_out = 0;
    for (int i = 0; i < n_iov; i++) {
        append(conn->transport_state, iov[i].iov_base, iov[i].iov_len);
        *n_out += iov[i].iov_len;
    }
    return IO_DONE;
}

static void nothing_to_do(struct conn *conn)
{
    (void)conn;
}

static const struct transport transport_udp = {
    .name = "udp",
    .writev = gather_writev,
    .close = nothing_to_do,
    .free = nothing_to_do,
};

static void gather(struct udp_socket *socket)
{
    struct worker *worker = socket->conn.worker;
    size_t n = 0;
    if (output_is_empty(&worker->out))
        return;
    if (output_write(&worker->out, &socket->conn, &transport_udp, worker->server->cache,
                     worker->cache_thread, &n) != IO_DONE)
        socket->is_reply_lost = true;
}

static void forget_reply(struct udp_socket *socket)
{
    socket->n_reply = 0;
    socket->is_reply_lost = false;
    if (socket->capacity <= REPLY_KEPT)
        return;
    free(socket->reply);
    socket->reply = NULL;
    socket->capacity = 0;
}

/* ---- answering ---- */

static bool reply_fits(const struct udp_socket *socket)
{
    return !socket->is_reply_lost && udp_frame_size(socket->n_reply) <= socket->room;
}

/* In place of an answer that must not be sent. In text this is a line of its own, whichever key of
 * a get line the answer grew too large with. */
static void refuse_reply(struct udp_socket *socket, const struct request *request)
{
    struct conn *conn = &socket->conn;
    struct request line = {.verb = VERB_NOOP, .dialect = DIALECT_TEXT};
    forget_reply(socket);
    bool is_answered =
        request->dialect == DIALECT_BINARY
            ? answer_status(conn, request, STATUS_TOO_LARGE)
            : answer_text(conn, &line, SLICE("SERVER_ERROR response too large for UDP"));
    if (is_answered)
        gather(socket);
}

/* Sends what the command answered, if it did: as one series of datagrams. */
static void send_reply(struct udp_socket *socket, const struct request *request)
{
    gather(socket);
    if (!reply_fits(socket))
        refuse_reply(socket, request);
    if (socket->n_reply > 0 && reply_fits(socket)) {
        struct conn *conn = &socket->conn;
        size_t n =
            udp_frame_send(conn->fd, &conn->peer, &socket->frame, socket->reply, socket->n_reply);
        socket->room -= udp_frame_size(socket->n_reply);
        counter_add(&conn->session.counters->bytes_written, n);
    }
    forget_reply(socket);
}

/* Datagrams have no connection that could be watched, streamed to or logged in, and anybody can
 * forge their sender: what governs the server is not for them. */
static bool is_served(const struct request *request)
{
    switch (verb_class(request->verb)) {
    case CLASS_ADMIN:
        return false;
    case CLASS_DUMP:
        return request->verb == VERB_META_DEBUG;
    case CLASS_PUBLIC:
        return request->verb == VERB_BAD || request->verb == VERB_VERSION;
    case CLASS_STATS:
        return !slice_is(request_arg(request, 0), "cachedump");
    default:
        return true;
    }
}

/* The value is not in the datagram, and never will be. */
static void refuse_half(struct udp_socket *socket, const struct request *request)
{
    if (request->dialect == DIALECT_BINARY)
        return;
    if (answer_status(&socket->conn, request, STATUS_BAD_DATA_CHUNK))
        send_reply(socket, request);
}

/* Any other state would outlive the datagram. */
static void stand_still(struct conn *conn)
{
    stream_end(conn);
    conn->n_swallow = 0;
    conn->closes_after_flush = false;
    conn_enter(conn, CONN_HEAD);
}

/* False: the rest of the datagram is not looked at. */
static bool execute_entry(struct udp_socket *socket, struct request *request,
                          const struct cache_key *key)
{
    struct conn *conn = &socket->conn;
    bool is_half = request->value.p == NULL && request->n_value + request->n_trailer > 0;
    if (!is_served(request))
        return !is_half;
    if (is_half && request->verb != VERB_BAD) {
        refuse_half(socket, request);
        return false;
    }
    enum execute_result result = execute(conn, request, key);
    bool is_line_open = request->dialect == DIALECT_TEXT && request->verb == VERB_GET &&
                        !request->is_last && result == EXECUTE_NEXT;
    if (is_line_open)
        gather(socket); /* a line of many keys is one answer */
    else
        send_reply(socket, request);
    if (result == EXECUTE_NEXT)
        return true;
    stand_still(conn);
    return false;
}

static void serve_rest(struct udp_socket *socket, const struct input *in)
{
    struct request request;
    size_t n_head;
    if (in->at < in->n && parse_request(&socket->conn.parser, in->p + in->at, in->n - in->at,
                                        &request, &n_head) == PARSE_OK)
        refuse_half(socket, &request);
}

static void serve_payload(struct udp_socket *socket, struct input *in)
{
    struct conn *conn = &socket->conn;
    struct worker *worker = conn->worker;
    enum parse_result result;
    parser_init(&conn->parser, (enum protocol)worker->server->settings->protocol);
    do {
        size_t n = batch_parse(conn, in, &result);
        for (size_t i = 0; i < n; i++) {
            if (!execute_entry(socket, batch_request(worker->batch, i), &worker->batch->keys[i]))
                return;
        }
    } while (result == PARSE_OK && in->at < in->n);
    if (result == PARSE_MORE)
        serve_rest(socket, in);
}

static void serve_datagram(struct udp_socket *socket, uint8_t *p, size_t n)
{
    struct conn *conn = &socket->conn;
    struct worker *worker = conn->worker;
    uint64_t limit = worker->server->settings->udp_reply_limit;
    counter_add(&conn->session.counters->bytes_read, n);
    atomic_store_explicit(&conn->last_active, worker->now, memory_order_relaxed);
    if (!udp_frame_parse(p, n, &socket->frame))
        return;
    socket->room = limit == 0 ? SIZE_MAX : n * (size_t)limit;
    struct input in = {.p = p + UDP_FRAME_SIZE, .n = n - UDP_FRAME_SIZE};
    in.capacity = in.n;
    serve_payload(socket, &in);
    forget_reply(socket);
    output_clear(&worker->out, worker->cache_thread);
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
    struct udp_socket *socket = arg;
    struct conn *conn = &socket->conn;
    struct worker *worker = conn->worker;
    (void)what;
    worker_online(worker);
    for (unsigned i = 0; i < TURN_DATAGRAMS; i++) {
        socklen_t n_peer = sizeof conn->peer;
        ssize_t n =
            recvfrom(fd, worker->in.p, worker->in.capacity, MSG_DONTWAIT, &conn->peer.any, &n_peer);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n > 0)
            serve_datagram(socket, worker->in.p, (size_t)n);
    }
}

/* ---- life ---- */

static bool is_wanted(const struct settings *settings)
{
    return settings->udp_port != 0 && settings->socket_path == NULL;
}

static struct listen_handed *predecessors(struct server *server)
{
    return server->handed.is_predecessors ? &server->handed : NULL;
}

static size_t open_spec(struct server *server, const struct listen_spec *spec, int *fds,
                        char *error, size_t n_error)
{
    int port = spec->port == LISTEN_PORT_UNSET ? server->settings->udp_port : spec->port;
    return listen_sockets_open_udp(spec->host, port < 0 ? 0 : port, predecessors(server), fds,
                                   error, n_error);
}

/* NULL when memory is short: the sockets are closed then. */
static struct udp_set *add(struct udp_set *set, struct server *server, const int *fds, size_t n)
{
    size_t n_before = set != NULL ? set->n : 0;
    struct udp_set *grown = realloc(set, sizeof *set + (n_before + n) * sizeof set->sockets[0]);
    if (grown == NULL) {
        while (n > 0)
            close(fds[--n]);
        return NULL;
    }
    grown->server = server;
    grown->n = n_before + n;
    for (size_t i = 0; i < n; i++) {
        grown->sockets[n_before + i] = (struct udp_socket){0};
        grown->sockets[n_before + i].conn.fd = fds[i];
    }
    return grown;
}

static bool open_own(struct server *server, struct udp_set **set, char *error, size_t n_error)
{
    const struct settings *settings = server->settings;
    for (size_t i = 0; is_wanted(settings) && i < settings->n_listeners; i++) {
        int fds[LISTEN_SOCKETS_MAX];
        size_t n = open_spec(server, &settings->listeners[i], fds, error, n_error);
        bool is_optional = settings->listen_text == NULL && *set != NULL;
        if (n == 0 && !is_optional)
            return false;
        struct udp_set *grown = add(*set, server, fds, n);
        if (grown == NULL)
            return false;
        *set = grown;
    }
    return true;
}

static bool take_handed(struct server *server, struct udp_set **set, char *error, size_t n_error)
{
    for (unsigned i = 0; i < server->handed.n; i++) {
        int fd = server->handed.first + (int)i;
        if (!listen_socket_is_datagram(fd))
            continue;
        server->handed.is_taken[i] = true;
        if (server->settings->requires_login || server->settings->requires_auth) {
            snprintf(error, n_error, "descriptor %d is UDP, which cannot be logged in", fd);
            return false;
        }
        struct udp_set *grown = add(*set, server, &fd, 1);
        if (grown == NULL)
            return false;
        *set = grown;
    }
    return true;
}

bool udp_set_create(struct server *server, struct udp_set **set_out, char *error, size_t n_error)
{
    *set_out = NULL;
    snprintf(error, n_error, "out of memory");
    bool is_service_managers = server->handed.n > 0 && !server->handed.is_predecessors;
    bool is_open = is_service_managers ? take_handed(server, set_out, error, n_error)
                                       : open_own(server, set_out, error, n_error);
    if (!is_open)
        udp_set_destroy(set_out);
    return is_open;
}

int udp_set_fd(const struct udp_set *set, size_t index)
{
    return set != NULL && index < set->n ? set->sockets[index].conn.fd : -1;
}

uint32_t udp_set_last_active(const struct udp_set *set, size_t index)
{
    return atomic_load_explicit(&((struct udp_set *)set)->sockets[index].conn.last_active,
                                memory_order_relaxed);
}

void udp_set_destroy(struct udp_set **set)
{
    struct udp_set *s = *set;
    if (s == NULL)
        return;
    *set = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct udp_socket *socket = &s->sockets[i];
        if (socket->is_conn_ready)
            (void)event_del(&socket->conn.event);
        if (socket->is_conn_ready)
            login_end(&socket->conn);
        close(socket->conn.fd);
        free(socket->reply);
    }
    free(s);
}

static bool start_socket(struct udp_socket *socket, struct worker *worker)
{
    struct conn *conn = &socket->conn;
    conn->worker = worker;
    conn->transport = &transport_udp;
    conn->transport_state = socket;
    conn->opened = server_now(worker->server);
    atomic_store_explicit(&conn->last_active, conn->opened, memory_order_relaxed);
    conn->state = CONN_HEAD;
    if (!login_begin(conn))
        return false;
    socket->is_conn_ready = event_assign(&conn->event, worker->base, conn->fd, EV_READ | EV_PERSIST,
                                         on_datagram, socket) == 0 &&
                            event_add(&conn->event, NULL) == 0;
    return socket->is_conn_ready;
}

bool udp_set_start(struct udp_set *set)
{
    struct server *server = set->server;
    for (size_t i = 0; i < set->n; i++) {
        if (!start_socket(&set->sockets[i], server->workers[i % server->n_workers]))
            return false;
    }
    return true;
}

void udp_set_write_ports(const struct udp_set *set, FILE *file)
{
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        union address address = {0};
        socklen_t n = sizeof address;
        if (getsockname(set->sockets[i].conn.fd, &address.any, &n) == 0)
            fprintf(file, "UDP %s: %d\n", address.family == AF_INET ? "INET" : "INET6",
                    address_port(&address));
    }
}
