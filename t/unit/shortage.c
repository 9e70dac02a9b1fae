#include "t/unit/shortage.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "t/unit/unit.h"

#define N_BUCKETS   4096u
#define N_SLOTS     64u
#define N_CALLS_MAX 10000000u

/* libconfuse cannot free what it has half built when memory ran out: that is left, not crashed on.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfuse\n";
}

static atomic_bool is_on;
static atomic_uint n_calls;
static atomic_uint which; /* the call that fails; 0: none */
static atomic_bool has_struck;

/* Blocks that our code holds. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t blocks[N_BUCKETS][N_SLOTS];
static long n_blocks;
static long n_mapped;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void __real_free(void *p);
void *__real_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t n);
int __real_mprotect(void *p, size_t n, int protection);
int __real_eventfd(unsigned count, int flags);
FILE *__real_open_memstream(char **text, size_t *n);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t n);
int __wrap_mprotect(void *p, size_t n, int protection);
int __wrap_eventfd(unsigned count, int flags);
FILE *__wrap_open_memstream(char **text, size_t *n);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);

static bool is_refused(int error)
{
    if (!is_on || atomic_fetch_add(&n_calls, 1) + 1 != which)
        return false;
    has_struck = true;
    errno = error;
    return true;
}

/* Puts `to` where `from` was; 0 is an empty slot. */
static bool exchange_block(uintptr_t place, uintptr_t from, uintptr_t to)
{
    uintptr_t *bucket = blocks[(place >> 4) * 0x9e3779b97f4a7c15u >> 52];
    for (unsigned i = 0; i < N_SLOTS; i++)
        if (bucket[i] == from) {
            bucket[i] = to;
            return true;
        }
    return false;
}

static void *hold(void *p)
{
    if (p == NULL)
        return NULL;
    pthread_mutex_lock(&mutex);
    if (!exchange_block((uintptr_t)p, 0, (uintptr_t)p))
        abort();
    n_blocks++;
    pthread_mutex_unlock(&mutex);
    return p;
}

/* Before p is really freed: another thread may get it at once. */
static bool release(void *p)
{
    if (p == NULL)
        return false;
    pthread_mutex_lock(&mutex);
    bool was_held = exchange_block((uintptr_t)p, (uintptr_t)p, 0);
    n_blocks -= was_held;
    pthread_mutex_unlock(&mutex);
    return was_held;
}

void *__wrap_malloc(size_t n)
{
    return is_refused(ENOMEM) ? NULL : hold(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused(ENOMEM) ? NULL : hold(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (is_refused(ENOMEM))
        return NULL;
    (void)release(p);
    return hold(__real_realloc(p, n));
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return is_refused(ENOMEM) ? NULL : hold(__real_aligned_alloc(alignment, n));
}

char *__wrap_strdup(const char *text)
{
    return is_refused(ENOMEM) ? NULL : hold(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t n)
{
    return is_refused(ENOMEM) ? NULL : hold(__real_strndup(text, n));
}

void __wrap_free(void *p)
{
    (void)release(p);
    __real_free(p);
}

void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (is_refused(ENOMEM))
        return MAP_FAILED;
    void *mapped = __real_mmap(p, n, protection, flags, fd, offset);
    if (mapped != MAP_FAILED && (flags & MAP_FIXED) == 0) {
        pthread_mutex_lock(&mutex);
        n_mapped += (long)n;
        pthread_mutex_unlock(&mutex);
    }
    return mapped;
}

int __wrap_munmap(void *p, size_t n)
{
    pthread_mutex_lock(&mutex);
    n_mapped -= (long)n;
    pthread_mutex_unlock(&mutex);
    return __real_munmap(p, n);
}

int __wrap_mprotect(void *p, size_t n, int protection)
{
    return is_refused(ENOMEM) ? -1 : __real_mprotect(p, n, protection);
}

int __wrap_eventfd(unsigned count, int flags)
{
    return is_refused(EMFILE) ? -1 : __real_eventfd(count, flags);
}

FILE *__wrap_open_memstream(char **text, size_t *n)
{
    return is_refused(ENOMEM) ? NULL : __real_open_memstream(text, n);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return is_refused(EAGAIN) ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

void shortage_begin(void)
{
    is_on = true;
}

bool shortage_end(void)
{
    return atomic_exchange(&is_on, false);
}

bool shortage_has_struck(void)
{
    return has_struck;
}

struct held {
    long n_blocks;
    long n_mapped;
    long n_descriptors;
};

static struct held held_now(void)
{
    struct held held = {n_blocks, n_mapped, 0};
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        held.n_descriptors++;
    closedir(dir);
    return held;
}

static struct held run_with(void (*scenario)(void), unsigned n)
{
    n_calls = 0;
    has_struck = false;
    which = n;
    scenario();
    is_on = false;
    return held_now();
}

/* How much more is held after a run than before it. */
static struct held lost_by(void (*scenario)(void), unsigned n)
{
    struct held before = held_now(), after = run_with(scenario, n);
    return (struct held){after.n_blocks - before.n_blocks, after.n_mapped - before.n_mapped,
                         after.n_descriptors - before.n_descriptors};
}

static bool is_more(const struct held *lost, const struct held *usual)
{
    return lost->n_blocks > usual->n_blocks || lost->n_mapped > usual->n_mapped ||
           lost->n_descriptors > usual->n_descriptors;
}

/* What one run leaves behind may be kept for later ones; what each run leaves is lost. */
static void check_leaks(const char *name, void (*scenario)(void), unsigned n, struct held lost,
                        const struct held *usual)
{
    for (int i = 0; i < 3 && is_more(&lost, usual); i++)
        lost = lost_by(scenario, n);
    ck_assert_msg(!is_more(&lost, usual),
                  "%s: call %u fails: %ld blocks, %ld bytes mapped, %ld descriptors lost", name, n,
                  lost.n_blocks, lost.n_mapped, lost.n_descriptors);
}

/* Some scenarios make tens of thousands of calls, all in one loop. */
static unsigned next_place(unsigned n)
{
    return n < 128 ? n + 1 : n + n / 4;
}

static void torture(const struct scenario *scenario)
{
    const char *name = scenario->name;
    (void)lost_by(scenario->run, 0);
    struct held usual = lost_by(scenario->run, 0);
    ck_assert_msg(n_calls > 0, "%s: nothing is asked for", name);
    unsigned n_failed = 0;
    for (unsigned n = 1; n < N_CALLS_MAX; n = next_place(n), n_failed++) {
        struct held lost = lost_by(scenario->run, n);
        bool is_last = !has_struck;
        check_leaks(name, scenario->run, n, lost, &usual);
        if (!is_last)
            continue;
        fprintf(stderr, "# %s: %u calls failed\n", name, n_failed);
        ck_assert_uint_gt(n_failed, 0);
        return;
    }
    ck_abort_msg("%s: no end after %u calls", name, N_CALLS_MAX);
}

static const struct scenario *all_scenarios;

START_TEST(each_call_fails_once)
{
    torture(&all_scenarios[_i]);
}
END_TEST

Suite *shortage_suite(const char *name, const struct scenario *scenarios, size_t n,
                      void (*setup)(void), void (*teardown)(void))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    all_scenarios = scenarios;
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, each_call_fails_once, 0, (int)n);
    suite_add_tcase(suite, tcase);
    return suite;
}
