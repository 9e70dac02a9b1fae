#include "auth/auth.h"
#include "base/schedule.h"
#include "server/clock.h"
#include "server/create_auth.h"
#include "server/create_cache.h"
#include "server/create_sockets.h"
#include "server/create_tls.h"
#include "server/jobs.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/privileges.h"
#include "server/process.h"
#include "server/refresh.h"
#include "server/sandbox.h"
#include "server/server.h"
#include "server/service.h"
#include "server/sysevent.h"
#include "server/takeover.h"
#include "server/tenants.h"
#include "server/trace.h"
#include "server/udp.h"
#include "server/wake.h"
#include "server/watch.h"
#include "server/worker.h"
#include "tls/tls.h"

#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define JOB_THREADS_MIN 2 /* for handshakes and for reading files again */
#define TEND_S          60

/* The master: its loop accepts, ticks and takes signals. */
struct master {
    struct server server;
    struct settings settings;
    struct event_base *base;
    struct event *stop_event;
    struct event *tick_event;
    struct event *signals[8];
    size_t n_signals;
    struct pressure pressure;
    uint32_t tended; /* Unix second of the last refresh_tend */
    struct clock clock;
    unsigned n_workers_started;
    int parent_fd; /* the process that started -d and waits; -1 when there is none */
    bool is_cache_started;
};

/* ---- the tick ---- */

static void publish_time(struct master *m)
{
    uint32_t now = clock_now_s(&m->clock);
    cache_tick(m->server.cache, now);
    atomic_store_explicit(&m->server.now, now, memory_order_relaxed);
}

static void schedule_tick(struct master *m)
{
    uint32_t us = clock_next_second_us(&m->clock);
    struct timeval wait = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    event_add(m->tick_event, &wait);
}

static void tend(struct master *m)
{
    m->tended = server_now(&m->server);
    refresh_tend(&m->server);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void)fd;
    (void)what;
    publish_time(m);
    sysevent_tell_pressure(&m->server, &m->pressure);
    if (server_now(&m->server) - m->tended >= TEND_S)
        tend(m);
    schedule_tick(m);
}

/* ---- stopping ---- */

void server_stop(struct server *server, bool is_graceful)
{
    if (is_graceful)
        atomic_store(&server->is_graceful, true);
    atomic_store(&server->is_stopping, true);
    wake_signal(server->stop_fd);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(m->base);
}

/* A line that users of memcached look for; left out rather than waited for when nobody reads. */
static void say(const char *line)
{
    struct pollfd stderr_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&stderr_fd, 1, 0) > 0)
        fprintf(stderr, "%s\n", line);
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
    struct master *m = arg;
    (void)what;
    if (signal == SIGHUP) {
        char reason[REFRESH_REASON_MAX];
        service_notify_reloading();
        (void)refresh_all(&m->server, reason, sizeof reason);
        service_notify_ready();
        return;
    }
    sysevent(&m->server, LOG_LEVEL_NOTICE, "stopping", LOG_NUMBER("signal", signal), LOG_END);
    if (signal == SIGUSR1)
        say("Gracefully stopping");
    else if (m->settings.verbosity > 0)
        say("Exiting normally");
    atomic_store(&m->server.is_graceful, signal == SIGUSR1);
    event_base_loopbreak(m->base);
}

/* ---- parts, in the order of creation; each says on stderr what is wrong ---- */

static int create_log(struct master *m)
{
    bool is_silent = m->settings.is_daemon && m->settings.verbosity == 0;
    struct log_config config = {
        .verbosity = m->settings.verbosity,
        .fd = is_silent ? -1 : STDERR_FILENO,
        .path = m->settings.log_file,
        .is_syslog = m->settings.has_syslog,
    };
    m->server.log = log_create(&config);
    if (m->server.log != NULL)
        return 0;
    char error[512];
    snprintf(error, sizeof error, "%s%.400s: %s", config.path != NULL ? "--log-file " : "the log",
             config.path != NULL ? config.path : "", strerror(errno));
    return process_refuse(EXIT_BAD_VALUE, error);
}

static int create_workers(struct master *m)
{
    struct server *server = &m->server;
    server->workers = calloc(server->n_workers, sizeof *server->workers);
    for (unsigned i = 0; server->workers != NULL && i < server->n_workers; i++) {
        server->workers[i] = worker_create(server, i);
        if (server->workers[i] == NULL)
            return process_refuse(EXIT_BAD_VALUE,
                                  "a worker cannot be made: out of memory or descriptors");
    }
    return server->workers != NULL ? 0 : process_refuse(EXIT_BAD_VALUE, "out of memory");
}

static int start_udp(struct master *m)
{
    if (m->server.udp == NULL || udp_set_start(m->server.udp))
        return 0;
    return process_refuse(EXIT_BAD_VALUE, "the UDP sockets cannot be watched");
}

static int start_threads(struct master *m)
{
    struct server *server = &m->server;
    if (!cache_start(server->cache))
        return process_refuse(EXIT_BAD_VALUE, "Can't create thread: the reaper");
    m->is_cache_started = true;
    if (server->tls != NULL || server->auth != NULL) {
        unsigned n = server->n_workers / 2;
        server->jobs = jobs_create(n > JOB_THREADS_MIN ? n : JOB_THREADS_MIN);
        if (server->jobs == NULL)
            return process_refuse(EXIT_BAD_VALUE, "Can't create thread: a job thread");
    }
    for (; m->n_workers_started < server->n_workers; m->n_workers_started++) {
        if (!worker_start(server->workers[m->n_workers_started]))
            return process_refuse(EXIT_BAD_VALUE, "Can't create thread: a worker");
    }
    return 0;
}

static int begin_takeover(struct master *m)
{
    char error[512];
    if (m->settings.takeover_path == NULL)
        return 0;
    m->server.takeover =
        takeover_create(&m->server, m->settings.takeover_path, error, sizeof error);
    return m->server.takeover != NULL ? 0 : process_refuse(EXIT_NO_RESOURCE, error);
}

/* Lets the predecessor end: when this process serves, or, if it is to have the content too, before
 * the memory file is opened. */
static int relieve_predecessor(struct master *m, bool waits)
{
    if (m->server.takeover == NULL || !takeover_has_predecessor(m->server.takeover))
        return 0;
    return takeover_relieve(m->server.takeover, waits)
               ? 0
               : process_refuse(EXIT_BAD_VALUE, "--takeover: the other process does not end");
}

static int start_metrics(struct master *m)
{
    if (m->server.metrics == NULL || metrics_start(m->server.metrics))
        return 0;
    return process_refuse(EXIT_BAD_VALUE, "Can't create thread: the metrics");
}

static int write_ports(struct master *m)
{
    return create_ports_file(&m->server);
}

static int make_cache(struct master *m)
{
    return create_cache(&m->server, &m->clock);
}

/* The signals that the loop handles wait while there is no loop: one that comes right after the
 * sockets listen, or a second one during the end, must not act by its default. */
static void mask_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

static bool add_signal(struct master *m, int number)
{
    struct event *event = evsignal_new(m->base, number, on_signal, m);
    if (event == NULL)
        return false;
    m->signals[m->n_signals++] = event;
    return event_add(event, NULL) == 0;
}

static int prepare_loop(struct master *m)
{
    m->base = event_base_new();
    if (m->base == NULL)
        return process_refuse(EXIT_BAD_VALUE, "the event loop cannot be made");
    m->stop_event = event_new(m->base, m->server.stop_fd, EV_READ | EV_PERSIST, on_stop, m);
    m->tick_event = event_new(m->base, -1, 0, on_tick, m);
    bool is_ready = m->stop_event != NULL && m->tick_event != NULL &&
                    event_add(m->stop_event, NULL) == 0 && add_signal(m, SIGINT) &&
                    add_signal(m, SIGTERM) && add_signal(m, SIGHUP) && add_signal(m, SIGUSR1);
    mask_signals(SIG_UNBLOCK);
    return is_ready ? 0 : process_refuse(EXIT_BAD_VALUE, "the event loop cannot be prepared");
}

static void name_inert(void *context, struct slice name, struct slice value)
{
    log_event(context, LOG_LEVEL_WARNING, "option_without_effect", LOG_TEXT("option", name),
              LOG_TEXT("reason", value), LOG_END);
}

/* What another keepd holds comes through the memory file, when that has ended. What can fail is
 * tried before: it goes on then. */
static int fetch_content(struct master *m)
{
    if (m->settings.memory_file == NULL)
        return 0;
    int failed = create_cache_try_file(&m->settings);
    return failed != 0 ? failed : relieve_predecessor(m, true);
}

static bool watch_sockets(struct master *m)
{
    return listener_set_start(m->server.listeners, m->base) &&
           (m->server.takeover == NULL || takeover_serve(m->server.takeover, m->base));
}

/* Each step runs when all before it succeeded. */
static int start(struct master *m)
{
    static int (*const steps[])(struct master *) = {create_log,    prepare_loop,   fetch_content,
                                                    make_cache,    create_workers, start_udp,
                                                    start_threads, start_metrics,  write_ports};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int failed = steps[i](m);
        if (failed != 0)
            return failed;
    }
    if (!watch_sockets(m))
        return process_refuse(EXIT_BAD_VALUE, "the listeners cannot be watched");
    settings_walk_inert(&m->settings, name_inert, m->server.log);
    tend(m);
    return 0;
}

/* The reverse of start; works on a half-made set. False: something was lost. */
static bool stop(struct master *m)
{
    struct server *server = &m->server;
    mask_signals(SIG_BLOCK);
    metrics_close(&server->metrics);
    if (server->listeners != NULL)
        listener_set_stop(server->listeners);
    for (unsigned i = 0; i < m->n_workers_started; i++)
        worker_begin_stop(server->workers[i]); /* their clients' time runs at once */
    for (unsigned i = 0; i < m->n_workers_started; i++)
        worker_stop(server->workers[i]);
    if (m->is_cache_started)
        cache_stop(server->cache);
    jobs_destroy(&server->jobs);
    udp_set_destroy(&server->udp);
    for (unsigned i = 0; server->workers != NULL && i < server->n_workers; i++)
        worker_destroy(&server->workers[i]);
    free(server->workers);
    bool is_saved = create_cache_save(server, &m->clock);
    listener_set_destroy(&server->listeners);
    tls_destroy(&server->tls);
    auth_destroy(&server->auth);
    tenants_destroy(&server->tenants);
    watch_destroy(&server->watch);
    cache_destroy(&server->cache);
    takeover_destroy(&server->takeover);
    for (size_t i = 0; i < m->n_signals; i++)
        event_free(m->signals[i]);
    if (m->stop_event != NULL)
        event_free(m->stop_event);
    if (m->tick_event != NULL)
        event_free(m->tick_event);
    if (m->base != NULL)
        event_base_free(m->base);
    log_destroy(&server->log);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    return is_saved;
}

/* What must happen before any thread: the user, the background, limits. */
static int become_server(struct master *m)
{
    const struct settings *settings = &m->settings;
    struct user user;
    int failed = privileges_find_user(settings, &user);
    if (failed == 0)
        failed = process_set_limits(&m->settings);
    if (failed == 0)
        failed = begin_takeover(m);
    if (failed == 0)
        failed = create_tls(&m->server, m->clock.wall_at_start); /* files that only root can read */
    if (failed == 0)
        failed = create_listeners(&m->server); /* before root is given up: ports below 1024 */
    if (failed == 0)
        failed = create_metrics(&m->server);
    if (failed == 0)
        failed = privileges_drop(settings, user);
    if (failed == 0)
        failed = process_daemonize(settings, &m->parent_fd);
    if (failed == 0 && !create_auth(&m->server))
        failed = EXIT_BAD_VALUE;
    if (failed == 0)
        process_lock_memory(settings);
    return failed;
}

/* --check-config and --check-auth: everything is read, nothing is served. */
static int check(struct master *m)
{
    int failed = create_tls(&m->server, m->clock.wall_at_start);
    if (failed == 0 && !create_auth(&m->server))
        failed = EXIT_BAD_VALUE;
    if (failed == 0 && m->settings.checks_auth_of != NULL && m->server.auth == NULL)
        failed = process_refuse(EXIT_BAD_USAGE,
                                "--check-auth: no login is configured: add -S, -Y or --tenants");
    if (failed == 0 && m->settings.checks_auth_of != NULL)
        explain_auth(&m->server, m->settings.checks_auth_of);
    else if (failed == 0)
        printf("keepd: options and files are fine\n");
    (void)stop(m);
    return failed;
}

/* The last step of the start: all threads run, nobody is served yet. */
static int enter_sandbox(struct master *m)
{
    struct settings *settings = &m->settings;
    bool is_wanted = settings->drops_privileges && sandbox_is_built_in();
    settings->drops_privileges = false;
    if (!is_wanted)
        return 0;
    int failed = sandbox_enter();
    settings->drops_privileges = failed == 0;
    if (failed == 0)
        return 0;
    if (settings->is_given[SETTING_drops_privileges])
        return process_refuse(EXIT_BAD_VALUE, "-o drop_privileges: the kernel takes no filter");
    log_event(m->server.log, LOG_LEVEL_WARNING, "no_system_call_filter",
              LOG_STR("reason", strerror(failed)), LOG_END);
    return 0;
}

static void run(struct master *m)
{
    const struct settings *settings = &m->settings;
    schedule_tick(m);
    log_event(m->server.log, LOG_LEVEL_NOTICE, "started", LOG_STR("version", PACKAGE_VERSION),
              LOG_END);
    service_notify_ready();
    process_tell_parent(&m->parent_fd, 0);
    if (settings->is_daemon && settings->verbosity == 0)
        process_detach_stdio();
    (void)relieve_predecessor(m, false);
    (void)event_base_dispatch(m->base);
    bool has_successor = m->server.takeover != NULL && takeover_is_done(m->server.takeover);
    if (!has_successor)
        service_notify_stopping();
    if (settings->pid_file != NULL && settings->is_daemon && !has_successor)
        process_remove_pid(settings->pid_file);
}

static int serve(struct master *m)
{
    int failed = become_server(m);
    if (failed == 0)
        failed = start(m);
    if (failed == 0 && m->settings.pid_file != NULL)
        process_write_pid(m->settings.pid_file);
    if (failed == 0)
        failed = enter_sandbox(m);
    if (failed == 0)
        run(m);
    if (!stop(m) && failed == 0)
        failed = EXIT_BAD_VALUE;
    process_tell_parent(&m->parent_fd, failed);
    return failed;
}

int main(int argc, char **argv)
{
    static struct master master;
    struct master *m = &master;
    int code = process_open_stdio();
    if (code != 0)
        return code;
    m->server.handed.n = service_take_sockets();
    m->server.handed.first = SERVICE_FIRST_FD;
    process_close_inherited(m->server.handed.n);
    m->parent_fd = -1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file over its limit is an error like a full disk */
    mask_signals(SIG_BLOCK);
    settings_init(&m->settings);
    code = options_parse(argc, argv, geteuid() == 0, &m->settings, stdout, stderr);
    if (code == OPTIONS_SERVE) {
        m->server.settings = &m->settings;
        pthread_mutex_init(&m->server.refresh_lock, NULL);
        pthread_mutex_init(&m->server.memory_lock, NULL);
        m->server.n_workers = (unsigned)m->settings.n_threads;
        m->server.workers_share = m->server.n_workers > schedule_processors();
        m->server.stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        atomic_store(&m->server.verbosity, (int)m->settings.verbosity);
        trace_turn(&m->server, TRACE_LOGGED, m->settings.verbosity >= TRACE_VERBOSITY);
        atomic_store(&m->server.is_crawler_on, m->settings.lru_crawler);
        clock_init(&m->clock);
        atomic_store(&m->server.now, clock_now_s(&m->clock));
        bool is_check = m->settings.checks_config || m->settings.checks_auth_of != NULL;
        code = is_check ? check(m) : serve(m);
    }
    settings_fini(&m->settings);
    return code;
}
