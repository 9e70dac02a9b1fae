#include "server/listen_spec.h"
#include "t/unit/unit.h"

struct good_row {
    const char *text;
    const char *host; /* NULL: any */
    int32_t port;
    uint8_t tls;
    int protocol; /* -1: not said */
    const char *tag;
};

static const struct good_row good_rows[] = {
    {"localhost", "localhost", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, ""},
    {"127.0.0.1:11211", "127.0.0.1", 11211, LISTEN_TLS_DEFAULT, -1, ""},
    {"127.0.0.1:0", "127.0.0.1", 0, LISTEN_TLS_DEFAULT, -1, ""},
    {"127.0.0.1:65535", "127.0.0.1", 65535, LISTEN_TLS_DEFAULT, -1, ""},
    {"*", NULL, LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, ""},
    {"*:80", NULL, 80, LISTEN_TLS_DEFAULT, -1, ""},
    {"::1", "::1", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, ""},
    {"::", "::", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, ""},
    {"[::1]", "::1", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, ""},
    {"[fe80::1%eth0]:9", "fe80::1%eth0", 9, LISTEN_TLS_DEFAULT, -1, ""},
    {"notls:h", "h", LISTEN_PORT_UNSET, LISTEN_TLS_OFF, -1, ""},
    {"btls:h:1", "h", 1, LISTEN_TLS_WITHOUT_PEER, -1, ""},
    {"mtls:[::1]:1", "::1", 1, LISTEN_TLS_WITH_PEER, -1, ""},
    {"proto[ascii]:h", "h", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, PROTOCOL_TEXT, ""},
    {"proto[binary]:h", "h", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, PROTOCOL_BINARY, ""},
    {"proto[negotiating]:h", "h", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, PROTOCOL_AUTO, ""},
    {"tag[a]:h", "h", LISTEN_PORT_UNSET, LISTEN_TLS_DEFAULT, -1, "a"},
    {"tag_12345678_:h:2", "h", 2, LISTEN_TLS_DEFAULT, -1, "12345678"},
    {"mtls:proto[ascii]:tag_x_:[::1]:3", "::1", 3, LISTEN_TLS_WITH_PEER, PROTOCOL_TEXT, "x"},
};

START_TEST(good_row)
{
    const struct good_row *row = &good_rows[_i];
    struct listen_spec *specs;
    struct slice rest;
    const char *wrong;
    size_t n;
    ck_assert(listen_specs_parse(slice_str(row->text), true, &specs, &n, &wrong, &rest));
    ck_assert_uint_eq(n, 1);
    if (row->host)
        ck_assert_str_eq(specs[0].host, row->host);
    else
        ck_assert_ptr_null(specs[0].host);
    ck_assert_int_eq(specs[0].port, row->port);
    ck_assert_uint_eq(specs[0].tls, row->tls);
    ck_assert_int_eq(specs[0].has_protocol, row->protocol >= 0);
    if (row->protocol >= 0)
        ck_assert_int_eq(specs[0].protocol, row->protocol);
    ck_assert_str_eq(specs[0].tag, row->tag);
    listen_specs_destroy(&specs, n);
    ck_assert_ptr_null(specs);
}
END_TEST

struct bad_row {
    const char *text;
    bool has_tls;
    const char *wrong;
    const char *rest;
};

static const struct bad_row bad_rows[] = {
    {"", true, "Missing host name", ""},
    {",;", true, "Missing host name", ",;"},
    {":11211", true, "Missing host name", ":11211"},
    {"notls:", true, "Missing host name", ""},
    {"h:abc", true, "Invalid port number", "abc"},
    {"h:", true, "Invalid port number", ""},
    {"h:65536", true, "Invalid port number", "65536"},
    {"h:-1", true, "Invalid port number", "-1"},
    {"h: 1", true, "Invalid port number", " 1"},
    {"[::1", true, "Invalid IPV6 address", "[::1"},
    {"[]", true, "Invalid IPV6 address", "[]"},
    {"[::1]x", true, "Invalid IPV6 address", "[::1]x"},
    {"[::1]:x", true, "Invalid port number", "x"},
    {"proto[ascii:h", true, "Invalid protocol spec", "ascii:h"},
    {"proto[what]:h", true, "Invalid protocol spec", "h"},
    {"proto[proxy]:h", true, "Server not built with proxy", "h"},
    {"tag[]:h", true, "Listener tags must be between 1 and 8 characters", "h"},
    {"tag_123456789_:h", true, "Listener tags must be between 1 and 8 characters", "h"},
    {"tag[abc:h", true, "Listener tags must be between 1 and 8 characters", "abc:h"},
    {"notls:h", false, "'notls' option is valid only when SSL is enabled", "h"},
    {"btls:h", false, "'btls' option is valid only when SSL is enabled", "h"},
    {"mtls:h", false, "'mtls' option is valid only when SSL is enabled", "h"},
    {"good,[::1]:1;bad:x", false, "Invalid port number", "x"},
};

START_TEST(bad_row)
{
    const struct bad_row *row = &bad_rows[_i];
    struct listen_spec *specs = NULL;
    struct slice rest;
    const char *wrong;
    size_t n = 42;
    ck_assert(!listen_specs_parse(slice_str(row->text), row->has_tls, &specs, &n, &wrong, &rest));
    ck_assert_str_eq(wrong, row->wrong);
    ck_assert_msg(slice_is(rest, row->rest), "rest is \"%.*s\"", (int)rest.n, rest.p);
    ck_assert_ptr_null(specs);
    ck_assert_uint_eq(n, 42);
}
END_TEST

START_TEST(list_of_several)
{
    struct listen_spec *specs;
    struct slice rest;
    const char *wrong;
    size_t n;
    ck_assert(listen_specs_parse(SLICE("a:1,b;;[::1]:2,*"), false, &specs, &n, &wrong, &rest));
    ck_assert_uint_eq(n, 4);
    ck_assert_str_eq(specs[0].host, "a");
    ck_assert_str_eq(specs[1].host, "b");
    ck_assert_str_eq(specs[2].host, "::1");
    ck_assert_ptr_null(specs[3].host);
    listen_specs_destroy(&specs, n);
}
END_TEST

START_TEST(same_address_counts_once)
{
    struct listen_spec *specs;
    struct slice rest;
    const char *wrong;
    size_t n;
    ck_assert(listen_specs_parse(SLICE("a,a,a:1,a:1,*,*,b,a"), false, &specs, &n, &wrong, &rest));
    ck_assert_uint_eq(n, 4);
    listen_specs_destroy(&specs, n);
}
END_TEST

/* Every cut of a good list is either good or refused, and leaves nothing behind. */
START_TEST(every_prefix_is_decided)
{
    static const char text[] = "mtls:proto[ascii]:tag_x_:[::1]:3,notls:tag[ab]:h:80;*";
    struct listen_spec *specs;
    struct slice rest;
    const char *wrong;
    size_t n;
    for (size_t cut = 0; cut < sizeof text; cut++)
        if (listen_specs_parse(slice_of(text, cut), true, &specs, &n, &wrong, &rest))
            listen_specs_destroy(&specs, n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listen_spec");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, good_row, 0, N_ROWS(good_rows));
    tcase_add_loop_test(tc, bad_row, 0, N_ROWS(bad_rows));
    tcase_add_test(tc, list_of_several);
    tcase_add_test(tc, same_address_counts_once);
    tcase_add_test(tc, every_prefix_is_decided);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
