#include "server/tenant.h"

#include <stdlib.h>
#include <string.h>

struct tenant *tenant_create(unsigned id, const char *name, struct cache_tenant *cache,
                             unsigned n_workers)
{
    struct tenant *t = calloc(1, sizeof *t + n_workers * sizeof t->counters[0]);
    if (t == NULL)
        return NULL;
    t->id = id;
    t->cache = cache;
    t->n_workers = n_workers;
    t->name = strdup(name);
    if (t->name == NULL)
        tenant_destroy(&t);
    return t;
}

void tenant_destroy(struct tenant **tenant)
{
    struct tenant *t = *tenant;
    if (t == NULL)
        return;
    *tenant = NULL;
    for (unsigned i = 0; i < t->n_workers; i++)
        free(atomic_load(&t->counters[i]));
    free(t->name);
    free(t);
}

struct tenant_counters *tenant_counters_of(struct tenant *tenant, unsigned worker)
{
    MUST(worker < tenant->n_workers);
    struct tenant_counters *set = atomic_load_explicit(&tenant->counters[worker],
                                                       memory_order_relaxed);
    if (set != NULL)
        return set;
    set = aligned_alloc(64, (sizeof *set + 63) / 64 * 64);
    if (set == NULL)
        return NULL;
    memset(set, 0, sizeof *set);
    atomic_store_explicit(&tenant->counters[worker], set, memory_order_release);
    return set;
}

static void read_sum(struct tenant *tenant, struct tenant_totals *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < tenant->n_workers; i++) {
        const struct tenant_counters *set = atomic_load_explicit(&tenant->counters[i],
                                                                 memory_order_acquire);
        if (set != NULL)
            tenant_counters_add(out, set);
    }
}

void tenant_totals_read(struct tenant *tenant, struct tenant_totals *out)
{
    read_sum(tenant, out);
#define TENANT_COUNTER(name, help) out->name -= tenant->reset.name;
#include "server/counters.def"
#undef TENANT_COUNTER
}

void tenant_totals_reset(struct tenant *tenant)
{
    read_sum(tenant, &tenant->reset);
}
