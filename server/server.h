/* server.h - what all parts of the server share.
 * Owns: see main.c, which creates and destroys every part in order.
 * Thread: fields are constant after start unless they are atomic.
 * Never: is a place for policy. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "cache/cache.h"
#include "server/listen_socket.h"
#include "server/settings.h"

#include <pthread.h>
#include <stdatomic.h>

struct listener_set;
struct log;
struct metrics;
struct jobs;
struct auth;
struct takeover;
struct tenants;
struct watch;
struct tls;
struct udp_set;
struct worker;

struct server {
    struct settings *settings; /* constant after start; what changes live is atomic below */
    struct cache *cache;
    struct log *log;
    struct tenants *tenants;
    struct watch *watch;
    struct auth *auth; /* NULL when no login is configured */
    struct tls *tls;   /* NULL without -Z */
    struct jobs *jobs; /* NULL without TLS and logins */
    struct listener_set *listeners;
    struct takeover *takeover; /* NULL without --takeover */
    struct metrics *metrics;   /* NULL without --metrics */
    struct udp_set *udp;       /* NULL without -U */
    struct worker **workers;
    unsigned n_workers;
    bool workers_share;          /* there are more of them than processors */
    struct listen_handed handed; /* listening sockets of the service manager or the predecessor */

    pthread_mutex_t refresh_lock;  /* files are read again by one thread at a time */
    pthread_mutex_t memory_lock;   /* cache_memlimit is carried out for one thread at a time */
    size_t segment_size;           /* bytes; what guarantees count in. 0: no login is configured */
    int stop_fd;                   /* eventfd of the main loop: see server_stop */
    uint32_t started;              /* Unix second of the start */
    _Atomic uint32_t now;          /* Unix seconds; the master's tick publishes it */
    _Atomic uint64_t memory_limit; /* cache_memlimit changes it */
    atomic_int verbosity;
    atomic_uint trace_readers;   /* bits by enum trace_reader: who wants to see requests */
    atomic_uint n_connections;   /* open now, or on their way with a place kept */
    atomic_uint n_strangers;     /* of those, without a login that is required */
    atomic_uint n_structures;    /* connection objects allocated */
    _Atomic uint64_t n_rejected; /* connections refused by maxconns_fast */
    _Atomic uint64_t n_listen_disabled;
    _Atomic uint64_t listen_disabled_us;
    atomic_bool is_crawler_on; /* lru_crawler enable, disable: whether dumps are answered */
    atomic_bool is_accepting;
    atomic_bool is_stopping;
    atomic_bool is_graceful; /* the stop was asked for by SIGUSR1 or `shutdown graceful` */
};

static inline uint32_t server_now(const struct server *server)
{
    return atomic_load_explicit(&((struct server *)server)->now, memory_order_relaxed);
}

/* Ends the main loop from any thread; the process then stops in order. */
void server_stop(struct server *server, bool is_graceful);

#endif
