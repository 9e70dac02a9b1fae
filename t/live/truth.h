/* truth.h - one run of truth: what was asked for, its clients, and what each of them knows.
 * Owns: nothing; truth.c makes and frees them.
 * Thread: a client is one thread's; a run is shared, and constant but for its atomics.
 * Never: goes on after a surprise (truth_peer.h). */
#ifndef T_LIVE_TRUTH_H
#define T_LIVE_TRUTH_H

#include "t/live/truth_peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define N_CLIENTS_MAX 256
#define N_BATCH       8 /* requests sent together */
#define VALUE_HEAD    40

struct run {
    struct peer_config peer;
    unsigned seconds;
    unsigned n_clients;
    unsigned n_keys;
    unsigned size_max;
    bool may_miss;
    bool flushes;
    bool changes_limits;
    bool has_ttls;
    bool may_lose;
    int tls_port; /* 0: none */
    atomic_bool is_over;
    _Atomic uint64_t n_requests;
    _Atomic uint64_t n_misses;
    _Atomic uint64_t n_successes;
    _Atomic uint64_t n_losses;
    _Atomic uint64_t generation;
    struct client *clients;
};

struct client {
    struct run *run;
    pthread_t thread;
    unsigned id;
    unsigned role; /* everything: index of what it does */
    uint64_t random;
    void *(*work)(void *);
    struct peer *peer;
    uint32_t *stored;   /* values: version of each own key, 0 none */
    uint32_t *oldest;   /* values: after a loss, any version from this one to stored may be there */
    uint64_t *lives_to; /* values: milliseconds; a miss before is wrong */
    uint64_t *ends_at;  /* values: milliseconds; a hit after is wrong; 0 never */
    uint32_t *versions; /* values: the last one given to it */
    uint32_t *seen;     /* values: of each key of each client, the newest that was read */
    uint64_t *told;     /* counters, cas: numbers that an answer told */
    size_t n_told;
    size_t told_capacity;
    char *room;
    jmp_buf loss;
    struct peer_config config;
    struct timespec end;
};

uint32_t client_random(struct client *c);

/* Is its time not over? */
bool client_goes_on(struct client *c);

/* So many requests were answered. */
void client_count(struct client *c, unsigned n);

/* Notes a number for the check behind the run. */
void client_tell(struct client *c, uint64_t number);

/* What clients do until their time is over (truth_values.c, truth_updates.c). */
void *run_values(void *client);
void *run_counters(void *client);
void *run_cas(void *client);
void *run_add(void *client);
void *run_append(void *client);

/* Before the run: counters, registers and lists are there. */
void start_updates(struct run *run);

/* Behind the run, when no client works any more. */
void check_counters(struct run *run);
void check_cas(struct run *run);
void check_add(struct run *run);
void check_append(struct run *run);

/* All that was told to the clients of a role, in order; none twice. The caller frees it. */
uint64_t *collect_role(struct run *run, unsigned role, size_t *n_out);

#endif
