#include "t/unit/auth_fixture.h"

/* The sources that memcached's users have: -Y, PWDB, memcached.conf, sasldb. */

static struct auth *auth;
static struct auth_session *session;

static void open_with(struct auth_config config)
{
    struct auth_error error;
    auth = auth_create(&config, NOW, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    session = auth_session_create(auth, &loopback);
}

static void close_all(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
}

START_TEST(the_password_file_serves_text_clients)
{
    static const struct {
        const char *line;
        bool is_right;
    } rows[] = {{"alice pw", true},   {"alice pw ", false},   {"alice  pw", false},
                {" alice pw", false}, {"alice wrong", false}, {"bob with spaces in", true},
                {"bob with", false},  {"nobody pw", false},   {" empty", true},
                {"j ten", true},      {"alice ", false}};
    struct auth_error error;
    const char *path = file_temporary(
        "alice:pw\nbob:with spaces in\n:empty\nc:3\nd:4\ne:5\nf:6\ng:7\nh:8\ni:9\nj:ten\n");
    open_with((struct auth_config){.text_path = path});
    ck_assert(!auth_has_sasl(auth));
    ck_assert(auth_has_text(auth));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum auth_verdict verdict = send_text(session, rows[i].line).verdict;
        ck_assert_msg(verdict == (rows[i].is_right ? AUTH_SUCCESS : AUTH_FAILURE), "%s",
                      rows[i].line);
        ck_assert_int_eq(auth_session_identity(session) != NULL, rows[i].is_right);
    }
    /* As with memcached: over any network, all rights, one key space. */
    auth_session_destroy(&session);
    session = auth_session_create(auth, &distant);
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_SUCCESS);
    struct auth_identity *identity = auth_session_identity(session);
    ck_assert_uint_eq(auth_identity_tenant(identity), AUTH_TENANT_DEFAULT);
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_ADMIN), AUTH_ALLOW);
    file_write(path, "alice:new\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(!auth_identity_is_current(identity, NOW.wall_s));
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_text(session, "alice new").verdict, AUTH_SUCCESS);
    file_write(path, "broken\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_BAD_CONFIG);
    ck_assert_int_eq(send_text(session, "alice new").verdict, AUTH_SUCCESS);
    unlink(path);
    close_all();
}
END_TEST

START_TEST(pwdb_is_read_at_every_login)
{
    const char *path = file_temporary("alice@here:pw\nbob:hunter2:more\n");
    open_with((struct auth_config){
        .has_sasl = true, .pwdb_path = path, .realm = "here", .sasl_conf_path = "/nonexistent"});
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    ck_assert_int_eq(send_plain(session, "alice@here", "pw").verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    ck_assert_int_eq(send_plain(session, "alice@there", "pw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "bob", "hunter2").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "bob", "hunter2:more").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "bob", "more").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_SUCCESS);
    file_write(path, "alice@here:other\n");
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "alice", "other").verdict, AUTH_SUCCESS);
    unlink(path);
    ck_assert_int_eq(send_plain(session, "alice", "other").verdict, AUTH_FAILURE);
    close_all();
}
END_TEST

static bool is_in(void)
{
    return auth_identity_is_current(auth_session_identity(session), NOW.wall_s);
}

START_TEST(a_reload_ends_what_pwdb_no_longer_lets_in)
{
    static const struct {
        const char *user, *password;
        const char *before, *after;
        bool is_kept;
    } rows[] = {
        {"alice", "pw", "alice:pw\n", "alice:pw\n", true},
        {"alice", "pw", "alice@here:pw\n", "bob:x\nalice:y\nalice:pw:more\r\n", true},
        {"alice@here", "pw", "alice:pw\n", "alice@here:pw\n", true},
        {"alice", "pw:x", "alice:pw:x\n", "alice:pw\n", false},
        {"alice", "pw", "alice:pw\n", "alice:other\n", false},
        {"alice", "pw", "alice:pw\n", "bob:pw\nalic:pw\nalice@there:pw\n", false},
        {"alice", "pw", "alice:pw\n", "", false},
    };
    struct auth_error error;
    const char *path = file_temporary(rows[_i].before);
    open_with((struct auth_config){
        .has_sasl = true, .pwdb_path = path, .realm = "here", .sasl_conf_path = "/nonexistent"});
    ck_assert_int_eq(send_plain(session, rows[_i].user, rows[_i].password).verdict, AUTH_SUCCESS);
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(is_in());
    file_write(path, rows[_i].after);
    ck_assert(is_in());
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert_int_eq(is_in(), rows[_i].is_kept);
    /* Who comes in between two reloads is not measured by the older look into the file. */
    file_write(path, "carol:new\n");
    ck_assert_int_eq(send_plain(session, "carol", "new").verdict, AUTH_SUCCESS);
    ck_assert(is_in());
    unlink(path);
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
    ck_assert(is_in());
    close_all();
}
END_TEST

START_TEST(memcached_conf_gives_the_list)
{
    char list[AUTH_LIST_MAX];
    const char *path = file_temporary(
        "# comment\nmech_list: plain cram-md5 anonymous\nsasldb_path: /nonexistent\n");
    open_with((struct auth_config){.has_sasl = true, .realm = "here", .sasl_conf_path = path});
    auth_mechanisms(auth, &loopback, list);
    /* CRAM-MD5 would need the clear passwords of a sasldb. */
    ck_assert_str_eq(list, "PLAIN");
    auth_mechanisms(auth, &distant, list);
    ck_assert_str_eq(list, "");
    ck_assert_int_eq(send_message(session, AUTH_START, "ANONYMOUS", "x", 1).verdict, AUTH_FAILURE);
    unlink(path);
    close_all();
}
END_TEST

START_TEST(sasldb_serves_plain_and_scram)
{
    char command[512], conf[512], list[AUTH_LIST_MAX], message[1024];
    const char *db = file_temporary("");
    unlink(db);
    snprintf(command, sizeof command,
             "printf pw | /usr/sbin/saslpasswd2 -p -c -u here -f %s alice 2>/dev/null", db);
    if (system(command) != 0) {
        /* Without sasl2-bin there is no sasldb to read. */
        return;
    }
    snprintf(conf, sizeof conf, "mech_list: PLAIN SCRAM-SHA-256 CRAM-MD5\nsasldb_path: %s\n", db);
    const char *path = file_temporary(conf);
    open_with((struct auth_config){.has_sasl = true, .realm = "here", .sasl_conf_path = path});
    auth_mechanisms(auth, &loopback, list);
    ck_assert_str_eq(list, "SCRAM-SHA-256 CRAM-MD5 PLAIN");
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "alice", "wrong").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "nobody", "pw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_SUCCESS);
    for (int i = 0; i < 2; i++) {
        struct scram scram = scram_new(VERIFIER_SHA_256, "pw");
        size_t n = scram_first(&scram, i == 0 ? "alice" : "nobody", message);
        struct auth_outcome outcome =
            send_message(session, AUTH_START, "SCRAM-SHA-256", message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
        n = scram_final(&scram, outcome.data, message);
        outcome = send_message(session, AUTH_STEP, "SCRAM-SHA-256", message, n);
        ck_assert_int_eq(outcome.verdict, i == 0 ? AUTH_CONTINUE : AUTH_FAILURE);
    }
    close_all();
    unlink(path);
    unlink(db);
}
END_TEST

static const struct {
    const char *mechanisms;
    const char *reason;
} bad_lists[] = {{"PLAIN ANONYMOUS", "ANONYMOUS"},
                 {"PLAIN GSSAPI", "libsasl2-modules-gssapi"},
                 {"PLAIN NTLM", "NTLM"}};

START_TEST(impossible_lists_are_refused_at_the_start)
{
    struct auth_error error;
    struct auth_config config = {.has_sasl = true,
                                 .realm = "here",
                                 .sasl_conf_path = "/nonexistent",
                                 .mechanisms = bad_lists[_i].mechanisms};
    struct auth *made = auth_create(&config, NOW, &error);
    if (made != NULL && _i == 1) {
        /* The module is installed here. */
        auth_destroy(&made);
        return;
    }
    ck_assert_ptr_null(made);
    ck_assert_msg(strstr(error.text, bad_lists[_i].reason) != NULL, "%s", error.text);
}
END_TEST

START_TEST(missing_files_are_named)
{
    struct auth_error error;
    struct auth_config config = {.text_path = "/nonexistent/file"};
    ck_assert_ptr_null(auth_create(&config, NOW, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/file"));
    config = (struct auth_config){.tenants_path = "/nonexistent/file"};
    ck_assert_ptr_null(auth_create(&config, NOW, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/file"));
    ck_assert_int_eq(auth_check_file("/nonexistent/file", &error), AUTH_BAD_CONFIG);
}
END_TEST

START_TEST(a_full_queue_says_busy)
{
    sem_t done;
    struct auth_session *sessions[40];
    unsigned n_busy = 0, n_queued = 0;
    const char *path = file_temporary("tenant t {}\n");
    open_with((struct auth_config){
        .tenants_path = path, .queue_max = 4, .n_threads = 1, .realm = "here"});
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < 40; i++) {
        struct secret *data = secret_of("\0x\0y", 4);
        sessions[i] = auth_session_create(auth, &loopback);
        if (auth_submit(sessions[i], AUTH_START, SLICE("PLAIN"), &data, NOW, auth_done, &done) ==
            AUTH_OK) {
            n_queued++;
        } else {
            n_busy++;
            secret_destroy(&data);
        }
    }
    for (unsigned i = 0; i < n_queued; i++)
        sem_wait(&done);
    struct auth_counters counters;
    auth_counters_read(auth, &counters);
    ck_assert_uint_eq(counters.busy, n_busy);
    for (size_t i = 0; i < 40; i++)
        auth_session_destroy(&sessions[i]);
    unlink(path);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_outside");
    TCase *tc = tcase_create("auth_outside");
    tcase_add_test(tc, the_password_file_serves_text_clients);
    tcase_add_test(tc, pwdb_is_read_at_every_login);
    tcase_add_loop_test(tc, a_reload_ends_what_pwdb_no_longer_lets_in, 0, 7);
    tcase_add_test(tc, memcached_conf_gives_the_list);
    tcase_add_test(tc, sasldb_serves_plain_and_scram);
    tcase_add_loop_test(tc, impossible_lists_are_refused_at_the_start, 0, 3);
    tcase_add_test(tc, missing_files_are_named);
    tcase_add_test(tc, a_full_queue_says_busy);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
