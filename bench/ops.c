#include "bench/ops.h"

#include "base/must.h"
#include "base/number.h"

#define BIN_HEADER 24U

enum bin_opcode {
    BIN_OPCODE_GET = 0x00,
    BIN_OPCODE_SET = 0x01,
    BIN_OPCODE_NOOP = 0x0a,
    BIN_OPCODE_GETKQ = 0x0d,
    BIN_OPCODE_SETQ = 0x11,
};

static const struct {
    const char *name;
    bool counts;
} op_rows[OP_N] = {
#define OP(name, counts) {#name, counts},
#include "bench/ops.def"
#undef OP
};

static const struct kind kinds[] = {
#define KIND(name, op, set, open, close, is_batch) \
    {name, OP_##op, OP_##set, OP_##open, OP_##close, is_batch},
#include "bench/kinds.def"
#undef KIND
};

const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

bool op_counts(uint32_t op)
{
    return op_rows[op].counts;
}

const char *op_name(uint32_t op)
{
    return op_rows[op].name;
}

size_t op_size_max(const struct keyspace *ks)
{
    size_t n_copied = ks->n_value <= OUTBOX_COPY_MAX ? ks->n_value : 0;
    return 2 * ks->n_key + n_copied + 64;
}

#define COPY(out, literal) outbox_copy(out, literal, sizeof(literal) - 1)

static void copy_key(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    keyspace_key(ks, key, outbox_add(out, ks->n_key));
}

static void copy_length(const struct keyspace *ks, struct outbox *out)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    outbox_copy(out, digits, number_render_u64(digits, ks->n_value));
}

static void copy_value(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    outbox_value(out, keyspace_value(ks, key), ks->n_value);
}

static uint8_t *copy_bin_header(struct outbox *out, uint8_t magic, uint8_t opcode, uint32_t opaque)
{
    uint8_t *header = outbox_add(out, BIN_HEADER);
    memset(header, 0, BIN_HEADER);
    header[0] = magic;
    header[1] = opcode;
    store_be32(header + 12, opaque);
    return header;
}

/* The lengths of a binary message; returns nothing to chain so that each caller reads as a row. */
static void set_bin_lengths(uint8_t *header, size_t n_key, size_t n_extras, size_t n_value)
{
    store_be16(header + 2, (uint16_t)n_key);
    header[4] = (uint8_t)n_extras;
    store_be32(header + 8, (uint32_t)(n_key + n_extras + n_value));
}

static void request_bin_key(const struct keyspace *ks, uint8_t opcode, uint32_t key,
                            struct outbox *out)
{
    set_bin_lengths(copy_bin_header(out, 0x80, opcode, key), ks->n_key, 0, 0);
    copy_key(ks, key, out);
}

static void request_bin_set(const struct keyspace *ks, uint8_t opcode, uint32_t key,
                            struct outbox *out)
{
    set_bin_lengths(copy_bin_header(out, 0x80, opcode, key), ks->n_key, 8, ks->n_value);
    memset(outbox_add(out, 8), 0, 8);
    copy_key(ks, key, out);
    copy_value(ks, key, out);
}

static void request_set(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    COPY(out, "set ");
    copy_key(ks, key, out);
    COPY(out, " 0 0 ");
    copy_length(ks, out);
    COPY(out, "\r\n");
    copy_value(ks, key, out);
    COPY(out, "\r\n");
}

static void request_meta_set(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    COPY(out, "ms ");
    copy_key(ks, key, out);
    COPY(out, " ");
    copy_length(ks, out);
    COPY(out, "\r\n");
    copy_value(ks, key, out);
    COPY(out, "\r\n");
}

void op_request(const struct keyspace *ks, struct unit unit, struct outbox *out)
{
    switch ((enum op)unit.op) {
    case OP_GET:
        COPY(out, "get ");
        copy_key(ks, unit.key, out);
        COPY(out, "\r\n");
        break;
    case OP_SET:
        request_set(ks, unit.key, out);
        break;
    case OP_TOUCH:
        COPY(out, "touch ");
        copy_key(ks, unit.key, out);
        COPY(out, " 0\r\n");
        break;
    case OP_MGET_OPEN:
        COPY(out, "get");
        break;
    case OP_MGET_KEY:
        COPY(out, " ");
        copy_key(ks, unit.key, out);
        break;
    case OP_MGET_END:
        COPY(out, "\r\n");
        break;
    case OP_META_GET:
        COPY(out, "mg ");
        copy_key(ks, unit.key, out);
        COPY(out, " k v\r\n");
        break;
    case OP_META_SET:
        request_meta_set(ks, unit.key, out);
        break;
    case OP_BIN_GET:
        request_bin_key(ks, BIN_OPCODE_GET, unit.key, out);
        break;
    case OP_BIN_GETKQ:
        request_bin_key(ks, BIN_OPCODE_GETKQ, unit.key, out);
        break;
    case OP_BIN_SET:
        request_bin_set(ks, BIN_OPCODE_SET, unit.key, out);
        break;
    case OP_BIN_SETQ:
        request_bin_set(ks, BIN_OPCODE_SETQ, unit.key, out);
        break;
    case OP_BIN_NOOP:
        copy_bin_header(out, 0x80, BIN_OPCODE_NOOP, unit.key);
        break;
    case OP_NONE:
    case OP_N:
        break;
    }
}

static void reply_value_line(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    COPY(out, "VALUE ");
    copy_key(ks, key, out);
    COPY(out, " 0 ");
    copy_length(ks, out);
    COPY(out, "\r\n");
    copy_value(ks, key, out);
    COPY(out, "\r\n");
}

static void reply_bin_value(const struct keyspace *ks, uint8_t opcode, uint32_t key, size_t n_key,
                            struct outbox *out)
{
    set_bin_lengths(copy_bin_header(out, 0x81, opcode, key), n_key, 4, ks->n_value);
    memset(outbox_add(out, 4), 0, 4);
    if (n_key > 0)
        copy_key(ks, key, out);
    copy_value(ks, key, out);
}

void op_reply(const struct keyspace *ks, struct unit unit, struct outbox *out)
{
    switch ((enum op)unit.op) {
    case OP_GET:
        reply_value_line(ks, unit.key, out);
        COPY(out, "END\r\n");
        break;
    case OP_SET:
        COPY(out, "STORED\r\n");
        break;
    case OP_TOUCH:
        COPY(out, "TOUCHED\r\n");
        break;
    case OP_MGET_KEY:
        reply_value_line(ks, unit.key, out);
        break;
    case OP_MGET_END:
        COPY(out, "END\r\n");
        break;
    case OP_META_GET:
        COPY(out, "VA ");
        copy_length(ks, out);
        COPY(out, " k");
        copy_key(ks, unit.key, out);
        COPY(out, "\r\n");
        copy_value(ks, unit.key, out);
        COPY(out, "\r\n");
        break;
    case OP_META_SET:
        COPY(out, "HD\r\n");
        break;
    case OP_BIN_GET:
        reply_bin_value(ks, BIN_OPCODE_GET, unit.key, 0, out);
        break;
    case OP_BIN_GETKQ:
        reply_bin_value(ks, BIN_OPCODE_GETKQ, unit.key, ks->n_key, out);
        break;
    case OP_BIN_SET:
        copy_bin_header(out, 0x81, BIN_OPCODE_SET, unit.key);
        break;
    case OP_BIN_NOOP:
        copy_bin_header(out, 0x81, BIN_OPCODE_NOOP, unit.key);
        break;
    case OP_BIN_SETQ:
    case OP_MGET_OPEN:
    case OP_NONE:
    case OP_N:
        break;
    }
}

/* A fixed line. miss: the other line, which means that the key is gone; NULL: there is none. */
static enum verdict check_line(const char *line, const char *miss, const uint8_t *p, size_t n,
                               size_t *n_used_out)
{
    size_t n_line = strlen(line), n_miss = strlen(miss);
    if (n >= n_line && memcmp(p, line, n_line) == 0) {
        *n_used_out = n_line;
        return VERDICT_GOOD;
    }
    if (n_miss > 0 && n >= n_miss && memcmp(p, miss, n_miss) == 0) {
        *n_used_out = n_miss;
        return VERDICT_MISS;
    }
    bool may_become_line = n < n_line && memcmp(p, line, n) == 0;
    bool may_become_miss = n < n_miss && memcmp(p, miss, n) == 0;
    return may_become_line || may_become_miss ? VERDICT_MORE : VERDICT_BAD;
}

/* head (with the key where it belongs), value, tail: the whole reply of a hit. */
static enum verdict check_value(const struct keyspace *ks, uint32_t key, struct slice head,
                                struct slice tail, struct slice reply, size_t *n_used_out)
{
    size_t n_all = head.n + ks->n_value + tail.n;
    size_t n_head = reply.n < head.n ? reply.n : head.n;
    if (memcmp(reply.p, head.p, n_head) != 0)
        return VERDICT_BAD;
    if (reply.n < n_all)
        return VERDICT_MORE;
    const uint8_t *value = reply.p + head.n;
    if (!keyspace_value_matches(ks, key, value) || memcmp(value + ks->n_value, tail.p, tail.n) != 0)
        return VERDICT_BAD;
    *n_used_out = n_all;
    return VERDICT_GOOD;
}

/* "PREFIXkeyMIDDLE100\r\n" or, for meta, "VA 100 kkey\r\n". */
static size_t render_text_head(const struct keyspace *ks, uint32_t key, uint8_t *head)
{
    size_t n = 0;
    memcpy(head, "VALUE ", 6);
    keyspace_key(ks, key, head + 6);
    n = 6 + ks->n_key;
    memcpy(head + n, " 0 ", 3);
    n += 3;
    n += number_render_u64(head + n, ks->n_value);
    memcpy(head + n, "\r\n", 2);
    return n + 2;
}

static size_t render_meta_head(const struct keyspace *ks, uint32_t key, uint8_t *head)
{
    size_t n = 3;
    memcpy(head, "VA ", 3);
    n += number_render_u64(head + n, ks->n_value);
    memcpy(head + n, " k", 2);
    keyspace_key(ks, key, head + n + 2);
    n += 2 + ks->n_key;
    memcpy(head + n, "\r\n", 2);
    return n + 2;
}

static enum verdict check_text_get(const struct keyspace *ks, uint32_t key, struct slice reply,
                                   struct slice tail, size_t *n_used_out)
{
    uint8_t head[KEYSPACE_KEY_MAX + 64];
    size_t n_head = render_text_head(ks, key, head);
    return check_value(ks, key, slice_of(head, n_head), tail, reply, n_used_out);
}

/* A key of a multiget that is missing shows by the next VALUE line (or END) coming instead; only
 * a line of that shape counts as a miss, so an error line is still BAD. */
static enum verdict check_mget_key(const struct keyspace *ks, uint32_t key, struct slice reply,
                                   size_t *n_used_out)
{
    enum verdict verdict = check_text_get(ks, key, reply, SLICE("\r\n"), n_used_out);
    if (verdict != VERDICT_BAD)
        return verdict;
    size_t n_key_at = 6 + ks->n_key;
    bool is_end = reply.p[0] == 'E' && (reply.n < 2 || reply.p[1] == 'N');
    bool is_other_key = reply.n >= n_key_at && memcmp(reply.p, "VALUE ", 6) == 0;
    if (is_other_key) {
        uint8_t wanted[KEYSPACE_KEY_MAX];
        keyspace_key(ks, key, wanted);
        is_other_key = memcmp(reply.p + 6, wanted, ks->n_key) != 0;
    } else if (!is_end && reply.n < n_key_at &&
               memcmp(reply.p, "VALUE ", reply.n < 6 ? reply.n : 6) == 0) {
        return VERDICT_MORE;
    }
    *n_used_out = 0;
    return is_end || is_other_key ? VERDICT_MISS : VERDICT_BAD;
}

static enum verdict check_meta_get(const struct keyspace *ks, uint32_t key, struct slice reply,
                                   size_t *n_used_out)
{
    uint8_t head[KEYSPACE_KEY_MAX + 64];
    if (reply.p[0] == 'E')
        return check_line("\n", "EN\r\n", reply.p, reply.n, n_used_out);
    size_t n_head = render_meta_head(ks, key, head);
    return check_value(ks, key, slice_of(head, n_head), SLICE("\r\n"), reply, n_used_out);
}

/* The header of a binary reply to this unit: status 0 or "not found". */
static enum verdict check_bin_head(uint8_t opcode, uint32_t opaque, struct slice reply,
                                   uint32_t *n_body_out)
{
    const uint8_t *h = reply.p;
    if (h[0] != 0x81)
        return VERDICT_BAD;
    if (reply.n < BIN_HEADER)
        return VERDICT_MORE;
    uint32_t status = load_be16(h + 6);
    if (h[1] != opcode || load_be32(h + 12) != opaque || status > 1)
        return VERDICT_BAD;
    *n_body_out = load_be32(h + 8);
    return status == 0 ? VERDICT_GOOD : VERDICT_MISS;
}

static enum verdict check_bin_get(const struct keyspace *ks, uint8_t opcode, uint32_t key,
                                  size_t n_key, struct slice reply, size_t *n_used_out)
{
    uint32_t n_body;
    enum verdict verdict = check_bin_head(opcode, key, reply, &n_body);
    if (verdict == VERDICT_MORE || verdict == VERDICT_BAD)
        return verdict;
    if (verdict == VERDICT_GOOD &&
        (n_body != 4 + n_key + ks->n_value || reply.p[4] != 4 || load_be16(reply.p + 2) != n_key))
        return VERDICT_BAD;
    if (reply.n < BIN_HEADER + n_body)
        return VERDICT_MORE;
    *n_used_out = BIN_HEADER + n_body;
    if (verdict == VERDICT_MISS)
        return VERDICT_MISS;
    uint8_t wanted[KEYSPACE_KEY_MAX];
    const uint8_t *body = reply.p + BIN_HEADER + 4;
    keyspace_key(ks, key, wanted);
    bool is_same = memcmp(wanted, body, n_key) == 0;
    return is_same && keyspace_value_matches(ks, key, body + n_key) ? VERDICT_GOOD : VERDICT_BAD;
}

/* A reply for another opaque (or the NOOP) means that this quiet get missed. */
static enum verdict check_bin_getkq(const struct keyspace *ks, uint32_t key, struct slice reply,
                                    size_t *n_used_out)
{
    if (reply.n >= BIN_HEADER && reply.p[0] == 0x81 &&
        (reply.p[1] == BIN_OPCODE_NOOP ||
         (reply.p[1] == BIN_OPCODE_GETKQ && load_be32(reply.p + 12) != key))) {
        *n_used_out = 0;
        return VERDICT_MISS;
    }
    return check_bin_get(ks, BIN_OPCODE_GETKQ, key, ks->n_key, reply, n_used_out);
}

static enum verdict check_bin_plain(uint8_t opcode, uint32_t opaque, struct slice reply,
                                    size_t *n_used_out)
{
    uint32_t n_body;
    enum verdict verdict = check_bin_head(opcode, opaque, reply, &n_body);
    if (verdict == VERDICT_MORE || verdict == VERDICT_BAD)
        return verdict;
    if (verdict != VERDICT_GOOD || n_body != 0)
        return VERDICT_BAD;
    *n_used_out = BIN_HEADER;
    return VERDICT_GOOD;
}

static enum verdict check_bytes(const struct keyspace *ks, struct unit unit, struct slice reply,
                                size_t *n_used_out)
{
    switch ((enum op)unit.op) {
    case OP_GET:
        if (reply.p[0] == 'E')
            return check_line("\n", "END\r\n", reply.p, reply.n, n_used_out);
        return check_text_get(ks, unit.key, reply, SLICE("\r\nEND\r\n"), n_used_out);
    case OP_SET:
        return check_line("STORED\r\n", "", reply.p, reply.n, n_used_out);
    case OP_TOUCH:
        return check_line("TOUCHED\r\n", "NOT_FOUND\r\n", reply.p, reply.n, n_used_out);
    case OP_MGET_KEY:
        return check_mget_key(ks, unit.key, reply, n_used_out);
    case OP_MGET_END:
        return check_line("END\r\n", "", reply.p, reply.n, n_used_out);
    case OP_META_GET:
        return check_meta_get(ks, unit.key, reply, n_used_out);
    case OP_META_SET:
        return check_line("HD\r\n", "", reply.p, reply.n, n_used_out);
    case OP_BIN_GET:
        return check_bin_get(ks, BIN_OPCODE_GET, unit.key, 0, reply, n_used_out);
    case OP_BIN_GETKQ:
        return check_bin_getkq(ks, unit.key, reply, n_used_out);
    case OP_BIN_SET:
        return check_bin_plain(BIN_OPCODE_SET, unit.key, reply, n_used_out);
    case OP_BIN_NOOP:
        return check_bin_plain(BIN_OPCODE_NOOP, unit.key, reply, n_used_out);
    default:
        return VERDICT_BAD;
    }
}

enum verdict op_check(const struct keyspace *ks, struct unit unit, const uint8_t *p, size_t n,
                      size_t *n_used_out)
{
    if (unit.op == OP_BIN_SETQ || unit.op == OP_MGET_OPEN || unit.op == OP_NONE) {
        *n_used_out = 0;
        return VERDICT_GOOD;
    }
    if (n == 0)
        return VERDICT_MORE;
    return check_bytes(ks, unit, slice_of(p, n), n_used_out);
}
