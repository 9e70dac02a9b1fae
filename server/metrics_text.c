#include "server/metrics_text.h"

#include "server/sight.h"
#include "server/tenants.h"

#include "config.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <string.h>

/* ---- gathering ---- */

static void add_tenant(void *arg, struct tenant *tenant)
{
    struct tenant_totals *sum = arg, one;
    tenant_counts_read(tenant, &one);
#define TENANT_COUNTER(name, help) sum->name += one.name;
#include "server/counters.def"
#undef TENANT_COUNTER
}

void metrics_see(struct server *server, struct seen *out)
{
    memset(out, 0, sizeof *out);
    out->server = server;
    out->now = server_now(server);
    getrusage(RUSAGE_SELF, &out->usage);
    tenants_each(server->tenants, add_tenant, &out->tenant);
    sight_worker_totals(server, &out->worker);
    cache_stats_read(server->cache, NULL, &out->cache);
    sight_latency(server, &out->latency);
    if (server->auth != NULL)
        auth_counters_read(server->auth, &out->auth);
    if (server->tls != NULL) {
        tls_counters(server->tls, &out->tls);
        tls_info(server->tls, out->now, &out->certificate);
    }
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* ---- Prometheus text format 0.0.4 ---- */

struct page {
    const struct seen *f;
    struct evbuffer *out;
    bool is_ok;
    unsigned row;  /* of tenant_metrics.def: the one that is being written */
    bool is_first; /* JSON: no comma before the next */
};

static void print(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print(struct page *page, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (page->is_ok && evbuffer_add_vprintf(page->out, format, ap) < 0)
        page->is_ok = false;
    va_end(ap);
}

static void print_head(struct page *page, const char *name, const char *type, const char *help)
{
    print(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A string in quotes, for labels and JSON alike: what could end it, or a line, is left out. */
static void print_string(struct page *page, const char *text)
{
    char safe[AUTH_NAME_MAX + 1];
    size_t n = 0;
    for (; *text != '\0' && n < AUTH_NAME_MAX; text++) {
        bool is_plain =
            *text != '"' && *text != '\\' && (unsigned char)*text >= ' ' && *text != 0x7f;
        safe[n++] = is_plain ? *text : '?';
    }
    safe[n] = '\0';
    print(page, "\"%s\"", safe);
}

static const char COUNTER[] = "counter", GAUGE[] = "gauge";

static void print_server(struct page *page)
{
    const struct seen *f = page->f;
#define METRIC(name, type, help, value) \
    print_head(page, name, type, help); \
    print(page, "%s %.17g\n", name, (double)(value));
#define METRIC_GROUP(name, type, help) print_head(page, name, type, help);
#define PART(name, labels, value)      print(page, "%s{%s} %.17g\n", name, labels, (double)(value));
#include "server/metrics.def"
#undef METRIC
#undef METRIC_GROUP
#undef PART
    print_head(page, "memcached_version", GAUGE, "The memcached whose protocol this is.");
    print(page, "memcached_version{version=\"%s\"} 1\n", COMPATIBLE_VERSION);
    print_head(page, "keepd_build_info", GAUGE, "The version of keepd.");
    print(page, "keepd_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
}

static void print_slabs(struct page *page)
{
    struct cache_class_stats all[CACHE_N_CLASSES];
    for (unsigned i = 0; i < CACHE_N_CLASSES; i++)
        cache_class_stats_read(page->f->server->cache, NULL, i + 1, page->f->now, &all[i]);
#define SLAB_METRIC(name, type, help, value)                                  \
    print_head(page, "memcached_slab_" name, type, help);                     \
    for (unsigned i = 0; i < CACHE_N_CLASSES; i++) {                          \
        const struct cache_class_stats *s = &all[i];                          \
        if (s->n_items > 0)                                                   \
            print(page, "memcached_slab_" name "{slab=\"%u\"} %llu\n", i + 1, \
                  (unsigned long long)(value));                               \
    }
#include "server/slab_metrics.def"
#undef SLAB_METRIC
}

static void print_tenant_row(void *arg, struct tenant *tenant)
{
    struct page *page = arg;
    struct tenant_totals t;
    struct cache_stats s;
    static const char *const names[] = {
#define TENANT_METRIC(name, type, help, value) "keepd_tenant_" name,
#include "server/tenant_metrics.def"
#undef TENANT_METRIC
    };
    tenant_counts_read(tenant, &t);
    cache_stats_read(page->f->server->cache, tenant->cache, &s);
    const uint64_t values[] = {
#define TENANT_METRIC(name, type, help, value) (uint64_t)(value),
#include "server/tenant_metrics.def"
#undef TENANT_METRIC
    };
    print(page, "%s{tenant=", names[page->row]);
    print_string(page, tenant->name);
    print(page, "} %llu\n", (unsigned long long)values[page->row]);
}

static void print_tenants(struct page *page)
{
    page->row = 0;
#define TENANT_METRIC(name, type, help, value)                      \
    print_head(page, "keepd_tenant_" name, type, help);             \
    tenants_each(page->f->server->tenants, print_tenant_row, page); \
    page->row++;
#include "server/tenant_metrics.def"
#undef TENANT_METRIC
}

/* Every fourth bucket's end is a bound: the powers of two. */
static void print_latency(struct page *page)
{
    static const char name[] = "keepd_request_duration_seconds";
    const struct latency_totals *l = &page->f->latency;
    print_head(page, name, "histogram", "Service time of sampled requests.");
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++) {
        const char *verb = latency_kind_name((enum latency_kind)kind);
        uint64_t n = 0;
        if (latency_count(l->n[kind]) == 0)
            continue;
        for (unsigned i = 0; i + 1 < N_LATENCY_BUCKETS; i++) {
            n += l->n[kind][i];
            if (i % 4 == 0)
                print(page, "%s_bucket{command=\"%s\",le=\"%.9g\"} %llu\n", name, verb,
                      (double)latency_bucket_end(i) / 1e9, (unsigned long long)n);
        }
        n = latency_count(l->n[kind]);
        print(page, "%s_bucket{command=\"%s\",le=\"+Inf\"} %llu\n", name, verb,
              (unsigned long long)n);
        print(page, "%s_sum{command=\"%s\"} %.9g\n", name, verb, (double)l->sum_ns[kind] / 1e9);
        print(page, "%s_count{command=\"%s\"} %llu\n", name, verb, (unsigned long long)n);
    }
}

bool metrics_text(const struct seen *f, struct evbuffer *out)
{
    struct page page = {.f = f, .out = out, .is_ok = true};
    print_server(&page);
    print_slabs(&page);
    print_tenants(&page);
    print_latency(&page);
    return page.is_ok;
}

/* ---- the status page's numbers ---- */

static void print_number(struct page *page, const char *name, uint64_t value)
{
    print(page, "%s\"%s\":%llu", page->is_first ? "" : ",", name, (unsigned long long)value);
    page->is_first = false;
}

static uint64_t n_operations(const struct tenant_totals *t)
{
    return t->cmd_get + t->cmd_set + t->cmd_touch + t->delete_hits + t->delete_misses +
           t->incr_hits + t->incr_misses + t->decr_hits + t->decr_misses;
}

static void print_tenant_json(void *arg, struct tenant *tenant)
{
    struct page *page = arg;
    struct tenant_totals t;
    struct cache_stats s;
    tenant_counts_read(tenant, &t);
    cache_stats_read(page->f->server->cache, tenant->cache, &s);
    print(page, "%s{\"name\":", page->row++ == 0 ? "" : ",");
    print_string(page, tenant->name);
    page->is_first = false;
    print_number(page, "operations", n_operations(&t));
    print_number(page, "gets", t.cmd_get);
    print_number(page, "hits", t.get_hits);
    print_number(page, "evictions", s.evictions);
    print_number(page, "bytes", s.bytes);
    print_number(page, "limit", s.bytes_limit);
    print_number(page, "items", s.curr_items);
    print_number(page, "connections", atomic_load(&tenant->n_connections));
    print(page, "}");
}

/* Pairs of a bucket's end in nanoseconds and its samples, over all verbs. */
static void print_buckets(struct page *page)
{
    bool is_first = true;
    print(page, ",\"latency\":[");
    for (unsigned i = 0; i < N_LATENCY_BUCKETS; i++) {
        uint64_t n = 0;
        for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++)
            n += page->f->latency.n[kind][i];
        if (n == 0)
            continue;
        uint64_t end = i + 1 < N_LATENCY_BUCKETS ? latency_bucket_end(i) : 1ull << 35;
        print(page, "%s[%llu,%llu]", is_first ? "" : ",", (unsigned long long)end,
              (unsigned long long)n);
        is_first = false;
    }
    print(page, "]");
}

bool status_json(const struct seen *f, struct evbuffer *out)
{
    struct page page = {.f = f, .out = out, .is_ok = true, .is_first = true};
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    print(&page, "{\"version\":\"%s\",", PACKAGE_VERSION);
    print_number(&page, "ms", (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000);
    print_number(&page, "uptime", f->now - f->server->started);
    print_number(&page, "threads", f->server->n_workers);
    print_number(&page, "connections", atomic_load(&f->server->n_connections));
    print_number(&page, "max_connections", (uint64_t)f->server->settings->max_connections);
    print_number(&page, "operations", n_operations(&f->tenant));
    print_number(&page, "gets", f->tenant.cmd_get);
    print_number(&page, "hits", f->tenant.get_hits);
    print_number(&page, "sets", f->tenant.cmd_set);
    print_number(&page, "evictions", f->cache.evictions);
    print_number(&page, "items", f->cache.curr_items);
    print_number(&page, "bytes", f->cache.bytes);
    print_number(&page, "limit", atomic_load(&f->server->memory_limit));
    print_number(&page, "read", f->tenant.bytes_read);
    print_number(&page, "written", f->tenant.bytes_written);
    print_buckets(&page);
    print(&page, ",\"tenants\":[");
    page.row = 0;
    tenants_each(f->server->tenants, print_tenant_json, &page);
    print(&page, "]}\n");
    return page.is_ok;
}
