/* arrival.h - inputs as streams of bytes, and which answers may depend on how a stream arrives.
 * Owns: nothing.   Thread: one.
 * Never: used outside t/fuzz. */
#ifndef T_FUZZ_ARRIVAL_H
#define T_FUZZ_ARRIVAL_H

#include "base/bytes.h"

#include <stdbool.h>

#define EXPANDED_MAX (64u << 10)

/* FF n stands for n * 256 bytes, so that small inputs hold large values. `out` has EXPANDED_MAX;
 * returns the bytes used. */
size_t arrival_expand(struct slice input, uint8_t *out);

/* Are the answers to these bytes allowed to depend on how many of them come at once? */
bool arrival_matters(struct slice bytes);

#endif
