/* fence.h - test input that ends at an unreadable page: reading one byte too many is a crash. */
#ifndef T_UNIT_FENCE_H
#define T_UNIT_FENCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fence {
    uint8_t *base;
    size_t n_usable;
};

static inline struct fence fence_create(size_t n_usable)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n = (n_usable + page - 1) / page * page;
    void *base = mmap(NULL, n + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect((uint8_t *)base + n, page, PROT_NONE) != 0)
        abort();
    return (struct fence){base, n};
}

static inline void fence_destroy(struct fence *fence)
{
    munmap(fence->base, fence->n_usable + (size_t)sysconf(_SC_PAGESIZE));
    fence->base = NULL;
}

/* A copy of the bytes whose last byte is the last readable one. */
static inline uint8_t *fence_place(const struct fence *fence, const void *bytes, size_t n)
{
    if (n > fence->n_usable)
        abort();
    uint8_t *at = fence->base + fence->n_usable - n;
    if (n > 0)
        memcpy(at, bytes, n);
    return at;
}

#endif
