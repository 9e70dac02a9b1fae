#include "auth/instant.h"
#include "auth/users.h"
#include "t/unit/auth_fixture.h"

#include <sys/stat.h>

#define GOOD                                        \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"  \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct users_keys keys; /* nothing is derived from them but by a password file */

static struct users *load(const char *text, struct auth_error *error)
{
    const char *path = file_temporary(text);
    struct users *users = users_load(path, NULL, &keys, error);
    unlink(path);
    return users;
}

START_TEST(a_whole_file_is_read)
{
    struct auth_error error;
    struct users *users =
        load("# a comment\n"
             "tenant \"shop\" {\n memory-min = 64m\n memory-max = \"1g\" item-max = 2m\n"
             " connections = 100 ops = 5000 bytes = 10m\n}\n"
             "tenant default { memory-max = 8m }\n"
             "user \"alice\" {\n tenant = shop\n"
             " rights = {read, \"write\", admin}\n"
             " secret \"old\" { verifiers = {\"" GOOD "\"} not-after = 2026-12-01 }\n"
             " secret \"new\" { verifiers = {\"" GOOD "\"}"
             " not-before = \"2026-11-30T12:00:00Z\" }\n}\n"
             "user 'bob smith' { tenant = default disabled = true rights = {} }\n"
             "identity web { cert-uri = \"spiffe://example/web\" user = alice }\n"
             "identity cron { unix-uid = 1000 user = 'bob smith' }\n",
             &error);
    ck_assert_msg(users != NULL, "%s", error.text);
    ck_assert_uint_eq(users->n_tenants, 2);
    ck_assert_uint_eq(users->n_users, 2);
    ck_assert_uint_eq(users->n_rules, 2);
    const struct auth_tenant *shop = users_find_tenant(users, SLICE("shop"));
    ck_assert_uint_eq(shop->memory_min, 64u << 20);
    ck_assert_uint_eq(shop->memory_max, 1u << 30);
    ck_assert_uint_eq(shop->item_max, 2u << 20);
    ck_assert_uint_eq(shop->connections, 100);
    ck_assert_uint_eq(shop->ops, 5000);
    ck_assert_uint_eq(shop->bytes, 10u << 20);
    ck_assert_uint_eq(users_find_tenant(users, SLICE("default"))->memory_max, 8u << 20);
    const struct user *alice = users_find(users, SLICE("alice"));
    ck_assert_uint_eq(alice->rights, AUTH_RIGHT_READ | AUTH_RIGHT_WRITE | AUTH_RIGHT_ADMIN);
    ck_assert_uint_eq(alice->n_secrets, 2);
    ck_assert_int_eq(alice->secrets[0].not_after, 1796083200);
    ck_assert_int_eq(alice->secrets[1].not_before, 1796040000);
    size_t secret;
    ck_assert_ptr_nonnull(user_scram(alice, VERIFIER_SHA_256, 1796039999, &secret));
    ck_assert_uint_eq(secret, 0);
    ck_assert_ptr_nonnull(user_scram(alice, VERIFIER_SHA_256, 1796040000, &secret));
    ck_assert_uint_eq(secret, 1);
    ck_assert_ptr_null(user_scram(alice, VERIFIER_SHA_512, 1796040000, &secret));
    /* Equal salts: one derivation serves both secrets. */
    ck_assert_uint_eq(users->plain_work, 4096);
    const struct user *bob = users_find(users, SLICE("bob smith"));
    ck_assert(bob->is_disabled);
    ck_assert_uint_eq(bob->rights, 0);
    ck_assert_ptr_null(users_find(users, SLICE("bob")));
    ck_assert_ptr_null(users_find(users, SLICE("Alice")));
    users_drop(&users);
}
END_TEST

#define T "tenant \"t\" {}\n"

static const struct {
    const char *text;
    unsigned line;
    const char *reason;
} bad[] = {
    {"bogus = 1\n", 1, "bogus"},
    {T "\n\ntenant \"u\" { memory = 5m }\n", 4, "memory"},
    {T "tenant \"u\" {\n memory-max = lots }\n", 3, "not a size"},
    {"tenant \"u\" {\n memory-min = 2m\n memory-max = 1m\n}\n", 4, "above memory-max"},
    {T T, 2, "t"},
    {T "user \"a\" { tenant = t }\nuser \"a\" { tenant = t }\n", 3, "a"},
    {"tenant \"\" {}\n", 1, "empty"},
    {"tenant \" x\" {}\n", 1, "space"},
    {"tenant \"\xff\" {}\n", 1, "UTF-8"},
    {T "user \"a\" {}\n", 2, "no tenant"},
    {T "user \"a\" {\n tenant = nowhere\n}\n", 4, "nowhere"},
    {T "user \"a\" {\n tenant = t\n rights = {read,\n  fly}\n}\n", 5, "fly"},
    {T "user \"a\" {\n tenant = t\n secret \"s\" {\n  verifiers = {\"x\"} } }\n", 5, "verifier"},
    {T "user \"a\" {\n tenant = t\n secret \"s\" {\n }\n}\n", 5, "no verifiers"},
    {T "user \"a\" { tenant = t secret \"s\" {\n verifiers = {\"" GOOD "\", \"" GOOD "\"} } }\n", 3,
     "two verifiers"},
    {T "user \"a\" { tenant = t secret \"s\" { verifiers = {\"" GOOD "\"}\n"
       " not-after = tomorrow } }\n",
     3, "not a time"},
    {T "user \"a\" { tenant = t secret \"s\" { verifiers = {\"" GOOD "\"}\n"
       " not-before = 2026-12-02 not-after = 2026-12-01 } }\n",
     3, "not after not-before"},
    {T "identity \"i\" { cert-cn = x }\n", 2, "no user"},
    {T "user \"a\" { tenant = t }\nidentity \"i\" { user = a\n cert-cn = '' }\n", 4, "1 to 255"},
    {T "user \"a\" { tenant = t secret '' {\n verifiers = {\"" GOOD "\"} } }\n", 3, "label"},
    {T "user \"a\" { tenant = t }\nidentity \"i\" { user = a }\n", 3, "give one of"},
    {T "user \"a\" { tenant = t }\nidentity \"i\" { user = a cert-cn = x cert-dns = y }\n", 3,
     "give one of"},
    {T "user \"a\" { tenant = t }\nidentity \"i\" { user = a\n unix-uid = root }\n", 4, "number"},
    {"tenant \"t\" {\n", 1, "not closed"},
    {T "user \"a\" { tenant = t # }", 2, "not closed"},
    {"tenant \"t\n", 1, ""},
    {"}\n", 1, ""},
    {"# one\n# two\n// three\n/* four\nfive */ colour = red\n", 5, "colour"},
    {"tenant \"t\" {\n    ops = 1 # many\n    bytes = x # more\n}\n", 3, "size"},
    {T "# {\n// \"\nuser \"a\" {\n# the rest\n tenant = u }\n", 6, "no tenant"},
    {"tenant \"# not one\" {\n colour = '// nor this'\n}\n", 2, "colour"},
    {"tenant t//u {\n}\nuser a { tenant = t//v }\n", 3, "no tenant"},
    {"tenant t {}\r\n# c\r\ncolour = red\r\n", 3, "colour"},
};

START_TEST(an_error_names_its_line)
{
    struct auth_error error = {.line = 12345};
    struct users *users = load(bad[_i].text, &error);
    ck_assert_msg(users == NULL, "it was taken: %s", bad[_i].text);
    ck_assert_msg(strstr(error.text, bad[_i].reason) != NULL, "%s", error.text);
    if (bad[_i].reason[0] != '\0')
        ck_assert_msg(error.line == bad[_i].line, "line %u expected: %s", bad[_i].line, error.text);
    ck_assert_str_ne(error.text, "");
}
END_TEST

static const struct {
    const char *text;
    struct auth_memory memory;
    unsigned line; /* 0: it fits */
} guarantees[] = {
    {"tenant a { memory-min = 600m }\ntenant b {\n memory-min = 424m\n}\n", {1 << 30, 1 << 20}, 0},
    {"tenant a { memory-min = 600m }\ntenant b {\n memory-min = 425m\n}\n", {1 << 30, 1 << 20}, 3},
    {"tenant a { memory-min = 600m }\ntenant b {\n memory-min = 425m\n}\n", {1 << 30, 0}, 0},
    /* They fit in bytes, not in segments. */
    {"tenant a { memory-min = 65k }\n\ntenant b { memory-min = 1 }\n", {196608, 65536}, 0},
    {"tenant a { memory-min = 65k }\n\ntenant b { memory-min = 1 }\n", {131072, 65536}, 3},
    {"tenant a { memory-min = 65k }\n\ntenant b { memory-min = 1 }\n", {196607, 65536}, 3},
    {"tenant default { memory-min = 2k }\ntenant b { memory-min = 1k }\n", {2048, 1024}, 2},
    {"tenant a {\n memory-min = 1m\n memory-min = 3m\n ops = 1\n}\n", {2 << 20, 1 << 20}, 3},
    {"tenant a { memory-min = 900t }\ntenant b { memory-min = 900t }\n", {UINT64_MAX, 16384}, 0},
    {"tenant a { memory-min = 900t }\n", {16384, 16384}, 1},
};

START_TEST(guarantees_take_whole_segments)
{
    struct auth_error error = {.line = 0};
    struct users *users = load(guarantees[_i].text, &error);
    ck_assert_msg(users != NULL, "%s", error.text);
    bool does_fit = users_guarantees_fit(users, &guarantees[_i].memory, "/file", &error);
    ck_assert_msg(does_fit == (guarantees[_i].line == 0), "%s", guarantees[_i].text);
    ck_assert_msg(does_fit || error.line == guarantees[_i].line, "%s", error.text);
    users_drop(&users);
}
END_TEST

START_TEST(odd_files_are_refused)
{
    struct auth_error error;
    ck_assert_ptr_null(users_load("/nonexistent/file", NULL, &keys, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
    ck_assert_ptr_null(users_load("/tmp", NULL, &keys, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "regular"));
    ck_assert_ptr_null(users_load("/dev/zero", NULL, &keys, &error));
    char fifo[] = "/tmp/keepd-fifo-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(fifo));
    rmdir(fifo);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_ptr_null(users_load(fifo, NULL, &keys, &error)); /* nor does it wait */
    ck_assert_ptr_nonnull(strstr(error.text, "regular"));
    unlink(fifo);
    struct users *users = load("", &error);
    ck_assert_ptr_nonnull(users);
    ck_assert(users->has_file);
    ck_assert_uint_eq(users->n_tenants, 1);
    users_drop(&users);
}
END_TEST

/* Not what a reader of C strings would take for the end. */
START_TEST(a_nul_is_no_end)
{
    static const char text[] = "tenant \"t\" {\n}\n\0user \"a\" { tenant = nowhere }\n";
    struct auth_error error;
    const char *path = file_temporary("");
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, sizeof text - 1, f), sizeof text - 1);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_ptr_null(users_load(path, NULL, &keys, &error));
    ck_assert_uint_eq(error.line, 3);
    unlink(path);
}
END_TEST

static const char *const ends[] = {
    "tenant \"t\" {\n    ops = 7\n}\nuser \"a\" {\n    tenant = \"t\"\n}\n",
    "tenant \"t\" {\n    ops = 7\n}\nuser \"a\" {\n    tenant = \"t\"\n}",
    "tenant \"t\" {\r\n    ops = 7\r\n}\r\nuser \"a\" {\r\n    tenant = \"t\"\r\n}\r\n",
    "tenant t { ops = 7 } user a { tenant = t } # no line end",
    "tenant t {\r\n ops = 7\r\n}\r\n# comment\r\nuser a { tenant = t }\r\n",
};

START_TEST(lines_end_in_every_way)
{
    struct auth_error error;
    struct users *users = load(ends[_i], &error);
    ck_assert_msg(users != NULL, "%s", error.text);
    const struct user *user = users_find(users, SLICE("a"));
    ck_assert_ptr_nonnull(user);
    ck_assert_str_eq(users->tenants[user->tenant].name, "t");
    ck_assert_uint_eq(users->tenants[user->tenant].ops, 7);
    users_drop(&users);
}
END_TEST

START_TEST(a_file_of_five_megabytes_is_read)
{
    enum { N = 30000, N_TENANTS = AUTH_TENANTS_MAX - 1 };
    struct auth_error error;
    char *text = malloc((size_t)N * 256);
    const char *verifier = verifier_text(VERIFIER_SHA_256, "pw");
    size_t n = 0;
    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < N; i++)
        n += (size_t)sprintf(text + n,
                             "%s t%d {}\nuser u%d { tenant = t%d\n"
                             " secret s { verifiers = {'%s'} } }\n",
                             i < N_TENANTS ? "tenant" : "#", i, i, i % N_TENANTS, verifier);
    ck_assert_uint_gt(n, 5u << 20);
    struct users *users = load(text, &error);
    ck_assert_msg(users != NULL, "%s", error.text);
    ck_assert_uint_eq(users->n_tenants, AUTH_TENANTS_MAX);
    ck_assert_ptr_nonnull(users_find(users, SLICE("u29999")));
    users_drop(&users);
    /* A complaint at its end is found too. */
    sprintf(text + n, "tenant more {}\n");
    ck_assert_ptr_null(load(text, &error));
    ck_assert_uint_eq(error.line, N * 3 + 1);
    ck_assert_ptr_nonnull(strstr(error.text, "more than 4095 tenants"));
    free(text);
}
END_TEST

START_TEST(a_file_beyond_the_bound_is_refused)
{
    struct auth_error error;
    const char *path = file_temporary("");
    ck_assert_int_eq(truncate(path, ((off_t)64 << 20) + 1), 0); /* a hole: no disk is used */
    ck_assert_ptr_null(users_load(path, NULL, &keys, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "File too large"));
    unlink(path);
}
END_TEST

START_TEST(thousands_of_tenants_are_found)
{
    struct auth_error error;
    char *text = malloc(400000);
    size_t n = 0;
    for (int i = 0; i < 2000; i++)
        n += (size_t)sprintf(text + n, "tenant t%d { ops = %d }\nuser u%d { tenant = t%d }\n", i,
                             i + 1, i, i);
    struct users *users = load(text, &error);
    ck_assert_msg(users != NULL, "%s", error.text);
    ck_assert_uint_eq(users->n_tenants, 2001);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%d", i);
        const struct user *user = users_find(users, slice_str(name));
        ck_assert_ptr_nonnull(user);
        ck_assert_uint_eq(users->tenants[user->tenant].ops, (uint64_t)i + 1);
    }
    users_drop(&users);
    free(text);
}
END_TEST

static const struct {
    const char *text;
    int64_t when; /* -1: no time */
} instants[] = {
    {"1970-01-01", 0},
    {"2026-11-22", 1795305600},
    {"2026-11-22T23:59:59Z", 1795391999},
    {"2024-02-29", 1709164800},
    {"2026-02-29", -1},
    {"2026-13-01", -1},
    {"2026-00-01", -1},
    {"1969-12-31", -1},
    {"2026-11-22T24:00:00Z", -1},
    {"2026-11-22T12:00:00", -1},
    {"2026-11-22 12:00:00Z", -1},
    {"22.11.2026", -1},
    {"", -1},
};

START_TEST(times_are_strict)
{
    int64_t when = -1;
    bool is_good = instant_parse(slice_str(instants[_i].text), &when);
    ck_assert_int_eq(is_good, instants[_i].when >= 0);
    ck_assert_int_eq(when, instants[_i].when);
    if (is_good) {
        char text[INSTANT_TEXT_MAX];
        int64_t again;
        instant_format(when, text);
        ck_assert(instant_parse(slice_str(text), &again));
        ck_assert_int_eq(again, when);
    }
}
END_TEST

/* ---- names ---- */

/* Each stands in a buffer of its own length: a byte behind it that is read is an error of ASan. */
static const struct {
    const char *name;
    const char *fault; /* what the reason holds; NULL: a good name */
} names[] = {
    {"a", NULL},
    {"a b", NULL},
    {"\xc3\xbc n", NULL},
    {"\xe2\x82\xac", NULL},
    {"\xf0\x9f\x98\x80", NULL},
    {"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", NULL}, /* around the surrogates, and the last */
    {"", "empty"},
    {" a", "space"},
    {"a ", "space"},
    {"a\tb", "control"},
    {"a\x7f", "control"},
    {"\x80", "UTF-8"},
    {"a\xbf", "UTF-8"},
    {"\xc3", "UTF-8"},
    {"\xe2\x82", "UTF-8"},
    {"\xf0\x9f\x98", "UTF-8"},
    {"\xc3(", "UTF-8"},
    {"\xe2(\xac", "UTF-8"},
    {"\xf0\x9f(\x80", "UTF-8"},
    {"\xc0\xaf", "UTF-8"}, /* longer than need be */
    {"\xc1\xbf", "UTF-8"},
    {"\xe0\x9f\xbf", "UTF-8"},
    {"\xf0\x8f\xbf\xbf", "UTF-8"},
    {"\xed\xa0\x80", "UTF-8"}, /* a surrogate */
    {"\xf4\x90\x80\x80", "UTF-8"},
    {"\xf5\x80\x80\x80", "UTF-8"},
    {"\xff", "UTF-8"},
};

START_TEST(names_are_utf_8)
{
    size_t n = strlen(names[_i].name);
    uint8_t *alone = malloc(n + (n == 0));
    ck_assert_ptr_nonnull(alone);
    memcpy(alone, names[_i].name, n);
    const char *fault = users_name_fault(slice_of(alone, n));
    ck_assert_int_eq(fault == NULL, names[_i].fault == NULL);
    if (fault != NULL)
        ck_assert_ptr_nonnull(strstr(fault, names[_i].fault));
    free(alone);
}
END_TEST

START_TEST(names_have_a_bound)
{
    uint8_t name[AUTH_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    ck_assert_ptr_null(users_name_fault(slice_of(name, AUTH_NAME_MAX)));
    ck_assert_ptr_nonnull(users_name_fault(slice_of(name, AUTH_NAME_MAX + 1)));
}
END_TEST

/* ---- the -Y file ---- */

static const struct {
    const char *text;
    unsigned n_users; /* 0: refused */
    unsigned line;
} auth_files[] = {
    {"alice:pw\n", 1, 0},
    {"alice:pw", 1, 0},
    {"alice:p:w x\r\nbob:\n:empty\n", 3, 0},
    {"a:1\nb:2\nc:3\nd:4\ne:5\nf:6\ng:7\nh:8\ni:9\nj:10\n", 10, 0},
    {"alice:first\nalice:second\n", 1, 0},
    {"", 0, 1},
    {"\n", 0, 1},
    {"alice:pw\n\n", 0, 2},
    {"# comment\nalice:pw\n", 0, 1},
    {"alice\n", 0, 1},
};

#define X64   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X128  X64 X64
#define X1024 X128 X128 X128 X128 X128 X128 X128 X128

static const struct {
    const char *text;
    const char *reason; /* NULL: taken; otherwise of line 2 */
} long_lines[] = {
    {"a:b\n" X128 ":pw\n", NULL},
    {"a:b\n" X128 "x:pw\n", "longer than 128 bytes"},
    {"a:b\n" X128 ":" X1024 "\n", NULL},
    {"a:b\n" X128 ":" X1024 "x\n", "the line is too long"},
};

static struct users *load_passwords(const char *text, struct auth_error *error)
{
    static const uint8_t bytes[VERIFIER_TAG_SIZE] = {1};
    const char *path = file_temporary(text);
    keys.tag = tag_key_create(bytes);
    struct users *users = users_load(NULL, path, &keys, error);
    tag_key_destroy(&keys.tag);
    unlink(path);
    return users;
}

START_TEST(password_files_have_bounds)
{
    struct auth_error error;
    struct users *users = load_passwords(long_lines[_i].text, &error);
    ck_assert_int_eq(users != NULL, long_lines[_i].reason == NULL);
    if (users == NULL) {
        ck_assert_uint_eq(error.line, 2);
        ck_assert_msg(strstr(error.text, long_lines[_i].reason) != NULL, "%s", error.text);
        return;
    }
    ck_assert_uint_eq(users->n_text, 2);
    users_drop(&users);
}
END_TEST

START_TEST(password_files_are_read_line_by_line)
{
    struct auth_error error;
    struct users *users = load_passwords(auth_files[_i].text, &error);
    ck_assert_int_eq(users != NULL, auth_files[_i].n_users > 0);
    if (users == NULL) {
        ck_assert_uint_eq(error.line, auth_files[_i].line);
        ck_assert_ptr_nonnull(strstr(error.text, "user:password"));
        return;
    }
    ck_assert_uint_eq(users->n_text, auth_files[_i].n_users);
    ck_assert(!users->has_file);
    users_drop(&users);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_tenants_file");
    TCase *tc = tcase_create("auth_tenants_file");
    tcase_add_test(tc, a_whole_file_is_read);
    tcase_add_test(tc, a_nul_is_no_end);
    tcase_add_loop_test(tc, lines_end_in_every_way, 0, (int)(sizeof ends / sizeof *ends));
    tcase_add_test(tc, a_file_of_five_megabytes_is_read);
    tcase_add_test(tc, a_file_beyond_the_bound_is_refused);
    tcase_add_loop_test(tc, an_error_names_its_line, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_loop_test(tc, guarantees_take_whole_segments, 0,
                        (int)(sizeof guarantees / sizeof *guarantees));
    tcase_add_test(tc, odd_files_are_refused);
    tcase_add_test(tc, thousands_of_tenants_are_found);
    tcase_add_loop_test(tc, times_are_strict, 0, (int)(sizeof instants / sizeof *instants));
    tcase_add_loop_test(tc, names_are_utf_8, 0, (int)(sizeof names / sizeof *names));
    tcase_add_test(tc, names_have_a_bound);
    tcase_add_loop_test(tc, password_files_have_bounds, 0,
                        (int)(sizeof long_lines / sizeof *long_lines));
    tcase_add_loop_test(tc, password_files_are_read_line_by_line, 0,
                        (int)(sizeof auth_files / sizeof *auth_files));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
