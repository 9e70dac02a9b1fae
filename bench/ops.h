/* ops.h - how each part of a window is written, and what its reply must be.
 * Owns: nothing.   Thread: one.
 * Never: trusts a reply: framing, key, length and value are compared with what the key demands. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "bench/keyspace.h"
#include "bench/outbox.h"

enum op {
#define OP(name, counts) OP_##name,
#include "bench/ops.def"
#undef OP
    OP_N
};

struct unit {
    uint32_t key;
    uint32_t op;
};

enum verdict {
    VERDICT_GOOD = 0, /* the reply is there and right */
    VERDICT_MISS,     /* the key is not stored */
    VERDICT_MORE,     /* not enough bytes to tell */
    VERDICT_BAD,
};

/* Does the part count as an operation (or is it only framing)? */
bool op_counts(uint32_t op);
const char *op_name(uint32_t op);

/* Upper bounds of what op_request and op_reply add. */
size_t op_size_max(const struct keyspace *ks);

void op_request(const struct keyspace *ks, struct unit unit, struct outbox *out);

/* The reply of a server that holds every key: what bench/canned sends. */
void op_reply(const struct keyspace *ks, struct unit unit, struct outbox *out);

/* Compares the bytes at p with the reply of unit. Writes how many bytes belong to it, unless the
 * result is MORE or BAD. */
enum verdict op_check(const struct keyspace *ks, struct unit unit, const uint8_t *p, size_t n,
                      size_t *n_used_out);

struct kind {
    const char *name;
    enum op op, set, open, close;
    bool is_batch;
};

/* NULL when there is no such kind. */
const struct kind *kind_find(const char *name);

#endif
