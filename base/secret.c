#include "base/secret.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_NEAR (4u << 10)
#define STACK_OWN  (16u << 10)
#define STACK_DEEP (128u << 10)

/* Each secret has pages of its own: mlock and MADV_DONTDUMP act on pages. */
static size_t pages_for(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page;
}

struct secret *secret_create(size_t capacity)
{
    struct secret *secret = malloc(sizeof *secret);
    if (secret == NULL)
        return NULL;
    if (capacity == 0)
        capacity = 1;
    size_t n_map = pages_for(capacity);
    void *p = mmap(NULL, n_map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(secret);
        return NULL;
    }
    /* Both are favours: a small RLIMIT_MEMLOCK must not end logins. */
    (void)mlock(p, n_map);
    (void)madvise(p, n_map, MADV_DONTDUMP);
    *secret = (struct secret){.p = p, .n = 0, .capacity = capacity};
    return secret;
}

void secret_destroy(struct secret **secret)
{
    struct secret *s = *secret;
    if (s == NULL)
        return;
    *secret = NULL;
    size_t n_map = pages_for(s->capacity);
    secret_wipe(s->p, s->capacity);
    (void)munmap(s->p, n_map);
    free(s);
}

bool secret_append(struct secret *secret, struct slice bytes)
{
    if (bytes.n > secret->capacity - secret->n)
        return false;
    if (bytes.n > 0)
        memcpy(secret->p + secret->n, bytes.p, bytes.n);
    secret->n += bytes.n;
    return true;
}

void secret_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

__attribute__((noinline)) void secret_wipe_near_stack(void)
{
    uint8_t left_behind[STACK_NEAR];
    explicit_bzero(left_behind, sizeof left_behind);
}

__attribute__((noinline)) void secret_wipe_stack(void)
{
    uint8_t left_behind[STACK_OWN];
    explicit_bzero(left_behind, sizeof left_behind);
}

__attribute__((noinline)) void secret_wipe_deep_stack(void)
{
    uint8_t left_behind[STACK_DEEP];
    explicit_bzero(left_behind, sizeof left_behind);
}

bool secret_equal(struct slice a, struct slice b)
{
    volatile uint8_t difference = a.n == b.n ? 0 : 1;
    for (size_t i = 0; i < b.n; i++) {
        uint8_t other = a.n > 0 ? a.p[i % a.n] : 0;
        difference = (uint8_t)(difference | (other ^ b.p[i]));
    }
    return difference == 0;
}
