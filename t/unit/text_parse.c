#include "t/unit/text_case.h"

#define FORMAT       "CLIENT_ERROR bad command line format"
#define DELETE_USAGE FORMAT ".  Usage: delete <key> [noreply]"
#define K50          "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250         K50 K50 K50 K50 K50

/* Where a line ends and what its words are. */
static const struct text_row line_rows[] = {
    ROW("get a\r\n", "GET key=a value first last"),
    ROW("get a\n", "GET key=a value first last"),
    ROW("get a\r\r\n", "GET key=a<0d> value first last"),
    ROW("get a", "MORE"),
    ROW("get a\r", "MORE"),
    ROW("get \x01\t\x80\xff\r\n", "GET key=<01><09><80><ff> value first last"),
    ROW("get a\0b\r\n", "GET key=a<00>b value first last"),
    ROW("\r\n", FORMAT),
    ROW("\n", FORMAT),
    ROW("a\r\n", FORMAT),
    ROW("mn\n", FORMAT),
    ROW("mn\r\n", "NOOP"),
    ROW("ab\r\n", "ERROR"),
    ROW("abc\n", "ERROR"),
    ROW("    \r\n", "ERROR"),
    ROW("GET a\r\n", "ERROR"),
    ROW("geta\r\n", "ERROR"),
    ROW("bget a\r\n", "ERROR"),
    ROW("get\0 a\r\n", "ERROR"),
    ROW("version\0\r\n", "ERROR"),
    ROW("version\r\r\n", "ERROR"),
    ROW("averyveryverylongcommand x\r\n", "ERROR"),
    ROW("foo noreply\r\n", "ERROR"),
    ROW("noreply\r\n", "ERROR"),
    ROW("mx a\r\n", "ERROR"),
    ROW("m\xff a\r\n", "ERROR"),
    ROW("m a\r\n", "ERROR"),
    ROW("POST / HTTP/1.1\r\n", "nothing BAD"),
    ROW("GET / HTTP/1.0 \n", "nothing BAD"),
    ROW("HTTP/1.1 200 OK\r\n", "ERROR"),
    ROW("Host: x\r\n", "ERROR"),
    ROW("x HTTP\r\n", "ERROR"),
    ROW("   get a\r\n", "GET key=a value first last"),
    ROW("  set k 0 0 1\r\nv\r\n", "SET key=k size=1+2"),
    ROW("  mg a\r\n", "GET key=a state"),
    ROW("   delete a\r\n", "DELETE key=a"),
    ROW("   version\r\n", "VERSION"),
    ROW("\tget a\r\n", "ERROR"),
    ROW("get a\r\nget b\r\nversion\r\nge",
        "GET key=a value first last; GET key=b value first last; VERSION; MORE"),
};

static const struct text_row get_rows[] = {
    ROW("get\r\n", FORMAT),
    ROW("get \r\n", FORMAT),
    ROW("get       \r\n", FORMAT),
    ROW("gets\r\n", FORMAT),
    ROW("gat\r\n", FORMAT),
    ROW("gat 0\r\n", FORMAT),
    ROW("gats 0 \r\n", FORMAT),
    ROW("get a  \r\n", "GET key=a value first last"),
    ROW("get a  \n", "GET key=a value first last"),
    ROW("get a b\r\n", "GET key=a value first; GET key=b value last"),
    ROW("get   a   b   \r\nquit\r\n", "GET key=a value first; GET key=b value last; QUIT closes"),
    ROW("get a a noreply\n", "GET key=a value first; GET key=a value; GET key=noreply value last"),
    ROW("get a b\r\r\n", "GET key=a value first; GET key=b<0d> value last"),
    ROW("gets a b\r\n", "GET key=a value cas first; GET key=b value cas last"),
    ROW("gat 30 a b c\r\n",
        "GET key=a exptime=30 TOUCH value first; GET key=b exptime=30 TOUCH value; "
        "GET key=c exptime=30 TOUCH value last"),
    ROW("gat -1 a\r\n", "GET key=a exptime=-1 TOUCH value first last"),
    ROW("gats 0 a\r\n", "GET key=a TOUCH value cas first last"),
    ROW("gats 2147483647 a\r\n", "GET key=a exptime=2147483647 TOUCH value cas first last"),
    ROW("gat 2147483648 a\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("gat +5 a\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("gat x a\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("gats - a\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("get " K250 "\r\n", "GET key=" K250 " value first last"),
    ROW("get " K250 "k\r\n", FORMAT),
    ROW("get " K250 "k noreply\r\nversion\r\n", FORMAT "; VERSION"),
    ROW("get a b " K250 "k c\r\n", FORMAT),
    ROW("get a b " K250 K250 "\r\n", FORMAT),
    ROW("get " K250 " " K250 "\r\n", "GET key=" K250 " value first; GET key=" K250 " value last"),
    ROW("get " K250 " " K250 " " K250 "k\r\n", FORMAT),
    ROW("gat 0 " K250 "k\r\n", FORMAT),
};

static const struct text_row store_rows[] = {
    ROW("set k 0 0 0\r\n\r\n", "SET key=k size=0+2"),
    ROW("set k 5 60 3\r\nabc\r\nmn\r\n", "SET key=k flags=5 exptime=60 size=3+2; NOOP"),
    ROW("add k 5 60 3\r\nabc\r\n", "ADD key=k flags=5 exptime=60 size=3+2"),
    ROW("replace k 5 60 3\r\nabc\r\n", "REPLACE key=k flags=5 exptime=60 size=3+2"),
    ROW("append k 5 60 3\r\nabc\r\n", "APPEND key=k flags=5 exptime=60 size=3+2"),
    ROW("prepend k 5 60 3\r\nabc\r\n", "PREPEND key=k flags=5 exptime=60 size=3+2"),
    ROW("cas k 5 60 3 9\r\nabc\r\n", "SET key=k flags=5 exptime=60 unique=9 CAS size=3+2"),
    ROW("cas k 5 60 3 18446744073709551615\r\nabc\r\n",
        "SET key=k flags=5 exptime=60 unique=18446744073709551615 CAS size=3+2"),
    ROW("set k 0 0 3 noreply\r\nabc\r\n", "SET key=k quiet size=3+2"),
    ROW("set k 0 0 3 noreply  \r\nabc\r\n", "SET key=k quiet size=3+2"),
    ROW("set k 0 0 3 extra noreply\r\nabc\r\n", "SET key=k quiet size=3+2"),
    ROW("set k 0 0 3 noreply extra\r\nabc\r\n", "SET key=k size=3+2"),
    ROW("set k 0 0 3 xnoreply\r\nabc\r\n", "SET key=k size=3+2"),
    ROW("set k 0 0 3 NOREPLY\r\nabc\r\n", "SET key=k size=3+2"),
    ROW("cas k 0 0 3 9 noreply\r\nabc\r\n", "SET key=k unique=9 CAS quiet size=3+2"),
    ROW("cas k 0 0 3 noreply\r\nmn\r\n", FORMAT " size=3+2"),
    ROW("set noreply 0 0 1\r\nx\r\n", "SET key=noreply size=1+2"),
    ROW("set k 4294967295 0 1\r\nx\r\n", "SET key=k flags=4294967295 size=1+2"),
    ROW("set k 4294967296 0 1\r\nx\r\n", "SET key=k size=1+2"),
    ROW("set k 4294967301 0 1\r\nx\r\n", "SET key=k flags=5 size=1+2"),
    ROW("set k 18446744073709551615 0 1\r\nx\r\n", "SET key=k flags=4294967295 size=1+2"),
    ROW("set k 18446744073709551616 0 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k +5 0 1\r\nx\r\n", "SET key=k flags=5 size=1+2"),
    ROW("set k -1 0 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0x1 0 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 5x 0 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k + 0 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0 -1 1\r\nx\r\n", "SET key=k exptime=-1 size=1+2"),
    ROW("set k 0 +5 1\r\nx\r\n", "SET key=k exptime=5 size=1+2"),
    ROW("set k 0 2147483647 1\r\nx\r\n", "SET key=k exptime=2147483647 size=1+2"),
    ROW("set k 0 2147483648 1\r\nx\r\n", "SET key=k exptime=-2147483648 size=1+2"),
    ROW("set k 0 4294967296 1\r\nx\r\n", "SET key=k size=1+2"),
    ROW("set k 0 99999999999999999999 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0 5x 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0 +-5 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0 - 1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("set k 0 0 0003\r\nabc\r\n", "SET key=k size=3+2"),
    ROW("set k 0 0 00000000003\r\nabc\r\n", "SET key=k size=3+2"),
    ROW("set k 0 0 000000000003\r\n", FORMAT),
    ROW("set k 0 0 +3\r\n", FORMAT),
    ROW("set k 0 0 -1\r\n", FORMAT),
    ROW("set k 0 0 3x\r\n", FORMAT),
    ROW("set k 0 0 2147483645\r\n", "SET key=k size=2147483645+2"),
    ROW("set k 0 0 2147483646\r\n", FORMAT),
    ROW("set k 0 0 4294967299\r\n", FORMAT),
    ROW("set k 0 0 1\r\r\n", FORMAT),
    ROW("set k 0 0\r\n", FORMAT),
    ROW("set k 0 0 noreply\r\n", FORMAT),
    ROW("set\r\n", FORMAT),
    ROW("set k\r\n", FORMAT),
    ROW("set k\0z 0 0 1\r\nx\r\n", "SET key=k<00>z size=1+2"),
    ROW("set k x y 1 noreply\r\nx\r\nmn\r\n", FORMAT " quiet size=1+2; NOOP"),
    ROW("set " K250 " 0 0 1\r\nx\r\n", "SET key=" K250 " size=1+2"),
    ROW("set " K250 "k 0 0 1\r\nx\r\nmn\r\n", FORMAT " size=1+2; NOOP"),
    ROW("cas k 0 0 1 -1\r\nx\r\n", FORMAT " size=1+2"),
    ROW("cas k 0 0 1 18446744073709551616\r\nx\r\n", FORMAT " size=1+2"),
    ROW("cas k 0 0 1\r\n", FORMAT),
    ROW("set x abc def 8\r\nu secret\r\n", FORMAT " size=8+2"),
};

static const struct text_row keyed_rows[] = {
    ROW("incr k 1\r\n", "INCR key=k delta=1"),
    ROW("decr k 18446744073709551615\r\n", "DECR key=k delta=18446744073709551615"),
    ROW("incr k 1 noreply\r\n", "INCR key=k delta=1 quiet"),
    ROW("incr k 1 2 3 noreply\r\n", "INCR key=k delta=1 quiet"),
    ROW("incr k 1 2 3\r\n", "INCR key=k delta=1"),
    ROW("incr k 0\r\n", "INCR key=k"),
    ROW("incr k 00000000000000000001\r\n", "INCR key=k delta=1"),
    ROW("incr k 000000000000000000001\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr k 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr k -1\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr k +1\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr k 1x\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr k x noreply\r\n", "CLIENT_ERROR invalid numeric delta argument quiet"),
    ROW("incr k noreply\r\n", "CLIENT_ERROR invalid numeric delta argument"),
    ROW("incr noreply 1\r\n", "INCR key=noreply delta=1"),
    ROW("incr k\r\n", FORMAT),
    ROW("incr\r\n", FORMAT),
    ROW("decr\r\n", FORMAT),
    ROW("incr " K250 "k 1\r\n", FORMAT),
    ROW("delete k\r\n", "DELETE key=k"),
    ROW("delete k noreply\r\n", "DELETE key=k quiet"),
    ROW("delete k 0\r\n", "DELETE key=k"),
    ROW("delete k 0 noreply\r\n", "DELETE key=k quiet"),
    ROW("delete k 1\r\n", DELETE_USAGE),
    ROW("delete k 0 0\r\n", DELETE_USAGE),
    ROW("delete k a noreply\r\n", DELETE_USAGE " quiet"),
    ROW("delete noreply\r\n", "DELETE key=noreply"),
    ROW("delete noreply noreply\r\n", "DELETE key=noreply quiet"),
    ROW("delete " K250 "\r\n", "DELETE key=" K250),
    ROW("delete " K250 "k\r\n", FORMAT),
    ROW("delete\r\n", FORMAT),
    ROW("delete  \r\n", FORMAT),
    ROW("touch k 30\r\n", "TOUCH key=k exptime=30 TOUCH"),
    ROW("touch k -1 noreply\r\n", "TOUCH key=k exptime=-1 TOUCH quiet"),
    ROW("touch k -2147483648\r\n", "TOUCH key=k exptime=-2147483648 TOUCH"),
    ROW("touch k -2147483649\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("touch k 2147483648\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("touch k +5\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("touch k x\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("touch k\r\n", FORMAT),
    ROW("touch\r\n", FORMAT),
    ROW("touch " K250 "k 1\r\n", FORMAT),
};

static const struct text_row admin_rows[] = {
    ROW("flush_all\r\n", "FLUSH"),
    ROW("flush_all noreply\r\n", "FLUSH quiet"),
    ROW("flush_all 0\r\n", "FLUSH args=0"),
    ROW("flush_all 100 noreply\r\n", "FLUSH args=100 exptime=100 quiet"),
    ROW("flush_all -5 \r\n", "FLUSH args=-5 exptime=-5"),
    ROW("flush_all 3 x y\r\n", "FLUSH args=3_x_y exptime=3"),
    ROW("flush_all x\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("flush_all x noreply\r\n", "CLIENT_ERROR invalid exptime argument quiet"),
    ROW("flush_all 4294967296\r\n", "CLIENT_ERROR invalid exptime argument"),
    ROW("version\r\n", "VERSION"),
    ROW("version noreply\r\n", "VERSION args=noreply"),
    ROW("quit\r\n", "QUIT closes"),
    ROW("quit now\r\n", "QUIT args=now closes"),
    ROW("stats\r\n", "STATS"),
    ROW("stats  items\r\n", "STATS args=items"),
    ROW("stats cachedump 1 2\r\n", "STATS args=cachedump_1_2"),
    ROW("stats noreply\r\n", "STATS args=noreply"),
    ROW("verbosity 1\r\n", "VERBOSITY args=1"),
    ROW("verbosity 1 noreply\r\n", "VERBOSITY args=1 quiet"),
    ROW("verbosity\r\n", "VERBOSITY"),
    ROW("shutdown\r\n", "SHUTDOWN"),
    ROW("shutdown graceful\r\n", "SHUTDOWN args=graceful"),
    ROW("shutdown noreply\r\n", "SHUTDOWN quiet"),
    ROW("cache_memlimit 64\r\n", "MEMLIMIT args=64"),
    ROW("cache_memlimit 64 noreply\r\n", "MEMLIMIT args=64 quiet"),
    ROW("slabs reassign 1 2\r\n", "SLABS args=reassign_1_2"),
    ROW("slabs automove 1 noreply\r\n", "SLABS args=automove_1 quiet"),
    ROW("lru mode flat\r\n", "LRU args=mode_flat"),
    ROW("lru_crawler metadump all\r\n", "CRAWLER args=metadump_all"),
    ROW("watch fetchers noreply\r\n", "WATCH args=fetchers_noreply"),
    ROW("extstore item_size 1\r\n", "EXTSTORE args=item_size_1"),
    ROW("refresh_certs\r\n", "REFRESH_CERTS"),
    ROW("refresh_certs noreply\r\n", "REFRESH_CERTS quiet"),
    ROW("reload\r\n", "RELOAD"),
    ROW("cache_memlimi 64\r\n", "ERROR"),
};

#define ROW_TEST(name)                \
    START_TEST(name##_row)            \
    {                                 \
        case_check(&name##_rows[_i]); \
    }                                 \
    END_TEST

ROW_TEST(line)
ROW_TEST(get)
ROW_TEST(store)
ROW_TEST(keyed)
ROW_TEST(admin)

/* Every prefix of every command word is another word, so unknown or a command of its own. */
START_TEST(word_prefixes)
{
    static const char *const words[] = {
#define TEXT_COMMAND(word, verb, shape, does) #word,
#include "protocol/text_commands.def"
#undef TEXT_COMMAND
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char line[64];
        struct picture picture;
        size_t n = strlen(words[i]) - 1;
        snprintf(line, sizeof line, "%.*s a\r\n", (int)n, words[i]);
        case_run((const uint8_t *)line, strlen(line), strlen(line), &picture);
        bool is_command = n == 3 && (memcmp(line, "get", 3) == 0 || memcmp(line, "gat", 3) == 0);
        ck_assert_msg(is_command || strcmp(picture.text, "ERROR") == 0, "%s", line);
    }
}
END_TEST

START_TEST(command_word_is_told)
{
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_TEXT);
    const uint8_t *p = (const uint8_t *)"set x y z 3\r\n";
    ck_assert_int_eq(parse_request(&parser, p, 13, &request, &n_consumed), PARSE_OK);
    ck_assert(request.verb == VERB_BAD && slice_is(request.command, "set"));
    ck_assert(request.n_value == 3 && request.n_trailer == 2);
}
END_TEST

/* A line of `n` bytes, newline not counted: start, then words of 20 bytes. */
static uint8_t *long_line(const char *start, size_t n)
{
    uint8_t *p = malloc(n + 1);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < n; i++)
        p[i] = i % 21 == 0 ? ' ' : 'k';
    memcpy(p, start, strlen(start));
    p[n] = '\n';
    return p;
}

struct limit_row {
    const char *start;
    size_t n;
    enum parse_result without_newline;
    enum status status; /* when bad */
};

static const struct limit_row limit_rows[] = {
    {"set ", TEXT_LINE_MAX, PARSE_MORE, STATUS_NONE},
    {"set ", TEXT_LINE_MAX + 1, PARSE_BAD, STATUS_NONE},
    {"mg ", TEXT_LINE_MAX + 1, PARSE_BAD, STATUS_NONE},
    {"getx ", TEXT_LINE_MAX + 1, PARSE_BAD, STATUS_NONE},
    {"GET ", TEXT_LINE_MAX + 1, PARSE_BAD, STATUS_NONE},
    {"get ", TEXT_LINE_MAX + 1, PARSE_MORE, STATUS_NONE},
    {"gets ", TEXT_LINE_MAX + 1, PARSE_MORE, STATUS_NONE},
    {"gat 1 ", TEXT_LINE_MAX + 1, PARSE_MORE, STATUS_NONE},
    {"gats 1 ", TEXT_LINE_MAX + 1, PARSE_MORE, STATUS_NONE},
    {"   get ", TEXT_LINE_MAX + 1, PARSE_MORE, STATUS_NONE},
    {"get ", MULTIGET_LINE_MAX - 1, PARSE_MORE, STATUS_NONE},
    {"get ", MULTIGET_LINE_MAX, PARSE_BAD, STATUS_LINE_TOO_LONG},
    {"gat 1 ", MULTIGET_LINE_MAX, PARSE_BAD, STATUS_LINE_TOO_LONG},
};

START_TEST(line_limit)
{
    const struct limit_row *row = &limit_rows[_i];
    uint8_t *p = long_line(row->start, row->n);
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_AUTO);
    ck_assert_int_eq(parse_request(&parser, p, row->n, &request, &n_consumed),
                     row->without_newline);
    if (row->without_newline == PARSE_BAD)
        ck_assert_int_eq(request.status, row->status);
    free(p);
}
END_TEST

START_TEST(leading_spaces_limit)
{
    char p[TEXT_LINE_MAX + 2];
    struct parser parser;
    struct request request;
    size_t n_consumed;
    memset(p, 'k', sizeof p);
    memset(p, ' ', 101);
    memcpy(p + 101, "get ", 4);
    parser_init(&parser, PROTOCOL_TEXT);
    ck_assert_int_eq(parse_request(&parser, (uint8_t *)p, sizeof p, &request, &n_consumed),
                     PARSE_BAD);
    parser_init(&parser, PROTOCOL_TEXT);
    ck_assert_int_eq(parse_request(&parser, (uint8_t *)p + 1, sizeof p - 1, &request, &n_consumed),
                     PARSE_MORE);
}
END_TEST

/* 49932 keys come out of the longest line, each where it stands; one byte more is too long. */
START_TEST(longest_get_line)
{
    size_t n = MULTIGET_LINE_MAX - 1, at = 0, n_keys = 0;
    uint8_t *p = long_line("get ", n);
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_AUTO);
    ck_assert_int_eq(parse_request(&parser, p, n, &request, &n_consumed), PARSE_MORE);
    do {
        ck_assert_int_eq(parse_request(&parser, p + at, n + 1 - at, &request, &n_consumed),
                         PARSE_OK);
        ck_assert_int_eq(request.is_first, n_keys == 0);
        ck_assert(request.key.p[-1] == ' ' && request.key.n <= 20);
        at += n_consumed;
        n_keys++;
    } while (!request.is_last);
    ck_assert_uint_eq(at, n + 1);
    ck_assert_uint_eq(n_keys, (n + 20) / 21);
    free(p);
    p = long_line("get ", n + 1);
    ck_assert_int_eq(parse_request(&parser, p, n + 2, &request, &n_consumed), PARSE_BAD);
    ck_assert_int_eq(request.status, STATUS_LINE_TOO_LONG);
    free(p);
}
END_TEST

/* A key that is too long is found wherever it stands among many. */
START_TEST(long_key_anywhere)
{
    size_t n = 6000;
    for (size_t at = 4; at + 251 <= n; at += 7) {
        uint8_t *p = long_line("get ", n);
        struct parser parser;
        struct request request;
        size_t n_consumed;
        memset(p + at, 'x', 251);
        parser_init(&parser, PROTOCOL_AUTO);
        ck_assert_int_eq(parse_request(&parser, p, n + 1, &request, &n_consumed), PARSE_OK);
        ck_assert_int_eq(request.status, STATUS_BAD_FORMAT);
        ck_assert_uint_eq(n_consumed, n + 1);
        memset(p, 'k', n);
        memcpy(p, "get ", 4);
        for (size_t space = 4 + at % 251; space < n; space += 251)
            p[space] = ' ';
        ck_assert_int_eq(parse_request(&parser, p, n + 1, &request, &n_consumed), PARSE_OK);
        ck_assert_int_eq(request.status, STATUS_NONE);
        ck_assert_uint_le(request.key.n, KEY_MAX);
        free(p);
    }
}
END_TEST

/* A parser put back to what it was gives the same key again. */
START_TEST(parser_rewinds)
{
    const uint8_t *p = (const uint8_t *)"gat 9 a bb ccc\r\n";
    struct parser parser, before;
    struct request request, again;
    size_t n = 16, n_consumed, n_again;
    parser_init(&parser, PROTOCOL_AUTO);
    do {
        before = parser;
        ck_assert_int_eq(parse_request(&parser, p, n, &request, &n_consumed), PARSE_OK);
        ck_assert_int_eq(parse_request(&before, p, n, &again, &n_again), PARSE_OK);
        ck_assert(slice_equal(request.key, again.key) && n_consumed == n_again);
        ck_assert(request.exptime == 9 && request.is_last == again.is_last);
        p += n_consumed;
        n -= n_consumed;
    } while (!request.is_last);
    ck_assert_uint_eq(n, 0);
}
END_TEST

/* The memo of searched bytes is only a memo. */
START_TEST(stale_memo_does_no_harm)
{
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_TEXT);
    parser.n_searched = 100;
    const uint8_t *p = (const uint8_t *)"version\r\n";
    ck_assert_int_eq(parse_request(&parser, p, 9, &request, &n_consumed), PARSE_OK);
    ck_assert_int_eq(request.verb, VERB_VERSION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text_parse");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, line_row, 0, N_ROWS(line_rows));
    tcase_add_loop_test(tc, get_row, 0, N_ROWS(get_rows));
    tcase_add_loop_test(tc, store_row, 0, N_ROWS(store_rows));
    tcase_add_loop_test(tc, keyed_row, 0, N_ROWS(keyed_rows));
    tcase_add_loop_test(tc, admin_row, 0, N_ROWS(admin_rows));
    tcase_add_loop_test(tc, line_limit, 0, N_ROWS(limit_rows));
    tcase_add_test(tc, word_prefixes);
    tcase_add_test(tc, command_word_is_told);
    tcase_add_test(tc, leading_spaces_limit);
    tcase_add_test(tc, longest_get_line);
    tcase_add_test(tc, long_key_anywhere);
    tcase_add_test(tc, parser_rewinds);
    tcase_add_test(tc, stale_memo_does_no_harm);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
