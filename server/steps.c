#include "server/steps.h"

#include "server/execute.h"
#include "server/login.h"
#include "server/plain_gets.h"
#include "server/plain_sets.h"
#include "server/prefixes.h"
#include "server/probes.h"
#include "server/stream.h"
#include "server/tenant.h"
#include "server/trace.h"
#include "server/traffic.h"
#include "server/upload.h"
#include "server/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define INPUT_SPARE 2048 /* a read into the connection's own buffer has at least this much room */
#define INPUT_MAX   (MULTIGET_LINE_MAX + (64u << 10))

/* Room behind the bytes that are there: the consumed ones make place, then the buffer grows. */
static bool make_room_in(struct conn *conn, struct input *in)
{
    if (in->at > 0 && in->capacity - in->n < INPUT_SPARE) {
        memmove(in->p, in->p + in->at, in->n - in->at);
        in->n -= in->at;
        in->at = 0;
    }
    if (in->capacity - in->n >= INPUT_SPARE || in != &conn->in)
        return in->n < in->capacity;
    if (in->capacity >= INPUT_MAX)
        return false;
    size_t capacity = in->capacity < WORKER_INPUT / 4 ? WORKER_INPUT / 4 : in->capacity * 2;
    uint8_t *p = realloc(in->p, capacity);
    if (p == NULL)
        return false;
    in->p = p;
    in->capacity = capacity;
    return true;
}

/* The input that is to be read into; NULL when there is no room in it. */
NEVER_INLINE struct input *make_room(struct conn *conn)
{
    struct input *in = conn_input(conn);
    if (in != &conn->in && in->n - in->at == in->capacity) {
        /* One request fills the worker's buffer: only a buffer of its own can grow. */
        if (!conn_keep_input(conn))
            return NULL;
        in = conn_input(conn);
    }
    if (make_room_in(conn, in))
        return in;
    counter_add(&conn->worker->counters->read_buf_oom, 1);
    return NULL;
}

/* conn_read, in line for the one call in each turn. */
ALWAYS_INLINE enum io read_once(struct conn *conn, bool *is_full_out)
{
    struct input *in = conn_input(conn);
    size_t n = 0;
    if (UNLIKELY(in->capacity - in->n < INPUT_SPARE)) {
        in = make_room(conn);
        if (in == NULL)
            return IO_CLOSED;
    }
    struct iovec room = {in->p + in->n, in->capacity - in->n};
    if (UNLIKELY(conn->had_upload) && room.iov_len > UPLOAD_HEAD)
        room.iov_len = UPLOAD_HEAD;
    enum io io = conn->transport->readv(conn, &room, 1, &n);
    if (io != IO_DONE)
        return io;
    conn->had_upload = false;
    in->n += n;
    conn->has_spoken = true;
    *is_full_out = n == room.iov_len || conn_has_pending(conn);
    counter_add(&conn->session.counters->bytes_read, n);
    atomic_store_explicit(&conn->last_active, conn->worker->now, memory_order_relaxed);
    return IO_DONE;
}

enum io conn_read(struct conn *conn, bool *is_full_out)
{
    return read_once(conn, is_full_out);
}

bool conn_keep_rest(struct conn *conn)
{
    struct input *in = conn_input(conn);
    size_t n_left = in->n - in->at;
    if (in == &conn->in) {
        if (n_left > 0)
            return true;
        free(in->p);
        *in = (struct input){0};
        return true;
    }
    if (n_left > 0) {
        size_t capacity = n_left < 512 ? 512 : n_left;
        conn->in.p = malloc(capacity);
        if (conn->in.p == NULL)
            return false;
        memcpy(conn->in.p, in->p + in->at, n_left);
        conn->in.n = n_left;
        conn->in.at = 0;
        conn->in.capacity = capacity;
    }
    in->at = in->n = 0;
    return true;
}

/* Goes back to before a request that was parsed but cannot be executed yet. */
static void rewind_to(struct conn *conn, struct input *in, const struct batch_entry *entry)
{
    in->at = entry->start;
    conn->parser = entry->before;
}

/* Held back once for what it has done; now it reads again. */
static enum step step_paused(struct conn *conn)
{
    conn->is_job_done = false;
    conn->owes_pause = false;
    conn_enter(conn, CONN_HEAD);
    return STEP_AGAIN;
}

enum progress {
    PROGRESS_MORE,  /* the input holds no further whole request */
    PROGRESS_BATCH, /* the batch is done, there may be another */
    PROGRESS_MOVED, /* the state was changed: write first, then go on there */
    PROGRESS_FULL,  /* output is to be written before more is done */
    PROGRESS_SPENT, /* the turn's budget is used up */
    PROGRESS_CLOSE, /* write, then close */
};

/* What was answered before may hold memory back that a request needs which is more than a look:
 * values that go out by reference go first if it stores, and copied ones are not looked at again.
 */
static inline bool must_write_first(struct conn *conn, const struct request *request)
{
    const struct output *out = &conn->worker->out;
    if (LIKELY(request->verb == VERB_GET && !(request->does & (DO_VIVIFY | DO_TOUCH))))
        return output_is_full(out);
    if (!output_has_refs(out))
        cache_thread_forget(conn->worker->cache_thread);
    else if (verb_takes_value(request->verb))
        return true;
    return output_is_full(out);
}

/* One request by the long way. */
static enum execute_result execute_entry(struct conn *conn, const struct input *in,
                                         const struct batch_entry *entry, struct request *request,
                                         const struct cache_key *key)
{
    enum execute_result result;
    if (UNLIKELY(conn->worker->sample.is_on))
        latency_note(&conn->worker->sample, request->verb, 1);
    PROBE(3, process__command__start, conn->fd, in->p + entry->start, entry->n);
    (void)in; /* without probes */
    if (LIKELY(!tenant_is_limited(conn->session.tenant)))
        result = execute(conn, request, key);
    else
        result = traffic_execute(conn, request, key, entry->n);
    PROBE(3, process__command__end, conn->fd, NULL, 0);
    if (result == EXECUTE_NEXT)
        conn->budget -= entry->counts;
    return result;
}

/* The kinds of entries that may go a short way now, as bits: not when somebody wants to see or
 * count each of them, and not without the right to it. Any other request may change that. */
static unsigned open_kinds(const struct conn *conn)
{
    const struct tenant *tenant = conn->session.tenant;
    const struct watch *watch = conn->worker->server->watch;
    uint32_t allowed = conn->session.allowed;
    unsigned kinds = 0;
    if (trace_is_on(conn) || UNLIKELY(prefixes_are_on(tenant->prefixes)) ||
        UNLIKELY(tenant_is_limited(tenant)))
        return 0;
    if ((allowed >> CLASS_READ & 1) != 0 && !watch_is_on(watch, WATCH_FETCHERS))
        kinds |= 1u << ENTRY_BARE_GET | 1u << ENTRY_PLAIN_GET | 1u << ENTRY_META_GET;
    if ((allowed >> CLASS_WRITE & 1) != 0 && !watch_is_on(watch, WATCH_MUTATIONS))
        kinds |= 1u << ENTRY_BARE_SET;
    return kinds;
}

/* The same as must_write_first for what goes a short way. */
static inline bool must_write_before(struct conn *conn, unsigned kind)
{
    const struct output *out = &conn->worker->out;
    if (LIKELY(kind != ENTRY_BARE_SET))
        return output_is_full(out);
    if (UNLIKELY(output_has_refs(out)))
        return true;
    cache_thread_forget(conn->worker->cache_thread);
    return output_is_full(out);
}

static enum progress execute_batch(struct conn *conn, struct input *in)
{
    enum parse_result result;
    /* What may be the head of a TLS record is bad in every dialect: it is named first. */
    if (UNLIKELY(conn->is_unclear))
        return PROGRESS_MORE;
    size_t n = batch_parse(conn, in, &result);
    struct batch *batch = conn->worker->batch;
    bool is_asked = false;
    unsigned open = 0;
    for (size_t i = 0, n_done = 1; i < n; i += n_done) {
        const struct batch_entry *entry = &batch->entries[i];
        enum execute_result executed;
        unsigned kind = entry->kind;
        if (kind != ENTRY_OTHER && !is_asked) {
            open = open_kinds(conn);
            is_asked = true;
        }
        bool is_plain = (open >> kind & 1) != 0;
        bool is_full = LIKELY(is_plain) ? must_write_before(conn, kind)
                                        : must_write_first(conn, batch_request(batch, i));
        if (UNLIKELY(is_full || conn->budget == 0)) {
            rewind_to(conn, in, entry);
            return is_full ? PROGRESS_FULL : PROGRESS_SPENT;
        }
        if (LIKELY(is_plain && kind != ENTRY_BARE_SET)) {
            executed = plain_gets_execute(conn, in, i, n, &n_done);
        } else if (is_plain && (n_done = plain_sets_execute(conn, in, i, n)) > 0) {
            executed = EXECUTE_NEXT;
        } else {
            struct request *request = batch_request(batch, i);
            executed = execute_entry(conn, in, entry, request, &batch->keys[i]);
            if (request->verb != VERB_GET)
                is_asked = false;
            n_done = 1;
        }
        if (LIKELY(executed == EXECUTE_NEXT))
            continue;
        if (executed == EXECUTE_CLOSE)
            return PROGRESS_CLOSE;
        if (i + 1 < n)
            rewind_to(conn, in, entry + 1);
        return PROGRESS_MOVED;
    }
    if (UNLIKELY(result == PARSE_BAD))
        return PROGRESS_CLOSE;
    return result == PARSE_MORE ? PROGRESS_MORE : PROGRESS_BATCH;
}

bool conn_has_unread_answers(const struct conn *conn)
{
    int n = 0;
    return ioctl(conn->fd, TIOCOUTQ, &n) == 0 && n > 0;
}

static void begin_linger(struct conn *conn)
{
    conn->transport->close(conn);
    (void)shutdown(conn->fd, SHUT_WR);
    conn_enter(conn, CONN_LINGER);
}

/* All is answered. In a stop a request can cross with the end: closing the socket over it would
 * reset the connection, and take the answers with it that the peer has not got yet. */
NEVER_INLINE enum step end(struct conn *conn)
{
    if (!conn->worker->is_draining || !conn_has_unread_answers(conn))
        return STEP_CLOSE;
    begin_linger(conn);
    return STEP_WAIT;
}

void conn_linger(struct conn *conn)
{
    upload_state_abort(conn);
    begin_linger(conn);
    conn_run(conn);
}

/* What still comes is not answered, hence not done either. */
enum step step_linger(struct conn *conn)
{
    char bytes[4096];
    for (unsigned n_reads = 0; n_reads < 16; n_reads++) {
        ssize_t n = recv(conn->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return STEP_WAIT;
        if (n <= 0)
            return STEP_CLOSE;
    }
    return STEP_WAIT;
}

/* The turn's output goes out; then `next` is the state to go on in. */
static enum step flush_then(struct conn *conn, enum conn_state next, enum step when_done)
{
    enum step step = conn_flush(conn, next);
    if (step != STEP_AGAIN)
        return step;
    if (UNLIKELY(conn->closes_after_flush))
        return end(conn);
    conn_enter(conn, next);
    return when_done;
}

enum step step_answered(struct conn *conn)
{
    return flush_then(conn, CONN_HEAD, STEP_AGAIN);
}

static enum step flush_then_close(struct conn *conn)
{
    conn->closes_after_flush = true;
    return flush_then(conn, CONN_FLUSH, STEP_CLOSE);
}

static enum step yield(struct conn *conn)
{
    counter_add(&conn->worker->counters->conn_yields, 1);
    return flush_then(conn, CONN_YIELD, STEP_AGAIN);
}

/* Login and handshake go on elsewhere; this state is left through conn_job_done. */
enum step step_job(struct conn *conn)
{
    if (!conn->is_job_done)
        return STEP_WAIT;
    return conn->job_finish(conn);
}

enum step step_handshake(struct conn *conn)
{
    if (state_now(conn) == CONN_JOB)
        conn_enter(conn, CONN_HANDSHAKE);
    switch (conn->transport->handshake(conn)) {
    case IO_DONE:
        login_by_transport(conn);
        conn_enter(conn, CONN_HEAD);
        return conn_has_pending(conn) ? STEP_AGAIN : STEP_WAIT;
    case IO_WANT_READ:
    case IO_WANT_WRITE:
        return STEP_WAIT;
    case IO_JOB:
        conn_wait_for_job(conn, step_handshake);
        return STEP_WAIT;
    case IO_CLOSED:
        break;
    }
    return STEP_CLOSE;
}

/* A part of a request is there: also in a stop, the rest has a moment to come. */
static bool is_amid(struct conn *conn)
{
    const struct input *in = conn_input(conn);
    return in->at < in->n;
}

/* Reads, answers and writes what there is. */
static enum step serve(struct conn *conn)
{
    bool is_full = false;
    if (conn->wants_bytes) {
        unsigned pause_ms = UNLIKELY(conn->owes_pause) ? traffic_pause_ms(conn) : 0;
        if (pause_ms > 0)
            return conn_sleep(conn, pause_ms, step_paused) ? STEP_WAIT : STEP_CLOSE;
        switch (read_once(conn, &is_full)) {
        case IO_DONE:
            break;
        case IO_WANT_READ:
        case IO_WANT_WRITE:
            /* Who has just connected may have sent a request that is still on its way. */
            return conn->worker->is_draining && conn->has_spoken && !is_amid(conn) ? end(conn)
                                                                                   : STEP_WAIT;
        default:
            return STEP_CLOSE;
        }
        conn->wants_bytes = false;
    }
    for (;;) {
        enum step step;
        switch (execute_batch(conn, conn_input(conn))) {
        case PROGRESS_BATCH:
            continue;
        case PROGRESS_FULL:
            step = conn_flush(conn, CONN_HEAD);
            if (step != STEP_AGAIN)
                return step;
            continue;
        case PROGRESS_MORE:
            conn->wants_bytes = true;
            if (conn->worker->is_draining && !is_full && !is_amid(conn))
                return flush_then_close(conn);
            return flush_then(conn, CONN_HEAD, is_full ? STEP_AGAIN : STEP_WAIT);
        case PROGRESS_MOVED:
            return flush_then(conn, state_now(conn), STEP_AGAIN);
        case PROGRESS_SPENT:
            return yield(conn);
        case PROGRESS_CLOSE:
            return flush_then_close(conn);
        }
    }
}

NEVER_INLINE enum step serve_timed(struct conn *conn)
{
    struct latency_sample *sample = &conn->worker->sample;
    uint64_t ns;
    latency_begin(sample);
    enum step step = serve(conn);
    if (!latency_end(sample, &ns))
        return step;
    struct latency *latency = tenant_latency_of(conn->session.tenant, conn->worker->id);
    if (latency != NULL)
        latency_add(latency, sample, ns);
    return step;
}

/* One turn in a few is timed, from before the read to behind the write. */
enum step step_head(struct conn *conn)
{
    return LIKELY(!latency_is_due(&conn->worker->sample)) ? serve(conn) : serve_timed(conn);
}

enum step step_value(struct conn *conn)
{
    struct input *in = conn_input(conn);
    cache_thread_forget(conn->worker->cache_thread); /* nothing is waiting to be written */
    switch (upload_state_fill(conn, in)) {
    case UPLOAD_WAITS:
        return STEP_WAIT;
    case UPLOAD_BROKEN:
        return STEP_CLOSE;
    case UPLOAD_DONE:
        break;
    }
    conn->wants_bytes = in->at == in->n;
    if (state_now(conn) != CONN_VALUE)
        return flush_then(conn, state_now(conn), STEP_AGAIN);
    /* The last read had room for more than the value: a further one would rarely find anything. */
    bool is_answered = conn->wants_bytes && !conn->worker->is_draining;
    return flush_then(conn, CONN_HEAD, is_answered ? STEP_WAIT : STEP_AGAIN);
}

enum step step_swallow(struct conn *conn)
{
    struct input *in = conn_input(conn);
    bool is_full;
    for (unsigned n_reads = 0;; n_reads++) {
        size_t n_here = in->n - in->at;
        size_t n = conn->n_swallow < n_here ? (size_t)conn->n_swallow : n_here;
        in->at += n;
        conn->n_swallow -= n;
        conn->n_uploaded += n;
        if (conn->n_swallow == 0)
            break;
        in->at = in->n = 0;
        if (n_reads == 16)
            return STEP_WAIT;
        switch (conn_read(conn, &is_full)) {
        case IO_DONE:
            continue;
        case IO_WANT_READ:
        case IO_WANT_WRITE:
            return STEP_WAIT;
        default:
            return STEP_CLOSE;
        }
    }
    conn->wants_bytes = in->at == in->n;
    conn_enter(conn, CONN_HEAD);
    return STEP_AGAIN;
}

enum step step_flush(struct conn *conn)
{
    return flush_then(conn, conn->after_flush, STEP_AGAIN);
}

enum step step_stream(struct conn *conn)
{
    for (unsigned n_parts = 0; n_parts < 64; n_parts++) {
        bool is_over = stream_fill(conn);
        traffic_book_part(conn);
        if (is_over)
            stream_end(conn);
        enum conn_state next = is_over ? CONN_HEAD : CONN_STREAM;
        enum step step = conn_flush(conn, next);
        if (step != STEP_AGAIN)
            return step;
        if (is_over) {
            conn_enter(conn, CONN_HEAD);
            return STEP_AGAIN;
        }
    }
    return STEP_WAIT; /* the socket is writable: libevent calls again after the others */
}

/* Lines go out as they come; what the client sends is thrown away. */
enum step step_watch(struct conn *conn)
{
    struct input *in = conn_input(conn);
    bool is_full;
    in->at = in->n = 0;
    switch (conn_read(conn, &is_full)) {
    case IO_DONE:
        in->at = in->n = 0;
        break;
    case IO_CLOSED:
        return STEP_CLOSE;
    default:
        break;
    }
    conn->io_wanted = 0;
    while (watch_take(conn)) {
        enum step step = flush_then(conn, CONN_WATCH, STEP_AGAIN);
        if (step != STEP_AGAIN)
            return step;
    }
    return STEP_WAIT;
}

enum step step_yield(struct conn *conn)
{
    /* Entered at the end of a turn; taken up again from the ready list. */
    if (conn->is_resumed) {
        conn->is_resumed = false;
        conn_enter(conn, CONN_HEAD);
        return STEP_AGAIN;
    }
    worker_make_ready(conn->worker, conn);
    return STEP_WAIT;
}

enum step step_closing(struct conn *conn)
{
    (void)conn;
    return STEP_WAIT;
}
