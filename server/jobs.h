/* jobs.h - threads for work that would hold a worker up: TLS handshakes, files read again.
 * Owns: its threads and the queue; a job belongs to whoever submitted it.
 * Thread: jobs_submit any; the job's function runs on a job thread, which gives way to workers.
 * Never: keeps more jobs than there are connections (each connection has one at most). */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include "base/must.h"

struct jobs;

/* Embedded in what the job is about. */
struct job {
    struct job *next;
    void (*run)(struct job *job);
};

/* NULL when a thread cannot be started. */
MUST_USE struct jobs *jobs_create(unsigned n_threads);
/* Finishes the queue and joins the threads. Accepts NULL, clears. */
void jobs_destroy(struct jobs **jobs);
/* Runs it when those before have begun; it must stay where it is until it has run. */
void jobs_submit(struct jobs *jobs, struct job *job);

#endif
