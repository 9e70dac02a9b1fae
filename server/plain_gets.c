#include "server/plain_gets.h"

#include "server/command.h"
#include "server/probes.h"
#include "server/steps.h"
#include "server/tenant.h"

#define AT_ONCE 16u /* gets whose items are looked up in one call */

_Static_assert(CACHE_VIEW_MAX <= OUTPUT_REF_MIN, "what a view shows is copied");

/* A miss, a large value, or one that is to be drawn: by the long way. */
NEVER_INLINE enum execute_result execute_one(struct conn *conn, const struct input *in, size_t i)
{
    struct worker *worker = conn->worker;
    struct batch *batch = worker->batch;
    const struct cache_key *key = &batch->keys[i];
    struct command c = {conn, batch_request(batch, i), key, worker->now};
    struct cache_item item;
    item.is_won = false;
    PROBE(3, process__command__start, conn->fd, in->p + batch->entries[i].start,
          batch->entries[i].n);
    (void)in; /* without probes */
    enum cache_result result =
        cache_get(worker->cache_thread, conn->session.cache, key, worker->now, &item);
    enum execute_result executed = command_get_conclude(&c, result, &item);
    PROBE(3, process__command__end, conn->fd, NULL, 0);
    conn->budget -= batch->entries[i].counts;
    return executed;
}

ALWAYS_INLINE void put_meta_hit(struct conn *conn, const struct request *request,
                                const struct cache_item *item)
{
    struct output *out = &conn->worker->out;
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .client_flags = item->client_flags,
                          .n_value = item->n_value,
                          .cas = item->cas};
    command_describe_state(&reply, item, conn->worker->now);
    PROBE(5, command__get, conn->fd, request->key.p, request->key.n, (int64_t)item->size,
          item->cas);
    out->n += encode_whole(request, &reply, slice_of(item->value, item->n_value), out->p + out->n);
}

/* Is nothing to be done but to count the hit, and to copy the value? */
ALWAYS_INLINE bool is_usual(const struct conn *conn, const struct cache_key *key,
                            enum cache_result result, const struct cache_item *item)
{
    const struct output *out = &conn->worker->out;
    return result == CACHE_OK && item->value != NULL && item->n_value < OUTPUT_REF_MIN &&
           ENCODE_HEAD_MAX + item->n_value + ENCODE_TAIL_MAX <= out->capacity - out->n &&
           conn->worker->n_until_draw > 0 && !tenant_follows(conn->session.tenant, key->hash);
}

/* A get of meta takes part in stale, won and recache. *n_hits is counted on if it was a hit that
 * was not counted yet. */
ALWAYS_INLINE enum execute_result execute_meta(struct conn *conn, const struct input *in, size_t i,
                                               unsigned *n_hits)
{
    struct worker *worker = conn->worker;
    struct batch *batch = worker->batch;
    const struct cache_key *key = &batch->keys[i];
    struct request *request = &batch->requests[i];
    enum execute_result executed = EXECUTE_NEXT;
    struct cache_item item;
    PROBE(3, process__command__start, conn->fd, in->p + batch->entries[i].start,
          batch->entries[i].n);
    (void)in; /* without probes */
    enum cache_result result =
        cache_look(worker->cache_thread, conn->session.cache, key, worker->now, &item);
    if (LIKELY(is_usual(conn, key, result, &item))) {
        worker->n_until_draw--;
        put_meta_hit(conn, request, &item);
        ++*n_hits;
    } else {
        struct command c = {conn, request, key, worker->now};
        executed = command_get_conclude(&c, result, &item);
    }
    PROBE(3, process__command__end, conn->fd, NULL, 0);
    conn->budget -= batch->entries[i].counts;
    return executed;
}

ALWAYS_INLINE size_t put_hit(const struct batch *batch, size_t i, const struct cache_view *view,
                             uint8_t *out)
{
    struct slice value = slice_of(view->value, view->n_value);
    const struct batch_entry *entry = &batch->entries[i];
    if (LIKELY(entry->kind == ENTRY_BARE_GET))
        return encode_bare_hit(batch->keys[i].bytes, view->client_flags, value, entry->is_last,
                               out);
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .client_flags = view->client_flags,
                          .n_value = view->n_value,
                          .cas = view->cas};
    return encode_whole(&batch->requests[i], &reply, value, out);
}

/* Answers the hits of the entries from i on, which were found; returns how many. */
ALWAYS_INLINE size_t put_hits(struct conn *conn, const struct input *in, size_t i,
                              const struct cache_view *views, size_t n)
{
    struct worker *worker = conn->worker;
    const struct batch *batch = worker->batch;
    struct output *out = &worker->out;
    struct tenant *tenant = conn->session.tenant;
    unsigned n_spent = 0;
    size_t n_done = 0;
    (void)in; /* without probes */
    for (; n_done < n && !output_is_full(out); n_done++, i++, views++) {
        const struct cache_key *key = &batch->keys[i];
        PROBE(3, process__command__start, conn->fd, in->p + batch->entries[i].start,
              batch->entries[i].n);
        if (!output_reserve(out, ENCODE_HEAD_MAX + views->n_value + ENCODE_TAIL_MAX))
            break;
        if (UNLIKELY(tenant_follows(tenant, key->hash)))
            tenant_tell_get(tenant, key->hash, views->size);
        PROBE(5, command__get, conn->fd, key->bytes.p, key->bytes.n, (int64_t)views->size,
              views->cas);
        out->n += put_hit(batch, i, views, out->p + out->n);
        PROBE(3, process__command__end, conn->fd, NULL, 0);
        n_spent += batch->entries[i].counts;
    }
    conn->budget -= n_spent;
    return n_done;
}

/* How many of the entries from i on are plain gets that may be looked up at once. */
ALWAYS_INLINE size_t n_at_once(const struct conn *conn, size_t i, size_t n)
{
    const struct batch *batch = conn->worker->batch;
    size_t most = n - i < AT_ONCE ? n - i : AT_ONCE, n_gets = 0;
    if (conn->budget < most)
        most = conn->budget;
    if (conn->worker->n_until_draw < most)
        most = conn->worker->n_until_draw;
    for (; n_gets < most; n_gets++)
        if (batch->entries[i + n_gets].kind != ENTRY_BARE_GET &&
            batch->entries[i + n_gets].kind != ENTRY_PLAIN_GET)
            break;
    return n_gets;
}

/* May the next be done in this turn, and at once? */
ALWAYS_INLINE bool goes_on(const struct conn *conn, size_t i, size_t n)
{
    return i < n && conn->worker->batch->entries[i].kind >= ENTRY_BARE_GET && conn->budget > 0 &&
           !output_is_full(&conn->worker->out);
}

/* Those of meta that lie together. */
NEVER_INLINE enum execute_result execute_metas(struct conn *conn, const struct input *in, size_t n,
                                               size_t *i, unsigned *n_hits)
{
    enum execute_result executed;
    size_t at = *i;
    unsigned n_hits_here = 0;
    do {
        executed = execute_meta(conn, in, at++, &n_hits_here);
    } while (executed == EXECUTE_NEXT && goes_on(conn, at, n) &&
             conn->worker->batch->entries[at].kind == ENTRY_META_GET);
    *i = at;
    *n_hits += n_hits_here;
    return executed;
}

/* Looks up as many as can be at once, and answers the hits; then the next one, if there is more to
 * it. */
ALWAYS_INLINE enum execute_result execute_many(struct conn *conn, const struct input *in, size_t n,
                                               size_t *i, unsigned *n_hits)
{
    struct worker *worker = conn->worker;
    struct cache_view views[AT_ONCE];
    size_t n_gets = n_at_once(conn, *i, n);
    size_t n_found = cache_get_many(worker->cache_thread, conn->session.cache,
                                    &worker->batch->keys[*i], n_gets, worker->now, views);
    size_t n_put = put_hits(conn, in, *i, views, n_found);
    worker->n_until_draw -= (unsigned)n_put;
    *n_hits += (unsigned)n_put;
    *i += n_put;
    if (LIKELY(n_put == n_gets && n_gets > 0) || output_is_full(&worker->out))
        return EXECUTE_NEXT;
    return execute_one(conn, in, (*i)++);
}

enum execute_result plain_gets_execute(struct conn *conn, const struct input *in, size_t i,
                                       size_t n, size_t *n_done_out)
{
    struct worker *worker = conn->worker;
    const struct batch *batch = worker->batch;
    struct tenant_counters *counters = conn->session.counters;
    enum execute_result executed;
    unsigned n_hits = 0;
    size_t at = i;
    do {
        if (UNLIKELY(batch->entries[at].kind == ENTRY_META_GET))
            executed = execute_metas(conn, in, n, &at, &n_hits);
        else
            executed = execute_many(conn, in, n, &at, &n_hits);
    } while (executed == EXECUTE_NEXT && goes_on(conn, at, n));
    counter_add(&counters->cmd_get, n_hits);
    counter_add(&counters->get_hits, n_hits);
    if (UNLIKELY(worker->sample.is_on))
        latency_note(&worker->sample, VERB_GET, (unsigned)(at - i));
    *n_done_out = at - i;
    return executed;
}
