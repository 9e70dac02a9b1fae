/* What the owner checks itself, without an auth thread, and what it leaves to one. */
#include "t/unit/auth_fixture.h"

#include "auth/remembered.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static struct auth *auth;
static struct auth_session *session;

static void open_with(struct auth_config config, const struct auth_transport *transport)
{
    struct auth_error error;
    auth = auth_create(&config, NOW, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    session = auth_session_create(auth, transport);
}

static void close_all(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
}

enum at_once { LET_IN, REFUSED, LEFT };

/* What became of a login that was tried; the delay of a refusal is checked too. */
static enum at_once outcome_of(bool is_done)
{
    struct auth_outcome outcome;
    if (!is_done)
        return LEFT;
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_WAIT);
    auth_collect(session, NOW, &outcome);
    ck_assert_uint_eq(outcome.data.n, 0);
    ck_assert_int_eq(outcome.verdict == AUTH_SUCCESS, auth_session_identity(session) != NULL);
    if (outcome.verdict == AUTH_SUCCESS)
        return LET_IN;
    ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
    ck_assert_uint_gt(outcome.delay_ms, 0);
    return REFUSED;
}

/* The clock of the auth threads: what they book counts for what is tried here. */
static struct auth_now now_at(int64_t wall_s)
{
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct auth_now){wall_s,
                             (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000};
}

static enum at_once try_text_at(const char *line, struct auth_now now)
{
    return outcome_of(auth_try_text(session, slice_str(line), now));
}

static enum at_once try_text(const char *line)
{
    return try_text_at(line, now_at(NOW.wall_s));
}

static enum at_once try_plain_at(const char *user, const char *password, struct auth_now now)
{
    char message[300];
    int n = snprintf(message, sizeof message, "%c%s%c%s", '\0', user, '\0', password);
    return outcome_of(auth_try_plain(session, slice_of(message, (size_t)n), now));
}

static enum at_once try_plain(const char *user, const char *password)
{
    return try_plain_at(user, password, now_at(NOW.wall_s));
}

static struct auth_counters counters_now(void)
{
    struct auth_counters counters;
    auth_counters_read(auth, &counters);
    return counters;
}

START_TEST(a_password_file_alone_needs_no_thread)
{
    static const struct {
        const char *line;
        enum at_once expected;
    } rows[] = {
        {"alice pw", LET_IN},  {"alice no", REFUSED}, {"nobody pw", REFUSED}, {"alice ", REFUSED},
        {"bob a b", LET_IN},   {" empty", LET_IN},    {"alice", LEFT},        {"", LEFT},
        {"alice pw ", REFUSED}};
    const char *path = file_temporary("alice:pw\nbob:a b\n:empty\n");
    open_with((struct auth_config){.text_path = path}, &distant);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(try_text(rows[i].line) == rows[i].expected, "%s", rows[i].line);
    ck_assert(!auth_try_text(session, SLICE("alice pw\0"), NOW));
    ck_assert_uint_eq(counters_now().logins, 3);
    ck_assert_uint_eq(counters_now().failures, 4);
    ck_assert_uint_eq(counters_now().cache_hits, 0);
    /* There are no SASL users. */
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    unlink(path);
    close_all();
}
END_TEST

static const char *tenants_of(const char *more)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "tenant t {}\nuser alice { tenant = t\n secret s { verifiers = {\"%s\"}%s } }\n",
             verifier_text(VERIFIER_SHA_256, "pw"), more);
    return text;
}

START_TEST(what_was_derived_once_is_known)
{
    struct auth_error error;
    const char *path = file_temporary(tenants_of("\n not-after = \"2030-01-01\""));
    open_with((struct auth_config){.tenants_path = path, .realm = "here"}, &loopback);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    ck_assert_int_eq(try_text("alice pw"), LEFT);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(try_plain("alice", "pw"), LET_IN);
    ck_assert_int_eq(try_text("alice pw"), LET_IN);
    ck_assert_uint_eq(counters_now().cache_hits, 2);
    ck_assert_uint_eq(counters_now().derivations, 1);
    /* A "no" takes its derivation, whoever it is. */
    ck_assert_int_eq(try_plain("alice", "no"), LEFT);
    ck_assert_int_eq(try_plain("nobody", "pw"), LEFT);
    ck_assert_int_eq(try_text("alice no"), LEFT);
    ck_assert_int_eq(try_plain_at("alice", "pw", now_at(2000000000)), LEFT);
    /* What is no PLAIN message is explained by the thread. */
    ck_assert(!auth_try_plain(session, slice_of(NULL, 0), NOW));
    ck_assert(!auth_try_plain(session, SLICE("alice"), NOW));
    ck_assert(!auth_try_plain(session, SLICE("other\0alice\0pw"), NOW));
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    unlink(path);
    close_all();
}
END_TEST

START_TEST(a_reload_counts_at_once)
{
    struct auth_error error;
    const char *path = file_temporary(tenants_of(""));
    open_with((struct auth_config){.tenants_path = path, .realm = "here"}, &loopback);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    file_write(path, "tenant t {}\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    /* Nobody has a secret: there is nothing to derive. */
    ck_assert_int_eq(try_plain("alice", "pw"), REFUSED);
    ck_assert_ptr_null(auth_session_identity(session));
    unlink(path);
    close_all();
}
END_TEST

START_TEST(a_password_may_not_be_shown_everywhere)
{
    const char *path = file_temporary(tenants_of(""));
    struct auth_transport scram_only = loopback;
    scram_only.mechanisms = "SCRAM-SHA-256";
    open_with((struct auth_config){.tenants_path = path, .realm = "here"}, &loopback);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    auth_session_destroy(&session);
    session = auth_session_create(auth, &distant);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    ck_assert_int_eq(try_text("alice pw"), LEFT);
    auth_session_destroy(&session);
    session = auth_session_create(auth, &scram_only);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    unlink(path);
    close_all();
}
END_TEST

/* Over the limit an attempt waits before anything is told about the password. */
START_TEST(a_guesser_has_to_wait)
{
    unsigned n_refused = 0;
    const char *path = file_temporary("alice:pw\nbob:pw\n");
    open_with((struct auth_config){.text_path = path, .attempts_max = 1000}, &distant);
    /* At one moment, however long this takes. */
    ck_assert_int_eq(try_text_at("bob pw", NOW), LET_IN);
    while (try_text_at("alice no", NOW) == REFUSED && n_refused < 1000)
        n_refused++;
    ck_assert_uint_ge(n_refused, 20);
    ck_assert_uint_lt(n_refused, 40);
    ck_assert_int_eq(try_text_at("alice pw", NOW), LEFT);
    /* Bob has been here before: his account is his own. */
    ck_assert_int_eq(try_text_at("bob pw", NOW), LET_IN);
    unlink(path);
    close_all();
}
END_TEST

START_TEST(it_ends_what_was_begun_and_drops_who_was_in)
{
    char message[1024];
    const char *path = file_temporary(tenants_of(""));
    struct scram scram = scram_new(VERIFIER_SHA_256, "pw");
    open_with((struct auth_config){.tenants_path = path, .realm = "here"}, &loopback);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    size_t n = scram_first(&scram, "alice", message);
    struct auth_outcome outcome = send_message(session, AUTH_START, "SCRAM-SHA-256", message, n);
    ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
    n = scram_final(&scram, outcome.data, message);
    ck_assert_int_eq(try_plain("alice", "pw"), LET_IN);
    outcome = send_message(session, AUTH_STEP, "SCRAM-SHA-256", message, n);
    ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
    ck_assert_ptr_nonnull(auth_session_identity(session));
    unlink(path);
    close_all();
}
END_TEST

START_TEST(not_while_another_message_is_checked)
{
    sem_t done;
    struct auth_outcome outcome;
    const char *path = file_temporary("alice:pw\n");
    open_with((struct auth_config){.text_path = path}, &loopback);
    struct secret *line = secret_of("alice no", 8);
    sem_init(&done, 0, 0);
    ck_assert_int_eq(auth_submit_text(session, &line, NOW, auth_done, &done), AUTH_OK);
    ck_assert_int_eq(try_text("alice pw"), LEFT);
    while (sem_wait(&done) != 0)
        ;
    auth_collect(session, NOW, &outcome);
    ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
    ck_assert_int_eq(try_text("alice pw"), LET_IN);
    unlink(path);
    close_all();
}
END_TEST

/* ---- sasldb ---- */

static bool set_password(const char *db, const char *password)
{
    char command[300];
    snprintf(command, sizeof command,
             "printf %s | /usr/sbin/saslpasswd2 -p -c -u here -f %s alice 2>/dev/null", password,
             db);
    return system(command) == 0;
}

static struct auth_now seconds_after_change(const char *path, int64_t seconds)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return now_at(st.st_ctim.tv_sec + seconds);
}

/* By a thread, so that it is asked sasldb. */
static enum auth_verdict ask_sasldb(const char *password, struct auth_now now)
{
    sem_t done;
    struct auth_outcome outcome;
    char message[100];
    int n = snprintf(message, sizeof message, "%calice%c%s", '\0', '\0', password);
    struct secret *data = secret_of(message, (size_t)n);
    sem_init(&done, 0, 0);
    ck_assert_int_eq(auth_submit(session, AUTH_START, SLICE("PLAIN"), &data, now, auth_done, &done),
                     AUTH_OK);
    while (sem_wait(&done) != 0)
        ;
    auth_collect(session, now, &outcome);
    return outcome.verdict;
}

START_TEST(sasldb_is_remembered_while_it_is_the_same)
{
    char conf[300];
    const char *db = file_temporary("");
    unlink(db);
    if (!set_password(db, "pw"))
        return; /* without sasl2-bin there is no sasldb to read */
    snprintf(conf, sizeof conf, "mech_list: PLAIN\nsasldb_path: %s\n", db);
    const char *path = file_temporary(conf);
    open_with((struct auth_config){.has_sasl = true, .realm = "here", .sasl_conf_path = path},
              &loopback);
    /* A file changed a moment ago may change again without its times telling. */
    ck_assert_int_eq(ask_sasldb("pw", seconds_after_change(db, 1)), AUTH_SUCCESS);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    ck_assert_int_eq(ask_sasldb("pw", seconds_after_change(db, 10)), AUTH_SUCCESS);
    ck_assert_int_eq(try_plain("alice", "pw"), LET_IN);
    ck_assert_int_eq(try_plain("alice@here", "pw"), LET_IN);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    ck_assert_int_eq(try_text("alice pw"), LET_IN);
    ck_assert_int_eq(try_plain("alice", "no"), LEFT);
    ck_assert_int_eq(try_plain("nobody", "pw"), LEFT);
    ck_assert(set_password(db, "other"));
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    ck_assert_int_eq(ask_sasldb("pw", seconds_after_change(db, 10)), AUTH_FAILURE);
    ck_assert_int_eq(ask_sasldb("other", seconds_after_change(db, 10)), AUTH_SUCCESS);
    ck_assert_int_eq(try_plain("alice", "other"), LET_IN);
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    struct auth_error error;
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert_int_eq(try_plain("alice", "other"), LEFT);
    close_all();
    unlink(path);
    unlink(db);
}
END_TEST

START_TEST(only_sasldb_alone_is_remembered)
{
    static const char *const others[] = {"pwcheck_method: saslauthd\n",
                                         "pwcheck_method: auxprop saslauthd\n",
                                         "auxprop_plugin: sasldb ldapdb\n"};
    char conf[400];
    const char *db = file_temporary("");
    unlink(db);
    if (!set_password(db, "pw"))
        return;
    snprintf(conf, sizeof conf, "mech_list: PLAIN\nsasldb_path: %s\n%s", db, others[_i]);
    const char *path = file_temporary(conf);
    open_with((struct auth_config){.has_sasl = true, .realm = "here", .sasl_conf_path = path},
              &loopback);
    (void)ask_sasldb("pw", seconds_after_change(db, 10));
    ck_assert_int_eq(try_plain("alice", "pw"), LEFT);
    close_all();
    unlink(path);
    unlink(db);
}
END_TEST

static struct remembered *remember(const char *path, const uint8_t *tag)
{
    struct file_mark mark;
    struct remembered *remembered = remembered_create(path);
    ck_assert_ptr_nonnull(remembered);
    ck_assert(!remembered_holds(remembered, tag));
    ck_assert(remembered_begin(remembered, &mark));
    remembered_keep(remembered, tag, &mark, mark.changed.tv_sec + 10);
    ck_assert(remembered_holds(remembered, tag));
    return remembered;
}

static void set_modified(const char *path, const struct timespec *time)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *time};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

START_TEST(a_changed_file_is_noticed)
{
    static const uint8_t tag[VERIFIER_TAG_SIZE] = {1, 2, 3}, other[VERIFIER_TAG_SIZE] = {1, 2, 4};
    const char *path = file_temporary("one"), *second;
    struct remembered *remembered = remember(path, tag);
    struct file_mark mark;
    ck_assert(!remembered_holds(remembered, other));
    switch (_i) {
    case 0: /* longer */
        file_write(path, "longer");
        break;
    case 1: /* of the same length, at another time */
        ck_assert(remembered_begin(remembered, &mark));
        mark.modified.tv_sec -= 100;
        set_modified(path, &mark.modified);
        break;
    case 2: /* another one */
        second = file_temporary("one");
        ck_assert_int_eq(rename(second, path), 0);
        break;
    case 3: /* none */
        unlink(path);
        break;
    case 4: /* no file */
        unlink(path);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        break;
    default:
        remembered_forget(remembered);
    }
    ck_assert(!remembered_holds(remembered, tag));
    ck_assert_int_eq(_i == 4 ? rmdir(path) : unlink(path), _i == 3 ? -1 : 0);
    remembered_destroy(&remembered);
}
END_TEST

START_TEST(a_check_of_an_older_file_is_not_kept)
{
    static const uint8_t tag[VERIFIER_TAG_SIZE] = {1}, other[VERIFIER_TAG_SIZE] = {2};
    const char *path = file_temporary("one");
    struct remembered *remembered = remember(path, tag);
    struct file_mark mark;
    ck_assert(remembered_begin(remembered, &mark));
    file_write(path, "another");
    remembered_keep(remembered, other, &mark, mark.changed.tv_sec + 1000);
    ck_assert(!remembered_holds(remembered, other));
    ck_assert(remembered_begin(remembered, &mark));
    remembered_keep(remembered, other, &mark, mark.changed.tv_sec + REMEMBERED_AGE_S);
    ck_assert(!remembered_holds(remembered, other));
    remembered_keep(remembered, other, &mark, mark.changed.tv_sec + REMEMBERED_AGE_S + 1);
    ck_assert(remembered_holds(remembered, other));
    ck_assert(!remembered_holds(remembered, tag));
    unlink(path);
    remembered_destroy(&remembered);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_at_once");
    TCase *tc = tcase_create("auth_at_once");
    tcase_add_test(tc, a_password_file_alone_needs_no_thread);
    tcase_add_test(tc, what_was_derived_once_is_known);
    tcase_add_test(tc, a_reload_counts_at_once);
    tcase_add_test(tc, a_password_may_not_be_shown_everywhere);
    tcase_add_test(tc, a_guesser_has_to_wait);
    tcase_add_test(tc, it_ends_what_was_begun_and_drops_who_was_in);
    tcase_add_test(tc, not_while_another_message_is_checked);
    tcase_add_test(tc, sasldb_is_remembered_while_it_is_the_same);
    tcase_add_loop_test(tc, only_sasldb_alone_is_remembered, 0, 3);
    tcase_add_loop_test(tc, a_changed_file_is_noticed, 0, 6);
    tcase_add_test(tc, a_check_of_an_older_file_is_not_kept);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
