#include "tls/tls.h"

struct slice tls_gather(const struct slice *pieces, size_t n_pieces, size_t n_skip, uint8_t *buffer,
                        size_t capacity)
{
    size_t i = 0;
    while (i < n_pieces && n_skip >= pieces[i].n)
        n_skip -= pieces[i++].n;
    if (i == n_pieces)
        return slice_of(buffer, 0);

    struct slice first = slice_of(pieces[i].p + n_skip, pieces[i].n - n_skip);
    if (first.n >= capacity)
        return slice_of(first.p, capacity);
    if (i + 1 == n_pieces)
        return first;

    memcpy(buffer, first.p, first.n);
    size_t n = first.n;
    for (i++; i < n_pieces && n < capacity; i++) {
        size_t n_copy = pieces[i].n < capacity - n ? pieces[i].n : capacity - n;
        if (n_copy > 0)
            memcpy(buffer + n, pieces[i].p, n_copy);
        n += n_copy;
    }
    return slice_of(buffer, n);
}
