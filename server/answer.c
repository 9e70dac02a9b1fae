#include "server/answer.h"

bool answer(struct conn *conn, const struct request *request, const struct reply *reply)
{
    struct output *out = &conn->worker->out;
    if (!output_reserve(out, ENCODE_HEAD_MAX + reply->text.n + ENCODE_TAIL_MAX))
        return false;
    out->n += encode_whole(request, reply, (struct slice){0}, out->p + out->n);
    return true;
}

bool answer_status(struct conn *conn, const struct request *request, enum status status)
{
    struct reply reply = {.status = (uint8_t)status};
    return answer(conn, request, &reply);
}

bool answer_text(struct conn *conn, const struct request *request, struct slice text)
{
    struct reply reply = {.status = STATUS_TEXT, .text = text};
    return answer(conn, request, &reply);
}

bool answer_ref(struct conn *conn, const struct request *request, const struct reply *reply,
                const struct cache_item *item)
{
    struct output *out = &conn->worker->out;
    if (encode_is_hidden(request, reply))
        return answer(conn, request, reply);
    if (!output_reserve(out, ENCODE_HEAD_MAX + ENCODE_TAIL_MAX))
        return false;
    size_t n_before = out->n;
    out->n += encode_head(request, reply, out->p + out->n);
    if (!output_add_ref(out, item)) {
        out->n = n_before;
        return false;
    }
    out->n += encode_tail(request, reply, out->p + out->n);
    return true;
}

bool answer_stat(struct conn *conn, const struct request *request, struct slice name,
                 struct slice value)
{
    struct output *out = &conn->worker->out;
    if (!output_reserve(out, ENCODE_STAT_MAX + name.n + value.n))
        return false;
    out->n += encode_stat(request, name, value, out->p + out->n);
    return true;
}

bool answer_stat_end(struct conn *conn, const struct request *request)
{
    struct output *out = &conn->worker->out;
    if (!output_reserve(out, ENCODE_STAT_MAX))
        return false;
    out->n += encode_stat_end(request, out->p + out->n);
    return true;
}

bool answer_raw(struct conn *conn, struct slice bytes)
{
    struct output *out = &conn->worker->out;
    if (!output_reserve(out, bytes.n))
        return false;
    memcpy(out->p + out->n, bytes.p, bytes.n);
    out->n += bytes.n;
    return true;
}
