/* cyrus_memory.h - the allocator that cyrus is given: it wipes what it frees, and does not fail.
 * Owns: a reserve for the whole process, as cyrus has one allocator for the whole process.
 * Thread: any.
 * Never: returns NULL while the reserve lasts: several of cyrus's calls do not survive that. */
#ifndef AUTH_CYRUS_MEMORY_H
#define AUTH_CYRUS_MEMORY_H

#include "base/must.h"

#include <stdbool.h>
#include <stddef.h>

/* The signatures of sasl_set_alloc. */
void *cyrus_malloc(size_t n);
void *cyrus_calloc(size_t n, size_t size);
void *cyrus_realloc(void *p, size_t n);
void cyrus_free(void *p);

/* The system gave nothing lately and the reserve is needed by what has begun: begin nothing. */
MUST_USE bool cyrus_memory_is_short(void);

#endif
