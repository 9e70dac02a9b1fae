/* fuzz.h - what every fuzz target has: the entry that libFuzzer and replay.c call, and a check that
 * holds in every build.
 * Owns: nothing.   Thread: one.
 * Never: used outside t/fuzz. */
#ifndef T_FUZZ_FUZZ_H
#define T_FUZZ_FUZZ_H

#include "base/must.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A property that the target promises for every input. */
#define HOLDS(condition) MUST(condition)

#endif
