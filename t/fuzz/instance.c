#include "t/fuzz/instance.h"

#include "server/conn.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/tenants.h"
#include "server/transport_tls.h"
#include "server/watch.h"
#include "server/worker.h"
#include "t/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MEMORY (64u << 20)

struct instance {
    struct settings settings;
    struct settings at_start;
    struct server server;
    struct worker *worker;
};

/* The command shutdown is off; main.c is not part of the target. */
void server_stop(struct server *server, bool is_graceful)
{
    (void)server;
    (void)is_graceful;
    abort();
}

static void read_settings(struct instance *instance)
{
    char program[] = "keepd", no_user[] = "-u", user[] = "nobody", port[] = "-p", any[] = "-1";
    char listen[] = "-l", loopback[] = "127.0.0.1", threads[] = "-t", one[] = "1";
    char *argv[] = {program, no_user, user, port, any, listen, loopback, threads, one, NULL};
    settings_init(&instance->settings);
    HOLDS(options_parse(9, argv, false, &instance->settings, stderr, stderr) == OPTIONS_SERVE);
}

struct instance *instance_create(bool has_cas)
{
    char error[512];
    struct instance *instance = calloc(1, sizeof *instance);
    HOLDS(instance != NULL);
    struct server *server = &instance->server;
    read_settings(instance);
    instance->at_start = instance->settings;
    server->settings = &instance->settings;
    server->n_workers = 1;
    server->stop_fd = -1;
    server->started = INSTANCE_NOW;
    atomic_store(&server->now, INSTANCE_NOW);
    server->watch = watch_create(instance->settings.watcher_log_bytes);
    HOLDS(server->watch != NULL);
    struct cache_config config = {
        .memory = MEMORY,
        .evictions = watch_eviction_listener(server->watch),
        .item_max = instance->settings.item_size_max,
        .is_evicting = true,
        .has_cas = has_cas,
        .hash_seed = 1,
    };
    server->cache = cache_create(&config, error, sizeof error);
    HOLDS(server->cache != NULL);
    cache_tick(server->cache, INSTANCE_NOW);
    server->tenants = tenants_create(server->cache, 1, ':', false);
    server->listeners = listener_set_create(server, error, sizeof error);
    HOLDS(server->tenants != NULL && server->listeners != NULL);
    server->workers = calloc(1, sizeof *server->workers);
    HOLDS(server->workers != NULL);
    instance->worker = worker_create(server, 0);
    HOLDS(instance->worker != NULL);
    server->workers[0] = instance->worker;
    instance_reset(instance);
    return instance;
}

struct server *instance_server(struct instance *instance)
{
    return &instance->server;
}

void instance_reset(struct instance *instance)
{
    struct server *server = &instance->server;
    instance->settings = instance->at_start;
    atomic_store(&server->is_crawler_on, true);
    atomic_store(&server->verbosity, 0);
    atomic_store(&server->trace_readers, 0);
    atomic_store(&server->memory_limit, MEMORY);
    HOLDS(cache_set_memory(server->cache, MEMORY));
    cache_flush(cache_default_tenant(server->cache), 0);
    cache_maintain(server->cache, INSTANCE_NOW);
}

/* ---- the transport ---- */

static uint32_t next_random(struct line *line)
{
    uint32_t x = line->split;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    line->split = x;
    return x;
}

/* How much of n goes through this time; 0: nothing. */
static size_t portion(struct line *line, size_t n)
{
    if (line->split == 0)
        return n;
    uint32_t x = next_random(line);
    if ((x & 3) == 0)
        return 0;
    size_t most = (x & 4) != 0 ? 1 + (x >> 8) % 16 : 1 + (x >> 8) % 8192;
    return n < most ? n : most;
}

static struct line *line_of(const struct conn *conn)
{
    return conn->transport_state;
}

static enum io memory_handshake(struct conn *conn)
{
    (void)conn;
    return IO_DONE;
}

static enum io memory_readv(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    struct line *line = line_of(conn);
    size_t n_left = portion(line, line->in.n);
    line->has_starved = line->in.n == 0;
    if (n_left == 0)
        return IO_WANT_READ;
    *n_out = 0;
    for (int i = 0; i < n_iov && n_left > 0; i++) {
        size_t n = iov[i].iov_len < n_left ? iov[i].iov_len : n_left;
        memcpy(iov[i].iov_base, line->in.p, n);
        line->in.p += n;
        line->in.n -= n;
        *n_out += n;
        n_left -= n;
    }
    return IO_DONE;
}

static enum io memory_writev(struct conn *conn, const struct iovec *iov, int n_iov, size_t *n_out)
{
    struct line *line = line_of(conn);
    size_t n_all = 0;
    for (int i = 0; i < n_iov; i++)
        n_all += iov[i].iov_len;
    size_t n_left = portion(line, n_all);
    *n_out = n_left;
    if (n_left == 0)
        return IO_WANT_WRITE;
    for (int i = 0; i < n_iov && n_left > 0; i++) {
        size_t n = iov[i].iov_len < n_left ? iov[i].iov_len : n_left;
        buffer_put(&line->out, iov[i].iov_base, n);
        n_left -= n;
    }
    return IO_DONE;
}

static bool memory_has_pending(const struct conn *conn)
{
    (void)conn;
    return false;
}

static void memory_end(struct conn *conn)
{
    (void)conn;
}

static const struct transport transport_memory = {
    .name = "memory",
    .handshake = memory_handshake,
    .readv = memory_readv,
    .writev = memory_writev,
    .has_pending = memory_has_pending,
    .close = memory_end,
    .free = memory_end,
};

/* ---- what the worker's loop does, without waiting ---- */

static bool is_there(const struct line *line)
{
    const struct conn *conn = line->instance->worker->conns;
    while (conn != NULL && conn != line->conn)
        conn = conn->next;
    return conn != NULL;
}

static void end_turn(struct line *line)
{
    struct worker *worker = line->instance->worker;
    worker_end_turn(worker);
    if (!is_there(line))
        line->conn = NULL;
    HOLDS(worker->in.n == 0);
    cache_thread_offline(worker->cache_thread);
    worker->is_online = false;
}

static void open_over(struct line *line, struct instance *instance, int fd)
{
    struct server *server = &instance->server;
    static const union address peer = {.family = AF_INET};
    atomic_fetch_add(&server->n_connections, 1);
    HOLDS(fd >= 0);
    HOLDS(conn_create(instance->worker, fd, listener_at(server->listeners, 0), &peer));
    line->instance = instance;
    line->conn = instance->worker->conns;
}

void line_open(struct line *line, struct instance *instance, uint32_t split)
{
    *line = (struct line){.split = split};
    /* The event is something that can be polled. */
    open_over(line, instance, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    line->conn->transport = &transport_memory;
    line->conn->transport_state = line;
}

void line_open_tls(struct line *line, struct instance *instance, struct tls *tls, int fd)
{
    *line = (struct line){.split = 0};
    open_over(line, instance, fd);
    instance->server.tls = tls;
    HOLDS(transport_tls_attach(line->conn));
    instance->server.tls = NULL; /* commands see the same as on a plain connection */
    conn_enter(line->conn, CONN_HANDSHAKE);
}

void instance_turn(struct instance *instance)
{
    struct worker *worker = instance->worker;
    worker_online(worker);
    (void)event_base_loop(worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    HOLDS(worker->ready == NULL && worker->closed == NULL);
    cache_thread_offline(worker->cache_thread);
    worker->is_online = false;
}

void line_turn(struct line *line)
{
    struct worker *worker = line->instance->worker;
    worker_online(worker);
    (void)event_base_loop(worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    end_turn(line);
}

static bool is_waiting(const struct line *line)
{
    enum conn_state state = state_now(line->conn);
    bool is_reading =
        state == CONN_HEAD || state == CONN_VALUE || state == CONN_SWALLOW || state == CONN_WATCH;
    return is_reading && line->in.n == 0 && line->has_starved;
}

void line_send(struct line *line, struct slice bytes)
{
    struct worker *worker = line->instance->worker;
    line->in = bytes;
    line->has_starved = false;
    while (line->conn != NULL && !is_waiting(line)) {
        worker_online(worker);
        if (worker->ready == NULL)
            conn_run(line->conn);
        end_turn(line);
    }
}

void line_close(struct line *line)
{
    if (line->conn != NULL) {
        worker_online(line->instance->worker);
        conn_close(line->conn, CLOSE_NORMAL);
        end_turn(line);
    }
    free(line->out.p);
    line->out = (struct buffer){0};
}
