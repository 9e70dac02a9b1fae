#include "server/metrics.h"

#include "base/number.h"
#include "base/random.h"
#include "server/address.h"
#include "server/http_limit.h"
#include "server/listen_socket.h"
#include "server/log.h"
#include "server/metrics_text.h"
#include "server/wake.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKLOG     64
#define TIMEOUT_S   10
#define HEAD_MAX    8192
#define NONCE_BYTES 16
#define PAUSE_US    100000 /* between two tries to accept when there is no descriptor for it */
#define NONCE_MARK  "@NONCE@"

struct metrics {
    struct server *server;
    int fds[LISTEN_SOCKETS_MAX];
    size_t n_fds;
    int stop_fd; /* eventfd */
    struct event_base *base;
    struct evhttp *http;
    struct http_limit limit;
    struct event *stop_event;
    pthread_t thread;
    bool is_started;
    struct seen seen; /* of the request being answered: too large for a stack */
};

static const char page_bytes[] = {
#include "server/status_page.inc"
};

/* ---- answers ---- */

static void add_header(struct evhttp_request *request, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void answer(struct evhttp_request *request, const char *type, struct evbuffer *body)
{
    add_header(request, "Content-Type", type);
    add_header(request, "Cache-Control", "no-store");
    add_header(request, "X-Content-Type-Options", "nosniff");
    evhttp_send_reply(request, HTTP_OK, "OK", body);
}

static void answer_seen(struct metrics *m, struct evhttp_request *request, struct evbuffer *body,
                        bool (*render)(const struct seen *, struct evbuffer *), const char *type)
{
    metrics_see(m->server, &m->seen);
    if (render(&m->seen, body))
        answer(request, type, body);
    else
        evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
}

static void answer_metrics(struct metrics *m, struct evhttp_request *request, struct evbuffer *body)
{
    answer_seen(m, request, body, metrics_text, "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_json(struct metrics *m, struct evhttp_request *request, struct evbuffer *body)
{
    answer_seen(m, request, body, status_json, "application/json");
}

static void answer_health(struct metrics *m, struct evhttp_request *request, struct evbuffer *body)
{
    (void)m;
    evbuffer_add(body, "ok\n", 3);
    answer(request, "text/plain", body);
}

/* The page's script and style bear a word that is new for each answer; nothing else may run. */
static void answer_page(struct metrics *m, struct evhttp_request *request, struct evbuffer *body)
{
    uint8_t bytes[NONCE_BYTES];
    char nonce[2 * NONCE_BYTES + 1], policy[320];
    const char *at = page_bytes, *end = page_bytes + sizeof page_bytes, *mark;
    (void)m;
    bool is_whole = true;
    random_fill(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
    while ((mark = memmem(at, (size_t)(end - at), NONCE_MARK, sizeof NONCE_MARK - 1)) != NULL) {
        is_whole &= evbuffer_add(body, at, (size_t)(mark - at)) == 0;
        is_whole &= evbuffer_add(body, nonce, 2 * NONCE_BYTES) == 0;
        at = mark + sizeof NONCE_MARK - 1;
    }
    if (!is_whole || evbuffer_add(body, at, (size_t)(end - at)) != 0) {
        evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             nonce, nonce);
    add_header(request, "Content-Security-Policy", policy);
    add_header(request, "Referrer-Policy", "no-referrer");
    answer(request, "text/html; charset=utf-8", body);
}

static const struct path_row {
    const char *path;
    void (*answer)(struct metrics *m, struct evhttp_request *request, struct evbuffer *body);
} paths[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_health},
    {"/status.json", answer_json},
    {"/", answer_page},
};

static void on_request(struct evhttp_request *request, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    struct evbuffer *body = evbuffer_new();
    size_t i = 0;
    while (i < sizeof paths / sizeof *paths && path != NULL && strcmp(path, paths[i].path) != 0)
        i++;
    if (body == NULL)
        evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
    else if (path == NULL || i == sizeof paths / sizeof *paths)
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
    else
        paths[i].answer(arg, request, body);
    if (body != NULL)
        evbuffer_free(body);
}

/* ---- life ---- */

/* "127.0.0.1:9150", "[::1]:9150", "name:0" into host and port. */
static bool parse_where(const char *where, char *host, size_t n_host, uint64_t *port_out)
{
    const char *colon = strrchr(where, ':');
    if (colon == NULL || colon == where)
        return false;
    size_t n = (size_t)(colon - where);
    if (where[0] == '[' && where[n - 1] == ']' && n > 2) {
        where++;
        n -= 2;
    } else if (memchr(where, ':', n) != NULL) {
        return false;
    }
    if (n >= n_host)
        return false;
    memcpy(host, where, n);
    host[n] = '\0';
    return number_parse_u64(slice_str(colon + 1), 65535, port_out);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct metrics *m = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(m->base);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(arg);
}

/* Who waits to be accepted goes on waiting, and the socket goes on telling so. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    static const struct timeval pause = {.tv_usec = PAUSE_US};
    (void)arg;
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_accept_again,
                        listener, &pause) == 0)
        (void)evconnlistener_disable(listener);
}

static bool accept_on(struct metrics *m, int fd)
{
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(m->http, fd);
    if (bound == NULL)
        return false;
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), on_accept_failed);
    return true;
}

static bool make_http(struct metrics *m)
{
    m->base = event_base_new();
    m->http = m->base != NULL ? evhttp_new(m->base) : NULL;
    if (m->http == NULL)
        return false;
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_timeout(m->http, TIMEOUT_S);
    evhttp_set_max_headers_size(m->http, HEAD_MAX);
    evhttp_set_max_body_size(m->http, 0);
    evhttp_set_gencb(m->http, on_request, m);
    http_limit_init(&m->limit, m->http);
    for (size_t i = 0; i < m->n_fds; i++) {
        if (!accept_on(m, m->fds[i]))
            return false;
        m->fds[i] = -1; /* evhttp closes it */
    }
    m->stop_event = event_new(m->base, m->stop_fd, EV_READ, on_stop, m);
    return m->stop_event != NULL && event_add(m->stop_event, NULL) == 0;
}

struct metrics *metrics_open(struct server *server, const char *where, char *error, size_t n_error)
{
    char host[256];
    uint64_t port;
    if (!parse_where(where, host, sizeof host, &port)) {
        snprintf(error, n_error, "\"%s\" is not ADDRESS:PORT", where);
        return NULL;
    }
    struct metrics *m = calloc(1, sizeof *m);
    if (m == NULL) {
        snprintf(error, n_error, "out of memory");
        return NULL;
    }
    m->server = server;
    m->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->stop_fd < 0) {
        snprintf(error, n_error, "out of descriptors");
        metrics_close(&m);
        return NULL;
    }
    bool is_any = strcmp(host, "*") == 0;
    const char *name = is_any ? NULL : host;
    /* In a rolling restart the predecessor has the address still. */
    m->n_fds =
        server->settings->takeover_path != NULL
            ? listen_sockets_open_shared(name, (int)port, BACKLOG, m->fds, error, n_error)
            : listen_sockets_open_tcp(name, (int)port, BACKLOG, NULL, m->fds, error, n_error);
    if (m->n_fds == 0)
        metrics_close(&m);
    return m;
}

static void tell_addresses(const struct metrics *m)
{
    for (size_t i = 0; i < m->n_fds; i++) {
        union address address = {.family = AF_UNSPEC};
        socklen_t n = sizeof address;
        char text[ADDRESS_TEXT_MAX];
        if (getsockname(m->fds[i], &address.any, &n) != 0)
            continue;
        address_render(&address, text, sizeof text);
        log_event(m->server->log, LOG_LEVEL_NOTICE, "metrics", LOG_STR("address", text), LOG_END);
        if (!address_is_loopback(&address))
            log_event(m->server->log, LOG_LEVEL_WARNING, "metrics_for_other_hosts",
                      LOG_STR("address", text),
                      LOG_STR("reason", "there is no login: who reaches the address sees the names "
                                        "of tenants and their traffic"),
                      LOG_END);
    }
}

static void *run(void *arg)
{
    struct metrics *m = arg;
    (void)event_base_dispatch(m->base);
    return NULL;
}

bool metrics_start(struct metrics *metrics)
{
    tell_addresses(metrics);
    if (!make_http(metrics) || pthread_create(&metrics->thread, NULL, run, metrics) != 0)
        return false;
    metrics->is_started = true;
    (void)pthread_setname_np(metrics->thread, "keepd-metrics");
    return true;
}

void metrics_close(struct metrics **metrics)
{
    struct metrics *m = *metrics;
    if (m == NULL)
        return;
    *metrics = NULL;
    if (m->is_started) {
        wake_signal(m->stop_fd);
        (void)pthread_join(m->thread, NULL);
    }
    if (m->stop_event != NULL)
        event_free(m->stop_event);
    if (m->http != NULL)
        evhttp_free(m->http);
    http_limit_fini(&m->limit);
    if (m->base != NULL)
        event_base_free(m->base);
    for (size_t i = 0; i < m->n_fds; i++) {
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    }
    if (m->stop_fd >= 0)
        close(m->stop_fd);
    free(m);
}
