/* Each allocation, thread and descriptor of the server fails once. A request is answered as always,
 * or refused in one line or packet, or costs its connection; items that others stored stay, and the
 * next connection is served. */
#include "t/unit/shortage.h"
#include "t/unit/unit.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/conn.h"
#include "server/insight.h"
#include "server/jobs.h"
#include "server/listen_spec.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/prefixes.h"
#include "server/tenant.h"
#include "server/tenants.h"
#include "server/udp.h"
#include "server/watch.h"
#include "server/worker.h"
#include "t/fuzz/instance.h"

#define ROOM  ((size_t)4 << 20) /* for answers: the frame asks for no memory under way */
#define LARGE 200000u

static struct instance *instance;
static struct server *server;

/* ---- requests and what they are answered ---- */

#define ANY_LINES "" /* lines up to END */

struct exchange {
    const char *request;
    const char *answer;
};

static const struct exchange text[] = {
    {"set a 0 0 5\r\nfirst\r\n", "STORED\r\n"},
    {"get a\r\n", "VALUE a 0 5\r\nfirst\r\nEND\r\n"},
    {"append a 0 0 3\r\n, 2\r\n", "STORED\r\n"},
    {"get a nothing kept\r\n", "VALUE a 0 8\r\nfirst, 2\r\nVALUE kept 0 4\r\nsafe\r\nEND\r\n"},
    {"set n 0 0 1\r\n7\r\n", "STORED\r\n"},
    {"incr n 5\r\n", "12\r\n"},
    {"gat 100 n\r\n", "VALUE n 0 2\r\n12\r\nEND\r\n"},
    {"delete n\r\n", "DELETED\r\n"},
    {"stats\r\n", ANY_LINES},
    {"stats items\r\n", ANY_LINES},
    {"stats settings\r\n", ANY_LINES},
    {"stats conns\r\n", ANY_LINES},
    {"stats sizes\r\n", ANY_LINES},
    {"stats detail on\r\n", "OK\r\n"},
    {"set p:a 0 0 1\r\n1\r\n", "STORED\r\n"},
    {"get p:a\r\n", "VALUE p:a 0 1\r\n1\r\nEND\r\n"},
    {"stats detail dump\r\n", ANY_LINES},
    {"stats detail off\r\n", "OK\r\n"},
    {"stats reset\r\n", "RESET\r\n"},
    {"verbosity 1\r\n", "OK\r\n"},
    {NULL, NULL},
};

static const struct exchange meta[] = {
    {"ms m 5 T60\r\nfirst\r\n", "HD\r\n"},
    {"mg m v\r\n", "VA 5\r\nfirst\r\n"},
    {"mg vivified v N30\r\n", "VA 0 W\r\n\r\n"},
    {"ma counter N0 J5 v\r\n", "VA 1\r\n5\r\n"},
    {"ms bS9rZXk= 2 b\r\nok\r\n", "HD\r\n"},
    {"mg bS9rZXk= b v\r\n", "VA 2\r\nok\r\n"},
    {"md m\r\n", "HD\r\n"},
    {"mn\r\n", "MN\r\n"},
    {NULL, NULL},
};

static const struct exchange dump[] = {{"lru_crawler metadump all\r\n", ANY_LINES}, {NULL, NULL}};
static const struct exchange watching[] = {{"watch fetchers mutations\r\n", "OK\r\n"},
                                           {NULL, NULL}};
/* The last one is not whole: it must be kept. */
static const struct exchange half[] = {{"mn\r\n", "MN\r\n"}, {"get kep", NULL}, {NULL, NULL}};

static struct slice requests_of(const struct exchange *exchanges)
{
    static char all[8192];
    size_t n = 0;
    for (size_t i = 0; exchanges[i].request != NULL; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s", exchanges[i].request);
    return slice_of(all, n);
}

static bool begins_with(const char *at, const char *end, const char *words)
{
    size_t n = strlen(words);
    return (size_t)(end - at) >= n && memcmp(at, words, n) == 0;
}

static const char *skip_line(const char *at, const char *end)
{
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    ck_assert_msg(line_end != NULL, "half a line: '%.*s'", (int)(end - at), at);
    return line_end + 1;
}

/* Behind the answer of any lines; NULL when it is broken off. */
static const char *skip_lines(const char *at, const char *end)
{
    while (at < end && !begins_with(at, end, "END\r\n"))
        at = skip_line(at, end);
    return at < end ? at + 5 : NULL;
}

/* Each request has its answer, or the error of one that is short of memory; only a connection that
 * was closed may owe some. */
static void check_answers(const struct line *line, const struct exchange *exchanges)
{
    const char *at = (const char *)line->out.p, *end = at + line->out.n;
    for (size_t i = 0; exchanges[i].request != NULL && exchanges[i].answer != NULL; i++) {
        const char *answer = exchanges[i].answer;
        if (at == end && line->conn == NULL)
            break;
        if (begins_with(at, end, "SERVER_ERROR out of memory")) {
            at = skip_line(at, end);
            continue;
        }
        if (shortage_has_struck() && begins_with(at, end, "END\r\n") && i > 0) {
            at += 5; /* what an earlier refusal did not store is missed */
            continue;
        }
        if (shortage_has_struck() &&
            (begins_with(at, end, "NOT_") || begins_with(at, end, "EN\r\n") ||
             begins_with(at, end, "NF\r\n") || begins_with(at, end, "WATCHER_FAILED"))) {
            at = skip_line(at, end);
            continue;
        }
        if (answer[0] == '\0') {
            at = skip_lines(at, end);
            if (at == NULL) { /* broken off, and without an END */
                ck_assert_ptr_null(line->conn);
                return;
            }
            continue;
        }
        if (shortage_has_struck() && line->conn == NULL && !begins_with(at, end, answer))
            return; /* broken off within an answer */
        ck_assert_msg(begins_with(at, end, answer), "'%s' is answered '%.*s'", exchanges[i].request,
                      (int)(end - at), at);
        at += strlen(answer);
    }
    ck_assert_msg(at == end, "and then comes '%.*s'", (int)(end - at), at);
}

/* ---- connections ---- */

static void open_line(struct line *line, uint32_t split)
{
    line_open(line, instance, split);
    buffer_reserve(&line->out, ROOM);
}

static void expect(const char *request, const char *answer)
{
    struct line line;
    open_line(&line, 0);
    line_send(&line, slice_str(request));
    ck_assert_msg(slice_is(slice_of(line.out.p, line.out.n), answer), "'%s' is answered '%.*s'",
                  request, (int)line.out.n, (const char *)line.out.p);
    line_close(&line);
}

static void begin(void)
{
    if (instance == NULL) {
        instance = instance_create(true);
        server = instance_server(instance);
    }
    instance_reset(instance);
    expect("set kept 0 0 4\r\nsafe\r\n", "STORED\r\n");
    output_fini(&server->workers[0]->out); /* what it kept, it has to ask for */
}

static void check_served(void)
{
    expect("stats detail off\r\nget kept\r\n", "OK\r\nVALUE kept 0 4\r\nsafe\r\nEND\r\n");
    ck_assert_uint_eq(atomic_load(&server->n_structures), 0);
}

static void serve_split(const struct exchange *exchanges, uint32_t split)
{
    struct slice requests = requests_of(exchanges);
    struct line line;
    begin();
    open_line(&line, split);
    shortage_begin();
    line_send(&line, requests);
    shortage_end();
    ck_assert(line.conn != NULL || shortage_has_struck());
    check_answers(&line, exchanges);
    line_close(&line);
    check_served();
}

static void serves_text(void)
{
    serve_split(text, 0);
}

static void serves_text_in_pieces(void)
{
    serve_split(text, 7);
}

static void serves_meta(void)
{
    serve_split(meta, 0);
}

static void serves_meta_in_pieces(void)
{
    serve_split(meta, 99);
}

static void serves_a_dump(void)
{
    serve_split(dump, 5);
}

static void serves_a_watcher(void)
{
    serve_split(watching, 0);
}

static void keeps_half_a_request(void)
{
    serve_split(half, 0);
}

/* A large value comes and goes in pieces, and is pinned, copied or refused. */
static void serves_large_values(void)
{
    static char request[LARGE + 64];
    static const char end[] = "\r\nEND\r\n";
    size_t n = (size_t)sprintf(request, "set large 0 0 %u\r\n", LARGE);
    struct line line;
    begin();
    memset(request + n, 'v', LARGE);
    memcpy(request + n + LARGE, "\r\n", 2);
    open_line(&line, 3);
    shortage_begin();
    line_send(&line, slice_of(request, n + LARGE + 2));
    if (line.conn != NULL)
        line_send(&line, SLICE("get large large\r\n"));
    shortage_end();
    struct slice out = slice_of(line.out.p, line.out.n);
    ck_assert(line.conn != NULL || shortage_has_struck());
    if (!shortage_has_struck()) {
        ck_assert_uint_gt(out.n, 2 * LARGE);
        ck_assert(memcmp(out.p + out.n - strlen(end), end, strlen(end)) == 0);
    } else if (line.conn != NULL && out.n < 2 * LARGE) {
        ck_assert_msg(memmem(out.p, out.n, "SERVER_ERROR out of memory", 26) != NULL, "'%.*s'", 100,
                      (const char *)out.p);
    }
    line_close(&line);
    check_served();
}

static const struct {
    uint8_t opcode;
    const char *key;
    const char *extras; /* so many zeros */
    const char *value;
} packets[] = {
    {0x01, "b", "00000000", "value"},
    {0x00, "b", "", ""},
    {0x0c, "b", "", ""},
    {0x0e, "b", "", "s"},
    {0x05, "bn", "00000000000000000000", ""},
    {0x1c, "b", "0000", ""},
    {0x04, "b", "", ""},
    {0x0a, "", "", ""},
};

/* Every packet has one answer of its own: of its opcode and opaque, whole. */
static void serve_binary(uint32_t split)
{
    uint8_t bytes[1024], *at = bytes;
    size_t n_packets = sizeof packets / sizeof *packets, i = 0;
    struct line line;
    for (size_t p = 0; p < n_packets; p++) {
        size_t n_key = strlen(packets[p].key), n_extras = strlen(packets[p].extras);
        size_t n_value = strlen(packets[p].value);
        memset(at, 0, 24 + n_extras);
        at[0] = 0x80;
        at[1] = packets[p].opcode;
        at[3] = (uint8_t)n_key;
        at[4] = (uint8_t)n_extras;
        at[11] = (uint8_t)(n_key + n_extras + n_value);
        at[15] = (uint8_t)p;
        at += 24 + n_extras;
        memcpy(at, packets[p].key, n_key);
        memcpy(at + n_key, packets[p].value, n_value);
        at += n_key + n_value;
    }
    begin();
    open_line(&line, split);
    shortage_begin();
    line_send(&line, slice_of(bytes, (size_t)(at - bytes)));
    shortage_end();
    for (size_t n = 0; n + 24 <= line.out.n; i++) {
        const uint8_t *answer = line.out.p + n;
        unsigned status = answer[6] * 256u + answer[7];
        ck_assert_uint_eq(answer[0], 0x81);
        ck_assert_uint_eq(answer[1], packets[i].opcode);
        ck_assert_uint_eq(answer[15], i);
        ck_assert_msg(status == 0 || shortage_has_struck(), "packet %zu: %u", i, status);
        ck_assert_msg(status == 0 || status == 0x82 || status == 1 || status == 5, "packet %zu: %u",
                      i, status);
        n += 24u + answer[10] * 256u + answer[11];
    }
    ck_assert(i == n_packets || line.conn == NULL);
    ck_assert(line.conn != NULL || shortage_has_struck());
    line_close(&line);
    check_served();
}

static void serves_binary(void)
{
    serve_binary(0);
}

static void serves_binary_in_pieces(void)
{
    serve_binary(11);
}

static void accepts(void)
{
    static const union address peer = {.family = AF_INET};
    begin();
    struct worker *worker = server->workers[0];
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    shortage_begin();
    bool is_created = conn_create(worker, fd, listener_at(server->listeners, 0), &peer);
    shortage_end();
    ck_assert_int_eq(is_created, !shortage_has_struck());
    if (is_created) {
        struct conn *conn = worker->conns;
        atomic_fetch_add(&server->n_connections, 1);
        conn_close(conn, CLOSE_NORMAL);
        worker->closed = NULL;
        conn_free(conn);
    } else {
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    }
    check_served();
}

/* ---- the parts ---- */

static void creates_a_worker(void)
{
    begin();
    shortage_begin();
    struct worker *worker = worker_create(server, 1);
    shortage_end();
    ck_assert(worker != NULL || shortage_has_struck());
    worker_destroy(&worker);
    check_served();
}

static void creates_listeners(void)
{
    char error[512] = "";
    begin();
    shortage_begin();
    struct listener_set *set = listener_set_create(server, error, sizeof error);
    shortage_end();
    ck_assert(set != NULL || (shortage_has_struck() && error[0] != '\0'));
    listener_set_destroy(&set);
}

static void creates_udp_sockets(void)
{
    char error[512] = "";
    struct udp_set *set = NULL;
    begin();
    int32_t before = server->settings->udp_port;
    server->settings->udp_port = -1;
    shortage_begin();
    bool is_created = udp_set_create(server, &set, error, sizeof error);
    bool is_started = is_created && (set == NULL || udp_set_start(set));
    shortage_end();
    ck_assert(is_started || shortage_has_struck());
    ck_assert(is_created || error[0] != '\0');
    udp_set_destroy(&set);
    server->settings->udp_port = before;
    check_served();
}

static void opens_metrics(void)
{
    char error[512] = "";
    begin();
    shortage_begin();
    struct metrics *metrics = metrics_open(server, "127.0.0.1:0", error, sizeof error);
    shortage_end();
    ck_assert(metrics != NULL || (shortage_has_struck() && error[0] != '\0'));
    metrics_close(&metrics);
}

static void creates_tenants(void)
{
    begin();
    shortage_begin();
    struct tenants *tenants = tenants_create(server->cache, 2, ':', true);
    struct watch *watch = watch_create(4096);
    struct jobs *jobs = jobs_create(2);
    shortage_end();
    ck_assert_int_eq(tenants == NULL || watch == NULL || jobs == NULL, shortage_has_struck());
    if (tenants != NULL) {
        struct tenant *tenant = tenants_get(tenants, 0);
        shortage_begin();
        struct tenant_counters *counters = tenant_counters_of(tenant, 1);
        struct latency *latency = tenant_latency_of(tenant, 1);
        struct insight *insight = tenant_insight(tenant);
        tenant_counts_reset(tenant);
        shortage_end();
        ck_assert(shortage_has_struck() || (counters != NULL && latency != NULL));
        ck_assert(shortage_has_struck() || insight != NULL);
        struct latency_totals totals;
        tenant_latency_read(tenant, &totals);
    }
    jobs_destroy(&jobs);
    watch_destroy(&watch);
    tenants_destroy(&tenants);
}

static void counts_prefixes(void)
{
    size_t n = 0;
    shortage_begin();
    struct prefixes *prefixes = prefixes_create(':', true);
    char *dump_text = NULL;
    if (prefixes != NULL) {
        for (unsigned i = 0; i < 20; i++) {
            char key[32];
            prefixes_count_set(prefixes, slice_of(key, (size_t)sprintf(key, "p%u:x", i)));
            prefixes_count_get(prefixes, slice_str(key), true);
        }
        dump_text = prefixes_dump(prefixes, &n);
    }
    shortage_end();
    ck_assert(shortage_has_struck() || dump_text != NULL);
    ck_assert(dump_text == NULL || (n >= 5 && memcmp(dump_text + n - 5, "END\r\n", 5) == 0));
    free(dump_text);
    prefixes_destroy(&prefixes);
}

static void opens_a_log(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/keepd-torture-log-%d", (int)getpid());
    struct log_config config = {.verbosity = 1, .fd = -1, .path = path};
    shortage_begin();
    struct log *log = log_create(&config);
    shortage_end();
    ck_assert_int_eq(log == NULL, shortage_has_struck());
    if (log != NULL)
        log_write(log, LOG_LEVEL_WARNING, "it_works",
                  (struct log_field[]){LOG_NUMBER("n", 1), LOG_END});
    log_destroy(&log);
    (void)unlink(path);
}

static void reads_options(void)
{
    static const char *const words[] = {"keepd",
                                        "-u",
                                        "nobody",
                                        "-l",
                                        "127.0.0.1:0,[::1]:0",
                                        "-l",
                                        "localhost",
                                        "-o",
                                        "ssl_chain_cert=/a,ssl_key=/b",
                                        "-Z",
                                        "-e",
                                        "/tmp/none"};
    char copies[sizeof words / sizeof *words][32], *argv[sizeof words / sizeof *words + 1] = {NULL};
    int argc = 0;
    for (; argc < (int)(sizeof words / sizeof *words); argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    struct settings settings;
    FILE *nowhere = fopen("/dev/null", "w");
    ck_assert_ptr_nonnull(nowhere);
    settings_init(&settings);
    optind = 1;
    shortage_begin();
    int status = options_parse(argc, argv, false, &settings, nowhere, nowhere);
    shortage_end();
    ck_assert_msg(status == OPTIONS_SERVE || shortage_has_struck(), "%d", status);
    settings_fini(&settings);
    fclose(nowhere);
}

static const struct scenario scenarios[] = {
    SCENARIO(serves_text),
    SCENARIO(serves_text_in_pieces),
    SCENARIO(serves_meta),
    SCENARIO(serves_meta_in_pieces),
    SCENARIO(serves_binary),
    SCENARIO(serves_binary_in_pieces),
    SCENARIO(serves_a_dump),
    SCENARIO(serves_a_watcher),
    SCENARIO(keeps_half_a_request),
    SCENARIO(serves_large_values),
    SCENARIO(accepts),
    SCENARIO(creates_a_worker),
    SCENARIO(creates_listeners),
    SCENARIO(creates_udp_sockets),
    SCENARIO(opens_metrics),
    SCENARIO(creates_tenants),
    SCENARIO(counts_prefixes),
    SCENARIO(opens_a_log),
    SCENARIO(reads_options),
};

int main(void)
{
    event_set_mem_functions(malloc, realloc, free); /* libevent's count with ours */
    return unit_run(shortage_suite("torture_server", scenarios, N_ROWS(scenarios), NULL, NULL));
}
