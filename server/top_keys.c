#include "server/top_keys.h"

#include <stdlib.h>

static struct top_key *find(struct top_keys *top, struct slice key, uint64_t hash)
{
    for (unsigned i = 0; i < top->n; i++) {
        struct top_key *row = &top->rows[i];
        if (row->hash == hash && row->n_key == key.n && memcmp(row->key, key.p, key.n) == 0)
            return row;
    }
    return NULL;
}

static struct top_key *rarest(struct top_keys *top)
{
    struct top_key *least = &top->rows[0];
    for (unsigned i = 1; i < top->n; i++) {
        if (top->rows[i].n < least->n)
            least = &top->rows[i];
    }
    return least;
}

void top_keys_add(struct top_keys *top, struct slice key, uint64_t hash)
{
    if (key.n == 0 || key.n > CACHE_KEY_MAX)
        return;
    struct top_key *row = find(top, key, hash);
    top->n_samples++;
    if (row != NULL) {
        row->n++;
        return;
    }
    if (top->n < TOP_KEYS) {
        row = &top->rows[top->n++];
        row->n = 0;
    } else {
        row = rarest(top);
    }
    row->error = row->n;
    row->n++;
    row->hash = hash;
    row->n_key = key.n;
    memcpy(row->key, key.p, key.n);
}

static int compare(const void *a, const void *b)
{
    const struct top_key *x = a, *y = b;
    return x->n < y->n ? 1 : x->n > y->n ? -1 : 0;
}

void top_keys_sort(struct top_keys *top)
{
    qsort(top->rows, top->n, sizeof top->rows[0], compare);
}
