/* outbox.h - the bytes of one window of requests, small ones copied, large values by reference.
 * Owns: its scratch and iovec arrays; referenced bytes stay the caller's.   Thread: one.
 * Never: grows while a window is built: its capacity is fixed when it is made. */
#ifndef BENCH_OUTBOX_H
#define BENCH_OUTBOX_H

#include "base/bytes.h"
#include "base/must.h"

#include <sys/uio.h>

#define OUTBOX_IOV_MAX 1024
/* Values longer than this are referenced instead of copied. */
#define OUTBOX_COPY_MAX 16384U

struct outbox {
    uint8_t *scratch;
    size_t n_scratch;
    size_t n_scratch_max;
    struct iovec iov[OUTBOX_IOV_MAX];
    int n_iov;
    size_t n_bytes;
    bool is_last_scratch; /* the last iovec ends where scratch does */
};

void outbox_init(struct outbox *o, size_t n_scratch_max);
void outbox_fini(struct outbox *o);
void outbox_clear(struct outbox *o);

/* Opens a new iovec; for outbox_add and outbox_value. */
void outbox_refer(struct outbox *o, const uint8_t *p, size_t n);

/* n bytes to be filled by the caller at once; consecutive ones are contiguous. */
static inline uint8_t *outbox_add(struct outbox *o, size_t n)
{
    MUST(n <= o->n_scratch_max - o->n_scratch);
    uint8_t *p = o->scratch + o->n_scratch;
    o->n_scratch += n;
    if (o->is_last_scratch) {
        o->iov[o->n_iov - 1].iov_len += n;
        o->n_bytes += n;
    } else {
        outbox_refer(o, p, n);
        o->is_last_scratch = true;
    }
    return p;
}

static inline void outbox_copy(struct outbox *o, const void *p, size_t n)
{
    memcpy(outbox_add(o, n), p, n);
}

/* Appends a value that stays valid until the window is sent. */
static inline void outbox_value(struct outbox *o, const uint8_t *p, size_t n)
{
    if (n <= OUTBOX_COPY_MAX) {
        outbox_copy(o, p, n);
    } else {
        outbox_refer(o, p, n);
        o->is_last_scratch = false;
    }
}

#endif
