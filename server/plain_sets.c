#include "server/plain_sets.h"

#include "protocol/encode.h"
#include "server/command.h"
#include "server/probes.h"
#include "server/tenant.h"

/* Lays out the sets that may be done in one call; returns how many. A key that has no hint has no
 * item. */
ALWAYS_INLINE size_t gather(const struct conn *conn, size_t i, size_t n, struct cache_set *sets)
{
    const struct batch *batch = conn->worker->batch;
    size_t most = n - i < CACHE_SETS_MAX ? n - i : CACHE_SETS_MAX, n_sets = 0;
    if (conn->budget < most)
        most = conn->budget;
    for (; n_sets < most; n_sets++, i++) {
        const struct bare_set *set = &batch->sets[i];
        if (batch->entries[i].kind != ENTRY_BARE_SET || batch->keys[i].hint == 0)
            break;
        sets[n_sets] =
            (struct cache_set){.value = slice_of(set->value, set->n_value),
                               .client_flags = set->client_flags,
                               .exptime = exptime_absolute(set->exptime, conn->worker->now)};
    }
    return n_sets;
}

/* Of one that was stored. */
ALWAYS_INLINE void conclude(struct conn *conn, const struct input *in, size_t i, uint64_t cas)
{
    const struct batch *batch = conn->worker->batch;
    const struct bare_set *set = &batch->sets[i];
    struct output *out = &conn->worker->out;
    struct tenant *tenant = conn->session.tenant;
    uint64_t hash = batch->keys[i].hash;
    PROBE(3, process__command__start, conn->fd, in->p + batch->entries[i].start,
          batch->entries[i].n);
    (void)in; /* without probes */
    PROBE(5, command__set, conn->fd, set->key.p, set->key.n, (int64_t)set->n_value, cas);
    if (UNLIKELY(tenant_follows(tenant, hash)))
        tenant_tell_set(
            tenant, hash,
            cache_item_size(set->key.n, set->n_value, set->client_flags, set->exptime != 0));
    out->n += encode_bare_stored(set, cas, out->p + out->n);
    PROBE(3, process__command__end, conn->fd, NULL, 0);
}

size_t plain_sets_execute(struct conn *conn, const struct input *in, size_t i, size_t n)
{
    struct worker *worker = conn->worker;
    struct tenant_counters *counters = conn->session.counters;
    struct cache_set sets[CACHE_SETS_MAX];
    uint64_t cas[CACHE_SETS_MAX];
    size_t n_done = 0, n_sets, n_stored;
    do {
        n_sets = gather(conn, i, n, sets);
        if (UNLIKELY(n_sets == 0 ||
                     !output_reserve(&worker->out, CACHE_SETS_MAX * ENCODE_STORED_MAX)))
            break;
        n_stored = cache_set_many(worker->cache_thread, conn->session.cache,
                                  &worker->batch->keys[i], sets, n_sets, worker->now, cas);
        for (size_t k = 0; k < n_stored; k++)
            conclude(conn, in, i + k, cas[k]);
        conn->budget -= (unsigned)n_stored;
        n_done += n_stored;
        i += n_stored;
    } while (n_stored == CACHE_SETS_MAX && !output_is_full(&worker->out));
    counter_add(&counters->cmd_set, n_done);
    if (UNLIKELY(worker->sample.is_on))
        latency_note(&worker->sample, VERB_SET, (unsigned)n_done);
    return n_done;
}
