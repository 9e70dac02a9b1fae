/* answer.h - private: how the executors answer.
 * Owns: nothing; replies go to the worker's output.   Thread: the connection's worker.
 * Never: writes to a socket. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "protocol/encode.h"
#include "server/conn.h"

/* Each answer_ function returns false when memory is short: the connection is to be closed. */
MUST_USE bool answer(struct conn *conn, const struct request *request, const struct reply *reply);
MUST_USE bool answer_status(struct conn *conn, const struct request *request, enum status status);
/* A line (text) or body (binary) of this server's own. */
MUST_USE bool answer_text(struct conn *conn, const struct request *request, struct slice text);
/* A reply with a value that goes out by reference, from where it lies. */
MUST_USE bool answer_ref(struct conn *conn, const struct request *request,
                         const struct reply *reply, const struct cache_item *item);
/* A reply with the value of an item, if it has one. */
MUST_USE static inline bool answer_item(struct conn *conn, const struct request *request,
                                        const struct reply *reply, const struct cache_item *item)
{
    struct output *out = &conn->worker->out;
    if (!reply->has_value)
        return answer(conn, request, reply);
    if (UNLIKELY(item->value == NULL || item->n_value >= OUTPUT_REF_MIN))
        return answer_ref(conn, request, reply, item);
    if (!output_reserve(out, ENCODE_HEAD_MAX + item->n_value + ENCODE_TAIL_MAX))
        return false;
    out->n += encode_whole(request, reply, slice_of(item->value, item->n_value), out->p + out->n);
    return true;
}
MUST_USE bool answer_stat(struct conn *conn, const struct request *request, struct slice name,
                          struct slice value);
MUST_USE bool answer_stat_end(struct conn *conn, const struct request *request);
/* Bytes as they are (dumps). */
MUST_USE bool answer_raw(struct conn *conn, struct slice bytes);

#endif
