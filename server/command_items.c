#include "server/command.h"

#include "server/insight.h"
#include "server/prefixes.h"
#include "server/probes.h"
#include "server/tenant.h"
#include "server/watch.h"

static struct tenant_counters *counters(const struct command *c)
{
    return c->conn->session.counters;
}

static struct cache_thread *thread(const struct command *c)
{
    return c->conn->worker->cache_thread;
}

static void describe(struct reply *reply, const struct cache_item *item, uint32_t now)
{
    reply->client_flags = item->client_flags;
    reply->n_value = item->n_value;
    reply->cas = item->cas;
    reply->item_class = item->item_class;
    reply->item_size = item->size;
    command_describe_state(reply, item, now);
}

/* ---- get ---- */

ALWAYS_INLINE void count_get(const struct command *c, enum cache_result result)
{
    struct tenant_counters *n = counters(c);
    bool is_touch = (c->request->does & DO_TOUCH) != 0;
    counter_add(is_touch ? &n->cmd_touch : &n->cmd_get, 1);
    if (result == CACHE_OK) {
        counter_add(is_touch ? &n->touch_hits : &n->get_hits, 1);
        return;
    }
    counter_add(is_touch ? &n->touch_misses : &n->get_misses, 1);
    if (result == CACHE_EXPIRED)
        counter_add(&n->get_expired, 1);
    else if (result == CACHE_FLUSHED)
        counter_add(&n->get_flushed, 1);
}

static struct cache_access access_of(const struct command *c)
{
    const struct request *r = c->request;
    return (struct cache_access){
        .does_touch = (r->does & DO_TOUCH) != 0,
        .is_silent = (r->does & DO_NO_BUMP) != 0,
        .has_state = (r->does & WANT_STATE) != 0,
        .does_vivify = (r->does & DO_VIVIFY) != 0,
        .does_recache = (r->does & DO_RECACHE) != 0,
        .sets_cas = (r->does & DO_NEW_CAS) != 0,
        .key_is_base64 = (r->does & KEY_BASE64) != 0,
        .exptime = exptime_absolute(r->exptime, c->now),
        .vivify_exptime = exptime_absolute(r->vivify_exptime, c->now),
        .recache_ttl = r->recache_ttl > 0 ? (uint32_t)r->recache_ttl : 0,
        .new_cas = r->new_cas,
    };
}

#define NEEDS_ACCESS (DO_TOUCH | DO_VIVIFY | DO_RECACHE | DO_NO_BUMP | WANT_STATE | DO_NEW_CAS)

ALWAYS_INLINE enum cache_result find(const struct command *c, struct cache_item *item)
{
    struct cache_tenant *tenant = c->conn->session.cache;
    uint32_t needs = c->request->does & NEEDS_ACCESS;
    if (LIKELY(needs == 0))
        return cache_get(thread(c), tenant, c->key, c->now, item);
    if (LIKELY(needs == WANT_STATE))
        return cache_look(thread(c), tenant, c->key, c->now, item);
    struct cache_access access = access_of(c);
    return cache_access(thread(c), tenant, c->key, c->now, &access, item);
}

/* Steps of varying width, so that a rhythm of the clients does not decide what is seen. */
static void draw(const struct command *c)
{
    struct worker *worker = c->conn->worker;
    struct insight *insight = tenant_insight(c->conn->session.tenant);
    worker->draw_random = worker->draw_random * 1664525u + 1013904223u;
    worker->n_until_draw = (worker->draw_random >> 8) % (2 * INSIGHT_EVERY - 1);
    if (insight != NULL)
        insight_draw(insight, c->key);
}

/* A few of the gets are looked at for `stats topkeys` and `stats advisor`. */
static inline void sample_get(const struct command *c, enum cache_result result,
                              const struct cache_item *item)
{
    struct tenant *tenant = c->conn->session.tenant;
    if (UNLIKELY(c->conn->worker->n_until_draw-- == 0))
        draw(c);
    if (LIKELY(!tenant_follows(tenant, c->key->hash)))
        return;
    if (result == CACHE_EXPIRED || result == CACHE_FLUSHED)
        tenant_tell_drop(tenant, c->key->hash);
    if ((c->request->does & DO_TOUCH) && result == CACHE_OK) /* counted among the touches */
        tenant_tell_set(tenant, c->key->hash, item->size);
    else if (!(c->request->does & DO_TOUCH))
        tenant_tell_get(tenant, c->key->hash, result == CACHE_OK ? item->size : 0);
}

static inline void tell_get(const struct command *c, enum cache_result result,
                            const struct cache_item *item)
{
    if (LIKELY(!watch_is_on(c->conn->worker->server->watch, WATCH_FETCHERS)))
        return;
    bool is_hit = result == CACHE_OK;
    watch_get(c->conn, c->request->key, result,
              is_hit ? cache_item_class(c->conn->worker->server->cache, item) : 0,
              is_hit ? item->n_value : 0);
}

ALWAYS_INLINE bool answer_found(const struct command *c, const struct cache_item *item)
{
    const struct request *r = c->request;
    struct reply reply = {.status = STATUS_HIT};
    if (r->dialect == DIALECT_META) {
        describe(&reply, item, c->now);
    } else { /* all that a VALUE line or a binary packet shows */
        reply.client_flags = item->client_flags;
        reply.n_value = item->n_value;
        reply.cas = item->cas;
    }
    reply.has_value = (r->does & WANT_VALUE) && !((r->does & DO_CAS) && r->cas == item->cas);
    return answer_item(c->conn, r, &reply, item);
}

/* Nothing was found; but a meta get may have made an item, which counts as a get and is shown. */
static bool answer_unfound(const struct command *c, enum cache_result result,
                           const struct cache_item *item)
{
    const struct request *r = c->request;
    /* Among the values of a gat line an error has no place: the key is a miss there. */
    bool is_alone = r->dialect != DIALECT_TEXT || (r->is_first && r->is_last);
    if (result == CACHE_NO_MEMORY && is_alone)
        return answer_status(c->conn, r, STATUS_NO_MEMORY);
    if ((r->does & DO_VIVIFY) && item->is_won) {
        counter_add(&counters(c)->cmd_get, 1);
        return answer_found(c, item);
    }
    count_get(c, result);
    return answer_status(c->conn, r, STATUS_MISS);
}

ALWAYS_INLINE enum execute_result conclude_get(const struct command *c, enum cache_result result,
                                               const struct cache_item *item)
{
    const struct request *r = c->request;
    if (UNLIKELY(prefixes_are_on(c->conn->session.tenant->prefixes)))
        prefixes_count_get(c->conn->session.tenant->prefixes, r->key, result == CACHE_OK);
    sample_get(c, result, item);
    tell_get(c, result, item);
    if (UNLIKELY(result != CACHE_OK)) {
        PROBE(5, command__get, c->conn->fd, r->key.p, r->key.n, -1, 0);
        return command_end(answer_unfound(c, result, item));
    }
    PROBE(5, command__get, c->conn->fd, r->key.p, r->key.n, (int64_t)item->size, item->cas);
    count_get(c, CACHE_OK);
    return command_end(answer_found(c, item));
}

enum execute_result command_get(const struct command *c)
{
    struct cache_item item;
    item.is_won = false;
    enum cache_result result = find(c, &item);
    return conclude_get(c, result, &item);
}

enum execute_result command_get_conclude(const struct command *c, enum cache_result result,
                                         const struct cache_item *item)
{
    return conclude_get(c, result, item);
}

/* What the key holds, without a trace. */
static enum cache_result look_at(const struct command *c, struct cache_item *item_out)
{
    struct cache_access access = {.is_silent = true};
    return cache_access(thread(c), c->conn->session.cache, c->key, c->now, &access, item_out);
}

enum execute_result command_meta_debug(const struct command *c)
{
    struct cache_item item;
    counter_add(&counters(c)->cmd_meta, 1);
    if (look_at(c, &item) != CACHE_OK)
        return command_end(answer_status(c->conn, c->request, STATUS_MISS));
    struct reply reply = {.status = STATUS_HIT};
    describe(&reply, &item, c->now);
    return command_end(answer(c->conn, c->request, &reply));
}

enum execute_result command_touch(const struct command *c)
{
    struct cache_access access = access_of(c);
    struct cache_item item;
    access.does_touch = true;
    access.has_state = false;
    counter_add(&counters(c)->cmd_touch, 1);
    enum cache_result result =
        cache_access(thread(c), c->conn->session.cache, c->key, c->now, &access, &item);
    bool is_hit = result == CACHE_OK;
    tell_get(c, result, &item);
    if (result != CACHE_NO_MEMORY)
        counter_add(is_hit ? &counters(c)->touch_hits : &counters(c)->touch_misses, 1);
    PROBE(5, command__touch, c->conn->fd, c->key->bytes.p, c->key->bytes.n,
          is_hit ? (int64_t)item.size : -1, is_hit ? item.cas : 0);
    if (!is_hit)
        return command_end(answer_status(
            c->conn, c->request, result == CACHE_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_NOT_FOUND));
    struct reply reply = {.status = STATUS_TOUCHED};
    describe(&reply, &item, c->now);
    return command_end(answer(c->conn, c->request, &reply));
}

/* ---- set, add, replace, append, prepend ---- */

static enum cache_mode mode_of(enum verb verb)
{
    static const uint8_t modes[N_VERBS] = {
        [VERB_SET] = CACHE_SET,         [VERB_ADD] = CACHE_ADD,
        [VERB_REPLACE] = CACHE_REPLACE, [VERB_APPEND] = CACHE_APPEND,
        [VERB_PREPEND] = CACHE_PREPEND,
    };
    return (enum cache_mode)modes[verb];
}

/* What only some stores ask for. */
static void add_conditions(const struct command *c, struct cache_store *store)
{
    const struct request *r = c->request;
    store->compares_cas = (r->does & DO_CAS) != 0;
    store->invalidates = (r->does & DO_INVALIDATE) != 0;
    store->sets_cas = (r->does & DO_NEW_CAS) != 0;
    store->does_vivify = (r->does & DO_VIVIFY) != 0;
    store->key_is_base64 = (r->does & KEY_BASE64) != 0;
    store->vivify_exptime = exptime_absolute(r->vivify_exptime, c->now);
    store->cas = r->cas;
    store->new_cas = r->new_cas;
}

#define STORE_CONDITIONS (DO_CAS | DO_INVALIDATE | DO_NEW_CAS | DO_VIVIFY | KEY_BASE64)

ALWAYS_INLINE struct cache_store store_of(const struct command *c)
{
    const struct request *r = c->request;
    struct cache_store store = {
        .mode = mode_of(r->verb),
        .client_flags = r->client_flags,
        .exptime = exptime_absolute(r->exptime, c->now),
        .value = r->value,
    };
    if (UNLIKELY(r->does & STORE_CONDITIONS))
        add_conditions(c, &store);
    return store;
}

static enum status status_not_stored(enum verb verb)
{
    if (verb == VERB_ADD)
        return STATUS_ADD_EXISTS;
    return verb == VERB_REPLACE ? STATUS_REPLACE_MISSING : STATUS_NOT_STORED;
}

/* Appending to an item that has no room for it is "not stored"; a fragment that could never be
 * stored is "too large". */
static enum status status_too_large(const struct command *c)
{
    bool is_joined = c->request->verb == VERB_APPEND || c->request->verb == VERB_PREPEND;
    uint64_t item_max = c->conn->worker->server->settings->item_size_max;
    if (is_joined && c->request->n_value + c->request->key.n < item_max - 64)
        return STATUS_NOT_STORED;
    return STATUS_TOO_LARGE;
}

static enum status status_of_failure(const struct command *c, enum cache_result result)
{
    switch (result) {
    case CACHE_NOT_STORED:
        return status_not_stored(c->request->verb);
    case CACHE_EXISTS:
        return STATUS_EXISTS;
    case CACHE_TOO_LARGE:
        return status_too_large(c);
    case CACHE_NO_MEMORY:
        return STATUS_NO_MEMORY_STORING;
    default:
        return STATUS_NOT_FOUND;
    }
}

static void count_store(const struct command *c, enum status status)
{
    struct tenant_counters *n = counters(c);
    if (status == STATUS_TOO_LARGE || status == STATUS_NO_MEMORY_STORING) {
        counter_add(status == STATUS_TOO_LARGE ? &n->store_too_large : &n->store_no_memory, 1);
        return;
    }
    counter_add(&n->cmd_set, 1);
    if (!(c->request->does & DO_CAS))
        return;
    if (status == STATUS_STORED)
        counter_add(&n->cas_hits, 1);
    else if (status == STATUS_EXISTS)
        counter_add(&n->cas_badval, 1);
    else if (status == STATUS_NOT_FOUND)
        counter_add(&n->cas_misses, 1);
}

/* A set that fails for want of room must not leave the old value to be served. Of the classic
 * verbs only a plain set does so; meta sets whatever their mode. */
static void drop_old_item(const struct command *c)
{
    const struct request *r = c->request;
    bool is_plain_set = r->verb == VERB_SET && !(r->does & DO_CAS);
    if (!is_plain_set && r->dialect != DIALECT_META)
        return;
    struct cache_remove remove = {0};
    enum cache_result ignored =
        cache_remove(thread(c), c->conn->session.cache, c->key, c->now, &remove);
    (void)ignored;
}

static const char *word_of_store(enum status status)
{
    switch (status) {
    case STATUS_STORED:
        return "stored";
    case STATUS_EXISTS:
        return "exists";
    case STATUS_NOT_FOUND:
        return "not_found";
    case STATUS_TOO_LARGE:
        return "too_large";
    case STATUS_NO_MEMORY_STORING:
        return "no_memory";
    default:
        return "not_stored";
    }
}

NEVER_INLINE void tell_watchers(const struct command *c, enum status status)
{
    static const char *const words[N_VERBS] = {
        [VERB_SET] = "set",       [VERB_ADD] = "add",         [VERB_REPLACE] = "replace",
        [VERB_APPEND] = "append", [VERB_PREPEND] = "prepend",
    };
    const struct request *r = c->request;
    bool is_cas = r->verb == VERB_SET && (r->does & DO_CAS);
    uint32_t exptime = exptime_absolute(r->exptime, c->now);
    struct cache_item item = {0};
    if (status == STATUS_STORED)
        (void)look_at(c, &item); /* gone already: class 0 */
    watch_store(c->conn, r->key, is_cas ? "cas" : words[r->verb], word_of_store(status),
                exptime == CACHE_NEVER ? 0 : time_left(exptime, c->now), item.item_class,
                r->n_value);
}

static inline void tell_store(const struct command *c, enum status status)
{
    if (UNLIKELY(watch_is_on(c->conn->worker->server->watch, WATCH_MUTATIONS)))
        tell_watchers(c, status);
}

/* About what the item takes; 0 where only the engine knows. */
static uint32_t size_stored(const struct command *c)
{
    const struct request *r = c->request;
    bool is_joined = r->verb == VERB_APPEND || r->verb == VERB_PREPEND;
    return is_joined ? 0 : cache_item_size(r->key.n, r->n_value, r->client_flags, r->exptime != 0);
}

/* Each name is a probe of its own. */
static void probe_store(const struct command *c, enum cache_result result,
                        const struct cache_stored *stored)
{
    const struct request *r = c->request;
    int64_t size = result == CACHE_OK ? (int64_t)stored->n_value : -1;
    uint64_t cas = result == CACHE_OK ? stored->cas : 0;
    (void)size;
    (void)cas;
    switch (r->verb) {
    case VERB_ADD:
        PROBE(5, command__add, c->conn->fd, r->key.p, r->key.n, size, cas);
        break;
    case VERB_REPLACE:
        PROBE(5, command__replace, c->conn->fd, r->key.p, r->key.n, size, cas);
        break;
    case VERB_APPEND:
        PROBE(5, command__append, c->conn->fd, r->key.p, r->key.n, size, cas);
        break;
    case VERB_PREPEND:
        PROBE(5, command__prepend, c->conn->fd, r->key.p, r->key.n, size, cas);
        break;
    default:
        if (r->does & DO_CAS)
            PROBE(5, command__cas, c->conn->fd, r->key.p, r->key.n, size, cas);
        else
            PROBE(5, command__set, c->conn->fd, r->key.p, r->key.n, size, cas);
        break;
    }
}

static bool answer_store(const struct command *c, enum cache_result result,
                         const struct cache_stored *stored)
{
    struct reply reply = {.status = STATUS_STORED};
    if (UNLIKELY(result != CACHE_OK))
        reply.status = (uint8_t)status_of_failure(c, result);
    if (UNLIKELY(prefixes_are_on(c->conn->session.tenant->prefixes)))
        prefixes_count_set(c->conn->session.tenant->prefixes, c->request->key);
    count_store(c, reply.status);
    probe_store(c, result, stored);
    if (UNLIKELY(tenant_follows(c->conn->session.tenant, c->key->hash)) && result == CACHE_OK)
        tenant_tell_set(c->conn->session.tenant, c->key->hash, size_stored(c));
    tell_store(c, reply.status);
    if (reply.status == STATUS_TOO_LARGE || reply.status == STATUS_NO_MEMORY_STORING)
        drop_old_item(c);
    if (result == CACHE_OK) {
        reply.cas = stored->cas;
        reply.n_value = stored->n_value;
    }
    return answer(c->conn, c->request, &reply);
}

enum execute_result command_store(const struct command *c)
{
    struct cache_store store = store_of(c);
    struct cache_stored stored;
    enum cache_result result =
        cache_store(thread(c), c->conn->session.cache, c->key, c->now, &store, &stored);
    return command_end(answer_store(c, result, &stored));
}

static struct command command_of(struct conn *conn, const struct request *request,
                                 const struct cache_key *key)
{
    return (struct command){conn, (struct request *)request, key, conn->worker->now};
}

void execute_upload(struct conn *conn, const struct request *request, const struct cache_key *key,
                    struct cache_upload **upload)
{
    struct command c = command_of(conn, request, key);
    struct cache_store store = store_of(&c);
    struct cache_stored stored = {0};
    enum cache_result result = cache_upload_commit(thread(&c), upload, c.now, &store, &stored);
    if (!answer_store(&c, result, &stored))
        conn->closes_after_flush = true;
}

void execute_refuse_value(struct conn *conn, const struct request *request,
                          const struct cache_key *key, enum status status)
{
    struct command c = command_of(conn, request, key);
    count_store(&c, status);
    tell_store(&c, status);
    drop_old_item(&c);
    if (!answer_status(conn, request, status))
        conn->closes_after_flush = true;
}

/* ---- incr, decr, delete ---- */

static struct cache_arith arith_of(const struct command *c)
{
    const struct request *r = c->request;
    return (struct cache_arith){
        .is_decrement = r->verb == VERB_DECR,
        .compares_cas = (r->does & DO_CAS) != 0,
        .creates = (r->does & DO_VIVIFY) != 0,
        .sets_cas = (r->does & DO_NEW_CAS) != 0,
        .does_touch = (r->does & DO_TOUCH) != 0,
        .key_is_base64 = (r->does & KEY_BASE64) != 0,
        .delta = r->delta,
        .initial = r->initial,
        .cas = r->cas,
        .new_cas = r->new_cas,
        .exptime = exptime_absolute(r->exptime, c->now),
        .create_exptime = exptime_absolute(r->vivify_exptime, c->now),
    };
}

static void count_arith(const struct command *c, enum cache_result result, bool was_created)
{
    struct tenant_counters *n = counters(c);
    bool is_incr = c->request->verb == VERB_INCR;
    if (result == CACHE_OK && !was_created)
        counter_add(is_incr ? &n->incr_hits : &n->decr_hits, 1);
    else if (result == CACHE_OK || result == CACHE_MISS || result == CACHE_EXPIRED ||
             result == CACHE_FLUSHED)
        counter_add(is_incr ? &n->incr_misses : &n->decr_misses, 1);
    else if (result == CACHE_EXISTS)
        counter_add(&n->cas_badval, 1);
}

static enum status status_of_arith(enum cache_result result)
{
    switch (result) {
    case CACHE_OK:
        return STATUS_NUMBER;
    case CACHE_NON_NUMERIC:
        return STATUS_NON_NUMERIC;
    case CACHE_EXISTS:
        return STATUS_EXISTS;
    case CACHE_NO_MEMORY:
    case CACHE_TOO_LARGE:
        return STATUS_NO_MEMORY;
    case CACHE_NOT_STORED:
        return STATUS_NOT_STORED;
    default:
        return STATUS_NOT_FOUND;
    }
}

enum execute_result command_arith(const struct command *c)
{
    struct cache_arith arith = arith_of(c);
    struct cache_item item;
    uint64_t number = 0;
    bool was_created = false;
    enum cache_result result = cache_arith(thread(c), c->conn->session.cache, c->key, c->now,
                                           &arith, &number, &was_created, &item);
    count_arith(c, result, was_created);
    tell_get(c, was_created ? CACHE_MISS : result, &item);
    if (arith.is_decrement)
        PROBE(4, command__decr, c->conn->fd, c->key->bytes.p, c->key->bytes.n, number);
    else
        PROBE(4, command__incr, c->conn->fd, c->key->bytes.p, c->key->bytes.n, number);
    struct reply reply = {.status = (uint8_t)status_of_arith(result)};
    if (result == CACHE_OK) {
        describe(&reply, &item, c->now);
        reply.number = number;
    }
    return command_end(answer(c->conn, c->request, &reply));
}

enum execute_result command_delete(const struct command *c)
{
    const struct request *r = c->request;
    struct cache_remove remove = {
        .compares_cas = (r->does & DO_CAS) != 0,
        .invalidates = (r->does & DO_INVALIDATE) != 0,
        .empties = (r->does & DO_EMPTY) != 0,
        /* An emptied item is a new one: what F and T do not say is 0. */
        .does_touch = (r->does & (DO_TOUCH | DO_EMPTY)) != 0,
        .sets_flags = (r->does & (DO_FLAGS | DO_EMPTY)) != 0,
        .sets_cas = (r->does & DO_NEW_CAS) != 0,
        .exptime = exptime_absolute(r->exptime, c->now),
        .client_flags = r->client_flags,
        .cas = r->cas,
        .new_cas = r->new_cas,
    };
    struct cache_item item = {0};
    bool is_watched = watch_is_on(c->conn->worker->server->watch, WATCH_DELETIONS);
    if (UNLIKELY(is_watched))
        (void)look_at(c, &item);
    enum cache_result result =
        cache_remove(thread(c), c->conn->session.cache, c->key, c->now, &remove);
    PROBE(3, command__delete, c->conn->fd, r->key.p, r->key.n);
    prefixes_count_delete(c->conn->session.tenant->prefixes, r->key);
    if (result == CACHE_OK) {
        counter_add(&counters(c)->delete_hits, 1);
        if (UNLIKELY(tenant_follows(c->conn->session.tenant, c->key->hash)))
            tenant_tell_drop(c->conn->session.tenant, c->key->hash);
        if (UNLIKELY(is_watched))
            watch_delete(c->conn, r->key, r->dialect == DIALECT_META ? "md" : "delete",
                         item.item_class, item.n_value);
        return command_end(answer_status(c->conn, r, STATUS_DELETED));
    }
    if (result == CACHE_EXISTS)
        return command_end(answer_status(c->conn, r, STATUS_EXISTS));
    if (result == CACHE_NO_MEMORY)
        return command_end(answer_status(c->conn, r, STATUS_NO_MEMORY));
    counter_add(&counters(c)->delete_misses, 1);
    return command_end(answer_status(c->conn, r, STATUS_NOT_FOUND));
}
