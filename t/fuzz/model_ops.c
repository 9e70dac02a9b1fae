/* Operations of the model: what they do to the dictionary, and how each dialect tells it. */
#include "t/fuzz/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_end_piece(struct model *m)
{
    size_t start = 0;
    if (m->n_pieces > 0)
        start = m->pieces[m->n_pieces - 1].start + m->pieces[m->n_pieces - 1].n;
    if (m->wanted.n == start)
        return;
    HOLDS(m->n_pieces < N_PIECES_MAX);
    m->pieces[m->n_pieces++] = (struct piece){PIECE_BYTES, start, m->wanted.n - start, 0};
}

static void want_cas(struct model *m, enum piece_kind kind, unsigned version)
{
    model_end_piece(m);
    HOLDS(m->n_pieces < N_PIECES_MAX);
    m->pieces[m->n_pieces++] = (struct piece){kind, m->wanted.n, 0, version};
}

/* ---- the dictionary ---- */

static void renew(struct model *m, struct item *item)
{
    item->version = ++m->n_versions;
}

static void assign(struct model *m, struct item *item, const uint8_t *p, size_t n)
{
    HOLDS(n <= N_VALUE_MAX);
    memmove(item->value, p, n);
    item->n = n;
    item->is_there = true;
    renew(m, item);
}

/* False when it is no number that both sides agree on. */
static bool read_number(const struct item *item, uint64_t *number_out)
{
    size_t n_digits = 0;
    uint64_t number = 0;
    while (n_digits < item->n && item->value[n_digits] >= '0' && item->value[n_digits] <= '9')
        number = number * 10 + (item->value[n_digits++] - '0');
    size_t n = n_digits;
    while (n < item->n && item->value[n] == ' ')
        n++;
    *number_out = number;
    return n_digits > 0 && n_digits < 20 && n == item->n && n <= 20;
}

static bool is_surely_no_number(const struct item *item)
{
    return item->n > 0 && item->value[0] >= 'a';
}

/* The value stays as long as it was, with spaces behind a shorter number. */
static void write_number(struct model *m, struct item *item, uint64_t number)
{
    char digits[32];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    size_t n_old = item->is_there ? item->n : 0;
    memset(digits + n, ' ', sizeof digits - n);
    assign(m, item, (const uint8_t *)digits, n > n_old ? n : n_old);
}

/* ---- values ---- */

static size_t make_value(const struct op *op, uint8_t *out)
{
    if (op->how & 16) {
        return (size_t)sprintf((char *)out, "%u", (unsigned)op->number * 37);
    }
    size_t n = op->number < 250 ? op->number : (size_t)(op->number - 249) * 7000;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)('a' + (i + op->number) % 26);
    return n;
}

/* ---- the three dialects ---- */

static const char *const keys[N_KEYS] = {"a", "key", "a-longer-key-0123456789", "k:1"};

static void put_packet(struct buffer *b, uint8_t opcode, const char *key, const void *extras,
                       size_t n_extras, const uint8_t *value, size_t n_value, uint64_t cas)
{
    size_t n_key = key != NULL ? strlen(key) : 0;
    size_t n_body = n_key + n_extras + n_value;
    uint8_t head[24] = {0x80, opcode, 0, (uint8_t)n_key, (uint8_t)n_extras};
    for (int i = 0; i < 4; i++)
        head[8 + i] = (uint8_t)(n_body >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        head[16 + i] = (uint8_t)(cas >> (56 - 8 * i));
    buffer_put(b, head, sizeof head);
    buffer_put(b, extras, n_extras);
    buffer_put(b, key, n_key);
    buffer_put(b, value, n_value);
}

/* A binary answer; version 0: no cas. */
static void want_packet(struct model *m, uint8_t opcode, unsigned status, const char *key,
                        const void *extras, size_t n_extras, const void *value, size_t n_value,
                        unsigned version)
{
    size_t n_key = key != NULL ? strlen(key) : 0;
    size_t n_body = n_key + n_extras + n_value;
    uint8_t head[24] = {0x81, opcode, 0, (uint8_t)n_key, (uint8_t)n_extras, 0, 0, (uint8_t)status};
    for (int i = 0; i < 4; i++)
        head[8 + i] = (uint8_t)(n_body >> (24 - 8 * i));
    buffer_put(&m->wanted, head, version != 0 ? 16 : 24);
    if (version != 0)
        want_cas(m, PIECE_CAS_BYTES, version);
    buffer_put(&m->wanted, extras, n_extras);
    buffer_put(&m->wanted, key, n_key);
    buffer_put(&m->wanted, value, n_value);
}

static void want_binary_error(struct model *m, uint8_t opcode, unsigned status)
{
    static const char *const texts[] = {
        [1] = "Not found",
        [2] = "Data exists for key.",
        [5] = "Not stored.",
        [6] = "Non-numeric server-side value for incr or decr",
    };
    want_packet(m, opcode, status, NULL, NULL, 0, texts[status], strlen(texts[status]), 0);
}

enum outcome { DONE, NOT_FOUND, EXISTS, NOT_STORED };

static uint64_t known_cas(const struct model *m, const struct item *item)
{
    uint64_t cas = m->cas[item->version];
    return cas != 0 ? cas : UNKNOWN_CAS;
}

/* ---- operations ---- */

enum store_mode { SET, ADD, REPLACE, APPEND, PREPEND };

static enum outcome store(struct model *m, const struct op *op, enum store_mode mode,
                          const uint8_t *value, size_t n, bool compares, uint64_t cas)
{
    struct item *item = &m->items[op->key];
    if (compares && !item->is_there)
        return NOT_FOUND;
    if (mode == ADD && item->is_there)
        return NOT_STORED;
    if (mode >= REPLACE && !item->is_there)
        return NOT_STORED;
    if (compares && m->cas[item->version] != cas)
        return EXISTS;
    if (mode >= APPEND && item->n + n > N_VALUE_MAX)
        return NOT_STORED;
    if (mode == APPEND) {
        memcpy(item->value + item->n, value, n);
        assign(m, item, item->value, item->n + n);
    } else if (mode == PREPEND) {
        memmove(item->value + n, item->value, item->n);
        memcpy(item->value, value, n);
        assign(m, item, item->value, item->n + n);
    } else {
        item->flags = op->number;
        assign(m, item, value, n);
    }
    return DONE;
}

static void store_in_text(struct model *m, const struct op *op, enum store_mode mode,
                          const uint8_t *value, size_t n, bool compares, uint64_t cas)
{
    static const char *const verbs[] = {"set", "add", "replace", "append", "prepend"};
    static const char *const answers[] = {"STORED", "NOT_FOUND", "EXISTS", "NOT_STORED"};
    bool is_quiet = (op->how & 4) != 0;
    buffer_print(&m->sent, "%s %s %u 0 %zu", compares ? "cas" : verbs[mode], keys[op->key],
                 op->number, n);
    if (compares)
        buffer_print(&m->sent, " %llu", (unsigned long long)cas);
    buffer_print(&m->sent, is_quiet ? " noreply\r\n" : "\r\n");
    enum outcome outcome = store(m, op, mode, value, n, compares, cas);
    if (!is_quiet)
        buffer_print(&m->wanted, "%s\r\n", answers[outcome]);
    buffer_put(&m->sent, value, n);
    buffer_put(&m->sent, "\r\n", 2);
}

static void store_in_meta(struct model *m, const struct op *op, enum store_mode mode,
                          const uint8_t *value, size_t n, bool compares, uint64_t cas)
{
    static const char *const answers[] = {"HD", "NF", "EX", "NS"};
    bool is_quiet = (op->how & 4) != 0;
    buffer_print(&m->sent, "ms %s %zu F%u M%c", keys[op->key], n, op->number, "SERAP"[mode]);
    if (compares)
        buffer_print(&m->sent, " C%llu", (unsigned long long)cas);
    buffer_print(&m->sent, is_quiet ? " q\r\n" : " k c\r\n");
    buffer_put(&m->sent, value, n);
    buffer_put(&m->sent, "\r\n", 2);
    enum outcome outcome = store(m, op, mode, value, n, compares, cas);
    if (is_quiet && outcome == DONE)
        return;
    buffer_print(&m->wanted, "%s", answers[outcome]);
    if (!is_quiet) {
        buffer_print(&m->wanted, " k%s c", keys[op->key]);
        if (outcome == DONE)
            want_cas(m, PIECE_CAS_DIGITS, m->items[op->key].version);
        else
            buffer_put(&m->wanted, "0", 1);
    }
    buffer_put(&m->wanted, "\r\n", 2);
}

static void store_in_binary(struct model *m, const struct op *op, enum store_mode mode,
                            const uint8_t *value, size_t n, bool compares, uint64_t cas)
{
    static const uint8_t opcodes[][2] = {{1, 0x11}, {2, 0x12}, {3, 0x13}, {0xe, 0x19}, {0xf, 0x1a}};
    bool is_quiet = (op->how & 4) != 0, was_there = m->items[op->key].is_there;
    uint8_t opcode = opcodes[mode][is_quiet], extras[8] = {0, 0, 0, op->number};
    put_packet(&m->sent, opcode, keys[op->key], extras, mode >= APPEND ? 0 : 8, value, n,
               compares ? cas : 0);
    switch (store(m, op, mode, value, n, compares, cas)) {
    case DONE:
        if (!is_quiet)
            want_packet(m, opcode, 0, NULL, NULL, 0, NULL, 0, m->items[op->key].version);
        break;
    case NOT_FOUND:
        want_binary_error(m, opcode, 1);
        break;
    case EXISTS:
        want_binary_error(m, opcode, 2);
        break;
    case NOT_STORED:
        want_binary_error(m, opcode, mode == ADD ? 2 : mode == REPLACE && !was_there ? 1 : 5);
        break;
    }
}

static void do_store(struct model *m, const struct op *op, enum model_dialect dialect)
{
    static uint8_t value[N_VALUE_MAX];
    enum store_mode mode = op->what % 5;
    bool compares = (op->how & 8) != 0 && mode == SET;
    uint64_t cas = known_cas(m, &m->items[op->key]);
    size_t n = make_value(op, value);
    if (mode >= APPEND && m->items[op->key].n > N_VALUE_MAX / 4)
        mode = SET; /* an item of more than a megabyte would be another story */
    if (dialect == DIALECT_OF_TEXT)
        store_in_text(m, op, mode, value, n, compares, cas);
    else if (dialect == DIALECT_OF_META)
        store_in_meta(m, op, mode, value, n, compares, cas);
    else
        store_in_binary(m, op, mode, value, n, compares, cas);
}

static void want_value(struct model *m, const struct op *op)
{
    const struct item *item = &m->items[op->key];
    buffer_put(&m->wanted, item->value, item->n);
    buffer_put(&m->wanted, "\r\n", 2);
}

static void get_in_text(struct model *m, const struct op *op)
{
    const struct item *item = &m->items[op->key];
    bool wants_cas = (op->how & 4) != 0;
    unsigned n_times = 1 + op->number % 3; /* one line with the key so often */
    buffer_print(&m->sent, (op->how & 8) ? "%s 0" : "%s",
                 (op->how & 8) ? (wants_cas ? "gats" : "gat") : (wants_cas ? "gets" : "get"));
    for (unsigned i = 0; i < n_times; i++) {
        buffer_print(&m->sent, " %s", keys[op->key]);
        if (!item->is_there)
            continue;
        buffer_print(&m->wanted, "VALUE %s %u %zu", keys[op->key], item->flags, item->n);
        if (wants_cas) {
            buffer_put(&m->wanted, " ", 1);
            want_cas(m, PIECE_CAS_DIGITS, item->version);
        }
        buffer_put(&m->wanted, "\r\n", 2);
        want_value(m, op);
    }
    buffer_put(&m->sent, "\r\n", 2);
    buffer_print(&m->wanted, "END\r\n");
}

static void get_in_meta(struct model *m, const struct op *op)
{
    const struct item *item = &m->items[op->key];
    bool is_quiet = (op->how & 4) != 0, wants_value = (op->how & 8) != 0;
    buffer_print(&m->sent, "mg %s f O%u%s%s c\r\n", keys[op->key], op->number,
                 wants_value ? " v" : "", is_quiet ? " q" : "");
    if (!item->is_there) {
        if (!is_quiet)
            buffer_print(&m->wanted, "EN O%u\r\n", op->number);
        return;
    }
    if (wants_value)
        buffer_print(&m->wanted, "VA %zu", item->n);
    else
        buffer_print(&m->wanted, "HD");
    buffer_print(&m->wanted, " f%u O%u c", item->flags, op->number);
    want_cas(m, PIECE_CAS_DIGITS, item->version);
    buffer_put(&m->wanted, "\r\n", 2);
    if (wants_value)
        want_value(m, op);
}

static void get_in_binary(struct model *m, const struct op *op)
{
    static const uint8_t opcodes[] = {0x00, 0x09, 0x0c, 0x0d}; /* get, getq, getk, getkq */
    const struct item *item = &m->items[op->key];
    uint8_t opcode = opcodes[op->how >> 2 & 3];
    bool is_quiet = opcode == 0x09 || opcode == 0x0d, wants_key = opcode >= 0x0c;
    put_packet(&m->sent, opcode, keys[op->key], NULL, 0, NULL, 0, 0);
    if (item->is_there) {
        uint8_t flags[4] = {0, 0, 0, (uint8_t)item->flags};
        want_packet(m, opcode, 0, wants_key ? keys[op->key] : NULL, flags, 4, item->value, item->n,
                    item->version);
    } else if (!is_quiet && wants_key) {
        want_packet(m, opcode, 1, keys[op->key], NULL, 0, NULL, 0, 0);
    } else if (!is_quiet) {
        want_binary_error(m, opcode, 1);
    }
}

static void do_get(struct model *m, const struct op *op, enum model_dialect dialect)
{
    if (dialect == DIALECT_OF_TEXT)
        get_in_text(m, op);
    else if (dialect == DIALECT_OF_META)
        get_in_meta(m, op);
    else
        get_in_binary(m, op);
}

static void do_delete(struct model *m, const struct op *op, enum model_dialect dialect)
{
    struct item *item = &m->items[op->key];
    bool was_there = item->is_there;
    if (dialect == DIALECT_OF_TEXT) {
        buffer_print(&m->sent, "delete %s\r\n", keys[op->key]);
        buffer_print(&m->wanted, was_there ? "DELETED\r\n" : "NOT_FOUND\r\n");
    } else if (dialect == DIALECT_OF_META) {
        buffer_print(&m->sent, "md %s%s\r\n", keys[op->key], (op->how & 4) ? " q" : "");
        if (!was_there || !(op->how & 4))
            buffer_print(&m->wanted, was_there ? "HD\r\n" : "NF\r\n");
    } else {
        uint8_t opcode = (op->how & 4) ? 0x14 : 0x04;
        put_packet(&m->sent, opcode, keys[op->key], NULL, 0, NULL, 0, 0);
        if (!was_there)
            want_binary_error(m, opcode, 1);
        else if (opcode == 0x04)
            want_packet(m, opcode, 0, NULL, NULL, 0, NULL, 0, 0);
    }
    item->is_there = false;
}

/* Sets the exptime: 0 keeps it for ever, -1 ends it. */
static void do_touch(struct model *m, const struct op *op, enum model_dialect dialect)
{
    struct item *item = &m->items[op->key];
    bool was_there = item->is_there, ends = (op->how & 12) == 12;
    if (dialect == DIALECT_OF_TEXT) {
        buffer_print(&m->sent, "touch %s %d\r\n", keys[op->key], ends ? -1 : 0);
        buffer_print(&m->wanted, was_there ? "TOUCHED\r\n" : "NOT_FOUND\r\n");
    } else if (dialect == DIALECT_OF_META) {
        buffer_print(&m->sent, "mg %s T%d\r\n", keys[op->key], ends ? -1 : 0);
        buffer_print(&m->wanted, was_there ? "HD\r\n" : "EN\r\n");
    } else {
        ends = false; /* negative numbers cannot be said */
        uint8_t exptime[4] = {0}, flags[4] = {0, 0, 0, (uint8_t)item->flags};
        put_packet(&m->sent, 0x1c, keys[op->key], exptime, 4, NULL, 0, 0);
        if (was_there)
            want_packet(m, 0x1c, 0, NULL, flags, 4, NULL, 0, item->version);
        else
            want_binary_error(m, 0x1c, 1);
    }
    if (ends)
        item->is_there = false;
}

static void count_in_text(struct model *m, const struct op *op, bool is_decr, uint64_t number,
                          bool is_number)
{
    const struct item *item = &m->items[op->key];
    buffer_print(&m->sent, "%s %s %u\r\n", is_decr ? "decr" : "incr", keys[op->key], op->number);
    if (!item->is_there)
        buffer_print(&m->wanted, "NOT_FOUND\r\n");
    else if (!is_number)
        buffer_print(&m->wanted,
                     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    else
        buffer_print(&m->wanted, "%llu\r\n", (unsigned long long)number);
}

static void count_in_meta(struct model *m, const struct op *op, bool is_decr, uint64_t number,
                          bool is_number)
{
    char digits[32];
    const struct item *item = &m->items[op->key];
    buffer_print(&m->sent, "ma %s v D%u%s\r\n", keys[op->key], op->number, is_decr ? " MD" : " MI");
    if (!item->is_there)
        buffer_print(&m->wanted, "NF\r\n");
    else if (!is_number)
        buffer_print(&m->wanted,
                     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    else
        buffer_print(&m->wanted, "VA %d\r\n%s\r\n",
                     snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), digits);
}

/* What is not there is created with 7, when the exptime is 0. */
static void count_in_binary(struct model *m, const struct op *op, bool is_decr, uint64_t number,
                            bool is_number)
{
    struct item *item = &m->items[op->key];
    uint8_t opcode = is_decr ? 6 : 5, extras[20] = {[7] = op->number, [15] = 7}, answer[8];
    bool creates = (op->how & 8) != 0;
    if (!creates)
        memset(extras + 16, 0xff, 4);
    put_packet(&m->sent, opcode, keys[op->key], extras, 20, NULL, 0, 0);
    if (!item->is_there && !creates) {
        want_binary_error(m, opcode, 1);
        return;
    }
    if (!item->is_there) {
        number = 7;
        item->flags = 0;
    } else if (!is_number) {
        want_binary_error(m, opcode, 6);
        return;
    }
    for (int i = 0; i < 8; i++)
        answer[i] = (uint8_t)(number >> (56 - 8 * i));
    write_number(m, item, number);
    want_packet(m, opcode, 0, NULL, NULL, 0, answer, 8, item->version);
}

static void do_count(struct model *m, const struct op *op, enum model_dialect dialect)
{
    struct item *item = &m->items[op->key];
    bool is_decr = (op->how & 4) != 0;
    uint64_t number = 0;
    bool is_number = item->is_there && read_number(item, &number);
    if (item->is_there && !is_number && !is_surely_no_number(item)) {
        do_get(m, op, dialect);
        return;
    }
    if (is_decr)
        number = number > op->number ? number - op->number : 0;
    else
        number += op->number;
    if (dialect == DIALECT_OF_BINARY) {
        count_in_binary(m, op, is_decr, number, is_number);
        return;
    }
    if (dialect == DIALECT_OF_TEXT)
        count_in_text(m, op, is_decr, number, is_number);
    else
        count_in_meta(m, op, is_decr, number, is_number);
    if (is_number)
        write_number(m, item, number);
}

static void do_flush(struct model *m, const struct op *op, enum model_dialect dialect)
{
    (void)op;
    if (dialect == DIALECT_OF_BINARY) {
        put_packet(&m->sent, 8, NULL, NULL, 0, NULL, 0, 0);
        want_packet(m, 8, 0, NULL, NULL, 0, NULL, 0, 0);
    } else {
        buffer_print(&m->sent, "flush_all\r\n");
        buffer_print(&m->wanted, "OK\r\n");
    }
    for (int i = 0; i < N_KEYS; i++)
        m->items[i].is_there = false;
}

void model_do(struct model *m, const struct op *op, enum model_dialect dialect)
{
    static void (*const table[16])(struct model *, const struct op *, enum model_dialect) = {
        do_store, do_store, do_store, do_store, do_store, do_get,    do_get,   do_get,
        do_count, do_count, do_count, do_touch, do_touch, do_delete, do_store, do_flush,
    };
    table[op->what & 15](m, op, dialect);
}
