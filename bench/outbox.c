#include "bench/outbox.h"

#include <stdlib.h>

void outbox_init(struct outbox *o, size_t n_scratch_max)
{
    *o = (struct outbox){.n_scratch_max = n_scratch_max};
    o->scratch = malloc(n_scratch_max);
    MUST(o->scratch != NULL);
}

void outbox_fini(struct outbox *o)
{
    free(o->scratch);
    *o = (struct outbox){0};
}

void outbox_clear(struct outbox *o)
{
    o->n_scratch = 0;
    o->n_iov = 0;
    o->n_bytes = 0;
    o->is_last_scratch = false;
}

void outbox_refer(struct outbox *o, const uint8_t *p, size_t n)
{
    MUST(o->n_iov < OUTBOX_IOV_MAX);
    o->n_bytes += n;
    o->iov[o->n_iov++] = (struct iovec){(void *)(uintptr_t)p, n};
}
