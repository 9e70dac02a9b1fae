/* steps.h - private: the step functions named in states.def, and the batch under step_head.
 * Owns: nothing.   Thread: the connection's worker.
 * Never: called but by conn_run and a stopping worker. */
#ifndef SERVER_STEPS_H
#define SERVER_STEPS_H

#include "server/conn.h"

#define STATE(name, function, waits, timer, shown) enum step function(struct conn *conn);
#include "server/states.def"
#undef STATE

/* Has the peer's host not acknowledged all that was written? */
MUST_USE bool conn_has_unread_answers(const struct conn *conn);

/* Not a state: a stop that waits no longer for the rest of a value. What was answered is left for
 * the peer to read, what still comes is thrown away. */
void conn_linger(struct conn *conn);

/* Not a state: the end of a job that has composed its answer. */
enum step step_answered(struct conn *conn);

/* Values up to this size are waited for in the input buffer; larger ones go straight to their
 * place as they arrive. */
#define VALUE_BUFFERED_MAX (16u << 10)

/* Where a large value was, another is expected: no more of it than this is read with its head. */
#define UPLOAD_HEAD (2u << 10)

/* The bytes not consumed yet: the connection's own, else the worker's. */
static inline struct input *conn_input(struct conn *conn)
{
    return UNLIKELY(conn->in.p != NULL) ? &conn->in : &conn->worker->in;
}

/* Reads once into the input. IO_DONE: at least one byte more is there. *is_full_out tells that the
 * read filled the room it was given, so that there may be more. */
MUST_USE enum io conn_read(struct conn *conn, bool *is_full_out);

/* Leaves nothing in the worker's buffer when the turn ends. False when memory is short. */
MUST_USE bool conn_keep_rest(struct conn *conn);
MUST_USE static inline bool conn_keep_input(struct conn *conn)
{
    struct input *in = &conn->worker->in;
    if (UNLIKELY(conn->in.p != NULL || in->at < in->n))
        return conn_keep_rest(conn);
    in->at = in->n = 0;
    return true;
}

/* Parses as many whole requests as are there, at most BATCH_MAX, and prefetches their items.
 * *result_out says why it stopped: PARSE_OK (batch full or a value still to come), PARSE_MORE,
 * PARSE_BAD (the last entry is the refusal). */
size_t batch_parse(struct conn *conn, struct input *in, enum parse_result *result_out);

/* Makes the request of a bare get, which is a plain one from then on, or of a bare set. */
void batch_make_request(struct batch *batch, size_t i);

/* The request of an entry, also when it is a bare one. */
static inline struct request *batch_request(struct batch *batch, size_t i)
{
    if (UNLIKELY(batch->entries[i].kind == ENTRY_BARE_GET ||
                 batch->entries[i].kind == ENTRY_BARE_SET))
        batch_make_request(batch, i);
    return &batch->requests[i];
}

#endif
