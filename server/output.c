#include "server/output.h"

#include <stdlib.h>
#include <string.h>

bool output_grow(struct output *out, size_t n)
{
    size_t capacity = out->capacity == 0 ? 1024 : out->capacity;
    while (n > capacity - out->n)
        capacity *= 2;
    uint8_t *p = realloc(out->p, capacity);
    if (p == NULL)
        return false;
    out->p = p;
    out->capacity = capacity;
    return true;
}

void output_fini(struct output *out)
{
    MUST(out->first_ref == out->n_refs);
    free(out->p);
    free(out->refs);
    *out = (struct output){0};
}

bool output_add_ref(struct output *out, const struct cache_item *item)
{
    if (out->refs == NULL)
        out->refs = malloc(OUTPUT_REFS_MAX * sizeof *out->refs);
    if (out->refs == NULL || out->n_refs == OUTPUT_REFS_MAX)
        return false;
    struct output_ref *ref = &out->refs[out->n_refs++];
    *ref = (struct output_ref){.at = out->n, .item = *item};
    out->n_ref += item->n_value;
    return true;
}

static void drop_ref(struct output_ref *ref, struct cache_thread *thread)
{
    if (ref->is_pinned)
        cache_unpin(thread, ref->item.handle, ref->item.n_value);
    free(ref->copy);
}

/* The bytes of a large value that lie together and are still to be sent. */
static struct slice ref_rest(const struct output_ref *ref, const struct cache *cache, size_t offset)
{
    if (ref->copy != NULL)
        return slice_of(ref->copy + offset, ref->item.n_value - offset);
    return cache_item_chunk(cache, &ref->item, offset);
}

/* Lists the next bytes to send, in order; returns how many ranges. */
static int gather(const struct output *out, const struct cache *cache, struct iovec *iov)
{
    int n = 0;
    size_t at = out->n_sent;
    for (unsigned i = out->first_ref; i < out->n_refs; i++) {
        const struct output_ref *ref = &out->refs[i];
        if (n > OUTPUT_IOV_MAX - 3)
            return n;
        if (ref->at > at)
            iov[n++] = (struct iovec){out->p + at, ref->at - at};
        at = ref->at;
        size_t offset = ref->n_sent;
        while (offset < ref->item.n_value && n < OUTPUT_IOV_MAX - 1) {
            struct slice chunk = ref_rest(ref, cache, offset);
            iov[n++] = (struct iovec){(void *)chunk.p, chunk.n};
            offset += chunk.n;
        }
        if (offset < ref->item.n_value)
            return n;
    }
    if (out->n > at)
        iov[n++] = (struct iovec){out->p + at, out->n - at};
    return n;
}

/* Takes note that n bytes have gone. */
static void advance(struct output *out, struct cache_thread *thread, size_t n)
{
    while (n > 0) {
        struct output_ref *ref = out->first_ref < out->n_refs ? &out->refs[out->first_ref] : NULL;
        if (ref == NULL || ref->at > out->n_sent) {
            size_t end = ref == NULL ? out->n : ref->at;
            size_t step = n < end - out->n_sent ? n : end - out->n_sent;
            MUST(step > 0);
            out->n_sent += step;
            n -= step;
            continue;
        }
        size_t left = ref->item.n_value - ref->n_sent;
        size_t step = n < left ? n : left;
        ref->n_sent += step;
        n -= step;
        if (ref->n_sent == ref->item.n_value) {
            drop_ref(ref, thread);
            out->first_ref++;
        }
    }
}

static void rewind_when_empty(struct output *out)
{
    if (output_is_empty(out)) {
        out->n = out->n_sent = out->n_ref = 0;
        out->n_refs = out->first_ref = 0;
    }
}

enum io output_write_all(struct output *out, struct conn *conn, const struct transport *transport,
                         const struct cache *cache, struct cache_thread *thread, size_t *n_out)
{
    struct iovec iov[OUTPUT_IOV_MAX];
    while (!output_is_empty(out)) {
        size_t n_sent = 0;
        int n_iov = gather(out, cache, iov);
        enum io io = transport->writev(conn, iov, n_iov, &n_sent);
        if (io != IO_DONE)
            return io;
        advance(out, thread, n_sent);
        *n_out += n_sent;
    }
    rewind_when_empty(out);
    return IO_DONE;
}

/* Makes a large value outlive the turn. */
static bool keep_ref(struct output_ref *ref, const struct cache *cache, struct cache_thread *thread)
{
    if (ref->is_pinned || ref->copy != NULL)
        return true;
    if (cache_pin(thread, &ref->item)) {
        ref->is_pinned = true;
        return true;
    }
    uint8_t *copy = malloc(ref->item.n_value);
    if (copy == NULL)
        return false;
    for (size_t offset = ref->n_sent; offset < ref->item.n_value;) {
        struct slice chunk = cache_item_chunk(cache, &ref->item, offset);
        memcpy(copy + offset, chunk.p, chunk.n);
        offset += chunk.n;
    }
    ref->copy = copy;
    return true;
}

bool output_keep(struct output *kept, struct output *from, const struct cache *cache,
                 struct cache_thread *thread)
{
    MUST(output_is_empty(kept));
    rewind_when_empty(kept);
    size_t n_bytes = from->n - from->n_sent;
    bool is_kept = output_reserve(kept, n_bytes > 0 ? n_bytes : 1);
    if (is_kept && n_bytes > 0) {
        memcpy(kept->p, from->p + from->n_sent, n_bytes);
        kept->n = n_bytes;
    }
    for (unsigned i = from->first_ref; is_kept && i < from->n_refs; i++)
        is_kept = keep_ref(&from->refs[i], cache, thread);
    if (is_kept && from->first_ref < from->n_refs) {
        for (unsigned i = from->first_ref; i < from->n_refs; i++)
            from->refs[i].at -= from->n_sent;
        free(kept->refs);
        kept->refs = from->refs; /* the worker's output makes itself a new list */
        kept->first_ref = from->first_ref;
        kept->n_refs = from->n_refs;
        from->refs = NULL;
        from->first_ref = from->n_refs = 0;
    }
    output_clear(from, thread);
    return is_kept;
}

void output_clear(struct output *out, struct cache_thread *thread)
{
    for (unsigned i = out->first_ref; i < out->n_refs; i++)
        drop_ref(&out->refs[i], thread);
    out->first_ref = out->n_refs = 0;
    out->n = out->n_sent = out->n_ref = 0;
}
