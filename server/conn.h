/* conn.h - a connection and its state machine; the rows are in states.def.
 * Owns: its socket, what it received and could not use yet, what the socket did not take yet.
 * Thread: its worker, but for the fields marked as read by others.
 * Never: holds buffers while it is idle; changes its state elsewhere than in conn_enter. */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "server/address.h"
#include "server/transport.h"
#include "server/worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>

enum conn_state {
#define STATE(name, function, waits, timer, shown) CONN_##name,
#include "server/states.def"
#undef STATE
    N_CONN_STATES
};

/* What a step answers to the loop that runs it. */
enum step {
    STEP_AGAIN, /* take the next step at once: the state may have changed */
    STEP_WAIT,  /* nothing to do until what the state waits for happens */
    STEP_CLOSE,
};

enum close_reason { CLOSE_NORMAL, CLOSE_ERROR, CLOSE_IDLE, CLOSE_SHUTDOWN };

struct listener;
struct login;
struct upload_state;
struct watcher;
struct stream;
struct tenant;

/* Who the connection is: decides which cache it sees. */
struct session {
    struct tenant *tenant;
    struct cache_tenant *cache; /* tenant->cache */
    struct tenant_counters *counters;
    bool has_entered; /* counted as a connection of the tenant */
    uint32_t allowed; /* bit n: requests of enum command_class n are done without asking */
};

/* What a turn of a get touches comes first, in as few cache lines as it needs: with thousands of
 * connections none of it is in the CPU's cache when its turn comes. */
struct conn {
    int fd;
    _Atomic uint8_t state; /* enum conn_state; read by `stats conns` */
    uint8_t after_flush;   /* the state to go on with when the socket took all */
    bool wants_bytes;      /* what is buffered is no whole request: read first */
    bool closes_after_flush;
    bool owes_pause; /* served for a tenant with limits since its last pause */
    bool has_spoken; /* at least one byte has come */
    bool has_opened; /* its first bytes were looked at, and told enough */
    bool is_unclear; /* ... or not yet: they may be the head of a TLS record */
    bool had_upload; /* its last request had a large value */
    uint8_t close_reason;
    short armed;                  /* EV_READ, EV_WRITE: what the event waits for now */
    short io_wanted;              /* what a transport waits for, when not what the state does */
    _Atomic uint32_t last_active; /* Unix second of the last bytes; read by `stats conns` */
    unsigned budget;              /* requests left in this turn */
    size_t n_uploaded;            /* bytes of large values taken in this turn */
    struct worker *worker;
    const struct transport *transport;
    struct parser parser;
    struct session session;
    struct output *kept; /* replies kept between turns; NULL when there are none */
    struct input in;     /* bytes kept between turns; p is NULL when there are none */
    struct event event;

    const struct listener *listener;
    void *transport_state;
    _Atomic(const struct tenant *) shown_tenant; /* session.tenant, for `stats conns` */
    struct login *login;                         /* NULL until the first login message */
    uint64_t auth_generation;                    /* of the users when the rights were looked up */
    struct watcher *watcher;                     /* WATCH: the lines it is to get */
    struct event *timer;                         /* of conn_sleep; NULL until needed */
    struct upload_state *upload;                 /* VALUE: the storage command in progress */
    struct stream *stream;                       /* STREAM: where a long answer stands */
    uint64_t n_swallow;                          /* SWALLOW: bytes still to be discarded */
    struct conn *prev;                           /* the worker's list; under its conns_lock */
    struct conn *next;
    struct conn *next_in_queue; /* a list of the worker's */
    struct conn *prev_stranger; /* the worker's list: see strangers.h */
    struct conn *next_stranger;
    bool is_stranger;
    bool is_queued;
    bool is_resumed;                            /* YIELD: its turn has come */
    bool has_job;                               /* a job thread has it: it cannot be freed */
    bool is_job_done;                           /* the job's outcome is waiting */
    enum step (*job_finish)(struct conn *conn); /* JOB: takes the outcome, leaves the state */
    void *job_data;  /* JOB: what the job is about; freed with the connection */
    uint32_t opened; /* Unix second */
    union address peer;
};

/* A new connection on its worker; takes the socket over, also when it fails (false). */
MUST_USE bool conn_create(struct worker *worker, int fd, const struct listener *listener,
                          const union address *peer);

/* Runs steps until the connection waits or closes. */
void conn_run(struct conn *conn);

/* Ends the connection; it is freed when the turn is over. */
void conn_close(struct conn *conn, enum close_reason reason);

/* Waits, then goes on with `finish`, as if a job had taken that long. False when memory is short.
 */
MUST_USE bool conn_sleep(struct conn *conn, unsigned ms, enum step (*finish)(struct conn *));

/* A job thread has the connection now; when it is done (conn_job_done, on the worker) `finish`
 * takes the outcome. It is not called when the connection was closed meanwhile. */
void conn_wait_for_job(struct conn *conn, enum step (*finish)(struct conn *));
/* As if such a job had been done already. */
void conn_take_outcome(struct conn *conn, enum step (*finish)(struct conn *));
/* On the worker, by a message. */
void conn_job_done(struct conn *conn);

/* Called by the worker when the turn is over. */
void conn_free(struct conn *conn);

/* Writes the turn's output. AGAIN: all is out. WAIT: the rest is kept and the state is FLUSH; the
 * connection goes on with `next` when it is gone. CLOSE: the connection is broken. */
MUST_USE enum step conn_flush(struct conn *conn, enum conn_state next);

/* Closes it when its session has ended: user or secret removed, disabled or over. */
void conn_check_login(struct conn *conn);

/* Closes it when its timer has run out (once per second). */
void conn_check_timer(struct conn *conn, uint32_t now);

/* As `stats conns` shows it. */
const char *conn_state_name(enum conn_state state);

/* Thread: any. */
static inline enum conn_state state_now(const struct conn *conn)
{
    return (enum conn_state)atomic_load_explicit(&((struct conn *)conn)->state,
                                                 memory_order_relaxed);
}

/* The only way to another state. */
static inline void conn_enter(struct conn *conn, enum conn_state state)
{
    MUST(state_now(conn) != CONN_CLOSING);
    atomic_store_explicit(&conn->state, (uint8_t)state, memory_order_relaxed);
}

/* Does its transport hold bytes that were not read yet? */
static inline bool conn_has_pending(const struct conn *conn)
{
    return UNLIKELY(conn->transport->has_pending != NULL) && conn->transport->has_pending(conn);
}

#endif
