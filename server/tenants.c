#include "server/tenants.h"

#include "auth/auth.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert(AUTH_TENANTS_MAX <= CACHE_TENANTS_MAX, "each tenant of the file has a place");

struct tenants {
    struct cache *cache;
    unsigned n_workers;
    char prefix_delimiter;
    bool is_detail_on;
    pthread_rwlock_t lock; /* covers what follows, not what it points to */
    struct tenant **by_id; /* holes are NULL */
    unsigned n;
    unsigned capacity;
};

static bool grow(struct tenants *t, unsigned n)
{
    if (n <= t->capacity)
        return true;
    unsigned capacity = n < 16 ? 16 : n * 2;
    struct tenant **by_id = realloc(t->by_id, capacity * sizeof *by_id);
    if (by_id == NULL)
        return false;
    for (unsigned i = t->capacity; i < capacity; i++)
        by_id[i] = NULL;
    t->by_id = by_id;
    t->capacity = capacity;
    return true;
}

static bool add(struct tenants *t, unsigned id, const char *name, struct cache_tenant *cache)
{
    struct tenant *tenant =
        tenant_create(id, name, cache, t->n_workers, t->prefix_delimiter, t->is_detail_on);
    if (tenant == NULL)
        return false;
    pthread_rwlock_wrlock(&t->lock);
    bool is_added = grow(t, id + 1);
    if (is_added) {
        t->by_id[id] = tenant;
        if (id >= t->n)
            t->n = id + 1;
    }
    pthread_rwlock_unlock(&t->lock);
    if (!is_added)
        tenant_destroy(&tenant);
    return is_added;
}

struct tenants *tenants_create(struct cache *cache, unsigned n_workers, char prefix_delimiter,
                               bool is_detail_on)
{
    struct tenants *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    *t = (struct tenants){.cache = cache,
                          .n_workers = n_workers,
                          .prefix_delimiter = prefix_delimiter,
                          .is_detail_on = is_detail_on};
    pthread_rwlock_init(&t->lock, NULL);
    if (!add(t, 0, TENANT_DEFAULT, cache_default_tenant(cache)))
        tenants_destroy(&t);
    return t;
}

void tenants_destroy(struct tenants **tenants)
{
    struct tenants *t = *tenants;
    if (t == NULL)
        return;
    *tenants = NULL;
    for (unsigned i = 0; i < t->n; i++)
        tenant_destroy(&t->by_id[i]);
    free(t->by_id);
    pthread_rwlock_destroy(&t->lock);
    free(t);
}

struct tenant *tenants_get(struct tenants *tenants, unsigned id)
{
    pthread_rwlock_rdlock(&tenants->lock);
    struct tenant *tenant = id < tenants->n ? tenants->by_id[id] : NULL;
    pthread_rwlock_unlock(&tenants->lock);
    return tenant;
}

/* Those that are added meanwhile come behind. */
static unsigned count(struct tenants *tenants)
{
    pthread_rwlock_rdlock(&tenants->lock);
    unsigned n = tenants->n;
    pthread_rwlock_unlock(&tenants->lock);
    return n;
}

void tenants_each(struct tenants *tenants, tenants_visit *visit, void *arg)
{
    unsigned n = count(tenants);
    for (unsigned id = 0; id < n; id++) {
        struct tenant *tenant = tenants_get(tenants, id);
        if (tenant != NULL)
            visit(arg, tenant);
    }
}

/* ---- taking over what auth knows ---- */

struct sync {
    struct tenants *tenants;
    bool is_ok;
};

static struct cache_tenant_config config_of(const struct auth_tenant *a)
{
    return (struct cache_tenant_config){
        .name = a->name,
        .guarantee = a->memory_min,
        .limit = a->memory_max,
        .item_max = a->item_max,
    };
}

static bool make(struct tenants *t, const struct auth_tenant *a,
                 const struct cache_tenant_config *config)
{
    struct cache_tenant *cache = cache_tenant_create(t->cache, config);
    bool is_made = cache != NULL && add(t, a->id, a->name, cache);
    if (cache != NULL && !is_made)
        cache_tenant_destroy(&cache);
    return is_made;
}

/* What its last connections stored behind the flush is nobody's. */
static void take_back(struct tenant *tenant)
{
    if (tenant->has_left)
        cache_flush(tenant->cache, 0);
    tenant->has_left = false;
}

bool tenants_prepare(struct tenants *tenants, const struct auth_tenant *a)
{
    struct cache_tenant_config config = config_of(a);
    struct tenant *tenant = tenants_get(tenants, a->id);
    if (tenant != NULL && !tenant->has_left)
        return true;
    config.guarantee = 0; /* those of the old set still hold theirs */
    if (tenant == NULL) {
        if (!make(tenants, a, &config))
            return false;
        tenant = tenants_get(tenants, a->id);
    } else {
        take_back(tenant);
        cache_tenant_configure(tenant->cache, &config);
    }
    tenant_limit(tenant, a->connections, a->ops, a->bytes);
    return true;
}

static void sync_one(void *arg, const struct auth_tenant *a)
{
    struct sync *sync = arg;
    struct tenants *t = sync->tenants;
    struct cache_tenant_config config = config_of(a);
    struct tenant *tenant = tenants_get(t, a->id);
    if (tenant == NULL && sync->is_ok) {
        sync->is_ok = make(t, a, &config);
        tenant = sync->is_ok ? tenants_get(t, a->id) : NULL;
    } else if (tenant != NULL) {
        take_back(tenant);
        cache_tenant_configure(tenant->cache, &config);
    }
    if (tenant != NULL)
        tenant_limit(tenant, a->connections, a->ops, a->bytes);
}

void tenants_retire(struct tenants *tenants, struct auth *auth)
{
    unsigned n = count(tenants);
    for (unsigned id = 1; id < n; id++) {
        struct auth_tenant known;
        struct tenant *tenant = tenants_get(tenants, id);
        if (tenant == NULL || auth_tenant_get(auth, id, &known))
            continue;
        struct cache_tenant_config config = {.name = tenant->name};
        cache_tenant_configure(tenant->cache, &config);
        cache_flush(tenant->cache, 0);
        tenant->has_left = true;
    }
}

bool tenants_sync(struct tenants *tenants, struct auth *auth)
{
    struct sync sync = {tenants, true};
    auth_tenants_each(auth, sync_one, &sync);
    tenants_retire(tenants, auth);
    return sync.is_ok;
}
