#include "server/stat_list.h"

#include "server/login.h"
#include "server/tenants.h"

#include <stdio.h>

/* What an operator sees of each tenant, and the tenant itself of its own. */
static void tell(struct stat_list *list, struct tenant *tenant)
{
    struct tenant_totals totals;
    struct cache_stats cache;
    char name[192];
    tenant_counts_read(tenant, &totals);
    cache_stats_read(list->c->conn->worker->server->cache, tenant->cache, &cache);
#define TENANT_STAT(label, value)                              \
    snprintf(name, sizeof name, "%s:%s", tenant->name, label); \
    stat_u64(list, name, (uint64_t)(value));
    TENANT_STAT("limit_maxbytes", cache.bytes_limit)
    TENANT_STAT("bytes", cache.bytes)
    TENANT_STAT("curr_items", cache.curr_items)
    TENANT_STAT("segments_held", cache.segments_held)
    TENANT_STAT("evictions", cache.evictions)
    TENANT_STAT("curr_connections", atomic_load(&tenant->n_connections))
    TENANT_STAT("refused_over_limits", atomic_load(&tenant->n_refused))
#define TENANT_COUNTER(counter, help) TENANT_STAT(#counter, totals.counter)
#include "server/counters.def"
#undef TENANT_COUNTER
#undef TENANT_STAT
}

static void visit(void *arg, struct tenant *tenant)
{
    tell(arg, tenant);
}

enum execute_result command_stats_tenants(const struct command *c)
{
    struct stat_list list = {c, true};
    if (login_is_operator(c->conn))
        tenants_each(c->conn->worker->server->tenants, visit, &list);
    else
        tell(&list, c->conn->session.tenant);
    return stat_list_end(&list);
}
