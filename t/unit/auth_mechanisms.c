#include "auth/mechanisms.h"
#include "auth/plain.h"
#include "t/unit/unit.h"

START_TEST(names_are_exact)
{
    enum mechanism mechanism;
    bool is_alias;
    static const char *const bad[] = {"",       "plain",     "PLAIN ",        "PLAI",
                                      "PLAINX", "ANONYMOUS", "SCRAM-SHA-224", "scram-sha-256"};
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        ck_assert(
            mechanism_find(slice_str(mechanism_name((enum mechanism)i)), &mechanism, &is_alias));
        ck_assert_int_eq(mechanism, (int)i);
        ck_assert(!is_alias);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!mechanism_find(slice_str(bad[i]), &mechanism, &is_alias));
    ck_assert(mechanism_find(SLICE("SCRAM-SHA256"), &mechanism, &is_alias));
    ck_assert_int_eq(mechanism, MECHANISM_SCRAM_SHA_256);
    ck_assert(is_alias);
}
END_TEST

START_TEST(lists_are_read)
{
    unsigned n_unknown;
    char unknown[AUTH_MECHANISM_MAX + 1] = "";
    uint32_t set = mechanisms_parse("plain, SCRAM-SHA-256", &n_unknown, unknown);
    ck_assert_uint_eq(n_unknown, 0);
    ck_assert_uint_eq(set, MECHANISM_BIT(MECHANISM_PLAIN) | MECHANISM_BIT(MECHANISM_SCRAM_SHA_256) |
                               MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS));
    set = mechanisms_parse("ANONYMOUS CRAM-MD5 NTLM", &n_unknown, unknown);
    ck_assert_uint_eq(n_unknown, 2);
    ck_assert_str_eq(unknown, "ANONYMOUS");
    ck_assert_uint_eq(set, MECHANISM_BIT(MECHANISM_CRAM_MD5));
    ck_assert_uint_eq(mechanisms_parse("", &n_unknown, unknown), 0);
    ck_assert_uint_eq(mechanisms_parse("XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", &n_unknown, unknown),
                      0);
    ck_assert_uint_eq(mechanisms_default() &
                          (MECHANISM_BIT(MECHANISM_CRAM_MD5) | MECHANISM_BIT(MECHANISM_DIGEST_MD5) |
                           MECHANISM_BIT(MECHANISM_LOGIN) | MECHANISM_BIT(MECHANISM_GSSAPI)),
                      0);
}
END_TEST

#define ALL UINT32_MAX

static const struct {
    enum mechanism mechanism;
    struct mechanism_facts facts;
    enum mechanism_obstacle obstacle;
} rows[] = {
    {MECHANISM_PLAIN, {ALL, ALL, ALL, true, false, false, false}, OBSTACLE_NONE},
    {MECHANISM_PLAIN, {ALL, ALL, ALL, false, false, false, false}, OBSTACLE_CLEAR_TEXT},
    {MECHANISM_PLAIN, {ALL, ALL, ALL, false, true, false, false}, OBSTACLE_NONE},
    {MECHANISM_LOGIN, {ALL, ALL, ALL, false, false, false, false}, OBSTACLE_CLEAR_TEXT},
    {MECHANISM_PLAIN, {0, ALL, ALL, true, true, true, true}, OBSTACLE_NOT_ALLOWED},
    {MECHANISM_PLAIN, {ALL, 0, ALL, true, true, true, true}, OBSTACLE_NOT_INSTALLED},
    {MECHANISM_SCRAM_SHA_256, {ALL, ALL, 0, true, true, true, true}, OBSTACLE_NO_SECRET},
    {MECHANISM_SCRAM_SHA_256, {ALL, ALL, ALL, false, false, false, false}, OBSTACLE_NONE},
    {MECHANISM_SCRAM_SHA_256_PLUS, {ALL, ALL, ALL, true, true, false, true}, OBSTACLE_NO_BINDING},
    {MECHANISM_SCRAM_SHA_256_PLUS, {ALL, ALL, ALL, true, true, true, false}, OBSTACLE_NONE},
    {MECHANISM_EXTERNAL, {ALL, ALL, ALL, true, true, true, false}, OBSTACLE_NO_IDENTITY},
    {MECHANISM_EXTERNAL, {ALL, ALL, ALL, true, true, false, true}, OBSTACLE_NONE},
    {MECHANISM_CRAM_MD5, {ALL, ALL, ALL, false, false, false, false}, OBSTACLE_NONE},
};

START_TEST(obstacles_are_named)
{
    ck_assert_int_eq(mechanism_obstacle(rows[_i].mechanism, &rows[_i].facts), rows[_i].obstacle);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    const char *fault; /* NULL: good */
} messages[] = {
    {"\0alice\0pw", 9, NULL},
    {"alice\0alice\0pw", 14, NULL},
    {"\0alice\0p w", 10, NULL},
    {"", 0, "missing"},
    {"\0", 1, "missing"},
    {"alice", 5, "missing"},
    {"\0alice", 6, "missing"},
    {"\0\0", 2, "user"},
    {"\0\0pw", 4, "user"},
    {"\0alice\0", 7, "password"},
    {"\0alice\0pw\0", 10, "too many"},
    {"\0alice\0p\0w", 10, "too many"},
    {"bob\0alice\0pw", 12, "another"},
    {"ALICE\0alice\0pw", 14, "another"},
    {"\0 alice\0pw", 10, "user"},
    {"\0alice \0pw", 10, "user"},
    {"\0ali\nce\0pw", 10, "user"},
    {"\0\xff\xfe\0pw", 6, "user"},
};

START_TEST(plain_is_exactly_one_user_and_one_password)
{
    struct plain_parts parts;
    const char *fault = plain_parse(slice_of(messages[_i].bytes, messages[_i].n), &parts);
    ck_assert_int_eq(fault != NULL, messages[_i].fault != NULL);
    if (fault != NULL)
        ck_assert_msg(strstr(fault, messages[_i].fault) != NULL, "%s", fault);
    else
        ck_assert(slice_is(parts.user, "alice"));
}
END_TEST

START_TEST(plain_has_bounds)
{
    struct plain_parts parts;
    static uint8_t message[4096];
    memset(message, 'x', sizeof message);
    message[0] = 0;
    message[1 + AUTH_NAME_MAX] = 0;
    size_t n = 2 + AUTH_NAME_MAX + USERS_PASSWORD_MAX;
    ck_assert_ptr_null(plain_parse(slice_of(message, n), &parts));
    ck_assert_ptr_nonnull(plain_parse(slice_of(message, n + 1), &parts));
    message[1 + AUTH_NAME_MAX] = 'x';
    message[2 + AUTH_NAME_MAX] = 0;
    ck_assert_ptr_nonnull(plain_parse(slice_of(message, n), &parts));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_mechanisms");
    TCase *tc = tcase_create("auth_mechanisms");
    tcase_add_test(tc, names_are_exact);
    tcase_add_test(tc, lists_are_read);
    tcase_add_loop_test(tc, obstacles_are_named, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_loop_test(tc, plain_is_exactly_one_user_and_one_password, 0,
                        (int)(sizeof messages / sizeof *messages));
    tcase_add_test(tc, plain_has_bounds);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
