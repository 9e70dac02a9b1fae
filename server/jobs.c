#include "server/jobs.h"

#include "base/schedule.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct jobs {
    pthread_mutex_t lock; /* covers what follows */
    pthread_cond_t is_changed;
    struct job *first;
    struct job *last;
    bool is_stopping;
    unsigned n_ready;
    unsigned n_threads;
    pthread_t threads[];
};

static struct job *next_job(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    while (jobs->first == NULL && !jobs->is_stopping)
        pthread_cond_wait(&jobs->is_changed, &jobs->lock);
    struct job *job = jobs->first;
    if (job != NULL) {
        jobs->first = job->next;
        if (jobs->first == NULL)
            jobs->last = NULL;
    }
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

static void *run(void *arg)
{
    struct jobs *jobs = arg;
    struct job *job;
    schedule_give_way();
    pthread_mutex_lock(&jobs->lock);
    jobs->n_ready++;
    pthread_cond_broadcast(&jobs->is_changed);
    pthread_mutex_unlock(&jobs->lock);
    while ((job = next_job(jobs)) != NULL)
        job->run(job);
    return NULL;
}

/* Threads lower their priority while they still may: the server gives up that right later. */
static void await_threads(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    while (jobs->n_ready < jobs->n_threads)
        pthread_cond_wait(&jobs->is_changed, &jobs->lock);
    pthread_mutex_unlock(&jobs->lock);
}

struct jobs *jobs_create(unsigned n_threads)
{
    struct jobs *jobs = calloc(1, sizeof *jobs + n_threads * sizeof jobs->threads[0]);
    if (jobs == NULL)
        return NULL;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->is_changed, NULL);
    for (; jobs->n_threads < n_threads; jobs->n_threads++) {
        if (pthread_create(&jobs->threads[jobs->n_threads], NULL, run, jobs) != 0) {
            jobs_destroy(&jobs);
            return NULL;
        }
        (void)pthread_setname_np(jobs->threads[jobs->n_threads], "keepd-job");
    }
    await_threads(jobs);
    return jobs;
}

void jobs_destroy(struct jobs **jobs)
{
    struct jobs *j = *jobs;
    if (j == NULL)
        return;
    *jobs = NULL;
    pthread_mutex_lock(&j->lock);
    j->is_stopping = true;
    pthread_cond_broadcast(&j->is_changed);
    pthread_mutex_unlock(&j->lock);
    for (unsigned i = 0; i < j->n_threads; i++)
        (void)pthread_join(j->threads[i], NULL);
    pthread_cond_destroy(&j->is_changed);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

void jobs_submit(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->last != NULL)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
    pthread_cond_signal(&jobs->is_changed);
    pthread_mutex_unlock(&jobs->lock);
}
