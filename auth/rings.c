#include "auth/rings.h"

#include <pthread.h>
#include <stdlib.h>

struct denial_ring {
    size_t n; /* ever written, without the summed ones */
    struct auth_denial entries[RINGS_N_DENIALS];
};

struct record_ring {
    size_t n;
    size_t capacity;
    struct auth_record entries[];
};

struct tenant_rings {
    struct denial_ring *denials;
    struct record_ring *records;
    uint64_t logins;
    uint64_t failures;
};

struct rings {
    pthread_mutex_t lock;
    struct tenant_rings *tenants; /* by id */
    size_t n_tenants;
    struct record_ring *all;
};

static struct record_ring *record_ring_create(size_t capacity)
{
    struct record_ring *ring = calloc(1, sizeof *ring + capacity * sizeof *ring->entries);
    if (ring != NULL)
        ring->capacity = capacity;
    return ring;
}

struct rings *rings_create(void)
{
    struct rings *rings = calloc(1, sizeof *rings);
    if (rings == NULL)
        return NULL;
    rings->all = record_ring_create(RINGS_N_ALL);
    if (rings->all == NULL || pthread_mutex_init(&rings->lock, NULL) != 0) {
        free(rings->all);
        free(rings);
        return NULL;
    }
    return rings;
}

void rings_destroy(struct rings **rings)
{
    struct rings *r = *rings;
    if (r == NULL)
        return;
    *rings = NULL;
    for (size_t i = 0; i < r->n_tenants; i++) {
        free(r->tenants[i].denials);
        free(r->tenants[i].records);
    }
    free(r->tenants);
    free(r->all);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* With the lock. NULL: memory. */
static struct tenant_rings *rings_of(struct rings *rings, uint32_t tenant)
{
    if (tenant >= rings->n_tenants) {
        size_t n = rings->n_tenants == 0 ? 16 : rings->n_tenants;
        while (n <= tenant)
            n *= 2;
        struct tenant_rings *larger = realloc(rings->tenants, n * sizeof *larger);
        if (larger == NULL)
            return NULL;
        memset(larger + rings->n_tenants, 0, (n - rings->n_tenants) * sizeof *larger);
        rings->tenants = larger;
        rings->n_tenants = n;
    }
    return &rings->tenants[tenant];
}

static bool is_same_denial(const struct auth_denial *a, const struct auth_denial *b)
{
    return a->class == b->class && a->is_warning == b->is_warning &&
           b->wall_s - a->wall_s <= RINGS_SUM_S && strcmp(a->user, b->user) == 0 &&
           strcmp(a->address, b->address) == 0 &&
           slice_equal(slice_of(a->key, a->n_key), slice_of(b->key, b->n_key));
}

static void denial_put(struct denial_ring *ring, const struct auth_denial *denial)
{
    if (ring->n > 0) {
        struct auth_denial *last = &ring->entries[(ring->n - 1) % RINGS_N_DENIALS];
        if (is_same_denial(last, denial)) {
            last->count++;
            return;
        }
    }
    ring->entries[ring->n % RINGS_N_DENIALS] = *denial;
    ring->entries[ring->n % RINGS_N_DENIALS].count = 1;
    ring->n++;
}

void rings_add_denial(struct rings *rings, uint32_t tenant, const struct auth_denial *denial)
{
    pthread_mutex_lock(&rings->lock);
    struct tenant_rings *mine = rings_of(rings, tenant);
    if (mine != NULL && mine->denials == NULL)
        mine->denials = calloc(1, sizeof *mine->denials);
    if (mine != NULL && mine->denials != NULL)
        denial_put(mine->denials, denial);
    pthread_mutex_unlock(&rings->lock);
}

static bool is_same_record(const struct auth_record *a, const struct auth_record *b)
{
    return a->kind == b->kind && a->tenant == b->tenant && b->wall_s - a->wall_s <= RINGS_SUM_S &&
           strcmp(a->user, b->user) == 0 && strcmp(a->address, b->address) == 0 &&
           strcmp(a->mechanism, b->mechanism) == 0 && strcmp(a->reason, b->reason) == 0;
}

static void record_put(struct record_ring *ring, const struct auth_record *record)
{
    if (ring->n > 0) {
        struct auth_record *last = &ring->entries[(ring->n - 1) % ring->capacity];
        if (is_same_record(last, record)) {
            last->count++;
            return;
        }
    }
    ring->entries[ring->n % ring->capacity] = *record;
    ring->entries[ring->n % ring->capacity].count = 1;
    ring->n++;
}

void rings_add_record(struct rings *rings, const struct auth_record *record)
{
    pthread_mutex_lock(&rings->lock);
    record_put(rings->all, record);
    struct tenant_rings *mine = rings_of(rings, record->tenant);
    if (mine != NULL && mine->records == NULL)
        mine->records = record_ring_create(RINGS_N_RECORDS);
    if (mine != NULL && mine->records != NULL)
        record_put(mine->records, record);
    pthread_mutex_unlock(&rings->lock);
}

void rings_denials_each(struct rings *rings, uint32_t tenant, auth_denial_fn *fn, void *arg)
{
    pthread_mutex_lock(&rings->lock);
    struct denial_ring *ring = tenant < rings->n_tenants ? rings->tenants[tenant].denials : NULL;
    size_t first = ring != NULL && ring->n > RINGS_N_DENIALS ? ring->n - RINGS_N_DENIALS : 0;
    for (size_t i = first; ring != NULL && i < ring->n; i++)
        fn(arg, &ring->entries[i % RINGS_N_DENIALS]);
    pthread_mutex_unlock(&rings->lock);
}

void rings_records_each(struct rings *rings, uint32_t tenant, auth_record_fn *fn, void *arg)
{
    pthread_mutex_lock(&rings->lock);
    struct record_ring *ring = NULL;
    if (tenant == UINT32_MAX)
        ring = rings->all;
    else if (tenant < rings->n_tenants)
        ring = rings->tenants[tenant].records;
    size_t first = ring != NULL && ring->n > ring->capacity ? ring->n - ring->capacity : 0;
    for (size_t i = first; ring != NULL && i < ring->n; i++)
        fn(arg, &ring->entries[i % ring->capacity]);
    pthread_mutex_unlock(&rings->lock);
}

void rings_count(struct rings *rings, uint32_t tenant, bool is_login)
{
    pthread_mutex_lock(&rings->lock);
    struct tenant_rings *mine = rings_of(rings, tenant);
    if (mine != NULL && is_login)
        mine->logins++;
    else if (mine != NULL)
        mine->failures++;
    pthread_mutex_unlock(&rings->lock);
}

void rings_counts(struct rings *rings, uint32_t tenant, uint64_t *logins_out,
                  uint64_t *failures_out)
{
    pthread_mutex_lock(&rings->lock);
    bool is_there = tenant < rings->n_tenants;
    *logins_out = is_there ? rings->tenants[tenant].logins : 0;
    *failures_out = is_there ? rings->tenants[tenant].failures : 0;
    pthread_mutex_unlock(&rings->lock);
}
