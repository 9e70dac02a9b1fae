/* output.h - replies on their way out: one contiguous buffer with large values between its bytes.
 * Owns: the worker's output buffer during a turn; what a socket did not take, until it does.
 * Thread: the connection's worker.
 * Never: copies a large value while its segment can be pinned; grows beyond OUTPUT_HIGH and one
 *        reply. */
#ifndef SERVER_OUTPUT_H
#define SERVER_OUTPUT_H

#include "base/must.h"
#include "cache/cache.h"
#include "server/transport.h"

#define OUTPUT_HIGH     (192u << 10) /* bytes composed before they must be written */
#define OUTPUT_REF_HIGH (1u << 20)   /* bytes by reference before they must be written */
#define OUTPUT_REF_MIN  (16u << 10)  /* values from this size on go by reference */
#define OUTPUT_REFS_MAX 64
#define OUTPUT_IOV_MAX  64

/* A large value: goes out after the buffer's first `at` bytes. */
struct output_ref {
    size_t at;
    size_t n_sent;
    bool is_pinned;
    uint8_t *copy; /* malloc'ed bytes, when it could not be pinned */
    struct cache_item item;
};

struct output {
    uint8_t *p;
    size_t capacity;
    size_t n;      /* bytes composed */
    size_t n_sent; /* of them gone */
    size_t n_ref;  /* bytes by reference, for OUTPUT_REF_HIGH */
    unsigned n_refs;
    unsigned first_ref; /* refs before it are gone */
    struct output_ref *refs;
};

/* The buffer grows as needed. False when memory is short (nothing is changed). */
MUST_USE bool output_grow(struct output *out, size_t n);
MUST_USE static inline bool output_reserve(struct output *out, size_t n)
{
    return LIKELY(n <= out->capacity - out->n) || output_grow(out, n);
}
/* Frees the buffers; nothing may be pinned any more (output_clear). */
void output_fini(struct output *out);

/* Is all of it gone? */
static inline bool output_is_empty(const struct output *out)
{
    return out->n_sent == out->n && out->first_ref == out->n_refs;
}

/* Has enough come together that it should be written before more is composed? */
static inline bool output_is_full(const struct output *out)
{
    if (LIKELY(out->n_refs == 0))
        return out->n - out->n_sent >= OUTPUT_HIGH;
    return out->n - out->n_sent >= OUTPUT_HIGH || out->n_ref >= OUTPUT_REF_HIGH ||
           out->n_refs == OUTPUT_REFS_MAX;
}

/* Are values waiting here that lie in the cache? */
static inline bool output_has_refs(const struct output *out)
{
    return out->first_ref < out->n_refs;
}

/* Puts the item's value here by reference. The item must be readable until output_write or
 * output_keep. False when there is no room for one more. */
MUST_USE bool output_add_ref(struct output *out, const struct cache_item *item);

/* Writes until all is gone (IO_DONE) or the transport stops. *n_out is increased by what went. */
MUST_USE enum io output_write_all(struct output *out, struct conn *conn,
                                  const struct transport *transport, const struct cache *cache,
                                  struct cache_thread *thread, size_t *n_out);
MUST_USE static inline enum io output_write(struct output *out, struct conn *conn,
                                            const struct transport *transport,
                                            const struct cache *cache, struct cache_thread *thread,
                                            size_t *n_out)
{
    if (UNLIKELY(out->n_refs > 0))
        return output_write_all(out, conn, transport, cache, thread, n_out);
    /* Bytes alone are gone with one write, nearly always. */
    struct iovec rest = {out->p + out->n_sent, out->n - out->n_sent};
    size_t n = 0;
    enum io io = transport->writev(conn, &rest, 1, &n);
    if (UNLIKELY(io != IO_DONE))
        return io;
    *n_out += n;
    out->n_sent += n;
    if (UNLIKELY(n < rest.iov_len))
        return output_write_all(out, conn, transport, cache, thread, n_out);
    out->n = out->n_sent = 0;
    return IO_DONE;
}

/* Moves what is left of a worker's output to `kept`, so that it outlives the turn: bytes are
 * copied, large values pinned (or copied when the tenant's share of pins is used up). False when
 * memory is short; the connection is to be closed then. `from` is empty afterwards. */
MUST_USE bool output_keep(struct output *kept, struct output *from, const struct cache *cache,
                          struct cache_thread *thread);

/* Forgets everything, unpinning what is pinned. */
void output_clear(struct output *out, struct cache_thread *thread);

#endif
