/* Each allocation, thread and descriptor fails once in what serves besides the connections of
 * clients: datagrams, the pages of --metrics, the takeover, and the tenants of a changed file. */
#include "t/unit/shortage.h"
#include "t/unit/unit.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/auth.h"
#include "cache/cache.h"
#include "server/create_auth.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/metrics_text.h"
#include "server/output.h"
#include "server/refresh.h"
#include "server/takeover.h"
#include "server/tenants.h"
#include "server/udp.h"
#include "server/udp_frame.h"
#include "server/worker.h"
#include "t/fuzz/instance.h"

static struct instance *instance;
static struct server *server;

static void begin(void)
{
    if (instance == NULL) {
        instance = instance_create(true);
        server = instance_server(instance);
    }
    instance_reset(instance);
    output_fini(&server->workers[0]->out); /* what it kept, it has to ask for */
}

/* ---- datagrams ---- */

static int bind_datagrams(union address *out)
{
    socklen_t n = sizeof out->v4;
    *out =
        (union address){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, &out->any, n), 0);
    ck_assert_int_eq(getsockname(fd, &out->any, &n), 0);
    return fd;
}

/* Sends one request, and gives back the first datagram of its answer, if there is one. */
static size_t ask_datagram(int fd, const char *request, char *answer)
{
    char bytes[UDP_DATAGRAM_MAX + 1];
    size_t n = strlen(request);
    memcpy(bytes, "\7\7\0\0\0\1\0\0", UDP_FRAME_SIZE);
    memcpy(bytes + UDP_FRAME_SIZE, request, n);
    ck_assert_int_eq(send(fd, bytes, UDP_FRAME_SIZE + n, 0), (ssize_t)(UDP_FRAME_SIZE + n));
    shortage_begin();
    instance_turn(instance);
    shortage_end();
    ssize_t n_first = recv(fd, bytes, sizeof bytes, 0);
    answer[0] = '\0';
    if (n_first <= (ssize_t)UDP_FRAME_SIZE)
        return 0;
    n = (size_t)n_first - UDP_FRAME_SIZE;
    memcpy(answer, bytes + UDP_FRAME_SIZE, n);
    answer[n] = '\0';
    while (recv(fd, bytes, sizeof bytes, 0) >= 0)
        ;
    return n;
}

static void serves_datagrams(void)
{
    static const char *const requests[][2] = {
        {"set u 0 0 5\r\nvalue\r\n", "STORED\r\n"},
        {"get u\r\n", "VALUE u 0 5\r\nvalue\r\nEND\r\n"},
        {"mg u v\r\n", "VA 5\r\nvalue\r\n"},
        {"incr u 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
        {"stats\r\n", "STAT "},
        {"get u u u u u u u u u u\r\n", "VALUE u 0 5\r\nvalue\r\nVALUE u"},
        {"delete u\r\n", "DELETED\r\n"},
    };
    struct udp_set *set;
    union address there, here;
    char answer[UDP_DATAGRAM_MAX + 1], error[256];
    begin();
    server->handed.first = bind_datagrams(&there);
    server->handed.n = 1;
    server->settings->udp_reply_limit = 500;
    ck_assert(udp_set_create(server, &set, error, sizeof error));
    ck_assert(udp_set_start(set));
    server->handed.n = 0;
    int fd = bind_datagrams(&here);
    ck_assert_int_eq(connect(fd, &there.any, sizeof there.v4), 0);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const char *wanted = requests[i][1];
        size_t n = ask_datagram(fd, requests[i][0], answer);
        bool is_right = n > 0 && strncmp(answer, wanted, strlen(wanted)) == 0;
        ck_assert_msg(is_right || shortage_has_struck(), "'%s' is answered '%s'", requests[i][0],
                      answer);
    }
    ck_assert_uint_eq(ask_datagram(fd, "mn\r\n", answer), 4);
    ck_assert_str_eq(answer, "MN\r\n");
    close(fd);
    udp_set_destroy(&set);
}

/* ---- the pages of --metrics ---- */

static void renders_pages(void)
{
    static struct seen seen;
    begin();
    shortage_begin();
    struct evbuffer *text = evbuffer_new(), *json = evbuffer_new();
    metrics_see(server, &seen);
    bool has_text = text != NULL && metrics_text(&seen, text);
    bool has_json = json != NULL && status_json(&seen, json);
    shortage_end();
    ck_assert(shortage_has_struck() || (has_text && has_json));
    if (has_json) {
        struct evbuffer_ptr end;
        char last[2];
        ck_assert_int_eq(
            evbuffer_ptr_set(json, &end, evbuffer_get_length(json) - 2, EVBUFFER_PTR_SET), 0);
        ck_assert_int_eq(evbuffer_copyout_from(json, &end, last, 2), 2);
        ck_assert(memcmp(last, "}\n", 2) == 0);
    }
    if (text != NULL)
        evbuffer_free(text);
    if (json != NULL)
        evbuffer_free(json);
}

static void opens_the_pages(void)
{
    char error[256] = "";
    begin();
    shortage_begin();
    struct metrics *metrics = metrics_open(server, "127.0.0.1:0", error, sizeof error);
    bool is_started = metrics != NULL && metrics_start(metrics);
    shortage_end();
    ck_assert(is_started || shortage_has_struck());
    ck_assert(metrics != NULL || error[0] != '\0');
    metrics_close(&metrics);
}

/* ---- the takeover ---- */

static void stop_elder(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static void *serve_elder(void *arg)
{
    (void)event_base_dispatch(arg);
    return NULL;
}

/* The successor takes the sockets, or its start fails and asks for nothing more. */
static void take_over(const char *path, struct event_base *base)
{
    static struct server younger;
    pthread_t thread;
    char error[256] = "";
    int stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event *stop = event_new(base, stop_fd, EV_READ, stop_elder, base);
    ck_assert(stop != NULL && event_add(stop, NULL) == 0);
    younger = *server;
    younger.handed = (struct listen_handed){0};
    ck_assert_int_eq(pthread_create(&thread, NULL, serve_elder, base), 0);
    shortage_begin();
    struct takeover *takeover = takeover_create(&younger, path, error, sizeof error);
    shortage_end();
    ck_assert(takeover != NULL || (shortage_has_struck() && error[0] != '\0'));
    if (takeover != NULL) {
        ck_assert(takeover_has_predecessor(takeover));
        ck_assert_uint_eq(younger.handed.n, 1);
    }
    for (unsigned i = 0; i < younger.handed.n; i++)
        close(younger.handed.first + (int)i);
    takeover_destroy(&takeover);
    ck_assert_int_eq(eventfd_write(stop_fd, 1), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    event_free(stop);
    close(stop_fd);
}

static void hands_over(void)
{
    char path[64], error[256] = "";
    struct event_base *base = event_base_new();
    begin();
    snprintf(path, sizeof path, "/tmp/keepd-torture-takeover-%d", (int)getpid());
    (void)unlink(path);
    shortage_begin();
    struct takeover *elder = takeover_create(server, path, error, sizeof error);
    bool is_serving = elder != NULL && takeover_serve(elder, base);
    shortage_end();
    ck_assert(is_serving || shortage_has_struck());
    ck_assert(elder != NULL || error[0] != '\0');
    if (is_serving) {
        take_over(path, base);
        ck_assert(!takeover_is_done(elder));
    }
    takeover_destroy(&elder);
    event_base_free(base);
    (void)unlink(path);
}

/* ---- the tenants of a changed file ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void count_tenant(void *arg, struct tenant *tenant)
{
    ck_assert_ptr_nonnull(tenant->cache);
    ++*(unsigned *)arg;
}

static unsigned n_tenants(struct tenants *tenants)
{
    unsigned n = 0;
    tenants_each(tenants, count_tenant, &n);
    return n;
}

/* What a shortage left out comes with the next reload; what was there, stays. */
static void syncs_tenants(void)
{
    static const struct auth_now now = {.wall_s = 1800000000, .mono_ms = 1000};
    char path[64], message[256];
    struct auth_error error;
    struct cache_config cache_config = {.memory = 16u << 20, .item_max = 1u << 20, .hash_seed = 1};
    snprintf(path, sizeof path, "/tmp/keepd-torture-tenants-%d", (int)getpid());
    write_file(path, "tenant \"shop\" { memory-max = 4m }\ntenant \"news\" {}\n");
    struct auth_config config = {.tenants_path = path, .realm = "here", .n_threads = 1};
    struct auth *auth = auth_create(&config, now, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    struct cache *cache = cache_create(&cache_config, message, sizeof message);
    ck_assert_ptr_nonnull(cache);
    struct tenants *tenants = tenants_create(cache, 2, ':', false);
    ck_assert(tenants != NULL && tenants_sync(tenants, auth));
    ck_assert_uint_eq(n_tenants(tenants), 3);
    struct tenant *shop = tenants_get(tenants, 1);

    char text[1024] = "tenant \"shop\" { memory-max = 2m }\n";
    for (unsigned i = 0; i < 20; i++) /* more than there are places for without growing */
        snprintf(text + strlen(text), sizeof text - strlen(text), "tenant \"t%u\" {}\n", i);
    write_file(path, text);
    ck_assert_int_eq(auth_reload(auth, now, &error), AUTH_OK);
    shortage_begin();
    bool is_done = tenants_sync(tenants, auth);
    shortage_end();
    ck_assert(is_done || shortage_has_struck());
    ck_assert_ptr_eq(tenants_get(tenants, 1), shop);
    ck_assert_uint_ge(n_tenants(tenants), 3);
    ck_assert(tenants_sync(tenants, auth));
    ck_assert_uint_eq(n_tenants(tenants), 23);

    tenants_destroy(&tenants);
    cache_destroy(&cache);
    auth_destroy(&auth);
    (void)unlink(path);
}

static void destroy_cache_of(void *arg, struct tenant *tenant)
{
    (void)arg;
    if (tenant->id != 0)
        cache_tenant_destroy(&tenant->cache);
}

/* The tenants that the current set does not have, and no others. */
static void check_has_left(void *arg, struct tenant *tenant)
{
    struct auth_tenant found;
    bool is_known = auth_tenant_get(arg, tenant->id, &found);
    ck_assert_msg(tenant->has_left == !is_known, "%s", tenant->name);
}

/* Of a set that did not become the current one no tenant is left, neither a new one nor one that
 * had left and would have come back. */
static void refuses_tenants(void)
{
    char path[64], reason[256];
    begin();
    struct tenants *of_instance = server->tenants;
    snprintf(path, sizeof path, "/tmp/keepd-torture-refused-%d", (int)getpid());
    write_file(path, "tenant \"shop\" {}\ntenant \"back\" {}\n");
    server->settings->tenants_file = path;
    server->settings->requires_login = true;
    server->tenants = tenants_create(server->cache, 2, ':', false);
    ck_assert(create_auth(server) && tenants_sync(server->tenants, server->auth));
    write_file(path, "tenant \"shop\" {}\n");
    ck_assert(refresh_all(server, reason, sizeof reason));
    tenants_each(server->tenants, check_has_left, server->auth);

    write_file(path, "tenant \"shop\" {}\ntenant \"back\" {}\ntenant \"new\" {}\n"
                     "tenant \"other\" {}\n");
    shortage_begin();
    bool is_done = refresh_all(server, reason, sizeof reason);
    shortage_end();
    ck_assert(is_done || shortage_has_struck());
    tenants_each(server->tenants, check_has_left, server->auth);
    ck_assert(refresh_all(server, reason, sizeof reason));
    tenants_each(server->tenants, check_has_left, server->auth);
    ck_assert_uint_eq(n_tenants(server->tenants), 5);

    tenants_each(server->tenants, destroy_cache_of, NULL);
    tenants_destroy(&server->tenants);
    auth_destroy(&server->auth);
    server->tenants = of_instance;
    (void)unlink(path);
}

static const struct scenario scenarios[] = {
    SCENARIO(serves_datagrams), SCENARIO(renders_pages), SCENARIO(opens_the_pages),
    SCENARIO(hands_over),       SCENARIO(syncs_tenants), SCENARIO(refuses_tenants),
};

int main(void)
{
    event_set_mem_functions(malloc, realloc, free); /* libevent's count with ours */
    return unit_run(shortage_suite("torture_doors", scenarios, N_ROWS(scenarios), NULL, NULL));
}
