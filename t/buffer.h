/* buffer.h - bytes that a test collects: they grow as they come.
 * Owns: the bytes; release them with free(p).   Thread: the caller's.
 * Never: used in what is tested. */
#ifndef T_BUFFER_H
#define T_BUFFER_H

#include "base/must.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Begins as zeros. */
struct buffer {
    uint8_t *p;
    size_t n;
    size_t capacity;
};

/* There is room for n bytes more behind those that are there. */
static inline void buffer_reserve(struct buffer *buffer, size_t n)
{
    if (buffer->capacity - buffer->n >= n)
        return;
    buffer->capacity = 2 * (buffer->n + n) + 4096;
    buffer->p = realloc(buffer->p, buffer->capacity);
    MUST(buffer->p != NULL);
}

static inline void buffer_put(struct buffer *buffer, const void *p, size_t n)
{
    if (n == 0)
        return;
    buffer_reserve(buffer, n);
    memcpy(buffer->p + buffer->n, p, n);
    buffer->n += n;
}

/* At most 511 bytes at once. */
__attribute__((format(printf, 2, 3))) static inline void buffer_print(struct buffer *buffer,
                                                                      const char *format, ...)
{
    char room[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(room, sizeof room, format, list);
    va_end(list);
    MUST(n >= 0 && (size_t)n < sizeof room);
    buffer_put(buffer, room, (size_t)n);
}

#endif
