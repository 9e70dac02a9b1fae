/* tenant.h - a tenant as the server sees it: its cache and its counters.
 * Owns: the counter sets, made when a worker first serves the tenant.
 * Thread: made and listed by the master; a worker touches only its own counter set.
 * Never: decides who may enter; that is auth's. */
#ifndef SERVER_TENANT_H
#define SERVER_TENANT_H

#include "base/must.h"
#include "cache/cache.h"
#include "server/counters.h"

#define TENANT_DEFAULT "default"

struct tenant {
    unsigned id;
    char *name;
    struct cache_tenant *cache;
    unsigned n_workers;
    struct tenant_totals reset; /* what `stats reset` subtracts; owned by tenants' lock */
    _Atomic(struct tenant_counters *) counters[]; /* by worker */
};

/* NULL when memory is short. The cache tenant is borrowed. */
MUST_USE struct tenant *tenant_create(unsigned id, const char *name, struct cache_tenant *cache,
                                      unsigned n_workers);
void tenant_destroy(struct tenant **tenant);

/* The set that this worker adds to; made at the first call. NULL when memory is short. */
MUST_USE struct tenant_counters *tenant_counters_of(struct tenant *tenant, unsigned worker);

/* Sums of all workers since start or the last reset. */
void tenant_totals_read(struct tenant *tenant, struct tenant_totals *out);
void tenant_totals_reset(struct tenant *tenant);

#endif
