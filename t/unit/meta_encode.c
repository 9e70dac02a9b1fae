#include "protocol/encode.h"
#include "t/unit/text_case.h"

/* A meta line, what became of it, and the answer up to its value. */
struct answer_row {
    const char *line;
    struct reply reply;
    const char *expected;
};

#define REPLY(...)  \
    {               \
        __VA_ARGS__ \
    }
#define HIT      .status = STATUS_HIT
#define VALUE(n) .status = STATUS_HIT, .has_value = true, .n_value = n
#define FULL                                                                             \
    .client_flags = 5, .cas = 45, .ttl_before = 100, .ttl_after = 300, .last_access = 7, \
    .was_fetched = true

static bool parse_line(const char *line, struct request *request)
{
    struct parser parser;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_TEXT);
    return parse_request(&parser, (const uint8_t *)line, strlen(line), request, &n_consumed) ==
           PARSE_OK;
}

static void answer(const char *line, struct reply reply, struct picture *picture)
{
    struct request request;
    uint8_t out[ENCODE_HEAD_MAX + ENCODE_TAIL_MAX];
    picture->n = 0;
    picture->text[0] = '\0';
    ck_assert(parse_line(line, &request));
    if (request.verb == VERB_BAD)
        reply = (struct reply){.status = request.status};
    check_whole(&request, &reply);
    size_t n_head = encode_head(&request, &reply, out);
    ck_assert_uint_le(n_head, ENCODE_HEAD_MAX);
    bool is_hidden = encode_is_hidden(&request, &reply);
    ck_assert(!is_hidden || n_head == 0);
    bool has_value = reply.has_value && !is_hidden;
    draw(picture, "%.*s%s", (int)n_head, (char *)out, has_value ? "<value>" : "");
    size_t n_tail = encode_tail(&request, &reply, out);
    draw(picture, "%.*s", (int)n_tail, (char *)out);
}

static const struct answer_row get_rows[] = {
    {"mg k\r\n", REPLY(HIT), "HD\r\n"},
    {"mg k v\r\n", REPLY(VALUE(2)), "VA 2\r\n<value>\r\n"},
    {"mg k v\r\n", REPLY(VALUE(0)), "VA 0\r\n<value>\r\n"},
    {"mg k v C45\r\n", REPLY(HIT, FULL), "HD\r\n"},
    {"mg o k Oq t s f v\r\n", REPLY(VALUE(2), FULL), "VA 2 ko Oq t100 s2 f5\r\n<value>\r\n"},
    {"mg o v f s t Oq k\r\n", REPLY(VALUE(2), FULL), "VA 2 f5 s2 t100 Oq ko\r\n<value>\r\n"},
    {"mg o h l c\r\n", REPLY(HIT, FULL), "HD h1 l7 c45\r\n"},
    {"mg o h\r\n", REPLY(HIT), "HD h0\r\n"},
    {"mg o   c   t  \r\n", REPLY(HIT, FULL), "HD c45 t100\r\n"},
    {"mg o t\r\n", REPLY(HIT, .ttl_before = -1, .ttl_after = -1), "HD t-1\r\n"},
    {"mg o t T300\r\n", REPLY(HIT, FULL), "HD t100\r\n"},
    {"mg o T300 t\r\n", REPLY(HIT, FULL), "HD t300\r\n"},
    {"mg o t N30\r\n", REPLY(HIT, FULL), "HD t100\r\n"},
    {"mg o N30 t\r\n", REPLY(HIT, FULL), "HD t300\r\n"},
    {"mg o N30 t T9\r\n", REPLY(HIT, FULL), "HD t100\r\n"},
    {"mg o I D1 J1 E1 F1 MS N0 R0 T0 C1 Lx Px u x q b\r\n", REPLY(HIT, FULL),
     "CLIENT_ERROR error decoding key\r\n"},
    {"mg o I D1 J1 E1 F1 MS N0 R0 T0 C1 Lx Px u x q\r\n", REPLY(HIT, FULL), "HD\r\n"},
    {"mg k s v\r\n", REPLY(VALUE(2), .is_stale = true, .is_won = true),
     "VA 2 s2 X W\r\n<value>\r\n"},
    {"mg k s v\r\n", REPLY(VALUE(2), .is_stale = true, .is_already_won = true),
     "VA 2 s2 Z X\r\n<value>\r\n"},
    {"mg k\r\n", REPLY(HIT, .is_won = true), "HD W\r\n"},
    {"mg k\r\n", REPLY(HIT, .is_won = true, .is_stale = true, .is_already_won = true),
     "HD Z X W\r\n"},
    {"mg k v\r\n", REPLY(.status = STATUS_MISS), "EN\r\n"},
    {"mg foo k Oabc s v t f c h l\r\n", REPLY(.status = STATUS_MISS), "EN kfoo Oabc\r\n"},
    {"mg QQ== k b Oab\r\n", REPLY(.status = STATUS_MISS), "EN kQQ== b Oab\r\n"},
    {"mg QQ== b v\r\n", REPLY(VALUE(1)), "VA 1\r\n<value>\r\n"},
    {"mg Zm9v b k\r\n", REPLY(HIT), "HD kZm9v b\r\n"},
    {"mg foo k\r\n", REPLY(HIT, .key_is_base64 = true), "HD kZm9v b\r\n"},
    {"mg Zg0K k b\r\n", REPLY(HIT), "HD kZg0K b\r\n"},
    {"mg k q v\r\n", REPLY(.status = STATUS_MISS), ""},
    {"mg k q v\r\n", REPLY(VALUE(1)), "VA 1\r\n<value>\r\n"},
    {"mg k q\r\n", REPLY(.status = STATUS_UNAUTHENTICATED), "CLIENT_ERROR unauthenticated\r\n"},
    {"mg k q q\r\n", REPLY(HIT), "CLIENT_ERROR duplicate flag\r\n"},
    {"mg k q S O1\r\n", REPLY(HIT), "CLIENT_ERROR invalid flag\r\n"},
};

static const struct answer_row change_rows[] = {
    {"ms k 2\r\n", REPLY(.status = STATUS_STORED), "HD\r\n"},
    {"ms zz 2 MS k c f t s O1\r\n", REPLY(.status = STATUS_STORED, .cas = 5, .n_value = 9),
     "HD kzz c5 s9 O1\r\n"},
    {"ms zz 2 MR k c f t s O1\r\n", REPLY(.status = STATUS_REPLACE_MISSING, .cas = 5),
     "NS kzz c0 s2 O1\r\n"},
    {"ms zz 2 ME\r\n", REPLY(.status = STATUS_ADD_EXISTS), "NS\r\n"},
    {"ms zz 2 MA\r\n", REPLY(.status = STATUS_NOT_STORED), "NS\r\n"},
    {"ms zz 2 C1 c\r\n", REPLY(.status = STATUS_EXISTS, .cas = 7), "EX c0\r\n"},
    {"ms zz 2 C1 Oo\r\n", REPLY(.status = STATUS_NOT_FOUND), "NF Oo\r\n"},
    {"ms Zm9v 2 b k c\r\n", REPLY(.status = STATUS_STORED, .cas = 1), "HD kZm9v b c1\r\n"},
    {"ms k 2 q\r\n", REPLY(.status = STATUS_STORED), ""},
    {"ms k 2 q\r\n", REPLY(.status = STATUS_NOT_STORED), "NS\r\n"},
    {"ms k 2 q\r\n", REPLY(.status = STATUS_EXISTS), "EX\r\n"},
    {"ms k 2 q\r\n", REPLY(.status = STATUS_BAD_DATA_CHUNK), "CLIENT_ERROR bad data chunk\r\n"},
    {"ms k 2 q\r\n", REPLY(.status = STATUS_TOO_LARGE),
     "SERVER_ERROR object too large for cache\r\n"},
    {"ms k 2 q y\r\n", REPLY(.status = STATUS_STORED), "CLIENT_ERROR invalid flag\r\n"},
    {"md k\r\n", REPLY(.status = STATUS_DELETED), "HD\r\n"},
    {"md k O2 k c s t\r\n", REPLY(.status = STATUS_DELETED, .cas = 5), "HD O2 kk\r\n"},
    {"md k O2 k c q\r\n", REPLY(.status = STATUS_NOT_FOUND), "NF O2 kk\r\n"},
    {"md k q\r\n", REPLY(.status = STATUS_DELETED), ""},
    {"md k q\r\n", REPLY(.status = STATUS_EXISTS), "EX\r\n"},
    {"md QQ== k b\r\n", REPLY(.status = STATUS_DELETED), "HD kQQ== b\r\n"},
    {"ma k\r\n", REPLY(.status = STATUS_NUMBER, .number = 12), "HD\r\n"},
    {"ma k v\r\n", REPLY(.status = STATUS_NUMBER, .number = 12), "VA 2\r\n12\r\n"},
    {"ma k v\r\n", REPLY(.status = STATUS_NUMBER, .number = UINT64_MAX),
     "VA 20\r\n18446744073709551615\r\n"},
    {"ma k v t c k O5 f s h l\r\n", REPLY(.status = STATUS_NUMBER, .number = 1, FULL),
     "VA 1 t100 c45 kk O5\r\n1\r\n"},
    {"ma k T300 t\r\n", REPLY(.status = STATUS_NUMBER, FULL), "HD t300\r\n"},
    {"ma k N300 t\r\n", REPLY(.status = STATUS_NUMBER, FULL), "HD t300\r\n"},
    {"ma k b Oab t c\r\n", REPLY(.status = STATUS_NOT_FOUND),
     "CLIENT_ERROR invalid or duplicate flag\r\n"},
    {"ma QQ== k b Oab t c\r\n", REPLY(.status = STATUS_NOT_FOUND), "NF kQQ== b Oab\r\n"},
    {"ma k q\r\n", REPLY(.status = STATUS_NUMBER), ""},
    {"ma k q v\r\n", REPLY(.status = STATUS_NUMBER), ""},
    {"ma k q v\r\n", REPLY(.status = STATUS_NOT_FOUND), "NF\r\n"},
    {"ma k q v\r\n", REPLY(.status = STATUS_NON_NUMERIC),
     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"ma k\r\n", REPLY(.status = STATUS_NOT_STORED), "NS\r\n"},
    {"mn\r\n", REPLY(.status = STATUS_NOOP), "MN\r\n"},
    {"mn q k O1\r\n", REPLY(.status = STATUS_NOOP), "MN\r\n"},
    {"me k\r\n", REPLY(.status = STATUS_MISS), "EN\r\n"},
    {"me k q k O1\r\n", REPLY(.status = STATUS_MISS), "EN\r\n"},
    {"me zz\r\n",
     REPLY(HIT, .ttl_before = -1, .cas = 5, .was_fetched = true, .item_class = 1, .item_size = 63),
     "ME zz exp=-1 la=0 cas=5 fetch=yes cls=1 size=63\r\n"},
    {"me Zm9v b\r\n", REPLY(HIT, .ttl_before = 60, .last_access = 3, .cas = 4, .item_size = 64),
     "ME Zm9v exp=60 la=3 cas=4 fetch=no cls=0 size=64\r\n"},
    {"me foo\r\n", REPLY(HIT, .key_is_base64 = true),
     "ME Zm9v exp=0 la=0 cas=0 fetch=no cls=0 size=0\r\n"},
};

START_TEST(get_row)
{
    struct picture picture;
    answer(get_rows[_i].line, get_rows[_i].reply, &picture);
    ck_assert_str_eq(picture.text, get_rows[_i].expected);
}
END_TEST

START_TEST(change_row)
{
    struct picture picture;
    answer(change_rows[_i].line, change_rows[_i].reply, &picture);
    ck_assert_str_eq(picture.text, change_rows[_i].expected);
}
END_TEST

/* Every status, for every command: one line, its meta code or its text; q hides no error. */
START_TEST(every_status)
{
    static const char *const lines[] = {"mg k q\r\n", "ms k 1 q\r\n", "md k q\r\n", "ma k q\r\n",
                                        "me k\r\n"};
    const struct status_row *row = status_row((enum status)_i);
    const char *first = row->meta != NULL ? row->meta : row->text;
    struct picture picture;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct reply reply = {.status = (uint8_t)_i, .text = SLICE("words")};
        answer(lines[i], reply, &picture);
        if (row->text == NULL && row->meta == NULL && _i != STATUS_TEXT)
            ck_assert_str_eq(picture.text, "");
        else if (first != NULL && !status_is_success((enum status)_i) && _i != STATUS_MISS)
            ck_assert(strncmp(picture.text, first, 2) == 0);
        if (picture.n > 0)
            ck_assert_ptr_eq(strstr(picture.text, "\r\n") + 2, picture.text + picture.n);
    }
}
END_TEST

/* The longest line that a request and a reply can make stays below ENCODE_HEAD_MAX. */
START_TEST(longest_line_fits)
{
    char key[KEY_MAX + 1] = {0}, line[512];
    struct picture picture;
    struct reply reply = {.status = STATUS_HIT,
                          .has_value = true,
                          .key_is_base64 = true,
                          .is_won = true,
                          .is_stale = true,
                          .is_already_won = true,
                          .client_flags = UINT32_MAX,
                          .n_value = UINT64_MAX,
                          .cas = UINT64_MAX,
                          .ttl_before = INT64_MIN,
                          .last_access = UINT32_MAX};
    memset(key, 'k', KEY_MAX);
    snprintf(line, sizeof line, "mg %s k c f h l s t v Oabcdefghijklmnopqrstuvwxyz12345\r\n", key);
    answer(line, reply, &picture);
    ck_assert_uint_le(picture.n, ENCODE_HEAD_MAX);
    snprintf(line, sizeof line, "me %s\r\n", key);
    reply.has_value = false;
    reply.item_class = reply.item_size = UINT32_MAX;
    answer(line, reply, &picture);
    ck_assert_uint_le(picture.n, ENCODE_HEAD_MAX);
}
END_TEST

/* k and O of an answer, put into a new request, name the same key: no byte of a key that came as
 * base64 gets out raw. */
START_TEST(answered_key_asks_again)
{
    static const char *const lines[] = {"mg foo k\r\n", "mg Zg0K b k\r\n", "mg AAAA k b\r\n",
                                        "mg ICAg b k\r\n", "mg b2s= k b\r\n"};
    struct request request, again;
    struct reply reply = {.status = STATUS_HIT};
    uint8_t out[ENCODE_HEAD_MAX];
    char back[ENCODE_HEAD_MAX + 8];
    ck_assert(parse_line(lines[_i], &request));
    size_t n = encode_head(&request, &reply, out);
    ck_assert(n > 6 && memcmp(out, "HD k", 4) == 0);
    snprintf(back, sizeof back, "mg %.*s", (int)n - 4, (char *)out + 4);
    ck_assert(parse_line(back, &again));
    ck_assert(slice_equal(request.key, again.key));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meta_encode");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, get_row, 0, N_ROWS(get_rows));
    tcase_add_loop_test(tc, change_row, 0, N_ROWS(change_rows));
    tcase_add_loop_test(tc, every_status, 0, N_STATUSES);
    tcase_add_test(tc, longest_line_fits);
    tcase_add_loop_test(tc, answered_key_asks_again, 0, 5);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
