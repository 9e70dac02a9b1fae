/* pool.h - the auth threads and their bounded queue.
 * Owns: the threads; jobs belong to the caller and are linked in while they wait.
 * Thread: any.
 * Never: runs a job before its time; lets more than the bound wait. */
#ifndef AUTH_POOL_H
#define AUTH_POOL_H

#include "base/must.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;

struct pool_job {
    struct pool_job *next; /* the pool's, while it waits */
    struct pool_job *previous;
    uint64_t start_ms; /* CLOCK_MONOTONIC; not before this time */
    uint64_t added_ms; /* when pool_add took it, waits of its own not counted */
    bool is_waiting;   /* under the pool's lock */
    void (*run)(struct pool_job *job, uint64_t now_ms);
};

/* NULL when threads cannot be started. */
MUST_USE struct pool *pool_create(unsigned n_threads, unsigned queue_max);

/* Waits for running jobs; no job may be waiting. Accepts NULL, clears. */
void pool_destroy(struct pool **pool);

/* False: the queue is full. A job that runs may add itself again (is_again: it keeps its place in
 * the bound), after which it must not touch itself any more. */
MUST_USE bool pool_add(struct pool *pool, struct pool_job *job, bool is_again);

/* Takes a waiting job back; false when it runs or has run. */
bool pool_remove(struct pool *pool, struct pool_job *job);

/* Jobs waiting and running. */
unsigned pool_load(struct pool *pool);

#endif
