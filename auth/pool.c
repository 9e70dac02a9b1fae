#include "auth/pool.h"

#include "base/schedule.h"
#include "base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pool_job *first; /* by start_ms; equal times in the order of arrival */
    struct pool_job *last;
    unsigned n_waiting;
    unsigned n_running;
    unsigned queue_max;
    unsigned n_ready;
    bool is_stopping;
    unsigned n_threads;
    pthread_t threads[];
};

static uint64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void unlink_job(struct pool *pool, struct pool_job *job)
{
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        pool->first = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        pool->last = job->previous;
    job->next = job->previous = NULL;
    job->is_waiting = false;
    pool->n_waiting--;
}

static void link_job(struct pool *pool, struct pool_job *job)
{
    struct pool_job *before = pool->last;
    while (before != NULL && before->start_ms > job->start_ms)
        before = before->previous;
    job->previous = before;
    job->next = before != NULL ? before->next : pool->first;
    if (job->next != NULL)
        job->next->previous = job;
    else
        pool->last = job;
    if (before != NULL)
        before->next = job;
    else
        pool->first = job;
    job->is_waiting = true;
    pool->n_waiting++;
}

/* Waits for a job whose time has come. NULL: the pool is stopping. Called with the lock. */
static struct pool_job *next_job(struct pool *pool, uint64_t *now_out)
{
    for (;;) {
        struct pool_job *job = pool->first;
        if (pool->is_stopping)
            return NULL;
        if (job == NULL) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        *now_out = clock_ms();
        if (job->start_ms <= *now_out) {
            unlink_job(pool, job);
            return job;
        }
        struct timespec until = {.tv_sec = (time_t)(job->start_ms / 1000),
                                 .tv_nsec = (long)(job->start_ms % 1000) * 1000000};
        (void)pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
    }
}

static void *pool_thread(void *arg)
{
    struct pool *pool = arg;
    uint64_t now_ms = 0;
    schedule_give_way();
    pthread_mutex_lock(&pool->lock);
    pool->n_ready++;
    pthread_cond_broadcast(&pool->changed);
    for (;;) {
        struct pool_job *job = next_job(pool, &now_ms);
        if (job == NULL)
            break;
        pool->n_running++;
        pthread_mutex_unlock(&pool->lock);
        job->run(job, now_ms);
        secret_wipe_stack(); /* what checks a password copies it to its own */
        pthread_mutex_lock(&pool->lock);
        pool->n_running--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static bool pool_init(struct pool *pool)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return false;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int result = pthread_cond_init(&pool->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return result == 0;
}

/* Threads lower their priority while they still may: the server gives up that right later. */
static void await_threads(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->n_ready < pool->n_threads)
        pthread_cond_wait(&pool->changed, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

struct pool *pool_create(unsigned n_threads, unsigned queue_max)
{
    struct pool *pool = calloc(1, sizeof *pool + n_threads * sizeof *pool->threads);
    if (pool == NULL)
        return NULL;
    pool->queue_max = queue_max;
    if (!pool_init(pool)) {
        free(pool);
        return NULL;
    }
    for (unsigned i = 0; i < n_threads; i++) {
        if (pthread_create(&pool->threads[i], NULL, pool_thread, pool) != 0) {
            pool_destroy(&pool);
            return NULL;
        }
        pool->n_threads++;
    }
    await_threads(pool);
    return pool;
}

void pool_destroy(struct pool **pool)
{
    struct pool *p = *pool;
    if (p == NULL)
        return;
    *pool = NULL;
    pthread_mutex_lock(&p->lock);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    MUST(p->n_waiting == 0);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

bool pool_add(struct pool *pool, struct pool_job *job, bool is_again)
{
    pthread_mutex_lock(&pool->lock);
    bool is_taken = is_again || pool->n_waiting < pool->queue_max;
    if (is_taken) {
        if (!is_again)
            job->added_ms = clock_ms();
        link_job(pool, job);
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_taken) /* behind the lock, which the woken thread wants */
        pthread_cond_signal(&pool->changed);
    return is_taken;
}

bool pool_remove(struct pool *pool, struct pool_job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool is_mine = job->is_waiting;
    if (is_mine)
        unlink_job(pool, job);
    pthread_mutex_unlock(&pool->lock);
    return is_mine;
}

unsigned pool_load(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned load = pool->n_waiting + pool->n_running;
    pthread_mutex_unlock(&pool->lock);
    return load;
}
