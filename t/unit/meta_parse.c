#include "t/unit/text_case.h"

#define FORMAT    "CLIENT_ERROR bad command line format"
#define BAD_TOKEN "CLIENT_ERROR bad token in command line format"
#define MA_FLAG   "CLIENT_ERROR invalid or duplicate flag"
#define INVALID   "CLIENT_ERROR invalid flag"
#define DUPLICATE "CLIENT_ERROR duplicate flag"
#define CODING    "CLIENT_ERROR error decoding key"
#define MS_MODE   "CLIENT_ERROR invalid mode for ms M token"
#define MA_MODE   "CLIENT_ERROR invalid mode for ma M token"
#define A50       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define A248      A50 A50 A50 A50 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define U64       "18446744073709551615"
#define O31       "Oabcdefghijklmnopqrstuvwxyz12345"

static const struct text_row command_rows[] = {
    ROW("mg k\r\n", "GET key=k state"),
    ROW("mg  k  \r\n", "GET key=k state"),
    ROW("mg k v\n", "GET key=k meta=v value state"),
    ROW("mg k   v   s\r\n", "GET key=k meta=v___s value state"),
    ROW("mg k k v\r\n", "GET key=k meta=k_v value key state"),
    ROW("mg k v\rx\r\n", "GET key=k meta=v<0d>x value state"),
    ROW("mg k v\r\r\n", "GET key=k meta=v<0d> value state"),
    ROW("mg k \r\n", "GET key=k state"),
    ROW("mg k v \n", "GET key=k meta=v_ value state"),
    ROW("ms k 0\r\n\r\n", "SET key=k size=0+2"),
    ROW("ms k 2\r\nhi\r\nmn\r\n", "SET key=k size=2+2; NOOP"),
    ROW("md k\r\n", "DELETE key=k"),
    ROW("ma k\r\n", "INCR key=k delta=1"),
    ROW("mn\r\n", "NOOP"),
    ROW("mn foo ! b b q\r\n", "NOOP"),
    ROW("me k\r\n", "META_DEBUG key=k"),
    ROW("me k b\r\n", CODING),
    ROW("me QUI= b\r\n", "META_DEBUG key=AB BASE64"),
    ROW("me QUI= b b\r\n", "META_DEBUG key=AB BASE64"),
    ROW("me k v q ! S\r\n", "META_DEBUG key=k"),
    ROW("mg\r\n", FORMAT),
    ROW("ms\r\n", FORMAT),
    ROW("ms k\r\n", FORMAT),
    ROW("md\r\n", FORMAT),
    ROW("ma \r\n", FORMAT),
    ROW("me\r\n", FORMAT),
    ROW("ms k S2\r\n", FORMAT),
    ROW("ms k -1\r\n", FORMAT),
    ROW("ms k +1\r\n", FORMAT),
    ROW("ms k 2147483645\r\n", "SET key=k size=2147483645+2"),
    ROW("ms k 2147483646\r\n", FORMAT),
    ROW("ms k 000000000002\r\n", FORMAT),
    ROW("mg " A248 "AA\r\n", "GET key=" A248 "AA state"),
    ROW("mg " A248 "AAA\r\n", FORMAT),
    ROW("md " A248 "AAA\r\n", FORMAT),
    ROW("me " A248 "AAA\r\n", FORMAT),
    ROW("ma " A248 "AAA\r\n", MA_FLAG),
    ROW("ms " A248 "AAA 2\r\nhi\r\nmn\r\n", FORMAT " size=2+2; NOOP"),
};

/* Each flag, and that each command takes it or leaves it. */
static const struct text_row flag_rows[] = {
    ROW("mg QUI= b\r\n", "GET key=AB meta=b BASE64 state"),
    ROW("ms QUI= 1 b\r\nx\r\n", "SET key=AB meta=b BASE64 size=1+2"),
    ROW("md QUI= b\r\n", "DELETE key=AB meta=b BASE64"),
    ROW("ma QUI= b\r\n", "INCR key=AB meta=b delta=1 BASE64"),
    ROW("mg k c\r\n", "GET key=k meta=c cas state"),
    ROW("ms k 1 c\r\nx\r\n", "SET key=k meta=c cas size=1+2"),
    ROW("md k c\r\n", "DELETE key=k meta=c"),
    ROW("ma k c\r\n", "INCR key=k meta=c delta=1 cas"),
    ROW("mg k C7\r\n", "GET key=k meta=C7 unique=7 CAS state"),
    ROW("ms k 1 C7\r\nx\r\n", "SET key=k meta=C7 unique=7 CAS size=1+2"),
    ROW("md k C" U64 "\r\n", "DELETE key=k meta=C" U64 " unique=" U64 " CAS"),
    ROW("ma k C0\r\n", "INCR key=k meta=C0 delta=1 CAS"),
    ROW("ma k D5\r\n", "INCR key=k meta=D5 delta=5"),
    ROW("ma k D0\r\n", "INCR key=k meta=D0"),
    ROW("mg k D5\r\n", "GET key=k meta=D5 state"),
    ROW("md k D5\r\n", "DELETE key=k meta=D5"),
    ROW("mg k E9\r\n", "GET key=k meta=E9 new=9 NEWCAS state"),
    ROW("ms k 1 E9\r\nx\r\n", "SET key=k meta=E9 new=9 NEWCAS size=1+2"),
    ROW("md k E9\r\n", "DELETE key=k meta=E9 new=9 NEWCAS"),
    ROW("ma k E9\r\n", "INCR key=k meta=E9 new=9 delta=1 NEWCAS"),
    ROW("mg k f h l s t\r\n", "GET key=k meta=f_h_l_s_t state"),
    ROW("md k f h l s t\r\n", "DELETE key=k meta=f_h_l_s_t"),
    ROW("ms k 1 F4294967295\r\nx\r\n",
        "SET key=k meta=F4294967295 flags=4294967295 FLAGS size=1+2"),
    ROW("md k F9 x\r\n", "DELETE key=k meta=F9_x flags=9 EMPTY FLAGS"),
    ROW("mg k F9\r\n", "GET key=k meta=F9 state"),
    ROW("ma k F9\r\n", "INCR key=k meta=F9 delta=1"),
    ROW("md k I\r\n", "DELETE key=k meta=I INVALIDATE"),
    ROW("ms k 1 I\r\nx\r\n", "SET key=k meta=I size=1+2"),
    ROW("ms k 1 I C3\r\nx\r\n", "SET key=k meta=I_C3 unique=3 CAS INVALIDATE size=1+2"),
    ROW("mg k I\r\n", "GET key=k meta=I state"),
    ROW("ma k J13\r\n", "INCR key=k meta=J13 delta=1 initial=13"),
    ROW("ms k 1 J13\r\nx\r\n", "SET key=k meta=J13 size=1+2"),
    ROW("mg k k\r\n", "GET key=k meta=k key state"),
    ROW("md k k\r\n", "DELETE key=k meta=k key"),
    ROW("mg k Lx P Pyz\r\n", DUPLICATE),
    ROW("mg k Lx Pyz\r\n", "GET key=k meta=Lx_Pyz state"),
    ROW("mg k N30\r\n", "GET key=k meta=N30 vivify=30 VIVIFY state"),
    ROW("ma k N-1\r\n", "INCR key=k meta=N-1 vivify=-1 delta=1 VIVIFY"),
    ROW("ms k 1 N30\r\nx\r\n", "SET key=k meta=N30 vivify=30 size=1+2"),
    ROW("ms k 1 N30 MA\r\nx\r\n", "APPEND key=k meta=N30_MA vivify=30 VIVIFY size=1+2"),
    ROW("ms k 1 MP N30\r\nx\r\n", "PREPEND key=k meta=MP_N30 vivify=30 VIVIFY size=1+2"),
    ROW("md k N30\r\n", "DELETE key=k meta=N30"),
    ROW("mg k " O31 "\r\n", "GET key=k meta=" O31 " state"),
    ROW("mg k " O31 "6\r\n", "CLIENT_ERROR opaque token too long"),
    ROW("mg k O\r\n", "GET key=k meta=O state"),
    ROW("mg k q\r\n", "GET key=k meta=q state quiet"),
    ROW("ms k 1 q\r\nx\r\n", "SET key=k meta=q quiet size=1+2"),
    ROW("md k q\r\n", "DELETE key=k meta=q quiet"),
    ROW("ma k q\r\n", "INCR key=k meta=q delta=1 quiet"),
    ROW("mg k R30\r\n", "GET key=k meta=R30 recache=30 RECACHE state"),
    ROW("md k R30\r\n", "DELETE key=k meta=R30"),
    ROW("mg k T30\r\n", "GET key=k meta=T30 exptime=30 TOUCH state"),
    ROW("ms k 1 T-1\r\nx\r\n", "SET key=k meta=T-1 exptime=-1 TOUCH size=1+2"),
    ROW("md k T30 I\r\n", "DELETE key=k meta=T30_I exptime=30 TOUCH INVALIDATE"),
    ROW("ma k T2147483647\r\n", "INCR key=k meta=T2147483647 exptime=2147483647 delta=1 TOUCH"),
    ROW("mg k u\r\n", "GET key=k meta=u NOBUMP state"),
    ROW("ma k u\r\n", "INCR key=k meta=u delta=1"),
    ROW("ma k v\r\n", "INCR key=k meta=v delta=1 value"),
    ROW("md k v\r\n", "DELETE key=k meta=v"),
    ROW("md k x\r\n", "DELETE key=k meta=x EMPTY"),
    ROW("mg k x\r\n", "GET key=k meta=x state"),
    ROW("mg k kfoo vt\r\n", "GET key=k meta=kfoo_vt value key state"),
};

static const struct text_row mode_rows[] = {
    ROW("ms k 1 MS\r\nx\r\n", "SET key=k meta=MS size=1+2"),
    ROW("ms k 1 ME\r\nx\r\n", "ADD key=k meta=ME size=1+2"),
    ROW("ms k 1 MR\r\nx\r\n", "REPLACE key=k meta=MR size=1+2"),
    ROW("ms k 1 MA\r\nx\r\n", "APPEND key=k meta=MA size=1+2"),
    ROW("ms k 1 MP\r\nx\r\n", "PREPEND key=k meta=MP size=1+2"),
    ROW("ms k 1 MSet\r\nx\r\n", "SET key=k meta=MSet size=1+2"),
    ROW("ms k 1 M\r\nx\r\nmn\r\n", MS_MODE " size=1+2; NOOP"),
    ROW("ms k 1 Ms\r\nx\r\n", MS_MODE " size=1+2"),
    ROW("ms k 1 M+\r\nx\r\n", MS_MODE " size=1+2"),
    ROW("ms k 1 M\xff\r\nx\r\n", MS_MODE " size=1+2"),
    ROW("ms k 1 M\0\r\nx\r\n", MS_MODE " size=1+2"),
    ROW("ms k 1 MS C5\r\nx\r\n", "SET key=k meta=MS_C5 unique=5 CAS size=1+2"),
    ROW("ms k 1 MR C5\r\nx\r\n", "SET key=k meta=MR_C5 unique=5 CAS size=1+2"),
    ROW("ms k 1 MA C5\r\nx\r\n", "APPEND key=k meta=MA_C5 unique=5 CAS size=1+2"),
    ROW("ms k 1 MP C5\r\nx\r\n", "PREPEND key=k meta=MP_C5 unique=5 CAS size=1+2"),
    ROW("ms k 1 ME C5\r\nx\r\n", "ADD key=k meta=ME_C5 unique=5 size=1+2"),
    ROW("ma k MI\r\n", "INCR key=k meta=MI delta=1"),
    ROW("ma k M+\r\n", "INCR key=k meta=M+ delta=1"),
    ROW("ma k MD\r\n", "DECR key=k meta=MD delta=1"),
    ROW("ma k M-\r\n", "DECR key=k meta=M- delta=1"),
    ROW("ma k Mincr\r\n", MA_MODE),
    ROW("ma k MA\r\n", MA_MODE),
    ROW("ma k M\r\n", MA_MODE),
    ROW("mg k Mxyz\r\n", "GET key=k meta=Mxyz state"),
};

static const struct text_row error_rows[] = {
    ROW("mg k S\r\n", INVALID),
    ROW("mg k 0\r\n", INVALID),
    ROW("mg k v v\r\n", DUPLICATE),
    ROW("mg k v Oa Ob\r\n", DUPLICATE),
    ROW("md k q q\r\n", DUPLICATE),
    ROW("md k y\r\n", INVALID),
    ROW("ma k y\r\n", MA_FLAG),
    ROW("ma k q q\r\n", MA_FLAG),
    ROW("ma k !\r\n", FORMAT),
    ROW("mg k !\r\n", FORMAT),
    ROW("mg k \xff\r\n", FORMAT),
    ROW("mg k \x7f\r\n", FORMAT),
    ROW("mg k \0\r\n", FORMAT),
    ROW("mg k S !\r\n", FORMAT),
    ROW("mg k v v _\r\n", FORMAT),
    ROW("ms k 2 S2\r\nhi\r\nmn\r\n", INVALID " size=2+2; NOOP"),
    ROW("ms k 2 !\r\nhi\r\nmn\r\n", FORMAT " size=2+2; NOOP"),
    ROW("ms k 2 T T\r\nhi\r\nmn\r\n", BAD_TOKEN " size=2+2; NOOP"),
    ROW("mg k T\r\n", BAD_TOKEN),
    ROW("mg k Tx\r\n", BAD_TOKEN),
    ROW("mg k T+5\r\n", BAD_TOKEN),
    ROW("mg k T2147483648\r\n", BAD_TOKEN),
    ROW("mg k T-2147483649\r\n", BAD_TOKEN),
    ROW("mg k N2147483648\r\n", BAD_TOKEN),
    ROW("md k N\r\n", BAD_TOKEN),
    ROW("mg k R\r\n", BAD_TOKEN),
    ROW("md k R-x\r\n", BAD_TOKEN),
    ROW("mg k C\r\n", BAD_TOKEN),
    ROW("mg k C-1\r\n", BAD_TOKEN),
    ROW("mg k C18446744073709551616\r\n", BAD_TOKEN),
    ROW("mg k E\r\n", BAD_TOKEN),
    ROW("md k Ex\r\n", BAD_TOKEN),
    ROW("mg k F\r\n", FORMAT),
    ROW("ms k 1 F4294967296\r\nx\r\n", FORMAT " size=1+2"),
    ROW("mg k J\r\n", "CLIENT_ERROR invalid numeric initial value"),
    ROW("mg k Jx\r\n", "CLIENT_ERROR invalid numeric initial value"),
    ROW("md k D-1\r\n", "CLIENT_ERROR invalid numeric delta value"),
    ROW("ma k J-1\r\n", MA_FLAG),
    ROW("ma k D\r\n", MA_FLAG),
    ROW("ma k T\r\n", MA_FLAG),
    ROW("ma QQ b\r\n", MA_FLAG),
    ROW("mg QQ b\r\n", CODING),
    ROW("mg QR== b\r\n", CODING),
    ROW("mg Q=Q= b\r\n", CODING),
    ROW("mg QQ==QQ== b\r\n", CODING),
    ROW("mg QQ b S\r\n", INVALID),
    ROW("mg QQ S b\r\n", INVALID),
    ROW("mg " A248 "AA b\r\n", CODING),
    ROW("ms nn 2 b\r\nhi\r\nmn\r\n", CODING " size=2+2; NOOP"),
    ROW("mg k b c C1 D1 E1 f F1 h I J1 k l L M N1 O q R1 s t\r\n",
        "CLIENT_ERROR options flags are too long"),
    ROW("mg k c C1 D1 E1 f F1 h I J1 k l L M N1 O q R1 s\r\n",
        "GET key=k meta=c_C1_D1_E1_f_F1_h_I_J1_k_l_L_M_N1_O_q_R1_s vivify=1 recache=1 unique=1 "
        "new=1 "
        "CAS VIVIFY RECACHE NEWCAS cas key state quiet"),
    ROW("mg k 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\r\n", INVALID),
    ROW("mg k 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\r\n",
        "CLIENT_ERROR options flags are too long"),
    ROW("ms k 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\r\nx\r\n",
        "CLIENT_ERROR options flags are too long size=1+2"),
    ROW("ma k 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\r\n", MA_FLAG),
};

#define ROW_TEST(name)                \
    START_TEST(name##_row)            \
    {                                 \
        case_check(&name##_rows[_i]); \
    }                                 \
    END_TEST

ROW_TEST(command)
ROW_TEST(flag)
ROW_TEST(mode)
ROW_TEST(error)

/* A line with enough bytes behind it may be read in another way, to the same end. */
static void check_followed(const struct text_row *row)
{
    static const char more[] = "mn\r\nmn\r\nmn\r\nmn\r\n";
    char bytes[1024];
    struct picture picture;
    if (row->n < 3 || memcmp(row->line, "mg ", 3) != 0)
        return;
    ck_assert_uint_lt(row->n + sizeof more, sizeof bytes);
    memcpy(bytes, row->line, row->n);
    memcpy(bytes + row->n, more, sizeof more - 1);
    case_run((const uint8_t *)bytes, row->n + sizeof more - 1, row->n + sizeof more - 1, &picture);
    ck_assert_uint_eq(strncmp(picture.text, row->expected, strlen(row->expected)), 0);
    ck_assert_str_eq(picture.text + strlen(row->expected), "; NOOP; NOOP; NOOP; NOOP");
}

START_TEST(followed_rows)
{
    for (size_t i = 0; i < N_ROWS(command_rows); i++)
        check_followed(&command_rows[i]);
    for (size_t i = 0; i < N_ROWS(flag_rows); i++)
        check_followed(&flag_rows[i]);
    for (size_t i = 0; i < N_ROWS(error_rows); i++)
        check_followed(&error_rows[i]);
}
END_TEST

/* The longest base64 key decodes to 186 bytes, into the request itself. */
START_TEST(longest_base64_key)
{
    static const char text[] = "mg " A248 " b\r\n";
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, PROTOCOL_AUTO);
    ck_assert_int_eq(
        parse_request(&parser, (const uint8_t *)text, sizeof text - 1, &request, &n_consumed),
        PARSE_OK);
    ck_assert_uint_eq(request.key.n, 186);
    ck_assert_ptr_eq(request.key.p, request.raw_key);
    for (size_t i = 0; i < request.key.n; i++)
        ck_assert_uint_eq(request.key.p[i], 0);
}
END_TEST

/* Every byte as a flag: alone, twice, and with a token, for every command. The connection always
 * stays in step: mn behind it is the last request. */
START_TEST(every_flag_byte)
{
    static const char *const heads[] = {"mg k ", "ms k 2 ", "md k ", "ma k ", "me k "};
    static const char *const tails[] = {"", "1", "x", " q q", "-99999999999999999999"};
    char line[128];
    struct picture picture;
    if (_i == '\n')
        return;
    for (size_t head = 0; head < sizeof heads / sizeof *heads; head++) {
        for (size_t tail = 0; tail < sizeof tails / sizeof *tails; tail++) {
            int n = snprintf(line, sizeof line, "%s%c%s\r\n%smn\r\n", heads[head], _i ? _i : 1,
                             tails[tail], head == 1 ? "hi\r\n" : "");
            case_run((const uint8_t *)line, (size_t)n, (size_t)n, &picture);
            const char *last = strrchr(picture.text, ';');
            ck_assert_msg(last != NULL && strcmp(last, "; NOOP") == 0, "%s: %s", line,
                          picture.text);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meta_parse");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, command_row, 0, N_ROWS(command_rows));
    tcase_add_loop_test(tc, flag_row, 0, N_ROWS(flag_rows));
    tcase_add_loop_test(tc, mode_row, 0, N_ROWS(mode_rows));
    tcase_add_loop_test(tc, error_row, 0, N_ROWS(error_rows));
    tcase_add_test(tc, followed_rows);
    tcase_add_test(tc, longest_base64_key);
    tcase_add_loop_test(tc, every_flag_byte, 0, 256);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
