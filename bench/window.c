#include "bench/window.h"

#include "base/must.h"
#include "bench/script.h"

#include <stdio.h>
#include <stdlib.h>

static size_t units_per_request(const struct plan *plan, const struct kind *kind)
{
    if (!kind->is_batch)
        return 1;
    return plan->batch + (kind->open != OP_NONE) + (kind->close != OP_NONE);
}

size_t window_n_units(const struct plan *plan, const struct kind *kind)
{
    return plan->depth * units_per_request(plan, kind);
}

size_t window_n_scratch(const struct plan *plan, const struct kind *kind, const struct keyspace *ks)
{
    return window_n_units(plan, kind) * op_size_max(ks);
}

static struct unit *fill_request(const struct plan *plan, const struct kind *kind,
                                 struct keyspace *ks, uint64_t n_sent, struct unit *unit)
{
    bool is_set = plan->set_every > 0 && n_sent % plan->set_every == plan->set_every - 1;
    size_t n_keys = kind->is_batch ? plan->batch : 1;
    if (kind->open != OP_NONE)
        *unit++ = (struct unit){0, kind->open};
    for (size_t i = 0; i < n_keys; i++)
        *unit++ = (struct unit){keyspace_draw(ks), is_set ? kind->set : kind->op};
    if (kind->close != OP_NONE)
        *unit++ = (struct unit){0, kind->close};
    return unit;
}

void window_fill(const struct plan *plan, const struct kind *kind, struct keyspace *ks,
                 uint64_t *n_sent, struct unit *units)
{
    for (uint64_t i = 0; i < plan->depth; i++)
        units = fill_request(plan, kind, ks, (*n_sent)++, units);
}

/* After how many windows the mix of gets and sets repeats. */
static uint64_t period(const struct plan *plan)
{
    uint64_t n = 1;
    if (plan->set_every == 0)
        return 1;
    while (n * plan->depth % plan->set_every != 0)
        n++;
    return n;
}

static void write_iov(const struct outbox *box, FILE *file)
{
    for (int i = 0; i < box->n_iov; i++)
        MUST(fwrite(box->iov[i].iov_base, 1, box->iov[i].iov_len, file) == box->iov[i].iov_len);
}

static void emit_windows(const struct plan *plan, const struct kind *kind, struct keyspace *ks,
                         FILE *file)
{
    uint64_t n_windows = period(plan), n_sent = 0, at = 8 + 16 * n_windows;
    size_t n_units = window_n_units(plan, kind);
    struct unit *units = calloc(n_units, sizeof *units);
    struct outbox request, reply;
    MUST(units != NULL && n_windows <= SCRIPT_WINDOWS_MAX);
    outbox_init(&request, window_n_scratch(plan, kind, ks));
    outbox_init(&reply, window_n_scratch(plan, kind, ks));
    MUST(fwrite(&n_windows, 8, 1, file) == 1);
    for (uint64_t w = 0; w < n_windows; w++) {
        outbox_clear(&request);
        outbox_clear(&reply);
        window_fill(plan, kind, ks, &n_sent, units);
        for (size_t i = 0; i < n_units; i++) {
            op_request(ks, units[i], &request);
            op_reply(ks, units[i], &reply);
        }
        uint64_t sizes[2] = {request.n_bytes, reply.n_bytes};
        MUST(fseek(file, (long)(8 + 16 * w), SEEK_SET) == 0 && fwrite(sizes, 8, 2, file) == 2);
        MUST(fseek(file, (long)at, SEEK_SET) == 0);
        write_iov(&reply, file);
        at += reply.n_bytes;
    }
    outbox_fini(&request);
    outbox_fini(&reply);
    free(units);
}

void window_emit(const struct plan *plan, const struct kind *kind, struct keyspace *ks)
{
    FILE *file = fopen(plan->emit, "wb");
    if (file == NULL) {
        perror(plan->emit);
        exit(1);
    }
    emit_windows(plan, kind, ks, file);
    MUST(fclose(file) == 0);
}
