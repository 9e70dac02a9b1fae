#include "server/stat_list.h"

#include "server/insight.h"
#include "server/key_text.h"
#include "server/latency.h"
#include "server/login.h"
#include "server/sight.h"
#include "server/tenants.h"

#include <stdio.h>
#include <stdlib.h>

#define SHOWN_KEYS    20
#define SHOWN_KEY_MAX 300 /* clients of the binary protocol give a statistic about 348 bytes */

static struct server *server_of(const struct command *c)
{
    return c->conn->worker->server;
}

/* ---- stats latency ---- */

static void put(struct stat_list *list, const char *kind, const char *what, uint64_t value)
{
    char name[32];
    snprintf(name, sizeof name, "%s:%s", kind, what);
    stat_u64(list, name, value);
}

static void put_kind(struct stat_list *list, const char *name,
                     const uint64_t buckets[N_LATENCY_BUCKETS], uint64_t sum_ns)
{
    uint64_t n = latency_count(buckets);
    if (n == 0)
        return;
    put(list, name, "samples", n);
    put(list, name, "mean_ns", sum_ns / n);
    put(list, name, "p50_ns", latency_quantile(buckets, 0.5));
    put(list, name, "p90_ns", latency_quantile(buckets, 0.9));
    put(list, name, "p99_ns", latency_quantile(buckets, 0.99));
    put(list, name, "p999_ns", latency_quantile(buckets, 0.999));
}

enum execute_result command_stats_latency(const struct command *c)
{
    struct stat_list list = {c, true};
    struct latency_totals *totals = malloc(sizeof *totals);
    if (totals == NULL)
        return EXECUTE_CLOSE;
    if (server_of(c)->auth != NULL && login_is_operator(c->conn))
        sight_latency(server_of(c), totals);
    else
        tenant_latency_read(c->conn->session.tenant, totals);
    for (unsigned kind = 0; kind < N_LATENCY_KINDS; kind++)
        put_kind(&list, latency_kind_name((enum latency_kind)kind), totals->n[kind],
                 totals->sum_ns[kind]);
    free(totals);
    stat_u64(&list, "sampled_every", LATENCY_EVERY);
    return stat_list_end(&list);
}

/* ---- stats topkeys ---- */

static void put_key(struct stat_list *list, unsigned rank, const struct top_key *row)
{
    uint8_t text[3 * CACHE_KEY_MAX];
    char name[32];
    size_t n = key_text_uri(text, slice_of(row->key, row->n_key));
    if (n > SHOWN_KEY_MAX && list->c->request->dialect == DIALECT_BINARY)
        n = SHOWN_KEY_MAX;
    snprintf(name, sizeof name, "%u:key", rank);
    stat_slice(list, name, slice_of(text, n));
    snprintf(name, sizeof name, "%u:gets", rank);
    stat_u64(list, name, row->n * INSIGHT_EVERY);
    snprintf(name, sizeof name, "%u:gets_min", rank);
    stat_u64(list, name, (row->n - row->error) * INSIGHT_EVERY);
}

enum execute_result command_stats_topkeys(const struct command *c)
{
    struct stat_list list = {c, true};
    struct insight *insight = tenant_insight_now(c->conn->session.tenant);
    unsigned rank = 0;
    struct top_keys *top = calloc(1, sizeof *top);
    if (top == NULL)
        return EXECUTE_CLOSE;
    if (insight != NULL)
        insight_top(insight, top);
    stat_u64(&list, "samples", top->n_samples);
    stat_u64(&list, "sampled_every", INSIGHT_EVERY);
    for (unsigned i = 0; i < top->n && rank < SHOWN_KEYS; i++) {
        /* What was seen once since it took another's place is chance. */
        if (top->rows[i].n - top->rows[i].error >= 2)
            put_key(&list, ++rank, &top->rows[i]);
    }
    free(top);
    return stat_list_end(&list);
}

/* ---- stats advisor ---- */

static void put_ratio(struct stat_list *list, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.4f", value);
    stat_text(list, name, text);
}

enum execute_result command_stats_advisor(const struct command *c)
{
    struct stat_list list = {c, true};
    struct tenant *tenant = c->conn->session.tenant;
    struct insight *insight = tenant_insight_now(tenant);
    struct insight_advice advice = {0};
    struct tenant_totals totals;
    struct cache_stats cache;
    tenant_counts_read(tenant, &totals);
    cache_stats_read(server_of(c)->cache, tenant->cache, &cache);
    /* What evicts is full: its items are what its memory holds. */
    uint64_t n_bytes = cache.evictions > 0 ? cache.bytes : cache.bytes_limit;
    if (insight != NULL)
        insight_advise(insight, n_bytes, totals.cmd_get, &advice);
    stat_u64(&list, "memory", n_bytes);
    stat_text(&list, "is_full", cache.evictions > 0 ? "yes" : "no");
    put_ratio(&list, "hit_ratio",
              totals.cmd_get > 0 ? (double)totals.get_hits / (double)totals.cmd_get : 0);
    put_ratio(&list, "hit_ratio_estimated", advice.now);
    put_ratio(&list, "hit_ratio_half_memory", advice.half);
    put_ratio(&list, "hit_ratio_twice_memory", advice.twice);
    stat_u64(&list, "sampled_gets", advice.n_samples);
    char rate[32];
    snprintf(rate, sizeof rate, "%.6f", advice.rate);
    stat_text(&list, "sampled_keys_share", rate);
    return stat_list_end(&list);
}
