/* random.h - random bytes from the kernel.
 * Owns: nothing.   Thread: any.
 * Never: returns weak bytes; a kernel that gives none is a broken invariant. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>

/* Fills n bytes at out; waits only where the kernel has not gathered enough after a boot. */
void random_fill(void *out, size_t n);

#endif
