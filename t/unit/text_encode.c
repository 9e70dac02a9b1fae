#include "protocol/encode.h"
#include "t/unit/text_case.h"

/* A line, what became of it, and all that goes out for it; a value goes out as <value>. */
struct answer_row {
    const char *line;
    struct reply reply;
    const char *expected;
};

#define REPLY(...)  \
    {               \
        __VA_ARGS__ \
    }

/* Answers every request of the line with the same reply. */
static void answer(const char *line, const struct reply *reply, struct picture *picture)
{
    struct parser parser;
    const uint8_t *p = (const uint8_t *)line;
    size_t n = strlen(line);
    uint8_t out[ENCODE_HEAD_MAX + ENCODE_TAIL_MAX];
    picture->n = 0;
    picture->text[0] = '\0';
    parser_init(&parser, PROTOCOL_TEXT);
    while (n > 0) {
        struct request request;
        size_t n_consumed;
        ck_assert_int_eq(parse_request(&parser, p, n, &request, &n_consumed), PARSE_OK);
        struct reply answered = *reply;
        if (request.verb == VERB_BAD)
            answered = (struct reply){.status = request.status};
        check_whole(&request, &answered);
        size_t n_head = encode_head(&request, &answered, out);
        bool has_value = answered.has_value && !encode_is_hidden(&request, &answered);
        draw(picture, "%.*s%s", (int)n_head, (char *)out, has_value ? "<value>" : "");
        size_t n_tail = encode_tail(&request, &answered, out);
        draw(picture, "%.*s", (int)n_tail, (char *)out);
        p += n_consumed;
        n -= n_consumed;
    }
}

static const struct answer_row answer_rows[] = {
    {"get a\r\n", REPLY(.status = STATUS_MISS), "END\r\n"},
    {"get a b\r\n", REPLY(.status = STATUS_MISS), "END\r\n"},
    {"get a\r\n", REPLY(.status = STATUS_HIT, .has_value = true, .n_value = 7),
     "VALUE a 0 7\r\n<value>\r\nEND\r\n"},
    {"get a bb\r\n",
     REPLY(.status = STATUS_HIT, .has_value = true, .n_value = 1048576, .client_flags = UINT32_MAX,
           .cas = 5),
     "VALUE a 4294967295 1048576\r\n<value>\r\nVALUE bb 4294967295 1048576\r\n<value>\r\nEND\r\n"},
    {"gets a\r\n", REPLY(.status = STATUS_HIT, .has_value = true, .n_value = 7, .cas = UINT64_MAX),
     "VALUE a 0 7 18446744073709551615\r\n<value>\r\nEND\r\n"},
    {"gat 0 a\r\n",
     REPLY(.status = STATUS_HIT, .has_value = true, .n_value = 10, .client_flags = 10, .cas = 1),
     "VALUE a 10 10\r\n<value>\r\nEND\r\n"},
    {"gats 0 a\r\n", REPLY(.status = STATUS_HIT, .has_value = true, .n_value = 0, .cas = 1),
     "VALUE a 0 0 1\r\n<value>\r\nEND\r\n"},
    {"get a b c\r\n", REPLY(.status = STATUS_UNAUTHENTICATED), "CLIENT_ERROR unauthenticated\r\n"},
    {"get\r\n", REPLY(.status = STATUS_MISS), "CLIENT_ERROR bad command line format\r\n"},
    {"set k 0 0 1\r\n", REPLY(.status = STATUS_STORED), "STORED\r\n"},
    {"set k 0 0 1 noreply\r\n", REPLY(.status = STATUS_STORED), ""},
    {"set k 0 0 1 noreply\r\n", REPLY(.status = STATUS_TOO_LARGE), ""},
    {"set k x 0 1 noreply\r\n", REPLY(.status = STATUS_TOO_LARGE), ""},
    {"set k x 0 1\r\n", REPLY(.status = STATUS_TOO_LARGE),
     "CLIENT_ERROR bad command line format\r\n"},
    {"add k 0 0 1\r\n", REPLY(.status = STATUS_ADD_EXISTS), "NOT_STORED\r\n"},
    {"replace k 0 0 1\r\n", REPLY(.status = STATUS_REPLACE_MISSING), "NOT_STORED\r\n"},
    {"cas k 0 0 1 1\r\n", REPLY(.status = STATUS_EXISTS), "EXISTS\r\n"},
    {"cas k 0 0 1 1\r\n", REPLY(.status = STATUS_NOT_FOUND), "NOT_FOUND\r\n"},
    {"incr k 1\r\n", REPLY(.status = STATUS_NUMBER, .number = UINT64_MAX),
     "18446744073709551615\r\n"},
    {"decr k 1\r\n", REPLY(.status = STATUS_NUMBER), "0\r\n"},
    {"incr k 1 noreply\r\n", REPLY(.status = STATUS_NUMBER, .number = 5), ""},
    {"touch k 1\r\n", REPLY(.status = STATUS_TOUCHED), "TOUCHED\r\n"},
    {"delete k\r\n", REPLY(.status = STATUS_DELETED), "DELETED\r\n"},
    {"delete k noreply\r\n", REPLY(.status = STATUS_NOT_FOUND), ""},
    {"flush_all\r\n", REPLY(.status = STATUS_OK), "OK\r\n"},
    {"flush_all noreply\r\n", REPLY(.status = STATUS_OK), ""},
    {"version noreply\r\n", REPLY(.status = STATUS_TEXT, .text = {(uint8_t *)"VERSION 1", 9}),
     "VERSION 1\r\n"},
    {"quit\r\n", REPLY(.status = STATUS_NONE), ""},
    {"foo noreply\r\n", REPLY(.status = STATUS_NONE), "ERROR\r\n"},
    {"stats reset\r\n", REPLY(.status = STATUS_RESET), "RESET\r\n"},
    {"set u 0 0 9\r\n", REPLY(.status = STATUS_AUTHENTICATED), "STORED\r\n"},
};

START_TEST(answer_row)
{
    struct picture picture;
    answer(answer_rows[_i].line, &answer_rows[_i].reply, &picture);
    ck_assert_str_eq(picture.text, answer_rows[_i].expected);
}
END_TEST

/* Every status that has a line goes out as that line, whole, once and not for noreply; the others
 * are made by the encoder or have nothing to say. */
START_TEST(status_line)
{
    struct reply reply = {.status = (uint8_t)_i, .text = SLICE("words")};
    const char *text = status_row((enum status)_i)->text;
    struct picture picture, expected = {.n = 0};
    if (_i == STATUS_TEXT)
        text = "words";
    else if (_i == STATUS_NUMBER)
        text = "0";
    draw(&expected, "%s%s", text == NULL ? "" : text, text == NULL ? "" : "\r\n");
    answer("touch k 1\r\n", &reply, &picture);
    ck_assert_str_eq(picture.text, expected.text);
    answer("touch k 1 noreply\r\n", &reply, &picture);
    ck_assert_str_eq(picture.text, "");
}
END_TEST

START_TEST(longest_value_line_fits)
{
    char line[300] = "gets ";
    struct picture picture;
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .client_flags = UINT32_MAX,
                          .n_value = UINT64_MAX,
                          .cas = UINT64_MAX};
    memset(line + 5, 'k', KEY_MAX);
    memcpy(line + 5 + KEY_MAX, "\r\n", 3);
    answer(line, &reply, &picture);
    ck_assert_uint_le(picture.n, ENCODE_HEAD_MAX);
}
END_TEST

/* The hit of a bare get reads as that of any. */
START_TEST(bare_hit_is_like_any)
{
    static const size_t sizes[] = {0,   1,   9,   10,  11,  19,  20,   90,   99,   100,  101,
                                   110, 199, 250, 900, 990, 999, 1000, 1001, 9999, 10000};
    static const uint32_t flags[] = {0, 1, 9, 10, UINT32_MAX};
    static uint8_t key[KEY_MAX], value[10000], out[2][ENCODE_HEAD_MAX + 10000 + ENCODE_TAIL_MAX];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)('a' + i % 26);
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)i;
    for (size_t n_key = 1; n_key <= KEY_MAX; n_key++) {
        size_t n_value = sizes[n_key % N_ROWS(sizes)];
        bool is_last = n_key % 2 == 0;
        struct request request = {
            .verb = VERB_GET, .is_last = is_last, .key = slice_of(key, n_key), .does = WANT_VALUE};
        struct reply reply = {.status = STATUS_HIT,
                              .has_value = true,
                              .n_value = n_value,
                              .client_flags = flags[n_key % N_ROWS(flags)]};
        size_t n = encode_whole(&request, &reply, slice_of(value, n_value), out[0]);
        size_t n_bare = encode_bare_hit(request.key, reply.client_flags, slice_of(value, n_value),
                                        is_last, out[1]);
        ck_assert(slice_equal(slice_of(out[0], n), slice_of(out[1], n_bare)));
    }
}
END_TEST

/* Likewise that a bare set was stored, in each dialect that has bare sets. */
START_TEST(bare_stored_is_like_any)
{
    static const uint8_t opcodes[] = {0x01, 0x11};
    struct reply reply = {.status = STATUS_STORED, .cas = 0x123456789abcdef0};
    uint8_t out[2][ENCODE_HEAD_MAX + ENCODE_TAIL_MAX];
    struct request request;
    for (unsigned i = 0; i < 4; i++) {
        bool is_quiet = i % 2 != 0;
        struct bare_set set = {.key = SLICE("key"),
                               .opaque = 0xfedcba98,
                               .opcode = opcodes[is_quiet],
                               .dialect = i < 2 ? DIALECT_TEXT : DIALECT_BINARY,
                               .is_quiet = is_quiet};
        bare_set_request(&set, &request);
        size_t n = encode_whole(&request, &reply, (struct slice){0}, out[0]);
        size_t n_bare = encode_bare_stored(&set, reply.cas, out[1]);
        ck_assert(slice_equal(slice_of(out[0], n), slice_of(out[1], n_bare)));
        ck_assert_uint_le(n_bare, ENCODE_STORED_MAX);
        ck_assert_int_eq(n == 0, is_quiet);
    }
}
END_TEST

START_TEST(stat_lines)
{
    struct request request = {.verb = VERB_STATS, .dialect = (uint8_t)(_i ? DIALECT_META : 0)};
    uint8_t out[ENCODE_STAT_MAX + 32];
    size_t n = encode_stat(&request, SLICE("pid"), SLICE("7 8"), out);
    ck_assert(slice_is(slice_of(out, n), "STAT pid 7 8\r\n"));
    n = encode_stat(&request, SLICE("x"), SLICE(""), out);
    ck_assert(slice_is(slice_of(out, n), "STAT x \r\n"));
    n = encode_stat_end(&request, out);
    ck_assert(slice_is(slice_of(out, n), "END\r\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text_encode");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, answer_row, 0, N_ROWS(answer_rows));
    tcase_add_loop_test(tc, status_line, 0, N_STATUSES);
    tcase_add_test(tc, longest_value_line_fits);
    tcase_add_test(tc, bare_hit_is_like_any);
    tcase_add_test(tc, bare_stored_is_like_any);
    tcase_add_loop_test(tc, stat_lines, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
