#include "protocol/dialects.h"
#include "t/unit/binary_packet.h"
#include "t/unit/fence.h"
#include "t/unit/unit.h"

#define PACKET_MAX (24 + 255 + 65535)

enum { NO_KEY, NEEDS_KEY, MAY_KEY };
enum { NO_VALUE, TAKES_VALUE, SKIPS_VALUE };

/* What the protocol says of each opcode, written a second time and in other words than
 * opcodes.def on purpose. */
struct expected {
    uint8_t opcode;
    uint8_t verb;
    bool is_quiet;
    uint8_t key;
    uint8_t n_extras;
    uint8_t n_extras_other;
    uint8_t value;
};

static const struct expected expected[] = {
    {0x00, VERB_GET, false, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x09, VERB_GET, true, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x0c, VERB_GET, false, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x0d, VERB_GET, true, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x01, VERB_SET, false, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x11, VERB_SET, true, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x02, VERB_ADD, false, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x12, VERB_ADD, true, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x03, VERB_REPLACE, false, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x13, VERB_REPLACE, true, NEEDS_KEY, 8, 8, TAKES_VALUE},
    {0x04, VERB_DELETE, false, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x14, VERB_DELETE, true, NEEDS_KEY, 0, 0, NO_VALUE},
    {0x05, VERB_INCR, false, NEEDS_KEY, 20, 20, NO_VALUE},
    {0x15, VERB_INCR, true, NEEDS_KEY, 20, 20, NO_VALUE},
    {0x06, VERB_DECR, false, NEEDS_KEY, 20, 20, NO_VALUE},
    {0x16, VERB_DECR, true, NEEDS_KEY, 20, 20, NO_VALUE},
    {0x07, VERB_QUIT, false, NO_KEY, 0, 0, NO_VALUE},
    {0x17, VERB_QUIT, true, NO_KEY, 0, 0, NO_VALUE},
    {0x08, VERB_FLUSH, false, NO_KEY, 0, 4, NO_VALUE},
    {0x18, VERB_FLUSH, true, NO_KEY, 0, 4, NO_VALUE},
    {0x0a, VERB_NOOP, false, NO_KEY, 0, 0, NO_VALUE},
    {0x0b, VERB_VERSION, false, NO_KEY, 0, 0, NO_VALUE},
    {0x0e, VERB_APPEND, false, NEEDS_KEY, 0, 0, TAKES_VALUE},
    {0x19, VERB_APPEND, true, NEEDS_KEY, 0, 0, TAKES_VALUE},
    {0x0f, VERB_PREPEND, false, NEEDS_KEY, 0, 0, TAKES_VALUE},
    {0x1a, VERB_PREPEND, true, NEEDS_KEY, 0, 0, TAKES_VALUE},
    {0x10, VERB_STATS, false, MAY_KEY, 0, 0, SKIPS_VALUE},
    {0x1b, VERB_VERBOSITY, false, NO_KEY, 4, 4, NO_VALUE},
    {0x1c, VERB_TOUCH, false, NEEDS_KEY, 4, 4, SKIPS_VALUE},
    {0x1d, VERB_GET, false, NEEDS_KEY, 4, 4, SKIPS_VALUE},
    {0x1e, VERB_GET, true, NEEDS_KEY, 4, 4, SKIPS_VALUE},
    {0x23, VERB_GET, false, NEEDS_KEY, 4, 4, SKIPS_VALUE},
    {0x24, VERB_GET, true, NEEDS_KEY, 4, 4, SKIPS_VALUE},
    {0x20, VERB_SASL_LIST, false, NO_KEY, 0, 0, NO_VALUE},
    {0x21, VERB_SASL_START, false, NEEDS_KEY, 0, 0, TAKES_VALUE},
    {0x22, VERB_SASL_STEP, false, NEEDS_KEY, 0, 0, TAKES_VALUE},
};

static const struct expected *expected_of(unsigned opcode)
{
    for (int i = 0; i < N_ROWS(expected); i++)
        if (expected[i].opcode == opcode)
            return &expected[i];
    return NULL;
}

static bool lengths_are_right(const struct expected *row, unsigned n_extras, unsigned n_key,
                              unsigned n_value)
{
    if (n_extras != row->n_extras && n_extras != row->n_extras_other)
        return false;
    if (row->key == NO_KEY ? n_key > 0 : row->key == NEEDS_KEY && n_key == 0)
        return false;
    return row->value != NO_VALUE || n_value == 0;
}

static struct fence fence;
static uint8_t packet[PACKET_MAX];

static void open_fence(void)
{
    fence = fence_create(PACKET_MAX);
}

static enum parse_result parse(const uint8_t *bytes, size_t n, struct request *out,
                               size_t *n_consumed_out)
{
    struct parser parser = {.protocol = PROTOCOL_BINARY};
    return binary_parse(&parser, fence_place(&fence, bytes, n), n, out, n_consumed_out);
}

static void check_good(const struct expected *row, const struct request *request, unsigned n_key,
                       unsigned n_value)
{
    ck_assert_uint_eq(request->verb, row->verb);
    ck_assert_uint_eq(request->dialect, DIALECT_BINARY);
    ck_assert_uint_eq(request->opcode, row->opcode);
    ck_assert_uint_eq(request->status, STATUS_NONE);
    ck_assert_int_eq(request->is_quiet, row->is_quiet);
    ck_assert_int_eq(request->closes, row->verb == VERB_QUIT);
    ck_assert_uint_eq(request->opaque, 0xdeadbeef);
    ck_assert_uint_eq(request->n_value, n_value);
    ck_assert_uint_eq(request->n_trailer, 0);
    ck_assert_uint_eq(row->verb == VERB_STATS ? request->args.n : request->key.n, n_key);
    ck_assert(!(request->does & DO_CAS));
    if (row->value == TAKES_VALUE)
        ck_assert(verb_takes_value(row->verb));
}

/* Every opcode with every number of extras, with and without key and value. */
START_TEST(lengths_of_opcode)
{
    static const unsigned n_keys[] = {0, 1, 5, 32};
    static const unsigned n_values[] = {0, 1, 1000};
    const struct expected *row = expected_of((unsigned)_i);
    struct request request;
    for (unsigned n_extras = 0; n_extras < 256; n_extras++)
        for (unsigned k = 0; k < 4; k++)
            for (unsigned v = 0; v < 3; v++) {
                size_t n_consumed = 0;
                size_t n = binary_packet_build((uint8_t)_i, (uint8_t)n_extras, (uint16_t)n_keys[k],
                                               n_values[v], packet);
                enum parse_result result = parse(packet, n, &request, &n_consumed);
                bool is_right = true;
                if (row == NULL) {
                    is_right = result == PARSE_OK && request.verb == VERB_BAD &&
                               request.status == STATUS_UNKNOWN_OPCODE &&
                               request.n_value == n_extras + n_keys[k] + n_values[v] &&
                               n_consumed == BINARY_HEADER && !request.closes;
                } else if (lengths_are_right(row, n_extras, n_keys[k], n_values[v])) {
                    ck_assert_int_eq(result, PARSE_OK);
                    ck_assert_uint_eq(n_consumed, n);
                    check_good(row, &request, n_keys[k], n_values[v]);
                } else {
                    is_right = result == PARSE_BAD && request.status == STATUS_BAD_FORMAT &&
                               request.opaque == 0xdeadbeef && request.opcode == (unsigned)_i &&
                               request.closes;
                }
                /* An assertion costs a write even when it holds; these are 786,432. */
                if (!is_right)
                    ck_abort_msg("opcode %d, extras %u, key %u, value %u: result %d", _i, n_extras,
                                 n_keys[k], n_values[v], (int)result);
            }
}
END_TEST

/* More is asked for at every byte before the end of the key, and nothing is consumed. */
START_TEST(split_at_every_byte)
{
    const struct expected *row = &expected[_i];
    uint16_t n_key = row->key == NO_KEY ? 0 : 7;
    size_t n = binary_packet_build(row->opcode, row->n_extras_other, n_key,
                                   row->value == NO_VALUE ? 0 : 9, packet);
    for (size_t i = 1; i < n; i++) {
        struct request request = {.opaque = 42};
        size_t n_consumed = 42;
        ck_assert_int_eq(parse(packet, i, &request, &n_consumed), PARSE_MORE);
        ck_assert_uint_eq(n_consumed, 42);
        ck_assert_uint_eq(request.opaque, 42);
    }
    struct request request;
    size_t n_consumed;
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(n_consumed, n);
}
END_TEST

START_TEST(wrong_magic_closes_at_once)
{
    uint8_t byte = (uint8_t)_i;
    struct request request;
    size_t n_consumed;
    enum parse_result result = parse(&byte, 1, &request, &n_consumed);
    ck_assert_int_eq(result, _i == 0x80 ? PARSE_MORE : PARSE_BAD);
    if (_i != 0x80)
        ck_assert_uint_eq(request.status, STATUS_NONE);
}
END_TEST

struct header_row {
    uint8_t opcode;
    uint16_t n_key;
    uint8_t n_extras;
    uint32_t n_body;
    enum parse_result result;
    enum status status;
};

/* Lengths that contradict each other or pass a limit; only the header is there. */
static const struct header_row header_rows[] = {
    {0x00, 3, 0, 1, PARSE_BAD, STATUS_UNKNOWN_OPCODE},
    {0x00, 65535, 255, 65789, PARSE_BAD, STATUS_UNKNOWN_OPCODE},
    {0x01, 1, 8, 8, PARSE_BAD, STATUS_UNKNOWN_OPCODE},
    {0x42, 9, 0, 0, PARSE_BAD, STATUS_UNKNOWN_OPCODE},
    {0x01, 1, 8, 0xffffffff, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x01, 1, 8, 0x80000000, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x01, 1, 8, (1u << 30) + 1, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x42, 0, 0, 0xffffffff, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x01, 1, 8, 1u << 30, PARSE_MORE, STATUS_NONE},
    {0x42, 0, 0, 1u << 30, PARSE_OK, STATUS_UNKNOWN_OPCODE},
    {0x00, 250, 0, 250, PARSE_MORE, STATUS_NONE},
    {0x00, 251, 0, 251, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x42, 251, 0, 251, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x00, 65535, 0, 65535, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x21, 33, 0, 40, PARSE_OK, STATUS_BAD_FORMAT},
    {0x22, 250, 0, 250, PARSE_OK, STATUS_BAD_FORMAT},
    {0x22, 251, 0, 251, PARSE_BAD, STATUS_BAD_FORMAT},
    {0x21, 32, 0, 40, PARSE_MORE, STATUS_NONE},
    {0x1f, 3, 2, 77, PARSE_OK, STATUS_UNKNOWN_OPCODE},
    {0x3c, 3, 2, 77, PARSE_OK, STATUS_UNKNOWN_OPCODE},
};

START_TEST(header_row)
{
    const struct header_row *row = &header_rows[_i];
    struct binary_packet header = {.opcode = row->opcode,
                                   .n_key = row->n_key,
                                   .n_extras = row->n_extras,
                                   .n_body = row->n_body};
    uint8_t bytes[BINARY_HEADER];
    binary_packet_header(&header, bytes);
    struct request request;
    size_t n_consumed = 0;
    ck_assert_int_eq(parse(bytes, sizeof bytes, &request, &n_consumed), row->result);
    if (row->result == PARSE_MORE)
        return;
    ck_assert_uint_eq(request.verb, VERB_BAD);
    ck_assert_uint_eq(request.status, row->status);
    ck_assert_int_eq(request.closes, row->result == PARSE_BAD);
    if (row->result == PARSE_OK) {
        ck_assert_uint_eq(request.n_value, row->n_body);
        ck_assert_uint_eq(n_consumed, BINARY_HEADER);
    }
}
END_TEST

/* The extras 1, 2, 3... of binary_packet_build as big-endian fields. */
START_TEST(extras_of_store)
{
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(0x01, 8, 3, 5, packet);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(request.client_flags, 0x01020304);
    ck_assert_int_eq(request.exptime, 0x05060708);
    ck_assert(slice_is(request.key, "kkk"));
    ck_assert(request.does & WANT_CAS);
}
END_TEST

START_TEST(extras_of_number)
{
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(0x05, 20, 3, 0, packet);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(request.delta, 0x0102030405060708);
    ck_assert_uint_eq(request.initial, 0x090a0b0c0d0e0f10);
    ck_assert_int_eq(request.vivify_exptime, 0x11121314);
    ck_assert(request.does & DO_VIVIFY);
    memset(packet + 40, 0xff, 4);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert(!(request.does & DO_VIVIFY));
}
END_TEST

START_TEST(exptime_is_never_negative)
{
    static const uint8_t opcodes[] = {0x1c, 0x1d, 0x1e, 0x23, 0x24, 0x08, 0x18};
    struct request request;
    size_t n_consumed;
    bool has_key = opcodes[_i] >= 0x1c;
    size_t n = binary_packet_build(opcodes[_i], 4, has_key, 0, packet);
    memset(packet + 24, 0xff, 4);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_int_eq(request.exptime, 0xffffffff);
    ck_assert_int_eq(!!(request.does & DO_TOUCH), opcodes[_i] >= 0x1c);
}
END_TEST

START_TEST(flush_without_delay_is_now)
{
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(0x08, 0, 0, 0, packet);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_int_eq(request.exptime, 0);
}
END_TEST

START_TEST(level_is_an_argument)
{
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(0x1b, 4, 0, 0, packet);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert(slice_is(request_arg(&request, 0), "16909060"));
    ck_assert_uint_eq(request_n_args(&request), 1);
}
END_TEST

struct cas_row {
    uint8_t opcode;
    uint8_t n_extras;
    uint8_t verb;
    bool compares;
};

/* Which opcodes a cas in the header makes conditional, and as what. */
static const struct cas_row cas_rows[] = {
    {0x01, 8, VERB_SET, true},    {0x11, 8, VERB_SET, true},     {0x02, 8, VERB_SET, true},
    {0x12, 8, VERB_SET, true},    {0x03, 8, VERB_SET, true},     {0x13, 8, VERB_SET, true},
    {0x0e, 0, VERB_APPEND, true}, {0x1a, 0, VERB_PREPEND, true}, {0x04, 0, VERB_DELETE, true},
    {0x05, 20, VERB_INCR, true},  {0x16, 20, VERB_DECR, true},   {0x00, 0, VERB_GET, false},
    {0x1d, 4, VERB_GET, false},   {0x1c, 4, VERB_TOUCH, false},  {0x0d, 0, VERB_GET, false},
    {0x10, 0, VERB_STATS, false},
};

START_TEST(cas_row)
{
    const struct cas_row *row = &cas_rows[_i];
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(row->opcode, row->n_extras, 1, 0, packet);
    store_be64(packet + 16, 0xfedcba9876543210);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(request.verb, row->verb);
    ck_assert_int_eq(!!(request.does & DO_CAS), row->compares);
    if (row->compares)
        ck_assert_uint_eq(request.cas, 0xfedcba9876543210);
}
END_TEST

START_TEST(keys_may_hold_any_byte)
{
    struct request request;
    size_t n_consumed;
    size_t n = binary_packet_build(0x0c, 0, 250, 0, packet);
    for (unsigned i = 0; i < 250; i++)
        packet[24 + i] = (uint8_t)(i + 3);
    ck_assert_int_eq(parse(packet, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(request.key.n, 250);
    ck_assert(memcmp(request.key.p, packet + 24, 250) == 0);
    ck_assert(request.does & WANT_KEY);
}
END_TEST

/* Two requests behind each other: the first ends where the second begins. */
START_TEST(pipeline_is_followed)
{
    uint8_t bytes[128];
    size_t n_first = binary_packet_build(0x0d, 0, 4, 0, bytes);
    size_t n = n_first + binary_packet_build(0x0a, 0, 0, 0, bytes + n_first);
    struct request request;
    size_t n_consumed;
    ck_assert_int_eq(parse(bytes, n, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(n_consumed, n_first);
    ck_assert(request.is_quiet);
    ck_assert_int_eq(parse(bytes + n_consumed, n - n_consumed, &request, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(request.verb, VERB_NOOP);
}
END_TEST

/* What is taken for a bare set, parse_request takes for the same; what is not is left alone. */
static bool check_bare_set(size_t n)
{
    struct parser parser;
    struct bare_set set;
    struct request request, made;
    size_t n_consumed, n_head;
    const uint8_t *p = fence_place(&fence, packet, n);
    parser_init(&parser, PROTOCOL_BINARY);
    n_consumed = parse_bare_set(&parser, p, n, &set);
    if (n_consumed == 0)
        return false;
    ck_assert_int_eq(parse_request(&parser, p, n, &request, &n_head), PARSE_OK);
    ck_assert_uint_eq(request.verb, VERB_SET);
    ck_assert_uint_eq(n_consumed, n_head + request.n_value);
    ck_assert_uint_eq(set.n_head, n_head);
    bare_set_request(&set, &made);
    ck_assert(made.value.p == p + n_head && made.value.n == request.n_value);
    made.value = request.value;
    ck_assert_mem_eq(&made, &request, offsetof(struct request, raw_key));
    return true;
}

START_TEST(bare_sets_are_like_any)
{
    static const uint16_t n_keys[] = {0, 1, 250, 251};
    static const uint8_t n_extras[] = {0, 4, 8, 9};
    unsigned opcode = (unsigned)_i;
    bool is_set = opcode == 0x01 || opcode == 0x11;
    for (size_t i = 0; i < N_ROWS(n_keys); i++)
        for (size_t k = 0; k < N_ROWS(n_extras); k++) {
            bool is_bare = is_set && n_extras[k] == 8 && n_keys[i] > 0 && n_keys[i] < 251;
            size_t n = 3 + binary_packet_build((uint8_t)opcode, n_extras[k], n_keys[i], 3, packet);
            store_be32(packet + 12, 0x12345678);
            ck_assert_int_eq(check_bare_set(n), is_bare);
            for (size_t n_here = 1; is_set && n_here < n; n_here++)
                ck_assert(!check_bare_set(n_here));
            store_be64(packet + 16, 1);
            ck_assert(!check_bare_set(n));
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("binary_parse");
    TCase *tc = tcase_create("rows");
    tcase_add_unchecked_fixture(tc, open_fence, NULL);
    tcase_add_loop_test(tc, lengths_of_opcode, 0, 256);
    tcase_add_loop_test(tc, split_at_every_byte, 0, N_ROWS(expected));
    tcase_add_loop_test(tc, wrong_magic_closes_at_once, 0, 256);
    tcase_add_loop_test(tc, header_row, 0, N_ROWS(header_rows));
    tcase_add_test(tc, extras_of_store);
    tcase_add_test(tc, extras_of_number);
    tcase_add_loop_test(tc, exptime_is_never_negative, 0, 7);
    tcase_add_test(tc, flush_without_delay_is_now);
    tcase_add_test(tc, level_is_an_argument);
    tcase_add_loop_test(tc, cas_row, 0, N_ROWS(cas_rows));
    tcase_add_test(tc, keys_may_hold_any_byte);
    tcase_add_test(tc, pipeline_is_followed);
    tcase_add_loop_test(tc, bare_sets_are_like_any, 0, 256);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
