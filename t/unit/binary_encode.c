#include "protocol/binary.h"
#include "protocol/dialects.h"
#include "t/unit/binary_packet.h"
#include "t/unit/fence.h"
#include "t/unit/unit.h"

static uint8_t out[ENCODE_HEAD_MAX];

/* The request that these lengths parse to; its key stays valid until the next call. */
static struct request request_of(uint8_t opcode, uint8_t n_extras, uint16_t n_key)
{
    static uint8_t packet[24 + 255 + 250];
    struct request request;
    struct parser parser = {.protocol = PROTOCOL_BINARY};
    size_t n_consumed;
    size_t n = binary_packet_build(opcode, n_extras, n_key, 0, packet);
    ck_assert_int_eq(binary_parse(&parser, packet, n, &request, &n_consumed), PARSE_OK);
    return request;
}

static void check_header(size_t n, uint8_t opcode, unsigned n_key, unsigned n_extras,
                         unsigned status, unsigned n_body, uint64_t cas)
{
    ck_assert_uint_ge(n, BINARY_HEADER);
    ck_assert_uint_eq(out[0], 0x81);
    ck_assert_uint_eq(out[1], opcode);
    ck_assert_uint_eq(load_be16(out + 2), n_key);
    ck_assert_uint_eq(out[4], n_extras);
    ck_assert_uint_eq(out[5], 0);
    ck_assert_uint_eq(load_be16(out + 6), status);
    ck_assert_uint_eq(load_be32(out + 8), n_body);
    ck_assert_uint_eq(load_be32(out + 12), 0xdeadbeef);
    ck_assert(load_be64(out + 16) == cas);
}

START_TEST(hit_has_flags_cas_and_length)
{
    struct request request = request_of(0x00, 0, 3);
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .client_flags = 0x01020304,
                          .n_value = 100,
                          .cas = 77};
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 28);
    check_header(n, 0x00, 0, 4, 0, 104, 77);
    ck_assert_uint_eq(load_be32(out + 24), 0x01020304);
    ck_assert_uint_eq(binary_encoder.tail(&request, &reply, out), 0);
}
END_TEST

START_TEST(hit_with_key)
{
    static const uint8_t opcodes[][2] = {{0x0c, 0}, {0x0d, 0}, {0x23, 4}, {0x24, 4}};
    struct request request = request_of(opcodes[_i][0], opcodes[_i][1], 250);
    struct reply reply = {.status = STATUS_HIT, .has_value = true, .n_value = 3, .cas = 9};
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 24 + 4 + 250);
    uint8_t whole[ENCODE_HEAD_MAX];
    ck_assert_uint_eq(binary_encoder.whole(&request, &reply, SLICE("abc"), whole), n + 3);
    ck_assert_mem_eq(whole, out, n);
    ck_assert_mem_eq(whole + n, "abc", 3);
    check_header(n, opcodes[_i][0], 250, 4, 0, 4 + 250 + 3, 9);
    ck_assert_uint_eq(out[28], 'k');
}
END_TEST

START_TEST(miss_tells_the_key_only_when_asked)
{
    struct reply reply = {.status = STATUS_MISS, .cas = 5};
    struct request request = request_of(0x0c, 0, 3);
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 27);
    check_header(n, 0x0c, 3, 0, 1, 3, 0);
    request = request_of(0x00, 0, 3);
    n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 33);
    check_header(n, 0x00, 0, 0, 1, 9, 0);
    ck_assert(memcmp(out + 24, "Not found", 9) == 0);
}
END_TEST

START_TEST(number_is_eight_bytes)
{
    struct request request = request_of(0x05, 20, 3);
    struct reply reply = {.status = STATUS_NUMBER, .number = 0x0102030405060708, .cas = 6};
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 32);
    check_header(n, 0x05, 0, 0, 0, 8, 6);
    ck_assert(load_be64(out + 24) == 0x0102030405060708);
}
END_TEST

START_TEST(touch_answers_flags)
{
    struct request request = request_of(0x1c, 4, 3);
    struct reply reply = {.status = STATUS_TOUCHED, .client_flags = 9, .cas = 6};
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 28);
    check_header(n, 0x1c, 0, 4, 0, 4, 6);
    ck_assert_uint_eq(load_be32(out + 24), 9);
}
END_TEST

START_TEST(delete_has_no_cas)
{
    struct request request = request_of(0x04, 0, 3);
    struct reply reply = {.status = STATUS_DELETED, .cas = 6};
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 24);
    check_header(n, 0x04, 0, 0, 0, 0, 0);
}
END_TEST

/* Every status that is not a success: its code, its body, no key, no cas. */
START_TEST(error_of_status)
{
    const struct status_row *row = status_row((enum status)_i);
    if (row->code == 0 || _i == STATUS_AUTH_CONTINUE || _i == STATUS_UNKNOWN_STAT)
        return;
    struct request request = request_of(0x11, 8, 3);
    struct reply reply = {.status = (uint8_t)_i, .cas = 6};
    size_t n_text = strlen(row->body);
    ck_assert_uint_gt(n_text, 0);
    ck_assert(!binary_encoder.is_hidden(&request, &reply));
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_uint_eq(n, 24 + n_text);
    check_header(n, 0x11, 0, 0, row->code, (unsigned)n_text, 0);
    ck_assert(memcmp(out + 24, row->body, n_text) == 0);
}
END_TEST

struct quiet_row {
    uint8_t opcode;
    uint8_t n_extras;
    uint8_t n_key;
    uint8_t status;
    bool is_hidden;
};

static const struct quiet_row quiet_rows[] = {
    {0x09, 0, 1, STATUS_MISS, true},
    {0x09, 0, 1, STATUS_HIT, false},
    {0x0d, 0, 1, STATUS_MISS, true},
    {0x1e, 4, 1, STATUS_MISS, true},
    {0x24, 4, 1, STATUS_MISS, true},
    {0x24, 4, 1, STATUS_HIT, false},
    {0x00, 0, 1, STATUS_MISS, false},
    {0x23, 4, 1, STATUS_MISS, false},
    {0x11, 8, 1, STATUS_STORED, true},
    {0x11, 8, 1, STATUS_EXISTS, false},
    {0x11, 8, 1, STATUS_TOO_LARGE, false},
    {0x12, 8, 1, STATUS_STORED, true},
    {0x12, 8, 1, STATUS_ADD_EXISTS, false},
    {0x13, 8, 1, STATUS_REPLACE_MISSING, false},
    {0x14, 0, 1, STATUS_DELETED, true},
    {0x14, 0, 1, STATUS_NOT_FOUND, false},
    {0x15, 20, 1, STATUS_NUMBER, true},
    {0x16, 20, 1, STATUS_NON_NUMERIC, false},
    {0x17, 0, 0, STATUS_OK, true},
    {0x17, 0, 0, STATUS_NONE, true},
    {0x07, 0, 0, STATUS_NONE, false},
    {0x18, 0, 0, STATUS_OK, true},
    {0x18, 4, 0, STATUS_FLUSH_NOT_ALLOWED, false},
    {0x19, 0, 1, STATUS_STORED, true},
    {0x19, 0, 1, STATUS_NOT_STORED, false},
    {0x1a, 0, 1, STATUS_STORED, true},
    {0x01, 8, 1, STATUS_STORED, false},
    {0x0a, 0, 0, STATUS_NOOP, false},
    {0x09, 0, 1, STATUS_UNAUTHENTICATED, false},
    {0x09, 0, 1, STATUS_NO_MEMORY, false},
};

START_TEST(quiet_row)
{
    const struct quiet_row *row = &quiet_rows[_i];
    struct request request = request_of(row->opcode, row->n_extras, row->n_key);
    struct reply reply = {.status = row->status};
    ck_assert_int_eq(binary_encoder.is_hidden(&request, &reply), row->is_hidden);
    size_t n = binary_encoder.head(&request, &reply, out);
    ck_assert_int_eq(n == 0, row->is_hidden);
}
END_TEST

START_TEST(unknown_opcode_is_never_hidden)
{
    struct request request = request_of(0x32, 0, 0);
    struct reply reply = {.status = request.status};
    size_t n = binary_encoder.head(&request, &reply, out);
    check_header(n, 0x32, 0, 0, 0x81, 15, 0);
    ck_assert(memcmp(out + 24, "Unknown command", 15) == 0);
}
END_TEST

START_TEST(texts_of_login)
{
    struct request request = request_of(0x21, 0, 5);
    struct reply reply = {.status = STATUS_AUTHENTICATED};
    size_t n = binary_encoder.head(&request, &reply, out);
    check_header(n, 0x21, 0, 0, 0, 13, 0);
    ck_assert(memcmp(out + 24, "Authenticated", 13) == 0);
    reply.text = SLICE("v=signature");
    n = binary_encoder.head(&request, &reply, out);
    check_header(n, 0x21, 0, 0, 0, 11, 0);
    reply.status = STATUS_AUTH_CONTINUE;
    n = binary_encoder.head(&request, &reply, out);
    check_header(n, 0x21, 0, 0, 0x21, 11, 0);
    ck_assert(memcmp(out + 24, "v=signature", 11) == 0);
}
END_TEST

START_TEST(statistics_end_with_an_empty_packet)
{
    struct request request = request_of(0x10, 0, 0);
    size_t n = binary_encoder.stat(&request, SLICE("pid"), SLICE("1234"), out);
    ck_assert_uint_eq(n, 31);
    check_header(n, 0x10, 3, 0, 0, 7, 0);
    ck_assert(memcmp(out + 24, "pid1234", 7) == 0);
    n = binary_encoder.stat_end(&request, out);
    ck_assert_uint_eq(n, 24);
    check_header(n, 0x10, 0, 0, 0, 0, 0);
    n = binary_encoder.head(&request, &(struct reply){.status = STATUS_UNKNOWN_STAT}, out);
    ck_assert_uint_eq(n, 24);
    check_header(n, 0x10, 0, 0, 0, 0, 0);
}
END_TEST

/* A reply with the request's magic is a request again: the header's fields stand where the parser
 * reads them. */
START_TEST(header_survives_a_round_trip)
{
    struct request request = request_of(0x0c, 0, 200), back;
    struct reply reply = {.status = STATUS_MISS};
    size_t n = binary_encoder.head(&request, &reply, out), n_consumed;
    struct parser parser = {.protocol = PROTOCOL_BINARY};
    out[0] = BINARY_REQUEST;
    ck_assert_int_eq(binary_parse(&parser, out, n, &back, &n_consumed), PARSE_OK);
    ck_assert_uint_eq(n_consumed, n);
    ck_assert_uint_eq(back.opcode, request.opcode);
    ck_assert_uint_eq(back.opaque, request.opaque);
    ck_assert_uint_eq(back.does, request.does);
    ck_assert(slice_equal(back.key, request.key));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("binary_encode");
    TCase *tc = tcase_create("rows");
    tcase_add_test(tc, hit_has_flags_cas_and_length);
    tcase_add_loop_test(tc, hit_with_key, 0, 4);
    tcase_add_test(tc, miss_tells_the_key_only_when_asked);
    tcase_add_test(tc, number_is_eight_bytes);
    tcase_add_test(tc, touch_answers_flags);
    tcase_add_test(tc, delete_has_no_cas);
    tcase_add_loop_test(tc, error_of_status, 0, N_STATUSES);
    tcase_add_loop_test(tc, quiet_row, 0, N_ROWS(quiet_rows));
    tcase_add_test(tc, unknown_opcode_is_never_hidden);
    tcase_add_test(tc, texts_of_login);
    tcase_add_test(tc, statistics_end_with_an_empty_packet);
    tcase_add_test(tc, header_survives_a_round_trip);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
