/* secret.h - bytes that must not be seen: passwords and keys on their way through the process.
 * Owns: its bytes, in memory that is kept out of core dumps and, where allowed, out of swap.
 * Thread: one at a time.
 * Never: prints them; leaves them behind after secret_destroy; compares them in a time that
 * depends on their content. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/bytes.h"
#include "base/must.h"

struct secret {
    uint8_t *p;      /* NULL after secret_destroy */
    size_t n;        /* bytes in use */
    size_t capacity; /* bytes that fit */
};

/* A secret of up to capacity bytes, empty. NULL when memory is short. */
MUST_USE struct secret *secret_create(size_t capacity);

/* Wipes and frees; accepts NULL, clears the pointer. */
void secret_destroy(struct secret **secret);

/* Appends; false when it does not fit (nothing is written then). */
MUST_USE bool secret_append(struct secret *secret, struct slice bytes);

/* Wipes a buffer so that the compiler cannot leave it out. */
void secret_wipe(void *p, size_t n);

/* Wipes what functions that have returned to the caller left on the stack: as deep as one hash goes
 * (4 KiB), as code of this project and of OpenSSL goes (16 KiB), and as plug-ins of others may go
 * (128 KiB). */
void secret_wipe_near_stack(void);
void secret_wipe_stack(void);
void secret_wipe_deep_stack(void);

/* Equal length and bytes? The time depends on b.n only. */
MUST_USE bool secret_equal(struct slice a, struct slice b);

#endif
