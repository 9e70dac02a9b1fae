#include "server/worker.h"

#include "server/conn.h"
#include "server/steps.h"
#include "server/wake.h"

#include "base/schedule.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_KEPT (1u << 20) /* an output buffer that grew beyond this is given back */
#define DRAIN_TICKS 3          /* seconds that a stopping worker gives its clients */

void worker_go_online(struct worker *worker)
{
    worker->is_online = true;
    worker->now = server_now(worker->server);
    cache_thread_online(worker->cache_thread);
}

static void offline(struct worker *worker)
{
    if (!worker->is_online)
        return;
    worker->is_online = false;
    cache_thread_offline(worker->cache_thread);
}

bool worker_post(struct worker *worker, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&worker->mail_lock);
    bool is_first = worker->mail_first == NULL;
    if (worker->mail_last != NULL)
        worker->mail_last->next = message;
    else
        worker->mail_first = message;
    worker->mail_last = message;
    pthread_mutex_unlock(&worker->mail_lock);
    return is_first;
}

void worker_wake(struct worker *worker)
{
    wake_signal(worker->wake_fd);
}

/* Who posted the first message that waits has woken the worker, or is about to. */
void worker_tell(struct worker *worker, struct message *message)
{
    if (worker_post(worker, message))
        worker_wake(worker);
}

static void run_mail(struct worker *worker)
{
    pthread_mutex_lock(&worker->mail_lock);
    struct message *message = worker->mail_first;
    worker->mail_first = worker->mail_last = NULL;
    pthread_mutex_unlock(&worker->mail_lock);
    while (message != NULL) {
        struct message *next = message->next;
        message->run(worker, message);
        message = next;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)what;
    wake_clear(fd);
    worker_online(worker);
    run_mail(worker);
}

/* A second of the stop has gone by: who has nothing to say or to read is not waited for. */
static void press(struct conn *conn)
{
    switch (state_now(conn)) {
    case CONN_HANDSHAKE:
    case CONN_HEAD: /* it had its time to speak */
        conn_close(conn, CLOSE_SHUTDOWN);
        break;
    case CONN_LINGER:
        if (!conn_has_unread_answers(conn))
            conn_close(conn, CLOSE_SHUTDOWN);
        break;
    case CONN_VALUE:
    case CONN_SWALLOW:
        if (conn->n_uploaded == 0)
            conn_close(conn, CLOSE_SHUTDOWN);
        else if (conn->worker->n_ticks + 1 >= DRAIN_TICKS)
            conn_linger(conn);
        conn->n_uploaded = 0;
        break;
    default:
        break;
    }
}

/* The next tick comes a whole second from now. */
static bool begin_second(struct worker *worker)
{
    static const struct itimerspec second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    return timerfd_settime(worker->tick_fd, 0, &second, NULL) == 0;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    uint64_t n_due;
    (void)what;
    if (read(fd, &n_due, sizeof n_due) != (ssize_t)sizeof n_due)
        return; /* interrupted: it is told again */
    worker_online(worker);
    worker->n_ticks++;
    uint32_t now = server_now(worker->server);
    for (struct conn *conn = worker->conns; conn != NULL; conn = conn->next) {
        if (worker->server->auth != NULL && state_now(conn) != CONN_CLOSING)
            conn_check_login(conn);
        if (state_now(conn) != CONN_CLOSING)
            conn_check_timer(conn, now);
        if (worker->is_draining)
            press(conn);
    }
    if (worker->out.capacity > OUTPUT_KEPT)
        output_fini(&worker->out);
}

void worker_make_ready(struct worker *worker, struct conn *conn)
{
    if (conn->is_queued)
        return;
    conn->is_queued = true;
    conn->next_in_queue = worker->ready;
    worker->ready = conn;
}

void worker_let_go(struct worker *worker, struct conn *conn)
{
    if (conn->is_queued || conn->has_job)
        return;
    conn->is_queued = true;
    conn->next_in_queue = worker->closed;
    worker->closed = conn;
}

void worker_shake_later(struct worker *worker, struct conn *conn)
{
    if (conn->is_queued)
        return;
    conn->is_queued = true;
    conn->next_in_queue = NULL;
    if (worker->first_shaking == NULL)
        worker->first_shaking = conn;
    else
        worker->last_shaking->next_in_queue = conn;
    worker->last_shaking = conn;
}

/* True when it was closed meanwhile. */
static bool let_go_if_closed(struct worker *worker, struct conn *conn)
{
    conn->is_queued = false;
    if (state_now(conn) != CONN_CLOSING)
        return false;
    worker_let_go(worker, conn);
    return true;
}

/* A part of a handshake may take 100 us. Those whom this worker serves wait for one at most, and
 * then have their turn. But a worker that goes on and on holds up those that share its processor:
 * then job threads, which give way, get all parts but the first. */
static void run_shaking(struct worker *worker)
{
    struct conn *conn;
    bool is_one_all = !worker->server->workers_share;
    worker->has_shaken = false;
    while ((conn = worker->first_shaking) != NULL) {
        if (worker->has_shaken && is_one_all && state_now(conn) != CONN_CLOSING)
            return;
        worker->first_shaking = conn->next_in_queue;
        if (let_go_if_closed(worker, conn))
            continue;
        conn_run(conn);
        worker->has_shaken = true;
    }
}

/* Those that yielded go on. */
static void run_ready(struct worker *worker)
{
    struct conn *next;
    struct conn *conn = worker->ready;
    worker->ready = NULL;
    for (; conn != NULL; conn = next) {
        next = conn->next_in_queue;
        if (let_go_if_closed(worker, conn))
            continue;
        conn->is_resumed = state_now(conn) == CONN_YIELD;
        conn_run(conn);
    }
}

/* libevent has delivered everything of this turn: nothing refers to these any more. */
static void free_closed(struct worker *worker)
{
    while (worker->closed != NULL) {
        struct conn *conn = worker->closed;
        worker->closed = conn->next_in_queue;
        conn_free(conn);
    }
}

void worker_end_turn(struct worker *worker)
{
    if (worker->ready != NULL) {
        worker_online(worker);
        run_ready(worker);
    }
    if (worker->first_shaking != NULL) {
        worker_online(worker);
        run_shaking(worker);
    }
    if (worker->closed != NULL) {
        worker_online(worker);
        free_closed(worker);
    }
}

/* Requests that have arrived are answered, values that are arriving are taken, dumps, handshakes
 * and logins go on; then the connections end. */
static void drain(struct worker *worker)
{
    struct conn *next;
    worker_online(worker);
    run_mail(worker); /* connections that were accepted before the stop */
    worker->is_draining = true;
    for (struct conn *conn = worker->conns; conn != NULL; conn = next) {
        next = conn->next;
        switch (state_now(conn)) {
        case CONN_HEAD:
            conn_run(conn);
            break;
        case CONN_VALUE:
        case CONN_SWALLOW:
            conn->n_uploaded = 0; /* a second without a byte ends it */
            break;
        case CONN_WATCH:
            conn_run(conn);
            if (state_now(conn) == CONN_WATCH)
                conn_close(conn, CLOSE_SHUTDOWN); /* it has been told of the stop */
            break;
        case CONN_HANDSHAKE:
        case CONN_JOB: /* a login or a part of a handshake: its result is answered */
        case CONN_FLUSH:
        case CONN_YIELD:
        case CONN_STREAM:
            break;
        default:
            conn_close(conn, CLOSE_SHUTDOWN);
        }
    }
}

static void turn(struct worker *worker)
{
    int flags = EVLOOP_ONCE;
    if (worker->ready == NULL)
        offline(worker);
    if (worker->ready != NULL || worker->first_shaking != NULL)
        flags |= EVLOOP_NONBLOCK;
    (void)event_base_loop(worker->base, flags);
    worker_end_turn(worker);
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    schedule_serve();
    while (!atomic_load_explicit(&worker->is_stopping, memory_order_relaxed))
        turn(worker);
    drain(worker);
    free_closed(worker);
    worker->n_ticks = 0;        /* the master's clock may stand still by now */
    (void)begin_second(worker); /* else the first could be next to nothing */
    while (worker->n_conns > 0 && worker->n_ticks < DRAIN_TICKS)
        turn(worker);
    worker_online(worker);
    for (struct conn *conn = worker->conns; conn != NULL; conn = conn->next)
        conn_close(conn, CLOSE_SHUTDOWN);
    worker_end_turn(worker);
    offline(worker);
    return NULL;
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    /* Without a list of changes: what the kernel refuses to watch is known at once. No clock is
     * read but when a timer needs it. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static bool add_events(struct worker *worker)
{
    worker->wake_event =
        event_new(worker->base, worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
    worker->tick_event =
        event_new(worker->base, worker->tick_fd, EV_READ | EV_PERSIST, on_tick, worker);
    return worker->wake_event != NULL && worker->tick_event != NULL &&
           event_add(worker->wake_event, NULL) == 0 && event_add(worker->tick_event, NULL) == 0 &&
           begin_second(worker);
}

struct worker *worker_create(struct server *server, unsigned id)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return NULL;
    worker->server = server;
    worker->id = id;
    pthread_mutex_init(&worker->conns_lock, NULL);
    pthread_mutex_init(&worker->mail_lock, NULL);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    worker->base = make_base();
    worker->cache_thread = cache_thread_create(server->cache);
    worker->in.p = malloc(WORKER_INPUT);
    worker->in.capacity = WORKER_INPUT;
    worker->batch = malloc(sizeof *worker->batch);
    worker->turn_budget = (unsigned)server->settings->reqs_per_event;
    worker->record_capacity = (size_t)server->settings->tls_write_bytes;
    worker->counters = calloc(1, sizeof *worker->counters);
    bool is_whole = worker->wake_fd >= 0 && worker->tick_fd >= 0 && worker->base != NULL &&
                    worker->cache_thread != NULL && worker->in.p != NULL && worker->batch != NULL &&
                    worker->counters != NULL && add_events(worker);
    if (!is_whole)
        worker_destroy(&worker);
    return worker;
}

/* What came too late to be run. */
static void drop_mail(struct worker *worker)
{
    struct message *message = worker->mail_first;
    worker->mail_first = worker->mail_last = NULL;
    while (message != NULL) {
        struct message *next = message->next;
        if (message->drop != NULL)
            message->drop(message);
        message = next;
    }
}

void worker_destroy(struct worker **worker)
{
    struct worker *w = *worker;
    if (w == NULL)
        return;
    *worker = NULL;
    drop_mail(w);
    while (w->conns != NULL) /* those that a job thread had when the loop ended */
        conn_free(w->conns);
    if (w->wake_event != NULL)
        event_free(w->wake_event);
    if (w->tick_event != NULL)
        event_free(w->tick_event);
    if (w->base != NULL)
        event_base_free(w->base);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    if (w->tick_fd >= 0)
        close(w->tick_fd);
    cache_thread_destroy(&w->cache_thread);
    output_fini(&w->out);
    free(w->in.p);
    free(w->batch);
    free(w->record);
    free(w->counters);
    pthread_mutex_destroy(&w->conns_lock);
    pthread_mutex_destroy(&w->mail_lock);
    free(w);
}

bool worker_start(struct worker *worker)
{
    if (pthread_create(&worker->thread, NULL, run, worker) != 0)
        return false;
    char name[16] = "keepd-worker";
    (void)pthread_setname_np(worker->thread, name);
    return true;
}

void worker_begin_stop(struct worker *worker)
{
    atomic_store(&worker->is_stopping, true);
    worker_wake(worker);
}

void worker_stop(struct worker *worker)
{
    worker_begin_stop(worker);
    (void)pthread_join(worker->thread, NULL);
}
