/* The short ways of usual text requests: what they take, the long way takes for the same. */
#include "protocol/bare_get.h"
#include "t/unit/text_case.h"

#define K50  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50

/* A get of one key is found in one pass by sixteen bytes at a time; the same line with a space in
 * front is not, and must be understood alike: for each length of the key, each end of the line, and
 * as many bytes behind it. */
static void check_lone_get(const struct fence *fence, size_t n_key, const char *end,
                           size_t n_behind)
{
    static const char behind[] = "get another key\r\n get a\n";
    struct parser parsers[2];
    struct request requests[2];
    size_t n_consumed[2];
    enum parse_result results[2];
    for (unsigned i = 0; i < 2; i++) {
        char line[512];
        int n = snprintf(line, sizeof line, "%sget %.*s%s%.*s", i == 0 ? "" : " ", (int)n_key,
                         K250 "kkk", end, (int)n_behind, behind);
        const uint8_t *p = fence_place(fence, line, (size_t)n);
        parser_init(&parsers[i], PROTOCOL_TEXT);
        results[i] = parse_request(&parsers[i], p, (size_t)n, &requests[i], &n_consumed[i]);
        ck_assert_int_eq(results[i], PARSE_OK);
        ck_assert_uint_eq(requests[i].key.n,
                          requests[i].verb == VERB_GET && n_key <= 250 ? n_key : 0);
        if (requests[i].key.n > 0)
            ck_assert_ptr_eq(requests[i].key.p, p + 4 + i);
    }
    ck_assert_uint_eq(n_consumed[0] + 1, n_consumed[1]);
    ck_assert_uint_eq(requests[0].verb, requests[1].verb);
    ck_assert_uint_eq(requests[0].status, requests[1].status);
    ck_assert_uint_eq(requests[0].does, requests[1].does);
    ck_assert_uint_eq(requests[0].is_first, requests[1].is_first);
    ck_assert_uint_eq(requests[0].is_last, requests[1].is_last);
    ck_assert_uint_eq(parsers[0].multiget, parsers[1].multiget);
    ck_assert(slice_equal(requests[0].command, requests[1].command));
}

START_TEST(lone_get_is_like_any)
{
    static const char *const ends[] = {"\r\n", "\n", " \r\n", "  \n"};
    struct fence fence = fence_create(512);
    for (size_t n_key = 0; n_key <= 253; n_key++)
        for (size_t i = 0; i < N_ROWS(ends); i++)
            for (size_t n_behind = 0; n_behind <= 24; n_behind++)
                check_lone_get(&fence, n_key, ends[i], n_behind);
    fence_destroy(&fence);
}
END_TEST

/* What is taken for a bare get, parse_request takes for the same; what is not is left alone.
 * Returns whether it is one. */
static bool check_bare_get(struct parser *parser, const uint8_t *p, size_t n,
                           size_t *n_consumed_out)
{
    struct parser other = *parser, before = *parser;
    struct bare_get get;
    struct request request, made;
    bool is_bare = parse_bare_get(parser, p, n, &get);
    ck_assert_int_eq(parse_request(&other, p, n, &request, n_consumed_out), PARSE_OK);
    if (!is_bare) {
        ck_assert_mem_eq(parser, &before, sizeof before);
        *parser = other;
        return false;
    }
    ck_assert_mem_eq(parser, &other, sizeof other);
    ck_assert_uint_eq(get.n_consumed, *n_consumed_out);
    bare_get_request(&get, &made);
    ck_assert(made.key.p == request.key.p && made.key.n == request.key.n);
    ck_assert(slice_equal(made.command, request.command));
    ck_assert_mem_eq(&made, &request, offsetof(struct request, key));
    return true;
}

START_TEST(bare_gets_are_like_any)
{
    static const struct {
        const char *bytes;
        const char *expected; /* b: bare, -: another request */
    } rows[] = {
        {"get 0123456789abcdef\r\nget 0123456789abcdef0123456789abcdef\r\nversion\r\n", "bb-"},
        {"get a b  cc 0123456789abcdef0123 \r\nget a\r\nversion                \r\n", "-bbbb-"},
        {"gets a b\r\ngat 0 a b\r\nget  a b\r\nmg a v\r\nget ab\nversion           \r\n",
         "-----b-b-"},
        {"get \r\nget \nget\r\nset a 0 0 0\r\n\r\nGET a\r\nget\ta\r\nversion       \r\n",
         "-------"},
    };
    const char *expected = rows[_i].expected;
    struct fence fence = fence_create(512);
    size_t n = strlen(rows[_i].bytes), n_consumed;
    const uint8_t *p = fence_place(&fence, rows[_i].bytes, n);
    struct parser parser;
    parser_init(&parser, PROTOCOL_TEXT);
    for (; n > 0; p += n_consumed, n -= n_consumed, expected++) {
        ck_assert_msg(check_bare_get(&parser, p, n, &n_consumed) == (*expected == 'b'), "%.*s",
                      (int)n, (const char *)p);
        if (n_consumed > 4 && memcmp(p, "set ", 4) == 0)
            n_consumed += 2; /* its empty value */
    }
    ck_assert_int_eq(*expected, '\0');
    fence_destroy(&fence);
}
END_TEST

static void check_same(const struct request *a, const struct request *b)
{
    ck_assert_mem_eq(a, b, offsetof(struct request, key));
    ck_assert(slice_equal(a->key, b->key));
    ck_assert(slice_equal(a->command, b->command));
    ck_assert_uint_eq(a->client_flags, b->client_flags);
    ck_assert_int_eq(a->exptime, b->exptime);
    ck_assert_uint_eq(a->n_value, b->n_value);
    ck_assert_uint_eq(a->n_trailer, b->n_trailer);
}

/* A usual set has a way of its own; a space before it leads around that. */
static void check_set(struct fence *fence, const char *line, size_t n)
{
    char spaced[512] = " ";
    struct request request, other;
    struct parser parser, plain;
    size_t n_consumed = 0, n_other = 0;
    memcpy(spaced + 1, line, n);
    parser_init(&parser, PROTOCOL_TEXT);
    parser_init(&plain, PROTOCOL_TEXT);
    enum parse_result result =
        parse_request(&parser, fence_place(fence, line, n), n, &request, &n_consumed);
    ck_assert_int_eq(parse_request(&plain, (const uint8_t *)spaced, n + 1, &other, &n_other),
                     result);
    if (result == PARSE_MORE)
        return;
    ck_assert_uint_eq(parser.n_searched, 0);
    ck_assert_uint_eq(n_consumed + 1, n_other);
    check_same(&request, &other);
}

/* What is taken for a bare set, parse_request takes for the same; what is not is left alone. */
static bool check_bare_set(struct fence *fence, const char *bytes, size_t n)
{
    struct bare_set set;
    struct request request, made;
    struct parser parser, other, before;
    size_t n_consumed = 0, n_head = 0;
    const uint8_t *p = fence_place(fence, bytes, n);
    parser_init(&parser, PROTOCOL_TEXT);
    parser.n_searched = 1;
    other = before = parser;
    n_consumed = parse_bare_set(&parser, p, n, &set);
    if (n_consumed == 0) {
        ck_assert_mem_eq(&parser, &before, sizeof before);
        return false;
    }
    ck_assert_int_eq(parse_request(&other, p, n, &request, &n_head), PARSE_OK);
    ck_assert_mem_eq(&parser, &other, sizeof other);
    ck_assert_uint_eq(n_consumed, n_head + request.n_value + request.n_trailer);
    ck_assert_uint_eq(n_head, set.n_head);
    bare_set_request(&set, &made);
    check_same(&made, &request);
    ck_assert(made.key.p == request.key.p && made.value.p == p + n_head);
    ck_assert_uint_eq(made.value.n, request.n_value);
    return true;
}

START_TEST(bare_sets_are_like_any)
{
    static const struct {
        const char *bytes;
        bool is_bare;
    } rows[] = {
        {"set 0123456789abcdef 0 0 3\r\nabc\r\n", true},
        {"set 0123456789abcdef 7 300 3 noreply\r\nabc\r\n", true},
        {"set k 0 0 0\r\n\r\n", false}, /* too few bytes behind its key */
        {"set k 0 0 0\r\n\r\nset k 0 0 0\r\n\r\n", true},
        {"set 0123456789abcdef 0 0 3\r\nabcd\r\n", false},
        {"set 0123456789abcdef 0 0 3\r\nabc\n\n", false},
        {"set 0123456789abcdef 0 -1 3\r\nabc\r\n", false},
        {"set 0123456789abcdef 0 0 999999999\r\nabc\r\n", false},
        {"set 0123456789abcdef 0 0 2147483647\r\nabc\r\n", false},
        {"add 0123456789abcdef 0 0 3\r\nabc\r\n", false},
    };
    struct fence fence = fence_create(512);
    size_t n = strlen(rows[_i].bytes), n_least = n;
    ck_assert_int_eq(check_bare_set(&fence, rows[_i].bytes, n), rows[_i].is_bare);
    while (n_least > 1 && check_bare_set(&fence, rows[_i].bytes, n_least - 1))
        n_least--;
    for (size_t n_here = 1; n_here < n_least; n_here++)
        ck_assert(!check_bare_set(&fence, rows[_i].bytes, n_here));
    fence_destroy(&fence);
}
END_TEST

/* Neither on a line of keys, nor before it is known that text is spoken. */
START_TEST(bare_set_waits)
{
    static const uint8_t line[] = "set 0123456789abcdef 0 0 3\r\nabc\r\n";
    struct parser parser;
    struct bare_set set;
    parser_init(&parser, PROTOCOL_AUTO);
    ck_assert_uint_eq(parse_bare_set(&parser, line, sizeof line - 1, &set), 0);
    parser_init(&parser, PROTOCOL_BINARY);
    ck_assert_uint_eq(parse_bare_set(&parser, line, sizeof line - 1, &set), 0);
    parser_init(&parser, PROTOCOL_TEXT);
    ck_assert_uint_eq(parse_bare_set(&parser, line, sizeof line - 1, &set), sizeof line - 1);
    parser.multiget = 1;
    ck_assert_uint_eq(parse_bare_set(&parser, line, sizeof line - 1, &set), 0);
}
END_TEST

START_TEST(sets_are_like_any)
{
    static const char *const keys[] = {"",   "k",     "0123456789abcde", "0123456789abcdef\r0",
                                       K250, K250 "k"};
    static const char *const rests[] = {
        " 0 0 3\r\n",
        " 0 0 3\n",
        " 0 0 3\r",
        " 0 0 3 \r\n",
        " 0 0 3 noreply\r\n",
        " 0 0 3 noreply\n",
        " 0 0 3 noreply \r\n",
        " 0 0 3 norepl\r\n",
        " 999999999 999999999 999999999\r\n",
        " 0 0 2147483646\r\n",
        " 4294967295 0 3\r\n",
        " 0 4294967295 3\r\n",
        " 0 -1 3\r\n",
        " 0  0 3\r\n",
        "  0 0 3\r\n",
        " 0 0  3\r\n",
        " 0x 0 3\r\n",
        " 0 0 3/\r\n",
        " 0 0 :\r\n",
        " 0 0\r\n",
        " 00000000001 0 3\r\n",
        "\r\n",
    };
    struct fence fence = fence_create(512);
    char line[512];
    for (size_t i = 0; i < N_ROWS(rests); i++) {
        size_t n = (size_t)snprintf(line, sizeof line, "set %s%s", keys[_i], rests[i]);
        for (size_t n_here = 1; n_here <= n; n_here++)
            check_set(&fence, line, n_here);
    }
    fence_destroy(&fence);
}
END_TEST

/* The end of a line of keys may be missing, and so may the protocol's choice. */
START_TEST(bare_get_waits)
{
    struct parser parser;
    struct bare_get get;
    struct request request;
    size_t n_consumed;
    const uint8_t *line = (const uint8_t *)"get a 0123456789abcdef0123456789\r\n";
    parser_init(&parser, PROTOCOL_AUTO);
    ck_assert(!parse_bare_get(&parser, line + 2, 34, &get));
    ck_assert_int_eq(parse_request(&parser, line, 34, &request, &n_consumed), PARSE_OK);
    for (size_t n = 0; n < 34 - n_consumed; n++)
        ck_assert(!parse_bare_get(&parser, line + n_consumed, n, &get));
    ck_assert(parse_bare_get(&parser, line + n_consumed, 34 - n_consumed, &get));
    ck_assert(!get.is_first && get.is_last && get.key.n == 26);
    parser_init(&parser, PROTOCOL_BINARY);
    ck_assert(!parse_bare_get(&parser, line, 34, &get));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text_bare");
    TCase *tc = tcase_create("rows");
    tcase_add_test(tc, lone_get_is_like_any);
    tcase_add_loop_test(tc, bare_gets_are_like_any, 0, 4);
    tcase_add_test(tc, bare_get_waits);
    tcase_add_loop_test(tc, sets_are_like_any, 0, 6);
    tcase_add_loop_test(tc, bare_sets_are_like_any, 0, 10);
    tcase_add_test(tc, bare_set_waits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
