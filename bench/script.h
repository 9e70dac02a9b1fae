/* script.h - what bench/canned answers: after so many bytes, this reply; then the next one.
 * Owns: the bytes read from the file.   Thread: one writer, then any readers.
 * Never: describes requests otherwise than by their length. */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include "base/bytes.h"
#include "base/must.h"

/* The file: a count, then per window the length of the request and of the reply (all u64), then
 * the replies. */
#define SCRIPT_WINDOWS_MAX 128

struct script {
    uint64_t n_windows;
    uint64_t n_request[SCRIPT_WINDOWS_MAX];
    struct slice reply[SCRIPT_WINDOWS_MAX];
    uint8_t *bytes;
};

MUST_USE bool script_read(struct script *script, const char *path);
void script_fini(struct script *script);

#endif
