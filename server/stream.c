#include "server/stream.h"

#include "base/number.h"
#include "server/answer.h"
#include "server/key_text.h"

#include <stdio.h>
#include <stdlib.h>

#define PART_ITEMS 256

struct stream {
    enum stream_kind kind;
    uint64_t class_mask;
    uint64_t n_left;
    bool is_bounded;
    bool is_broken; /* memory was short: the connection is closed */
    struct cache_cursor cursor;
};

bool stream_begin(struct conn *conn, enum stream_kind kind, uint64_t class_mask, uint64_t n_max)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return false;
    stream->kind = kind;
    stream->class_mask = class_mask;
    stream->n_left = n_max;
    stream->is_bounded = n_max > 0;
    conn->stream = stream;
    conn_enter(conn, CONN_STREAM);
    return true;
}

void stream_end(struct conn *conn)
{
    free(conn->stream);
    conn->stream = NULL;
}

static size_t put_text(uint8_t *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n);
    return n;
}

/* A key that a text line cannot carry goes out in base64. */
static bool needs_base64(struct slice key, const struct cache_item *item)
{
    if (item->key_is_base64)
        return true;
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= ' ' || key.p[i] == 0x7f)
            return true;
    }
    return false;
}

static size_t render_metadump(uint8_t *out, struct slice key, const struct cache_item *item)
{
    size_t n = put_text(out, "key=");
    if (item->key_is_base64)
        n += key_text_base64(out + n, key);
    else
        n += key_text_uri(out + n, key);
    n += put_text(out + n, " exp=");
    if (item->exptime == CACHE_NEVER)
        n += put_text(out + n, "-1");
    else
        n += number_render_u64(out + n, item->exptime);
    n += put_text(out + n, " la=");
    n += number_render_u64(out + n, item->last_access);
    n += put_text(out + n, " cas=");
    n += number_render_u64(out + n, item->cas);
    n += put_text(out + n, item->was_fetched ? " fetch=yes cls=" : " fetch=no cls=");
    n += number_render_u64(out + n, item->item_class);
    n += put_text(out + n, " size=");
    n += number_render_u64(out + n, item->size);
    n += put_text(out + n, " flags=");
    n += number_render_u64(out + n, item->client_flags);
    n += put_text(out + n, " \n");
    return n;
}

static size_t render_mgdump(uint8_t *out, struct slice key, const struct cache_item *item)
{
    size_t n = put_text(out, "mg ");
    if (!needs_base64(key, item)) {
        memcpy(out + n, key.p, key.n);
        return n + key.n + put_text(out + n + key.n, "\r\n");
    }
    n += key_text_base64(out + n, key);
    return n + put_text(out + n, " b\r\n");
}

static size_t render_cachedump(uint8_t *out, struct slice key, const struct cache_item *item)
{
    if (needs_base64(key, item))
        return 0;
    size_t n = put_text(out, "ITEM ");
    memcpy(out + n, key.p, key.n);
    n += key.n;
    n += put_text(out + n, " [");
    n += number_render_u64(out + n, item->n_value);
    n += put_text(out + n, " b; ");
    n += number_render_u64(out + n, item->exptime);
    return n + put_text(out + n, " s]\r\n");
}

static void visit(void *arg, struct slice key, const struct cache_item *item)
{
    struct conn *conn = arg;
    struct stream *stream = conn->stream;
    struct output *out = &conn->worker->out;
    if (stream->is_broken || !(stream->class_mask >> item->item_class & 1))
        return;
    if (stream->is_bounded && stream->n_left == 0)
        return;
    if (!output_reserve(out, 3 * CACHE_KEY_MAX + 256)) {
        stream->is_broken = true;
        return;
    }
    uint8_t *at = out->p + out->n;
    size_t n = stream->kind == STREAM_METADUMP ? render_metadump(at, key, item)
               : stream->kind == STREAM_MGDUMP ? render_mgdump(at, key, item)
                                               : render_cachedump(at, key, item);
    out->n += n;
    if (n > 0 && stream->is_bounded)
        stream->n_left--;
}

bool stream_fill(struct conn *conn)
{
    struct stream *stream = conn->stream;
    struct worker *worker = conn->worker;
    bool is_going_on = cache_walk(worker->cache_thread, conn->session.cache, &stream->cursor,
                                  PART_ITEMS, worker->now, visit, conn);
    if (stream->is_bounded && stream->n_left == 0)
        is_going_on = false;
    if (stream->is_broken) {
        conn->closes_after_flush = true; /* without END: it would look complete */
        return true;
    }
    if (is_going_on)
        return false;
    struct slice end = stream->kind == STREAM_MGDUMP ? SLICE("EN\r\n") : SLICE("END\r\n");
    if (!answer_raw(conn, end))
        conn->closes_after_flush = true;
    return true;
}
