#include "cache/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define CREW_MAX 16

struct crew {
    struct cache *cache;
    crew_work *work;
    void *arg;
    size_t n_pieces;
    atomic_size_t next;
    atomic_bool has_failed;
    atomic_uint n_present; /* threads that could begin */
};

static void *run(void *arg)
{
    struct crew *crew = arg;
    struct cache_thread *thread = cache_thread_create(crew->cache);
    if (thread == NULL)
        return NULL;
    atomic_fetch_add(&crew->n_present, 1);
    cache_thread_online(thread);
    while (!atomic_load(&crew->has_failed)) {
        size_t piece = atomic_fetch_add(&crew->next, 1);
        if (piece >= crew->n_pieces)
            break;
        if (!crew->work(thread, crew->arg, piece))
            atomic_store(&crew->has_failed, true);
    }
    cache_thread_destroy(&thread);
    return NULL;
}

static unsigned choose_n_threads(size_t n_pieces)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > CREW_MAX)
        n = CREW_MAX;
    if (n > 0 && (size_t)n > n_pieces)
        n = (long)n_pieces;
    return n < 1 ? 1 : (unsigned)n;
}

bool crew_run(struct cache *cache, size_t n_pieces, crew_work *work, void *arg)
{
    struct crew crew = {.cache = cache, .work = work, .arg = arg, .n_pieces = n_pieces};
    pthread_t threads[CREW_MAX];
    unsigned n_threads = choose_n_threads(n_pieces), n_started = 0;
    while (n_started + 1 < n_threads && pthread_create(&threads[n_started], NULL, run, &crew) == 0)
        n_started++;
    run(&crew);
    for (unsigned i = 0; i < n_started; i++)
        (void)pthread_join(threads[i], NULL);
    return atomic_load(&crew.n_present) > 0 && !atomic_load(&crew.has_failed);
}
