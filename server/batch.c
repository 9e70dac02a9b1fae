#include "server/steps.h"

#include "protocol/bare_get.h"
#include "server/tenant.h"

/* The value of a storage request: whole in the buffer, small enough to wait for, or to be taken as
 * it arrives. */
enum value_place { VALUE_WHOLE, VALUE_WAIT, VALUE_LATER };

static enum value_place place_of_value(const struct request *request, size_t n_left)
{
    uint64_t n_all = (uint64_t)request->n_value + request->n_trailer;
    if (n_all <= n_left)
        return VALUE_WHOLE;
    if (verb_takes_value(request->verb) && n_all <= VALUE_BUFFERED_MAX + 2)
        return VALUE_WAIT;
    return VALUE_LATER;
}

/* Takes the whole value in; a text value that does not end in CR LF refuses the request. */
static size_t take_value(struct request *request, const uint8_t *p)
{
    request->value = slice_of(p, request->n_value);
    const uint8_t *end = p + request->n_value;
    bool is_ended = request->n_trailer == 0 || (end[0] == '\r' && end[1] == '\n');
    if (!is_ended && request->verb != VERB_BAD) {
        request->verb = VERB_BAD;
        request->status = STATUS_BAD_DATA_CHUNK;
    }
    return (size_t)request->n_value + request->n_trailer;
}

/* The bare gets that come next, of which nothing but the keys is written down. Returns how many. */
ALWAYS_INLINE size_t parse_gets(struct conn *conn, struct input *in, struct batch_entry *entries,
                                struct cache_key *keys, size_t n_most)
{
    const uint8_t *at = in->p + in->at, *end = in->p + in->n;
    struct bare_get get;
    size_t n = 0;
    for (; n < n_most && at < end; n++, entries++, keys++) {
        entries->before = conn->parser;
        if (!parse_bare_get(&conn->parser, at, (size_t)(end - at), &get))
            break;
        entries->start = (uint32_t)(at - in->p);
        entries->n = (uint32_t)get.n_consumed;
        entries->kind = ENTRY_BARE_GET;
        entries->is_last = entries->counts = get.is_last;
        keys->bytes = get.key;
        at += get.n_consumed;
    }
    in->at = (size_t)(at - in->p);
    return n;
}

/* A bare set, with its value. */
NEVER_INLINE bool parse_set(struct conn *conn, struct input *in, struct batch_entry *entry,
                            struct cache_key *key, struct bare_set *set)
{
    size_t n = parse_bare_set(&conn->parser, in->p + in->at, in->n - in->at, set);
    if (n == 0)
        return false;
    entry->kind = ENTRY_BARE_SET;
    entry->is_last = true;
    key->bytes = set->key;
    in->at += n;
    return true;
}

/* Of a request that no value follows. A get is neither refused nor the end of its connection: the
 * parser makes other verbs of those. */
ALWAYS_INLINE uint8_t kind_of(const struct request *request)
{
    if (request->verb != VERB_GET ||
        (request->does & ~(WANT_CAS | WANT_KEY | WANT_STATE)) != WANT_VALUE)
        return ENTRY_OTHER;
    return request->dialect == DIALECT_META ? ENTRY_META_GET : ENTRY_PLAIN_GET;
}

/* Parses one request at in->at; on PARSE_OK its head, and its value when it is whole, are consumed.
 */
NEVER_INLINE enum parse_result parse_one(struct conn *conn, struct input *in,
                                         struct batch_entry *entry, struct request *request,
                                         bool *is_last_out)
{
    size_t n_head;
    entry->kind = ENTRY_OTHER;
    enum parse_result result =
        parse_request(&conn->parser, in->p + in->at, in->n - in->at, request, &n_head);
    if (result != PARSE_OK)
        return result;
    in->at += n_head;
    if (request->n_value + request->n_trailer == 0 && !verb_takes_value(request->verb)) {
        entry->kind = kind_of(request);
        return PARSE_OK;
    }
    switch (place_of_value(request, in->n - in->at)) {
    case VALUE_WHOLE:
        in->at += take_value(request, in->p + in->at);
        return PARSE_OK;
    case VALUE_WAIT:
        in->at = entry->start;
        conn->parser = entry->before;
        return PARSE_MORE;
    case VALUE_LATER:
        break;
    }
    *is_last_out = true;
    return PARSE_OK;
}

void batch_make_request(struct batch *batch, size_t i)
{
    const struct batch_entry *entry = &batch->entries[i];
    if (entry->kind == ENTRY_BARE_SET) {
        bare_set_request(&batch->sets[i], &batch->requests[i]);
        batch->entries[i].kind = ENTRY_OTHER;
        return;
    }
    struct bare_get get = {batch->keys[i].bytes, entry->n, !entry->before.multiget, entry->is_last};
    bare_get_request(&get, &batch->requests[i]);
    batch->entries[i].kind = ENTRY_PLAIN_GET;
}

size_t batch_parse(struct conn *conn, struct input *in, enum parse_result *result_out)
{
    struct batch *batch = conn->worker->batch;
    enum parse_result result = PARSE_OK;
    bool is_last = false;
    size_t n = 0;
    while (n < BATCH_MAX && !is_last) {
        n += parse_gets(conn, in, &batch->entries[n], &batch->keys[n], BATCH_MAX - n);
        if (in->at == in->n) {
            result = PARSE_MORE;
            break;
        }
        if (n == BATCH_MAX)
            break;
        struct batch_entry *entry = &batch->entries[n];
        entry->start = (uint32_t)in->at;
        entry->before = conn->parser;
        if (!parse_set(conn, in, entry, &batch->keys[n], &batch->sets[n])) {
            result = parse_one(conn, in, entry, &batch->requests[n], &is_last);
            if (result == PARSE_MORE)
                break;
            batch->keys[n].bytes = batch->requests[n].key;
            entry->is_last = batch->requests[n].is_last;
        }
        entry->n = (uint32_t)in->at - entry->start;
        entry->counts = entry->is_last || !entry->before.multiget;
        n++;
        if (result == PARSE_BAD)
            break;
    }
    *result_out = result;
    cache_prefetch(conn->worker->server->cache, conn->session.cache, batch->keys,
                   result == PARSE_BAD ? n - 1 : n);
    return n;
}
