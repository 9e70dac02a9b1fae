#include "server/upload.h"

#include "server/execute.h"
#include "server/steps.h"

#include <stdlib.h>

#define UPLOAD_TURN  (1u << 20)         /* bytes taken before others get their turn */
#define UPLOAD_LARGE (WORKER_INPUT / 2) /* values that are worth a read of their own */

struct upload_state {
    struct request request; /* its slices point into bytes */
    uint64_t hash;
    struct cache_upload *upload;
    uint32_t n_left; /* of the value */
    uint8_t bytes[]; /* key, then meta flags */
};

bool upload_state_begin(struct conn *conn, const struct request *request, uint64_t hash,
                        enum status *status_out)
{
    struct worker *worker = conn->worker;
    struct upload_state *state = malloc(sizeof *state + request->key.n + request->meta.n);
    *status_out = STATUS_NO_MEMORY_STORING;
    if (state == NULL)
        return false;
    state->request = *request;
    state->hash = hash;
    state->n_left = request->n_value;
    memcpy(state->bytes, request->key.p, request->key.n);
    if (request->meta.n > 0)
        memcpy(state->bytes + request->key.n, request->meta.p, request->meta.n);
    state->request.key = slice_of(state->bytes, request->key.n);
    state->request.meta = slice_of(state->bytes + request->key.n, request->meta.n);
    struct cache_key key = {.bytes = state->request.key, .hash = hash};
    enum cache_result result =
        cache_upload_create(worker->cache_thread, conn->session.cache, &key, request->n_value,
                            request->client_flags, &state->upload);
    if (result != CACHE_OK) {
        *status_out = result == CACHE_TOO_LARGE ? STATUS_TOO_LARGE : STATUS_NO_MEMORY_STORING;
        free(state);
        return false;
    }
    conn->upload = state;
    return true;
}

void upload_state_abort(struct conn *conn)
{
    struct upload_state *state = conn->upload;
    if (state == NULL)
        return;
    conn->upload = NULL;
    if (state->upload != NULL)
        cache_upload_abort(conn->worker->cache_thread, &state->upload);
    free(state);
}

/* Memory ran out half way: answer, and swallow what is still to come. */
static enum upload_progress give_up(struct conn *conn)
{
    struct upload_state *state = conn->upload;
    conn->n_swallow = (uint64_t)state->n_left + state->request.n_trailer;
    struct cache_key key = {.bytes = state->request.key, .hash = state->hash};
    execute_refuse_value(conn, &state->request, &key, STATUS_NO_MEMORY_STORING);
    upload_state_abort(conn);
    conn_enter(conn, CONN_SWALLOW);
    return UPLOAD_DONE;
}

/* Bytes that came with the head. */
static size_t take_here(struct input *in, uint8_t *p, size_t n)
{
    size_t n_here = in->n - in->at;
    if (n > n_here)
        n = n_here;
    memcpy(p, in->p + in->at, n);
    in->at += n;
    return n;
}

/* Straight from the socket; what follows the value's end goes to the input. Not more at once: the
 * kernel lets go of what a read copied, and tells the sender of it, only when the read ends. In
 * small parts the sender waits less, and its packets lie in memory that is still in the processor's
 * cache. */
static enum io take_read(struct conn *conn, struct input *in, uint8_t *p, size_t n, size_t *n_out)
{
    if (n > WORKER_INPUT)
        n = WORKER_INPUT;
    size_t n_all = 0, n_behind = in->capacity < UPLOAD_HEAD ? in->capacity : UPLOAD_HEAD;
    struct iovec iov[] = {{p, n}, {in->p, n_behind}};
    bool is_end = n == conn->upload->n_left;
    enum io io = conn->transport->readv(conn, iov, is_end ? 2 : 1, &n_all);
    if (io != IO_DONE)
        return io;
    *n_out = n_all < n ? n_all : n;
    in->at = 0;
    in->n = n_all - *n_out;
    counter_add(&conn->session.counters->bytes_read, n_all);
    atomic_store_explicit(&conn->last_active, conn->worker->now, memory_order_relaxed);
    return IO_DONE;
}

/* The CR LF behind a text value. */
static enum upload_progress finish(struct conn *conn, struct input *in)
{
    struct upload_state *state = conn->upload;
    struct request *request = &state->request;
    bool is_full;
    while (in->n - in->at < request->n_trailer) {
        switch (conn_read(conn, &is_full)) {
        case IO_DONE:
            continue;
        case IO_CLOSED:
            return UPLOAD_BROKEN;
        default:
            return UPLOAD_WAITS;
        }
    }
    const uint8_t *end = in->p + in->at;
    bool is_ended = request->n_trailer == 0 || (end[0] == '\r' && end[1] == '\n');
    in->at += request->n_trailer;
    conn->had_upload = request->n_value >= UPLOAD_LARGE;
    if (is_ended) {
        struct cache_key key = {.bytes = request->key, .hash = state->hash};
        execute_upload(conn, request, &key, &state->upload);
    } else {
        request->verb = VERB_BAD;
        request->status = STATUS_BAD_DATA_CHUNK;
        execute_refusal(conn, request);
    }
    upload_state_abort(conn);
    return UPLOAD_DONE;
}

enum upload_progress upload_state_fill(struct conn *conn, struct input *in)
{
    struct upload_state *state = conn->upload;
    while (state->n_left > 0) {
        uint8_t *p;
        size_t n_room, n = 0;
        if (cache_upload_space(conn->worker->cache_thread, state->upload, &p, &n_room) != CACHE_OK)
            return give_up(conn);
        if (in->at < in->n) {
            n = take_here(in, p, n_room);
        } else {
            switch (take_read(conn, in, p, n_room, &n)) {
            case IO_DONE:
                break;
            case IO_CLOSED:
                return UPLOAD_BROKEN;
            default:
                return UPLOAD_WAITS;
            }
        }
        cache_upload_advance(state->upload, n);
        state->n_left -= (uint32_t)n;
        conn->n_uploaded += n;
        if (conn->n_uploaded >= UPLOAD_TURN) {
            conn->budget = 0;
            if (state->n_left > 0)
                return UPLOAD_WAITS;
        }
    }
    return finish(conn, in);
}
