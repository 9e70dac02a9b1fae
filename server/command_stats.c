#include "server/command.h"

#include "auth/auth.h"
#include "base/number.h"
#include "server/listener.h"
#include "server/login.h"
#include "server/prefixes.h"
#include "server/sight.h"
#include "server/stat_list.h"
#include "server/stream.h"
#include "server/tenants.h"
#include "server/watch.h"
#include "tls/tls.h"

#include "config.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- stats ---- */

/* Everything that the rows of stats.def may name. */
struct facts {
    struct server *server;
    const struct settings *settings;
    struct rusage usage;
    struct tenant_totals tenant;
    struct worker_totals worker;
    struct cache_stats cache;
    struct tls_counters tls;
    struct watch_counts watch;
    struct tls_info certificate;
    struct sight_buffers buffers;
    uint32_t now;
};

static void add_tenant(void *arg, struct tenant *tenant)
{
    struct tenant_totals *sum = arg, one;
    tenant_counts_read(tenant, &one);
#define TENANT_COUNTER(name, help) sum->name += one.name;
#include "server/counters.def"
#undef TENANT_COUNTER
}

/* An operator sees the whole server, everybody else the own tenant. */
static void read_totals(const struct command *c, struct tenant_totals *tenant,
                        struct cache_stats *cache)
{
    struct server *server = c->conn->worker->server;
    if (server->auth != NULL && login_is_operator(c->conn)) {
        memset(tenant, 0, sizeof *tenant);
        tenants_each(server->tenants, add_tenant, tenant);
        cache_stats_read(server->cache, NULL, cache);
        return;
    }
    tenant_counts_read(c->conn->session.tenant, tenant);
    cache_stats_read(server->cache, c->conn->session.cache, cache);
}

/* Logins are counted where they are decided: in auth. */
static void read_logins(const struct command *c, struct tenant_totals *out)
{
    const struct server *server = c->conn->worker->server;
    uint64_t logins = 0, failures = 0;
    if (server->auth != NULL && login_is_operator(c->conn)) {
        struct auth_counters n;
        auth_counters_read(server->auth, &n);
        logins = n.logins;
        failures = n.failures;
    } else if (server->auth != NULL) {
        auth_tenant_counts(server->auth, c->conn->session.tenant->id, &logins, &failures);
    }
    out->auth_cmds = logins + failures;
    out->auth_errors = failures;
}

static void gather(const struct command *c, struct facts *facts)
{
    struct server *server = c->conn->worker->server;
    facts->server = server;
    facts->settings = server->settings;
    facts->now = c->now;
    getrusage(RUSAGE_SELF, &facts->usage);
    read_totals(c, &facts->tenant, &facts->cache);
    read_logins(c, &facts->tenant);
    if (server->tls != NULL) {
        tls_counters(server->tls, &facts->tls);
        tls_info(server->tls, c->now, &facts->certificate);
    }
    sight_worker_totals(server, &facts->worker);
    watch_counts_read(server->watch, &facts->watch);
    sight_buffers(server, &facts->buffers);
}

static enum execute_result stats_general(const struct command *c)
{
    struct facts f;
    struct stat_list list = {c, true};
    gather(c, &f);
#define STAT_U64(name, value)  stat_u64(&list, name, (uint64_t)(value));
#define STAT_TEXT(name, value) stat_text(&list, name, value);
#define STAT_TIME(name, value) stat_time(&list, name, value);
#define STAT_IF(condition, name, value) \
    if (condition)                      \
        stat_u64(&list, name, (uint64_t)(value));
#include "server/stats.def"
#undef STAT_U64
#undef STAT_TEXT
#undef STAT_TIME
#undef STAT_IF
    return stat_list_end(&list);
}

/* ---- settings ---- */

/* A tenant need not know the server's files and addresses. */
static bool is_private(struct slice name)
{
    static const char *const prefixes[] = {"ssl_", "auth_enabled_ascii", "inter", "domain_socket",
                                           "memory_file"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        if (name.n >= n && memcmp(name.p, prefixes[i], n) == 0)
            return true;
    }
    return false;
}

static void visit_setting(void *arg, struct slice name, struct slice value)
{
    struct stat_list *list = arg;
    if (is_private(name) && !login_is_operator(list->c->conn))
        return;
    if (list->is_ok)
        list->is_ok = answer_stat(list->c->conn, list->c->request, name, value);
}

static enum execute_result stats_settings(const struct command *c)
{
    struct server *server = c->conn->worker->server;
    struct settings copy = *server->settings;
    struct stat_list list = {c, true};
    copy.max_bytes = atomic_load(&server->memory_limit);
    copy.verbosity = (uint64_t)atomic_load(&server->verbosity);
    copy.lru_crawler = atomic_load(&server->is_crawler_on);
    copy.is_detail_enabled = prefixes_are_on(c->conn->session.tenant->prefixes);
    settings_walk(&copy, visit_setting, &list);
    return stat_list_end(&list);
}

/* ---- items and slabs: the size groups under the names of slab classes ---- */

static void put_class(struct stat_list *list, const char *format, unsigned id, const char *name,
                      uint64_t value)
{
    char full[64];
    snprintf(full, sizeof full, format, id, name);
    stat_u64(list, full, value);
}

static enum execute_result stats_items(const struct command *c)
{
    struct stat_list list = {c, true};
    for (unsigned id = 1; id <= CACHE_N_CLASSES; id++) {
        struct cache_class_stats s;
        cache_class_stats_read(c->conn->worker->server->cache, c->conn->session.cache, id, c->now,
                               &s);
        if (s.n_items == 0)
            continue;
#define CLASS_STAT(name, value) put_class(&list, "items:%u:%s", id, name, value);
#define ITEMS_STATS
#include "server/class_stats.def"
#undef ITEMS_STATS
    }
    return stat_list_end(&list);
}

static enum execute_result stats_slabs(const struct command *c)
{
    struct stat_list list = {c, true};
    uint64_t n_active = 0, n_bytes = 0;
    for (unsigned id = 1; id <= CACHE_N_CLASSES; id++) {
        struct cache_class_stats s;
        cache_class_stats_read(c->conn->worker->server->cache, c->conn->session.cache, id, c->now,
                               &s);
        if (s.n_segments == 0)
            continue;
        n_active++;
        n_bytes += s.n_segments * s.segment_size;
#undef CLASS_STAT
#define CLASS_STAT(name, value) put_class(&list, "%u:%s", id, name, value);
#define SLABS_STATS
#include "server/class_stats.def"
#undef SLABS_STATS
    }
    stat_u64(&list, "active_slabs", n_active);
    stat_u64(&list, "total_malloced", n_bytes);
    return stat_list_end(&list);
}
#undef CLASS_STAT

/* ---- sizes ---- */

#define SIZE_STEP  32
#define SIZE_STEPS 32768

static void count_size(void *arg, struct slice key, const struct cache_item *item)
{
    uint32_t *counts = arg;
    (void)key;
    size_t step = (item->size + SIZE_STEP - 1) / SIZE_STEP;
    counts[step < SIZE_STEPS ? step : SIZE_STEPS - 1]++;
}

/* Counts by walking a bounded part of the index, so that the worker is not held up. */
static enum execute_result stats_sizes(const struct command *c)
{
    struct stat_list list = {c, true};
    struct cache_cursor cursor = {0};
    if (!c->conn->worker->server->settings->tracks_sizes) {
        stat_text(&list, "sizes_status", "disabled");
        return stat_list_end(&list);
    }
    uint32_t *counts = calloc(SIZE_STEPS, sizeof *counts);
    if (counts == NULL)
        return EXECUTE_CLOSE;
    for (unsigned i = 0; i < 1024; i++) {
        if (!cache_walk(c->conn->worker->cache_thread, c->conn->session.cache, &cursor, 1024,
                        c->now, count_size, counts))
            break;
    }
    for (size_t i = 0; i < SIZE_STEPS; i++) {
        char name[24];
        if (counts[i] == 0)
            continue;
        snprintf(name, sizeof name, "%zu", i * SIZE_STEP);
        stat_u64(&list, name, counts[i]);
    }
    free(counts);
    return stat_list_end(&list);
}

/* ---- conns ---- */

static void visit_conn(void *arg, const char *name, const char *value)
{
    stat_text(arg, name, value);
}

static enum execute_result stats_conns(const struct command *c)
{
    struct stat_list list = {c, true};
    const struct tenant *tenant = login_is_operator(c->conn) ? NULL : c->conn->session.tenant;
    sight_conns(c->conn->worker->server, tenant, c->now, visit_conn, &list);
    return stat_list_end(&list);
}

/* ---- detail, reset, cachedump ---- */

static enum execute_result detail_dump(const struct command *c)
{
    size_t n;
    char *text = prefixes_dump(c->conn->session.tenant->prefixes, &n);
    if (text == NULL)
        return EXECUTE_CLOSE;
    bool is_ok;
    if (c->request->dialect == DIALECT_BINARY)
        is_ok = answer_stat(c->conn, c->request, SLICE("detailed"), slice_of(text, n)) &&
                answer_stat_end(c->conn, c->request);
    else
        is_ok = answer_raw(c->conn, slice_of(text, n));
    free(text);
    return command_end(is_ok);
}

/* A bare success: "OK" in text, the empty packet that ends every STAT in binary. */
static enum execute_result answer_done(const struct command *c, enum status status)
{
    if (c->request->dialect == DIALECT_BINARY)
        return command_end(answer_stat_end(c->conn, c->request));
    return command_end(answer_status(c->conn, c->request, status));
}

static enum execute_result stats_detail(const struct command *c)
{
    struct server *server = c->conn->worker->server;
    struct slice what = request_arg(c->request, 1);
    if (!server->settings->allows_dump)
        return command_say(c, "CLIENT_ERROR stats detail not allowed");
    if (slice_is(what, "dump"))
        return detail_dump(c);
    if (slice_is(what, "on") || slice_is(what, "off")) {
        prefixes_turn(c->conn->session.tenant->prefixes, slice_is(what, "on"));
        return answer_done(c, STATUS_OK);
    }
    return command_say(c, "CLIENT_ERROR usage: stats detail on|off|dump");
}

static enum execute_result stats_reset(const struct command *c)
{
    struct server *server = c->conn->worker->server;
    tenant_counts_reset(c->conn->session.tenant);
    cache_stats_reset(server->cache, c->conn->session.cache);
    prefixes_reset(c->conn->session.tenant->prefixes);
    return answer_done(c, STATUS_RESET);
}

static enum execute_result stats_cachedump(const struct command *c)
{
    uint64_t id, n_max;
    if (!c->conn->worker->server->settings->allows_dump)
        return command_say(c, "CLIENT_ERROR stats cachedump not allowed");
    if (request_n_args(c->request) < 3)
        return command_say(c, "CLIENT_ERROR bad command line");
    if (!number_parse_u64(request_arg(c->request, 1), UINT32_MAX, &id) ||
        !number_parse_u64(request_arg(c->request, 2), UINT32_MAX, &n_max))
        return command_end(answer_status(c->conn, c->request, STATUS_BAD_FORMAT));
    if (id >= 64)
        return command_say(c, "CLIENT_ERROR Illegal slab id");
    if (!stream_begin(c->conn, STREAM_CACHEDUMP, 1ull << id, n_max))
        return EXECUTE_CLOSE;
    return EXECUTE_MOVED;
}

static enum execute_result stats_nothing(const struct command *c)
{
    return command_end(answer_stat_end(c->conn, c->request));
}

/* ---- the table ---- */

struct stats_row {
    const char *name;
    command_function *function;
    bool is_for_text_only;
};

static const struct stats_row rows[] = {
    {"settings", stats_settings, false},
    {"items", stats_items, false},
    {"slabs", stats_slabs, false},
    {"sizes", stats_sizes, false},
    {"conns", stats_conns, false},
    {"detail", stats_detail, false},
    {"reset", stats_reset, false},
    {"cachedump", stats_cachedump, true},
    {"extstore", stats_nothing, false},
    {"tenants", command_stats_tenants, false},
    {"auth", command_stats_auth, false},
    {"denials", command_stats_denials, false},
    {"authlog", command_stats_authlog, false},
    {"tls", command_stats_tls, false},
    {"latency", command_stats_latency, false},
    {"topkeys", command_stats_topkeys, false},
    {"advisor", command_stats_advisor, false},
};

enum execute_result command_stats(const struct command *c)
{
    struct slice what = request_arg(c->request, 0);
    if (what.n == 0)
        return stats_general(c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is_allowed = !rows[i].is_for_text_only || c->request->dialect != DIALECT_BINARY;
        if (is_allowed && slice_is(what, rows[i].name))
            return rows[i].function(c);
    }
    return command_end(answer_status(c->conn, c->request, STATUS_UNKNOWN_STAT));
}
