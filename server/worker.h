/* worker.h - a thread with an event loop, its connections and its buffers.
 * Owns: the connections from dispatch to close, the turn's input and output, its counters.
 * Thread: worker_post, worker_wake, worker_tell, the counters' readers: any; all else: the worker.
 * Never: waits for anything but its event loop. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "protocol/parse.h"
#include "server/counters.h"
#include "server/latency.h"
#include "server/output.h"
#include "server/server.h"

#include <pthread.h>

#define BATCH_MAX 128 /* requests parsed, hashed and prefetched together */

struct conn;
struct event;
struct event_base;
struct worker;

/* Something another thread asks of a worker. Embedded in what it is about. */
struct message {
    struct message *next;
    void (*run)(struct worker *worker, struct message *message);
    void (*drop)(struct message *message); /* instead, when the worker has ended; may be NULL */
};

/* Whether a request may go one of the short ways, told once: when it was parsed. */
enum entry_kind {
    ENTRY_OTHER,
    ENTRY_BARE_SET,  /* of which no struct request was made yet */
    ENTRY_BARE_GET,  /* likewise; the first kind of get */
    ENTRY_PLAIN_GET, /* text or binary */
    ENTRY_META_GET,  /* a plain one */
};

/* One request of a batch, and how to go back to before it. */
struct batch_entry {
    struct parser before; /* the parser's state there */
    uint32_t start;       /* offset of its first byte in the input */
    uint32_t n;           /* bytes of it that were there */
    uint8_t kind;         /* enum entry_kind */
    bool is_last;         /* as in its request */
    bool counts;          /* in the turn's budget: a line of many keys does so twice */
};

/* Requests that are parsed, hashed and prefetched together. What is looked at of a bare get is the
 * entry and the key, of a bare set that and the set: a struct request is large, and a batch of them
 * would fill the CPU's cache. */
struct batch {
    struct batch_entry entries[BATCH_MAX];
    struct cache_key keys[BATCH_MAX]; /* empty where a request has none */
    struct bare_set sets[BATCH_MAX];
    struct request requests[BATCH_MAX];
};

/* Received bytes: p[at..n) is not consumed yet. */
struct input {
    uint8_t *p;
    size_t at;
    size_t n;
    size_t capacity;
};

#define WORKER_INPUT (64u << 10) /* bytes read at once */

struct worker {
    struct server *server;
    unsigned id;
    pthread_t thread;
    struct event_base *base;
    struct cache_thread *cache_thread;
    bool is_online;
    bool is_draining;     /* connections end when all they sent is answered */
    uint32_t now;         /* the turn's second */
    unsigned turn_budget; /* requests of one connection in one turn */

    struct input in;   /* shared by all its connections: empty between turns */
    struct output out; /* likewise */
    struct batch *batch;

    uint8_t *record; /* where TLS gathers scattered output; NULL until needed */
    size_t record_capacity;

    struct worker_counters *counters;
    struct latency_sample sample; /* of the turn of a connection, if it is timed */
    unsigned n_until_draw;        /* gets until one is drawn for the hot keys */
    uint32_t draw_random;
    struct conn *ready;         /* yielded, to be resumed after the others had their turn */
    struct conn *closed;        /* to be freed at the end of the turn */
    struct conn *first_shaking; /* they go on with their handshakes */
    struct conn *last_shaking;
    bool has_shaken; /* in this turn: what else goes on is for the job threads */
    unsigned n_conns;
    struct conn *first_stranger; /* nobody is logged in there: see strangers.h */
    struct conn *last_stranger;

    pthread_mutex_t conns_lock; /* covers the list below: `stats conns` reads it from elsewhere */
    struct conn *conns;

    pthread_mutex_t mail_lock; /* covers the two below */
    struct message *mail_first;
    struct message *mail_last;
    int wake_fd; /* eventfd */
    struct event *wake_event;
    int tick_fd; /* timerfd: a timer of the event loop would read the clock in each turn */
    struct event *tick_event;
    unsigned n_ticks; /* seconds since its loop began, or began to stop */
    atomic_bool is_stopping;
};

/* NULL when memory or descriptors are short. Destroyed when its thread has stopped, and no job or
 * message can come any more; what connections are left are freed then. */
MUST_USE struct worker *worker_create(struct server *server, unsigned id);
void worker_destroy(struct worker **worker);
MUST_USE bool worker_start(struct worker *worker);
/* Asks it to close its connections and to end; worker_stop waits for that. */
void worker_begin_stop(struct worker *worker);
void worker_stop(struct worker *worker);

/* Queues a message; it runs only after a worker_wake: one for a whole burst. True: none waited
 * there that brings a wake of its own. */
bool worker_post(struct worker *worker, struct message *message);
void worker_wake(struct worker *worker);
/* Queues a message that runs soon. */
void worker_tell(struct worker *worker, struct message *message);

/* The worker is about to read items; ends by itself when the turn is over. */
void worker_go_online(struct worker *worker);
static inline void worker_online(struct worker *worker)
{
    if (UNLIKELY(!worker->is_online))
        worker_go_online(worker);
}

/* Puts a connection on the list of those that go on without waiting for their socket. */
void worker_make_ready(struct worker *worker, struct conn *conn);

/* Has the connection go on with its handshake at the end of a turn, when those that are served have
 * been answered, in the order of the calls. */
void worker_shake_later(struct worker *worker, struct conn *conn);

/* Has a closed connection freed at the end of the turn. While a list of those that go on or a
 * job thread knows it nothing happens: whoever lets it go last calls again. */
void worker_let_go(struct worker *worker, struct conn *conn);

/* What follows the events of a turn: those that are ready go on, closed ones are freed. Part of the
 * worker's loop; called by tests that have no loop. */
void worker_end_turn(struct worker *worker);

#endif
