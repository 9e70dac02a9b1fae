/* A list of operations, each written in text, meta or binary, and a dictionary of items beside the
 * server: every answer is the one that the dictionary gives, in the order of the requests, however
 * bytes are split. Three bytes are one operation: what, which key and how, and a number. */
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"
#include "t/fuzz/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t read_cas(enum piece_kind kind, const uint8_t *p, size_t n, uint64_t *cas_out)
{
    size_t i = 0;
    uint64_t cas = 0;
    if (kind == PIECE_CAS_BYTES) {
        HOLDS(n >= 8);
        for (; i < 8; i++)
            cas = cas << 8 | p[i];
    } else {
        for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
            cas = cas * 10 + (p[i] - '0');
    }
    *cas_out = cas;
    return i;
}

/* The first time that a number is told it is learnt; it belongs to this version alone. */
static void check_cas(struct model *m, unsigned version, uint64_t cas)
{
    HOLDS(cas != 0);
    if (m->cas[version] == 0) {
        for (unsigned i = 1; i <= m->n_versions; i++)
            HOLDS(m->cas[i] != cas);
        m->cas[version] = cas;
    }
    HOLDS(m->cas[version] == cas);
}

/* KEEPD_FUZZ_SHOW shows each exchange, to find out what an input is about. */
static void show(const struct model *m, const struct line *line)
{
    if (getenv("KEEPD_FUZZ_SHOW") == NULL)
        return;
    fprintf(stderr, "---- sent\n%.*s\n---- wanted\n%.*s\n---- received\n%.*s\n", (int)m->sent.n,
            (const char *)m->sent.p, (int)m->wanted.n, (const char *)m->wanted.p, (int)line->out.n,
            (const char *)line->out.p);
}

static void check_answers(struct model *m, const struct line *line)
{
    size_t at = 0;
    model_end_piece(m);
    show(m, line);
    for (size_t i = 0; i < m->n_pieces; i++) {
        const struct piece *piece = &m->pieces[i];
        uint64_t cas;
        if (piece->kind == PIECE_BYTES) {
            HOLDS(line->out.n - at >= piece->n);
            HOLDS(memcmp(line->out.p + at, m->wanted.p + piece->start, piece->n) == 0);
            at += piece->n;
            continue;
        }
        at += read_cas(piece->kind, line->out.p + at, line->out.n - at, &cas);
        check_cas(m, piece->version, cas);
    }
    HOLDS(at == line->out.n);
    HOLDS(line->conn != NULL);
}

static void exchange(struct model *m, struct line *line)
{
    line->out.n = 0;
    line_send(line, slice_of(m->sent.p, m->sent.n));
    check_answers(m, line);
    m->sent.n = m->wanted.n = m->n_pieces = 0;
}

static struct model *new_model(void)
{
    static struct model *model;
    if (model == NULL) {
        model = calloc(1, sizeof *model);
        HOLDS(model != NULL);
        for (int i = 0; i < N_KEYS; i++) {
            model->items[i].value = malloc(N_VALUE_MAX);
            HOLDS(model->items[i].value != NULL);
        }
    }
    for (int i = 0; i < N_KEYS; i++)
        model->items[i].is_there = false;
    memset(model->cas, 0, sizeof model->cas);
    model->n_versions = 0;
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct instance *instance;
    struct line lines[2]; /* of text and meta, and of binary */
    if (n < 4)
        return 0;
    if (instance == NULL)
        instance = instance_create(true);
    instance_reset(instance);
    struct model *m = new_model();
    for (unsigned i = 0; i < 2; i++)
        line_open(&lines[i], instance, (data[0] & 1) ? 1 + data[0] + i : 0);
    unsigned is_binary = 0;
    for (size_t at = 1; at + 3 <= n && at < 3 * N_OPS_MAX; at += 3) {
        struct op op = {data[at] & 15, data[at + 1] & 3, data[at + 1], data[at + 2]};
        enum model_dialect dialect = (enum model_dialect)((data[at] >> 4) % 3);
        bool ends_batch = data[at] >= 0xc0;
        if ((dialect == DIALECT_OF_BINARY) != is_binary || ends_batch) {
            exchange(m, &lines[is_binary]);
            is_binary = dialect == DIALECT_OF_BINARY;
        }
        model_do(m, &op, dialect);
    }
    exchange(m, &lines[is_binary]);
    line_close(&lines[0]);
    line_close(&lines[1]);
    return 0;
}
