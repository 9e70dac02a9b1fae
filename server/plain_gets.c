#include "server/plain_gets.h"

#include "server/command.h"
#include "server/prefixes.h"
#include "server/probes.h"
#include "server/tenant.h"
#include "server/trace.h"
#include "server/watch.h"

bool plain_gets_are_open(const struct conn *conn)
{
    const struct tenant *tenant = conn->session.tenant;
    return (conn->session.allowed >> CLASS_READ & 1) != 0 && !trace_is_on(conn) &&
           !prefixes_are_on(tenant->prefixes) && !tenant_is_limited(tenant) &&
           !watch_is_on(conn->worker->server->watch, WATCH_FETCHERS);
}

/* A miss, a large value, or one that is to be drawn. */
NEVER_INLINE enum execute_result conclude(struct conn *conn, struct request *request,
                                          const struct cache_key *key, enum cache_result result,
                                          struct cache_item *item)
{
    struct command c = {conn, request, key, conn->worker->now};
    if (request->dialect != DIALECT_META)
        item->is_won = false;
    return command_get_conclude(&c, result, item);
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

/* Meta takes part in stale, won and recache. */
ALWAYS_INLINE enum cache_result find(const struct conn *conn, const struct cache_key *key,
                                     bool is_meta, struct cache_item *item)
{
    const struct worker *worker = conn->worker;
    if (is_meta)
        return cache_look(worker->cache_thread, conn->session.cache, key, worker->now, item);
    return cache_get(worker->cache_thread, conn->session.cache, key, worker->now, item);
}

ALWAYS_INLINE void put_hit(struct conn *conn, const struct request *request, bool is_meta,
                           const struct cache_item *item)
{
    struct output *out = &conn->worker->out;
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .client_flags = item->client_flags,
                          .n_value = item->n_value,
                          .cas = item->cas};
    if (is_meta)
        command_describe_state(&reply, item, conn->worker->now);
    PROBE(5, command__get, conn->fd, request->key.p, request->key.n, (int64_t)item->size,
          item->cas);
    out->n += encode_whole(request, &reply, slice_of(item->value, item->n_value), out->p + out->n);
}

ALWAYS_INLINE bool is_meta_request(const struct batch_entry *entry)
{
    return entry->request.dialect == DIALECT_META;
}

/* All of them are meta's, or none. */
ALWAYS_INLINE enum execute_result execute_gets(struct conn *conn, const struct input *in,
                                               struct batch_entry *entries,
                                               const struct cache_key *keys, size_t n, bool is_meta,
                                               size_t *n_done_out)
{
    struct worker *worker = conn->worker;
    struct tenant_counters *counters = conn->session.counters;
    enum execute_result executed = EXECUTE_NEXT;
    unsigned n_hits = 0;
    size_t i = 0;
    do {
        struct request *request = &entries[i].request;
        struct cache_item item;
        PROBE(3, process__command__start, conn->fd, in->p + entries[i].start, entries[i].n);
        enum cache_result result = find(conn, &keys[i], is_meta, &item);
        if (LIKELY(is_usual(conn, &keys[i], result, &item))) {
            worker->n_until_draw--;
            put_hit(conn, request, is_meta, &item);
            n_hits++;
        } else {
            executed = conclude(conn, request, &keys[i], result, &item);
        }
        PROBE(3, process__command__end, conn->fd, NULL, 0);
        conn->budget -= request->is_last || !entries[i].before.multiget;
        i++;
    } while (executed == EXECUTE_NEXT && i < n && is_plain_get(&entries[i].request) &&
             is_meta_request(&entries[i]) == is_meta && conn->budget > 0 &&
             !output_is_full(&worker->out));
    (void)in; /* without probes */
    counter_add(&counters->cmd_get, n_hits);
    counter_add(&counters->get_hits, n_hits);
    if (UNLIKELY(worker->sample.is_on))
        latency_note(&worker->sample, VERB_GET, (unsigned)i);
    *n_done_out = i;
    return executed;
}

enum execute_result plain_gets_execute(struct conn *conn, const struct input *in,
                                       struct batch_entry *entries, const struct cache_key *keys,
                                       size_t n, size_t *n_done_out)
{
    if (is_meta_request(entries))
        return execute_gets(conn, in, entries, keys, n, true, n_done_out);
    return execute_gets(conn, in, entries, keys, n, false, n_done_out);
}
