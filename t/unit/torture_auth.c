/* Each allocation and thread of the logins fails once, cyrus's too: nobody is let in for it, a
 * reload that fails leaves all as it was, and the next login works. */
#include "t/unit/auth_fixture.h"
#include "t/unit/shortage.h"

#include "auth/edit.h"

static char tenants[4096];
static const char *tenants_path;
static const char *text_path;
static const char *pwdb_path;
static struct auth *auth;
static struct auth_session *session;
static struct auth_error error;

static void write_tenants(const char *more)
{
    snprintf(tenants, sizeof tenants,
             "tenant \"shop\" { memory-max = 64m }\ntenant \"news\" {}\n"
             "user \"alice\" { tenant = shop\n rights = {read, write}\n"
             " secret \"main\" { verifiers = {\"%s\"} }\n"
             " secret \"next\" { verifiers = {\"%s\"} } }\n"
             "identity \"web\" { cert-cn = \"web.example\"\n user = alice }\n"
             "identity \"cron\" { unix-uid = 4711\n user = alice }\n%s",
             verifier_text(VERIFIER_SHA_256, "pw"), verifier_text(VERIFIER_SHA_512, "next"), more);
    file_write(tenants_path, tenants);
}

static struct auth_config config_of_tenants(void)
{
    return (struct auth_config){.tenants_path = tenants_path, .realm = "here", .n_threads = 1};
}

static void open_session(const struct auth_config *config)
{
    auth = auth_create(config, NOW, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    session = auth_session_create(auth, &loopback);
    ck_assert_ptr_nonnull(session);
}

static void close_session(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
}

/* OpenSSL's allocations are counted in some scenarios: those of cyrus's plug-ins are not. */
static bool is_openssl_counted;

static void *allocate(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    bool was_on = !is_openssl_counted && shortage_end();
    void *p = malloc(n);
    if (was_on)
        shortage_begin();
    return p;
}

static void *reallocate(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    bool was_on = !is_openssl_counted && shortage_end();
    void *moved = realloc(p, n);
    if (was_on)
        shortage_begin();
    return moved;
}

static void release(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* One message while calls fail; a submit that is refused is a failure. */
static enum auth_verdict submit(enum auth_step step, const char *mechanism, const char *bytes,
                                size_t n, char *answer)
{
    struct auth_outcome outcome = {.verdict = AUTH_FAILURE};
    struct secret *secret = secret_of(bytes, n);
    sem_t done;
    sem_init(&done, 0, 0);
    shortage_begin();
    enum auth_result result =
        auth_submit(session, step, slice_str(mechanism), &secret, NOW, auth_done, &done);
    if (result == AUTH_OK) {
        while (sem_wait(&done) != 0)
            ;
        auth_collect(session, NOW, &outcome);
    }
    shortage_end();
    secret_destroy(&secret);
    sem_destroy(&done);
    memcpy(answer, outcome.data.p != NULL ? (const char *)outcome.data.p : "", outcome.data.n);
    answer[outcome.data.n] = '\0';
    return outcome.verdict;
}

/* In, by the right password and by nothing else. */
static void check_verdict(enum auth_verdict verdict, const char *user)
{
    struct auth_identity *identity = auth_session_identity(session);
    ck_assert_int_eq(verdict == AUTH_SUCCESS, identity != NULL);
    ck_assert(verdict == AUTH_SUCCESS || shortage_has_struck());
    if (identity != NULL)
        ck_assert_str_eq(auth_identity_user(identity), user);
}

static void check_works(const char *user, const char *password)
{
    auth_session_destroy(&session);
    session = auth_session_create(auth, &loopback);
    ck_assert_ptr_nonnull(session);
    ck_assert_int_eq(send_plain(session, user, "wrong").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, user, password).verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), user);
}

static void creates_with(const struct auth_config *config)
{
    memset(&error, 0, sizeof error);
    shortage_begin();
    auth = auth_create(config, NOW, &error);
    shortage_end();
    ck_assert_msg(auth != NULL || (shortage_has_struck() && error.text[0] != '\0'), "%s",
                  error.text);
    if (auth != NULL)
        check_works("alice", "pw");
    close_session();
}

static void creates_from_a_tenants_file(void)
{
    struct auth_config config = config_of_tenants();
    write_tenants("");
    creates_with(&config);
}

static void creates_with_cyrus(void)
{
    creates_with(&(struct auth_config){.has_sasl = true,
                                       .pwdb_path = pwdb_path,
                                       .realm = "here",
                                       .sasl_conf_path = "/nonexistent"});
}

static void creates_from_a_password_file(void)
{
    struct auth_config config = {.text_path = text_path, .n_threads = 1};
    shortage_begin();
    auth = auth_create(&config, NOW, &error);
    shortage_end();
    ck_assert(auth != NULL || (shortage_has_struck() && error.text[0] != '\0'));
    auth_destroy(&auth);
}

/* Either all is replaced, or all stays. */
static void reloads(void)
{
    struct auth_config config = config_of_tenants();
    struct auth_tenant tenant;
    write_tenants("");
    open_session(&config);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    write_tenants("tenant \"more\" {}\nuser \"bob\" { tenant = more\n"
                  " secret s { verifiers = {\"SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
                  "dOPz6oWbO9kjzHw9v7YKeC/K1iIffAzVUTT8s8P1iEA=:"
                  "dydrFEO2foqHmIFmTZgy6QhnLaj87N4wUiexA5W1yyI=\"} } }\n");
    memset(&error, 0, sizeof error);
    shortage_begin();
    enum auth_result result = auth_reload(auth, NOW, &error);
    shortage_end();
    ck_assert(result == AUTH_OK || (shortage_has_struck() && error.text[0] != '\0'));
    ck_assert_uint_eq(auth_generation(auth), result == AUTH_OK ? 2 : 1);
    ck_assert_int_eq(find_tenant(auth, SLICE("more"), &tenant), result == AUTH_OK);
    ck_assert(auth_identity_is_current(auth_session_identity(session), NOW.wall_s));
    check_works("alice", "pw");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(find_tenant(auth, SLICE("more"), &tenant));
    check_works("bob", "the-right-one");
    close_session();
}

/* Who is in stays in for as long as the file lets him, however short memory is. */
static void reloads_pwdb(void)
{
    struct auth_config config = {.has_sasl = true,
                                 .pwdb_path = pwdb_path,
                                 .realm = "here",
                                 .sasl_conf_path = "/nonexistent"};
    open_session(&config);
    ck_assert_int_eq(send_plain(session, "alice", "pw").verdict, AUTH_SUCCESS);
    memset(&error, 0, sizeof error);
    shortage_begin();
    enum auth_result result = auth_reload(auth, NOW, &error);
    shortage_end();
    ck_assert(result == AUTH_OK || (shortage_has_struck() && error.text[0] != '\0'));
    ck_assert(auth_identity_is_current(auth_session_identity(session), NOW.wall_s));
    check_works("alice", "pw");
    close_session();
}

static void opens_sessions(void)
{
    static const struct auth_name names[] = {{AUTH_CERT_CN, "web.example"},
                                             {AUTH_CERT_DNS, "a.example"}};
    struct auth_transport transport = loopback;
    struct auth_config config = config_of_tenants();
    transport.is_tls = true;
    transport.names = names;
    transport.n_names = 2;
    transport.mechanisms = "PLAIN EXTERNAL";
    write_tenants("");
    open_session(&config);
    auth_session_destroy(&session);
    shortage_begin();
    session = auth_session_create(auth, &transport);
    enum auth_result result = session != NULL ? auth_login_external(session, NOW) : AUTH_NOT_MAPPED;
    shortage_end();
    ck_assert(result == AUTH_OK || shortage_has_struck());
    if (session != NULL)
        ck_assert_int_eq(auth_session_identity(session) != NULL, result == AUTH_OK);
    check_works("alice", "pw");
    close_session();
}

static void logs_in_by_plain(void)
{
    struct auth_config config = config_of_tenants();
    char answer[1024];
    write_tenants("");
    open_session(&config);
    check_verdict(submit(AUTH_START, "PLAIN", "\0alice\0pw", 9, answer), "alice");
    ck_assert_int_ne(submit(AUTH_START, "PLAIN", "\0alice\0no", 9, answer), AUTH_SUCCESS);
    ck_assert_ptr_null(auth_session_identity(session));
    auth_note_denial(auth, session, AUTH_CLASS_ADMIN, SLICE("key"), NOW);
    check_works("alice", "pw");
    close_session();
}

static void logs_in_by_scram(void)
{
    struct auth_config config = config_of_tenants();
    char message[1024], answer[1024];
    struct scram scram = scram_new(VERIFIER_SHA_256, "pw");
    write_tenants("");
    open_session(&config);
    size_t n = scram_first(&scram, "alice", message);
    enum auth_verdict verdict = submit(AUTH_START, "SCRAM-SHA-256", message, n, answer);
    if (verdict == AUTH_CONTINUE) {
        n = scram_final(&scram, slice_str(answer), message);
        verdict = submit(AUTH_STEP, "SCRAM-SHA-256", message, n, answer);
    }
    if (verdict == AUTH_CONTINUE)
        verdict = submit(AUTH_STEP, "SCRAM-SHA-256", "", 0, answer);
    check_verdict(verdict, "alice");
    check_works("alice", "pw");
    close_session();
}

static void logs_in_by_cyrus(void)
{
    struct auth_config config = {.has_sasl = true,
                                 .pwdb_path = pwdb_path,
                                 .realm = "here",
                                 .sasl_conf_path = "/nonexistent"};
    char answer[1024];
    open_session(&config);
    check_verdict(submit(AUTH_START, "PLAIN", "\0alice\0pw", 9, answer), "alice");
    check_works("alice", "pw");
    close_session();
}

static void logs_in_by_text(void)
{
    struct auth_config config = {.text_path = text_path, .n_threads = 1};
    struct auth_outcome outcome = {.verdict = AUTH_FAILURE};
    struct secret *secret = secret_of("alice pw", 8);
    sem_t done;
    sem_init(&done, 0, 0);
    open_session(&config);
    shortage_begin();
    if (auth_submit_text(session, &secret, NOW, auth_done, &done) == AUTH_OK) {
        while (sem_wait(&done) != 0)
            ;
        auth_collect(session, NOW, &outcome);
    }
    shortage_end();
    secret_destroy(&secret);
    sem_destroy(&done);
    check_verdict(outcome.verdict, "alice");
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_SUCCESS);
    close_session();
}

/* What is short leaves it to a thread, or refuses it. */
static void tries_a_text(void)
{
    struct auth_config config = {.text_path = text_path, .n_threads = 1};
    struct auth_outcome outcome = {.verdict = AUTH_FAILURE};
    open_session(&config);
    shortage_begin();
    if (auth_try_text(session, SLICE("alice pw"), NOW))
        auth_collect(session, NOW, &outcome);
    shortage_end();
    check_verdict(outcome.verdict, "alice");
    ck_assert_int_eq(send_text(session, "alice pw").verdict, AUTH_SUCCESS);
    ck_assert(auth_try_text(session, SLICE("alice pw"), NOW));
    auth_collect(session, NOW, &outcome);
    ck_assert_int_eq(outcome.verdict, AUTH_SUCCESS);
    close_session();
}

static void tries_by_openssl(void)
{
    is_openssl_counted = true;
    tries_a_text();
    is_openssl_counted = false;
    OPENSSL_thread_stop();
}

static void checks_by_openssl(void)
{
    is_openssl_counted = true;
    logs_in_by_plain();
    is_openssl_counted = false;
    OPENSSL_thread_stop(); /* what this thread remembers of errors */
}

static void reads_passwords_by_openssl(void)
{
    is_openssl_counted = true;
    creates_from_a_password_file();
    logs_in_by_text();
    is_openssl_counted = false;
    OPENSSL_thread_stop();
}

/* keepctl: the file is the old one or the new one. */
static void edits_the_file(void)
{
    struct edit edit;
    char *text = NULL;
    write_tenants("");
    shortage_begin();
    bool is_done = edit_open(&edit, tenants_path, true, false);
    if (is_done) {
        struct auth_tenant tenant = {.name = "edited", .memory_max = 1 << 20};
        text = edit_render_tenant(&tenant);
        is_done = text != NULL && edit_put(&edit, "tenant", "edited", text);
        free(text);
        if (is_done && edit.users->n_users > 0) {
            text = edit_render_user(edit.users, &edit.users->users[0]);
            is_done = text != NULL && edit_put(&edit, "user", "alice", text);
            free(text);
        }
        is_done = is_done && edit_save(&edit);
    }
    edit_close(&edit);
    shortage_end();
    ck_assert(is_done || shortage_has_struck());
    ck_assert_int_eq(auth_check_file(tenants_path, &error), AUTH_OK);
    struct auth_config config = config_of_tenants();
    struct auth_tenant tenant;
    open_session(&config);
    ck_assert_int_eq(find_tenant(auth, SLICE("edited"), &tenant), is_done);
    check_works("alice", "pw");
    close_session();
}

static const struct scenario scenarios[] = {
    SCENARIO(creates_from_a_tenants_file),
    SCENARIO(creates_with_cyrus),
    SCENARIO(creates_from_a_password_file),
    SCENARIO(reloads),
    SCENARIO(reloads_pwdb),
    SCENARIO(opens_sessions),
    SCENARIO(logs_in_by_plain),
    SCENARIO(logs_in_by_scram),
    SCENARIO(logs_in_by_cyrus),
    SCENARIO(logs_in_by_text),
    SCENARIO(tries_a_text),
    SCENARIO(edits_the_file),
    SCENARIO(checks_by_openssl),
    SCENARIO(tries_by_openssl),
    SCENARIO(reads_passwords_by_openssl),
};

static void make_files(void)
{
    tenants_path = file_temporary("");
    text_path = file_temporary("alice:pw\nbob:other\n");
    pwdb_path = file_temporary("alice@here:pw\n");
}

static void remove_files(void)
{
    unlink(tenants_path);
    unlink(text_path);
    unlink(pwdb_path);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1)
        return EXIT_FAILURE;
    return unit_run(
        shortage_suite("torture_auth", scenarios, N_ROWS(scenarios), make_files, remove_files));
}
