#include "server/conn.h"

#include "server/execute.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/login.h"
#include "server/probes.h"
#include "server/steps.h"
#include "server/strangers.h"
#include "server/stream.h"
#include "server/tenant.h"
#include "server/trace.h"
#include "server/transport_tls.h"
#include "server/upload.h"
#include "server/watch.h"

#include <stdlib.h>
#include <unistd.h>

enum waits { WAITS_READ = EV_READ, WAITS_WRITE = EV_WRITE, WAITS_NOTHING = 0 };
enum timer { TIMER_NONE, TIMER_IDLE, TIMER_LOGIN };

struct state_row {
    const char *shown;
    enum step (*step)(struct conn *);
    short waits;
    uint8_t timer;
};

static const struct state_row states[N_CONN_STATES] = {
#define STATE(name, function, waits, timer, shown) \
    [CONN_##name] = {shown, function, WAITS_##waits, TIMER_##timer},
#include "server/states.def"
#undef STATE
};

const char *conn_state_name(enum conn_state state)
{
    MUST(state < N_CONN_STATES);
    return states[state].shown;
}

static void on_event(evutil_socket_t fd, short what, void *arg);

/* Makes libevent wait for this and nothing else. False: the connection cannot be served. */
static bool arm(struct conn *conn, short what)
{
    if (conn->armed == what)
        return true;
    if (conn->armed != 0 && event_del(&conn->event) != 0)
        return false;
    conn->armed = 0;
    if (what == 0)
        return true;
    if (event_assign(&conn->event, conn->worker->base, conn->fd, (short)(what | EV_PERSIST),
                     on_event, conn) != 0 ||
        event_add(&conn->event, NULL) != 0)
        return false;
    conn->armed = what;
    return true;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;
    (void)fd;
    (void)what;
    enum conn_state state = state_now(conn);
    if (UNLIKELY(state == CONN_JOB)) {
        (void)arm(conn, 0);
        return;
    }
    if (UNLIKELY(state == CONN_HANDSHAKE)) {
        /* Once is enough: while many wait, each turn would be told of all of them again. */
        if (conn->is_queued)
            (void)arm(conn, 0);
        else
            worker_shake_later(conn->worker, conn);
        return;
    }
    worker_online(conn->worker);
    conn_run(conn);
}

static void link_conn(struct conn *conn)
{
    struct worker *worker = conn->worker;
    pthread_mutex_lock(&worker->conns_lock);
    conn->next = worker->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    worker->conns = conn;
    pthread_mutex_unlock(&worker->conns_lock);
    worker->n_conns++;
}

static void unlink_conn(struct conn *conn)
{
    struct worker *worker = conn->worker;
    pthread_mutex_lock(&worker->conns_lock);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        worker->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    pthread_mutex_unlock(&worker->conns_lock);
    worker->n_conns--;
}

#define CACHE_LINE   64u
#define N_CONN_LINES ((sizeof(struct conn) + CACHE_LINE - 1) / CACHE_LINE)

bool conn_create(struct worker *worker, int fd, const struct listener *listener,
                 const union address *peer)
{
    struct server *server = worker->server;
    struct conn *conn = aligned_alloc(CACHE_LINE, N_CONN_LINES * CACHE_LINE);
    if (conn == NULL) {
        close(fd);
        return false;
    }
    memset(conn, 0, sizeof *conn);
    conn->fd = fd;
    conn->worker = worker;
    conn->listener = listener;
    conn->peer = *peer;
    conn->transport = &transport_plain;
    conn->wants_bytes = true;
    atomic_store_explicit(&conn->last_active, server_now(server), memory_order_relaxed);
    parser_init(&conn->parser, listener_protocol(listener));
    conn->opened = server_now(server);
    conn->state = CONN_HEAD;
    bool is_ready = login_begin(conn);
    if (is_ready && listener_has_tls(listener)) {
        conn->state = CONN_HANDSHAKE;
        is_ready = transport_tls_attach(conn);
    }
    if (!is_ready || !arm(conn, EV_READ)) {
        strangers_remove(conn);
        login_end(conn);
        conn->transport->free(conn);
        close(fd);
        free(conn);
        return false;
    }
    atomic_fetch_add(&server->n_structures, 1);
    counter_add(&worker->counters->total_connections, 1);
    link_conn(conn);
    PROBE(1, conn__create, conn);
    PROBE(1, conn__allocate, conn->fd);
    if (watch_is_on(server->watch, WATCH_CONNEVENTS))
        watch_open(conn);
    if (trace_is_on(conn))
        trace_opened(conn);
    return true;
}

void conn_close(struct conn *conn, enum close_reason reason)
{
    if (state_now(conn) == CONN_CLOSING)
        return;
    conn->close_reason = (uint8_t)reason;
    strangers_remove(conn);
    (void)arm(conn, 0);
    if (state_now(conn) != CONN_LINGER)
        conn->transport->close(conn);
    conn_enter(conn, CONN_CLOSING);
    worker_let_go(conn->worker, conn);
}

void conn_wait_for_job(struct conn *conn, enum step (*finish)(struct conn *))
{
    MUST(conn->has_job);
    conn->job_finish = finish;
    conn_enter(conn, CONN_JOB);
}

void conn_take_outcome(struct conn *conn, enum step (*finish)(struct conn *))
{
    conn->is_job_done = true;
    conn->job_finish = finish;
    conn_enter(conn, CONN_JOB);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;
    (void)fd;
    (void)what;
    worker_online(conn->worker);
    conn_job_done(conn);
}

bool conn_sleep(struct conn *conn, unsigned ms, enum step (*finish)(struct conn *))
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};
    if (conn->timer == NULL)
        conn->timer = event_new(conn->worker->base, -1, 0, on_timer, conn);
    if (conn->timer == NULL || event_add(conn->timer, &wait) != 0)
        return false;
    conn->has_job = true;
    conn_wait_for_job(conn, finish);
    return true;
}

void conn_job_done(struct conn *conn)
{
    conn->has_job = false;
    conn->is_job_done = true;
    if (state_now(conn) == CONN_CLOSING)
        worker_let_go(conn->worker, conn);
    else
        conn_run(conn);
}

void conn_free(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct server *server = worker->server;
    PROBE(1, conn__release, conn->fd);
    if (trace_is_on(conn))
        trace_closed(conn);
    unlink_conn(conn);
    strangers_remove(conn);
    upload_state_abort(conn);
    stream_end(conn);
    if (watch_is_on(server->watch, WATCH_CONNEVENTS))
        watch_close(conn);
    watch_end(conn);
    login_end(conn);
    if (conn->timer != NULL)
        event_free(conn->timer);
    if (conn->kept != NULL) {
        output_clear(conn->kept, worker->cache_thread);
        output_fini(conn->kept);
        free(conn->kept);
    }
    free(conn->in.p);
    free(conn->job_data);
    conn->transport->free(conn);
    close(conn->fd);
    free(conn);
    atomic_fetch_sub(&server->n_structures, 1);
    listener_conn_closed(server->listeners);
}

/* Bytes that wait for the socket outlive the turn in memory of their own. */
static bool keep_output(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->kept == NULL)
        conn->kept = calloc(1, sizeof *conn->kept);
    if (conn->kept == NULL)
        return false;
    return output_keep(conn->kept, &worker->out, worker->server->cache, worker->cache_thread);
}

NEVER_INLINE void drop_kept(struct conn *conn)
{
    output_fini(conn->kept);
    free(conn->kept);
    conn->kept = NULL;
}

/* The socket does not take all: the rest waits, if it can. */
NEVER_INLINE enum step wait_to_flush(struct conn *conn, enum io io, enum conn_state next)
{
    if (io == IO_CLOSED || (conn->kept == NULL && !keep_output(conn))) {
        output_clear(&conn->worker->out, conn->worker->cache_thread);
        return STEP_CLOSE;
    }
    conn->after_flush = (uint8_t)next;
    conn_enter(conn, CONN_FLUSH);
    return STEP_WAIT;
}

enum step conn_flush(struct conn *conn, enum conn_state next)
{
    struct worker *worker = conn->worker;
    struct output *out = conn->kept != NULL ? conn->kept : &worker->out;
    size_t n_sent = 0;
    if (output_is_empty(out))
        return STEP_AGAIN;
    enum io io = output_write(out, conn, conn->transport, worker->server->cache,
                              worker->cache_thread, &n_sent);
    counter_add(&conn->session.counters->bytes_written, n_sent);
    if (n_sent > 0)
        atomic_store_explicit(&conn->last_active, worker->now, memory_order_relaxed);
    if (UNLIKELY(io != IO_DONE))
        return wait_to_flush(conn, io, next);
    if (UNLIKELY(conn->kept != NULL))
        drop_kept(conn);
    return STEP_AGAIN;
}

/* What the state waits for; a transport may want the other direction. Bytes that the transport
 * holds are not announced by the socket: the connection goes on when the others had their turn. */
static bool wait_for(struct conn *conn)
{
    enum conn_state state = state_now(conn);
    short wanted = UNLIKELY(conn->io_wanted != 0) ? conn->io_wanted : states[state].waits;
    /* Most peers say nothing until the job is done: the event stays, and goes when one does. */
    if (state == CONN_JOB && conn->armed == EV_READ)
        return true;
    /* Who lingers looks at the socket only. */
    if (wanted == EV_READ && conn_has_pending(conn) && state != CONN_LINGER)
        worker_make_ready(conn->worker, conn);
    return LIKELY(conn->armed == wanted) || arm(conn, wanted);
}

void conn_run(struct conn *conn)
{
    struct worker *worker = conn->worker;
    conn->budget = worker->turn_budget;
    conn->n_uploaded = 0;
    conn->io_wanted = 0;
    for (;;) {
        enum step step = states[state_now(conn)].step(conn);
        if (step == STEP_AGAIN)
            continue;
        if (LIKELY(step == STEP_WAIT) && LIKELY(conn_keep_input(conn)) && LIKELY(wait_for(conn)))
            return;
        if (state_now(conn) == CONN_CLOSING)
            return;
        output_clear(&worker->out, worker->cache_thread);
        worker->in.at = worker->in.n = 0;
        conn_close(conn, step == STEP_CLOSE ? CLOSE_NORMAL : CLOSE_ERROR);
        return;
    }
}

/* Handshake and login have a time of their own, whatever the peer sends meanwhile. */
static bool limit_is_login(const struct conn *conn)
{
    uint8_t timer = states[state_now(conn)].timer;
    return timer == TIMER_LOGIN ? login_is_due(conn) || state_now(conn) == CONN_HANDSHAKE
                                : timer == TIMER_IDLE && login_is_due(conn);
}

/* Seconds that the state's timer allows; 0 = for ever. */
static unsigned timer_limit(const struct conn *conn)
{
    const struct settings *settings = conn->worker->server->settings;
    if (limit_is_login(conn))
        return (unsigned)settings->auth_timeout_s;
    switch (states[state_now(conn)].timer) {
    case TIMER_IDLE:
        return (unsigned)settings->idle_timeout_s;
    default:
        return 0;
    }
}

void conn_check_timer(struct conn *conn, uint32_t now)
{
    unsigned limit = timer_limit(conn);
    bool is_login = limit_is_login(conn);
    uint32_t since =
        is_login ? conn->opened : atomic_load_explicit(&conn->last_active, memory_order_relaxed);
    if (limit == 0 || now <= since || now - since <= limit)
        return;
    if (!is_login)
        counter_add(&conn->worker->counters->idle_kicks, 1);
    conn_close(conn, CLOSE_IDLE);
}

void conn_check_login(struct conn *conn)
{
    if (!login_is_current(conn))
        conn_close(conn, CLOSE_NORMAL);
}
