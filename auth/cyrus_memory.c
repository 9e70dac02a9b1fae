#include "auth/cyrus_memory.h"

#include "base/secret.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define UNIT    64u
#define N_UNITS (((size_t)2 << 20) / UNIT) /* not resident until it is needed */

/* First fit; a block's first unit holds its number of units. */
static struct {
    pthread_mutex_t lock;
    size_t n_used;
    uint8_t is_used[N_UNITS];
    _Alignas(UNIT) uint8_t units[N_UNITS][UNIT];
} reserve = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_in_reserve(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)reserve.units &&
           (uintptr_t)p < (uintptr_t)reserve.units + sizeof reserve.units;
}

static size_t find_free(size_t n)
{
    for (size_t at = 0, n_free = 0; at < N_UNITS; at++) {
        n_free = reserve.is_used[at] ? 0 : n_free + 1;
        if (n_free == n)
            return at + 1 - n;
    }
    return N_UNITS;
}

static void *take(size_t n)
{
    if (n > sizeof reserve.units / 2)
        return NULL;
    size_t n_units = 1 + (n + UNIT - 1) / UNIT;
    pthread_mutex_lock(&reserve.lock);
    size_t at = find_free(n_units);
    if (at < N_UNITS) {
        memset(&reserve.is_used[at], 1, n_units);
        reserve.n_used += n_units;
    }
    pthread_mutex_unlock(&reserve.lock);
    if (at == N_UNITS)
        return NULL;
    memcpy(reserve.units[at], &n_units, sizeof n_units);
    return reserve.units[at + 1];
}

static size_t n_units_of(const void *p)
{
    size_t n_units;
    memcpy(&n_units, (const uint8_t *)p - UNIT, sizeof n_units);
    return n_units;
}

static size_t size_of(void *p)
{
    return is_in_reserve(p) ? (n_units_of(p) - 1) * UNIT : malloc_usable_size(p);
}

static void give_back(void *p)
{
    size_t n_units = n_units_of(p);
    size_t at = (size_t)((uint8_t *)p - reserve.units[0]) / UNIT - 1;
    pthread_mutex_lock(&reserve.lock);
    memset(&reserve.is_used[at], 0, n_units);
    reserve.n_used -= n_units;
    pthread_mutex_unlock(&reserve.lock);
}

void *cyrus_malloc(size_t n)
{
    void *p = malloc(n);
    return p != NULL ? p : take(n);
}

void *cyrus_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p != NULL || (size > 0 && n > SIZE_MAX / size))
        return p;
    p = take(n * size);
    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

void *cyrus_realloc(void *p, size_t n)
{
    void *moved = cyrus_malloc(n);
    if (p == NULL || moved == NULL)
        return moved;
    size_t n_old = size_of(p);
    memcpy(moved, p, n_old < n ? n_old : n);
    cyrus_free(p);
    return moved;
}

void cyrus_free(void *p)
{
    if (p == NULL)
        return;
    secret_wipe(p, size_of(p));
    if (is_in_reserve(p))
        give_back(p);
    else
        free(p);
}

bool cyrus_memory_is_short(void)
{
    pthread_mutex_lock(&reserve.lock);
    bool is_short = reserve.n_used > N_UNITS / 2;
    pthread_mutex_unlock(&reserve.lock);
    return is_short;
}
