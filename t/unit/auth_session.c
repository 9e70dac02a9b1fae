#include "t/unit/auth_fixture.h"

static const struct auth_transport loopback = {
    .is_loopback = true, .address = {.family = AUTH_PEER_IPV4, .ip = {127, 0, 0, 1}}};
static const struct auth_transport distant = {
    .address = {.family = AUTH_PEER_IPV4, .ip = {203, 0, 113, 9}}};

static struct auth *auth;
static const char *tenants_path;
static struct auth_session *session;

static void write_tenants(const char *alice_password, const char *more)
{
    char text[8192];
    snprintf(text, sizeof text,
             "tenant \"shop\" { memory-max = 64m }\n"
             "tenant \"news\" {}\n"
             "user \"alice\" { tenant = shop\n rights = {read, write}\n"
             " secret \"main\" { verifiers = {\"%s\", \"%s\", \"%s\"} } }\n"
             "user \"bob\" { tenant = news\n secret \"main\" { verifiers = {\"%s\"} } }\n"
             "user \"carol\" { tenant = news\n disabled = true\n"
             " secret \"main\" { verifiers = {\"%s\"} } }\n%s",
             verifier_text(VERIFIER_SHA_256, alice_password),
             verifier_text(VERIFIER_SHA_512, alice_password),
             verifier_text(VERIFIER_SHA_1, alice_password),
             verifier_text(VERIFIER_SHA_256, "bobpw"), verifier_text(VERIFIER_SHA_256, "carolpw"),
             more);
    if (tenants_path == NULL)
        tenants_path = file_temporary(text);
    else
        file_write(tenants_path, text);
}

static struct auth *open_auth(struct auth_config config)
{
    struct auth_error error;
    struct auth *made = auth_create(&config, NOW, &error);
    if (made == NULL)
        ck_abort_msg("%s", error.text);
    return made;
}

static void setup(void)
{
    write_tenants("alicepw", "identity \"web\" { cert-cn = \"web.example\"\n user = alice }\n"
                             "identity \"cron\" { unix-uid = 4711\n user = bob }\n");
    auth = open_auth((struct auth_config){.tenants_path = tenants_path, .attempts_max = 5});
    session = auth_session_create(auth, &loopback);
    ck_assert_ptr_nonnull(session);
}

static void teardown(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
    if (tenants_path != NULL)
        unlink(tenants_path);
}

/* A whole SCRAM login; the outcome of its last message. */
static struct auth_outcome scram_login(const char *mechanism, enum verifier_hash hash,
                                       const char *user, const char *password)
{
    char message[1024];
    struct scram scram = scram_new(hash, password);
    size_t n = scram_first(&scram, user, message);
    struct auth_outcome outcome = send_message(session, AUTH_START, mechanism, message, n);
    if (outcome.verdict != AUTH_CONTINUE)
        return outcome;
    n = scram_final(&scram, outcome.data, message);
    outcome = send_message(session, AUTH_STEP, mechanism, message, n);
    if (outcome.verdict == AUTH_CONTINUE) {
        ck_assert(scram_is_proof(&scram, outcome.data));
        ck_assert_ptr_null(auth_session_identity(session));
        outcome = send_message(session, AUTH_STEP, mechanism, NULL, 0);
        ck_assert_uint_eq(outcome.data.n, 0);
    } else if (outcome.verdict == AUTH_SUCCESS) {
        ck_assert(scram_is_proof(&scram, outcome.data));
    }
    return outcome;
}

START_TEST(plain_gives_the_identity)
{
    struct auth_outcome outcome = send_plain(session, "alice", "alicepw");
    ck_assert_int_eq(outcome.verdict, AUTH_SUCCESS);
    ck_assert_uint_eq(outcome.data.n, 0);
    struct auth_identity *identity = auth_session_identity(session);
    struct auth_tenant tenant;
    ck_assert_ptr_nonnull(identity);
    ck_assert_str_eq(auth_identity_user(identity), "alice");
    ck_assert(find_tenant(auth, SLICE("shop"), &tenant));
    ck_assert_uint_eq(auth_identity_tenant(identity), tenant.id);
    ck_assert_uint_eq(tenant.memory_max, 64u << 20);
    ck_assert_uint_eq(auth_identity_rights(identity), AUTH_RIGHT_READ | AUTH_RIGHT_WRITE);
}
END_TEST

START_TEST(every_refusal_looks_the_same)
{
    static const struct {
        const char *user, *password;
    } rows[] = {{"alice", "wrong"},    {"nobody", "alicepw"}, {"carol", "carolpw"},
                {"alice ", "alicepw"}, {" alice", "alicepw"}, {"ALICE", "alicepw"},
                {"alice", "alicepw "}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct auth_outcome outcome = send_plain(session, rows[i].user, rows[i].password);
        ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
        ck_assert_uint_eq(outcome.data.n, 0);
        ck_assert_ptr_null(auth_session_identity(session));
    }
}
END_TEST

static void keep_reason(void *arg, const struct auth_record *record)
{
    memcpy(arg, record->reason, sizeof record->reason);
}

START_TEST(the_operator_is_told_why)
{
    static const struct {
        const char *user, *password, *reason;
    } rows[] = {{"alice", "wrong", "wrong password"},
                {"nobody", "pw", "unknown user"},
                {"carol", "carolpw", "the user is disabled"}};
    char reason[96];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        send_plain(session, rows[i].user, rows[i].password);
        auth_records_each(auth, UINT32_MAX, keep_reason, reason);
        ck_assert_str_eq(reason, rows[i].reason);
    }
    scram_login("SCRAM-SHA-256", VERIFIER_SHA_256, "alice", "wrong");
    auth_records_each(auth, UINT32_MAX, keep_reason, reason);
    ck_assert_str_eq(reason, "wrong password");
    auth_session_destroy(&session);
    session = auth_session_create(auth, &loopback);
    send_message(session, AUTH_START, "CRAM-MD5", NULL, 0);
    auth_records_each(auth, UINT32_MAX, keep_reason, reason);
    ck_assert_ptr_nonnull(strstr(reason, "offered: SCRAM-SHA-512"));
}
END_TEST

START_TEST(unknown_users_cost_the_same_work)
{
    struct auth_counters before, after;
    static const struct {
        const char *user, *password;
    } rows[] = {{"alice", "wrong"}, {"nobody", "wrong"}, {"carol", "carolpw"}, {"bob", "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        auth_counters_read(auth, &before);
        ck_assert_int_eq(send_plain(session, rows[i].user, rows[i].password).verdict, AUTH_FAILURE);
        auth_counters_read(auth, &after);
        ck_assert_uint_eq(after.derivations - before.derivations, 1);
    }
}
END_TEST

START_TEST(proven_passwords_are_cheap_until_a_reload)
{
    struct auth_counters counters;
    struct auth_error error;
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    auth_counters_read(auth, &counters);
    ck_assert_uint_eq(counters.derivations, 1);
    ck_assert_uint_eq(counters.cache_hits, 1);
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    auth_counters_read(auth, &counters);
    ck_assert_uint_eq(counters.derivations, 2);
    ck_assert_uint_eq(counters.logins, 3);
}
END_TEST

static const struct {
    const char *mechanism;
    enum verifier_hash hash;
} scrams[] = {{"SCRAM-SHA-256", VERIFIER_SHA_256}, {"SCRAM-SHA-512", VERIFIER_SHA_512},
              {"SCRAM-SHA-1", VERIFIER_SHA_1},     {"SCRAM-SHA256", VERIFIER_SHA_256},
              {"SCRAM-SHA512", VERIFIER_SHA_512},  {"SCRAM-SHA1", VERIFIER_SHA_1}};

START_TEST(scram_logs_in_and_proves_the_server)
{
    struct auth_outcome outcome =
        scram_login(scrams[_i].mechanism, scrams[_i].hash, "alice", "alicepw");
    ck_assert_int_eq(outcome.verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
}
END_TEST

START_TEST(scram_fails_at_the_end_for_everybody)
{
    const char *mechanism = scrams[_i].mechanism;
    static const char *const users[] = {"alice", "nobody", "carol", "bob"};
    for (size_t i = 0; i < 4; i++) {
        char message[1024];
        struct scram scram = scram_new(scrams[_i].hash, "wrong");
        size_t n = scram_first(&scram, users[i], message);
        struct auth_outcome outcome = send_message(session, AUTH_START, mechanism, message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
        n = scram_final(&scram, outcome.data, message);
        outcome = send_message(session, AUTH_STEP, mechanism, message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
        ck_assert_ptr_null(auth_session_identity(session));
        /* A step after the end changes nothing. */
        outcome = send_message(session, AUTH_STEP, mechanism, message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
    }
}
END_TEST

START_TEST(made_up_salts_stay_the_same)
{
    char message[256], first[512];
    struct scram scram = scram_new(VERIFIER_SHA_256, "x");
    for (int i = 0; i < 2; i++) {
        size_t n = scram_first(&scram, "nobody", message);
        struct auth_outcome outcome =
            send_message(session, AUTH_START, "SCRAM-SHA-256", message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
        const char *salt = strstr((const char *)outcome.data.p, ",s=");
        ck_assert_ptr_nonnull(salt);
        if (i == 0)
            memcpy(first, salt, 28);
        else
            ck_assert_mem_eq(first, salt, 28);
    }
}
END_TEST

/* ---- the state machine ---- */

START_TEST(a_step_needs_a_start)
{
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA-256", "c=biws", 6).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    /* Refused, and the login stays: nothing was attempted. */
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_FAILURE);
    ck_assert_ptr_nonnull(auth_session_identity(session));
}
END_TEST

START_TEST(a_step_belongs_to_its_mechanism)
{
    char message[1024];
    struct scram scram = scram_new(VERIFIER_SHA_256, "alicepw");
    size_t n = scram_first(&scram, "alice", message);
    struct auth_outcome outcome = send_message(session, AUTH_START, "SCRAM-SHA-256", message, n);
    ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
    n = scram_final(&scram, outcome.data, message);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA256", message, n).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA-256", message, n).verdict,
                     AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(plain_may_come_with_the_step)
{
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_SUCCESS);
}
END_TEST

START_TEST(a_new_login_drops_the_old_rights)
{
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "bob", "wrong").verdict, AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_NEED_LOGIN);
    ck_assert_int_eq(send_plain(session, "bob", "bobpw").verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "bob");
    /* An exchange that does not end leaves it out, too. */
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(listing_changes_nothing)
{
    char list[AUTH_LIST_MAX];
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_uint_gt(auth_mechanisms(auth, &loopback, list), 0);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_SUCCESS);
    ck_assert_uint_gt(auth_mechanisms(auth, &loopback, list), 0);
    ck_assert_ptr_nonnull(auth_session_identity(session));
}
END_TEST

/* Every sequence of messages up to five: only a right login ends authenticated. */
START_TEST(every_order_of_messages)
{
    enum { START_EMPTY, START_RIGHT, START_WRONG, STEP_RIGHT, STEP_WRONG, LIST, N_MESSAGES };
    static const char right[] = "\0alice\0alicepw", wrong[] = "\0alice\0wrong!!";
    auth_session_destroy(&session);
    struct auth_transport own = loopback;
    for (int order = 0; order < N_MESSAGES * N_MESSAGES * N_MESSAGES; order++) {
        char list[AUTH_LIST_MAX];
        bool is_started = false, is_in = false;
        /* Addresses of their own: the throttle is tested elsewhere. */
        own.address.ip[2] = (uint8_t)(order / 250);
        own.address.ip[3] = (uint8_t)(order % 250);
        session = auth_session_create(auth, &own);
        for (int at = 0, rest = order; at < 3; at++, rest /= N_MESSAGES) {
            switch (rest % N_MESSAGES) {
            case START_EMPTY:
                ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict,
                                 AUTH_CONTINUE);
                is_started = true;
                is_in = false;
                break;
            case START_RIGHT:
                send_message(session, AUTH_START, "PLAIN", right, 14);
                is_started = false;
                is_in = true;
                break;
            case START_WRONG:
                send_message(session, AUTH_START, "PLAIN", wrong, 14);
                is_started = is_in = false;
                break;
            case STEP_RIGHT:
                send_message(session, AUTH_STEP, "PLAIN", right, 14);
                is_in = is_in || is_started;
                is_started = false;
                break;
            case STEP_WRONG:
                send_message(session, AUTH_STEP, "PLAIN", wrong, 14);
                is_started = false;
                break;
            case LIST:
                auth_mechanisms(auth, &own, list);
                break;
            }
            ck_assert_int_eq(auth_session_identity(session) != NULL, is_in);
        }
        auth_session_destroy(&session);
    }
}
END_TEST

/* ---- names, messages, limits ---- */

static const char *const bad_names[] = {"",         "plain",
                                        "PLAIN ",   " PLAIN",
                                        "PLAIN\n",  "ANONYMOUS",
                                        "NTLM",     "%s%n",
                                        "LOGIN",    "SCRAM-SHA-256-PLUS",
                                        "CRAM-MD5", "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"};

START_TEST(only_listed_names_are_taken)
{
    ck_assert_int_eq(
        send_message(session, AUTH_START, bad_names[_i], "\0alice\0alicepw", 14).verdict,
        AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(a_name_with_nul_is_not_taken)
{
    sem_t done;
    struct auth_outcome outcome;
    struct secret *data = secret_of("\0alice\0alicepw", 14);
    sem_init(&done, 0, 0);
    ck_assert_int_eq(
        auth_submit(session, AUTH_START, slice_of("PLAIN\0", 6), &data, NOW, auth_done, &done),
        AUTH_OK);
    sem_wait(&done);
    auth_collect(session, NOW, &outcome);
    ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
}
END_TEST

START_TEST(a_long_message_fails)
{
    char *message = calloc(1, AUTH_DATA_MAX + 1);
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", message, AUTH_DATA_MAX + 1).verdict,
                     AUTH_FAILURE);
    free(message);
}
END_TEST

START_TEST(too_many_failures_close)
{
    for (int i = 0; i < 4; i++)
        ck_assert(!send_plain(session, "alice", "wrong").must_close);
    ck_assert(send_plain(session, "alice", "wrong").must_close);
}
END_TEST

START_TEST(failures_are_delayed_more_and_more)
{
    uint32_t first = send_plain(session, "alice", "wrong").delay_ms;
    uint32_t second = send_plain(session, "nobody", "wrong").delay_ms;
    ck_assert_uint_gt(second, first);
    ck_assert_uint_eq(send_plain(session, "alice", "alicepw").delay_ms, 0);
}
END_TEST

START_TEST(plain_is_hidden_on_distant_plaintext)
{
    char list[AUTH_LIST_MAX];
    auth_session_destroy(&session);
    session = auth_session_create(auth, &distant);
    auth_mechanisms(auth, &distant, list);
    ck_assert_str_eq(list, "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1");
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(scram_login("SCRAM-SHA-256", VERIFIER_SHA_256, "alice", "alicepw").verdict,
                     AUTH_SUCCESS);
    auth_session_destroy(&session);
    session = auth_session_create(auth, &distant);
    ck_assert_int_eq(send_text(session, "alice alicepw").verdict, AUTH_FAILURE);
}
END_TEST

START_TEST(text_clients_log_in_too)
{
    ck_assert_int_eq(send_text(session, "alice wrong").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_text(session, "alice alicepw").verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    ck_assert_int_eq(send_text(session, "alice").verdict, AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(certificates_and_unix_peers_are_mapped)
{
    static const struct auth_name names[] = {{AUTH_CERT_DNS, "web.example"},
                                             {AUTH_CERT_CN, "web.example"}};
    struct auth_transport tls = {.is_tls = true,
                                 .ssf = 256,
                                 .names = names,
                                 .n_names = 2,
                                 .address = {.family = AUTH_PEER_IPV4}};
    char list[AUTH_LIST_MAX];
    auth_session_destroy(&session);
    session = auth_session_create(auth, &tls);
    auth_mechanisms(auth, &tls, list);
    ck_assert_str_eq(list, "EXTERNAL SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
    ck_assert_int_eq(send_message(session, AUTH_START, "EXTERNAL", NULL, 0).verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    ck_assert_int_eq(send_message(session, AUTH_START, "EXTERNAL", "bob", 3).verdict, AUTH_FAILURE);
    ck_assert_int_eq(auth_login_external(session, NOW), AUTH_OK);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "alice");
    tls.n_names = 1;
    auth_session_destroy(&session);
    session = auth_session_create(auth, &tls);
    ck_assert_int_eq(auth_login_external(session, NOW), AUTH_NOT_MAPPED);
    struct auth_transport local = {.is_unix = true, .has_peer_ids = true, .uid = 4711};
    auth_session_destroy(&session);
    session = auth_session_create(auth, &local);
    ck_assert_int_eq(auth_login_external(session, NOW), AUTH_OK);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "bob");
}
END_TEST

START_TEST(channel_binding_is_checked)
{
    struct auth_transport tls = {.is_tls = true,
                                 .ssf = 256,
                                 .binding_type = "tls-exporter",
                                 .binding = SLICE("0123456789abcdef"),
                                 .address = {.family = AUTH_PEER_IPV4}};
    static const struct {
        const char *bytes;
        enum auth_verdict verdict;
    } rows[] = {{"p=tls-exporter,,0123456789abcdef", AUTH_CONTINUE},
                {"p=tls-exporter,,0123456789abcdeF", AUTH_FAILURE}};
    for (size_t i = 0; i < 2; i++) {
        char message[1024], binding[256];
        struct scram scram = scram_new(VERIFIER_SHA_256, "alicepw");
        auth_session_destroy(&session);
        session = auth_session_create(auth, &tls);
        scram.header = "p=tls-exporter,,";
        EVP_EncodeBlock((uint8_t *)binding, (const uint8_t *)rows[i].bytes,
                        (int)strlen(rows[i].bytes));
        scram.binding = binding;
        size_t n = scram_first(&scram, "alice", message);
        struct auth_outcome outcome =
            send_message(session, AUTH_START, "SCRAM-SHA-256-PLUS", message, n);
        ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
        n = scram_final(&scram, outcome.data, message);
        outcome = send_message(session, AUTH_STEP, "SCRAM-SHA-256-PLUS", message, n);
        ck_assert_int_eq(outcome.verdict, rows[i].verdict);
    }
}
END_TEST

/* ---- reload ---- */

START_TEST(a_reload_revokes_what_is_gone)
{
    struct auth_error error;
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    struct auth_identity *identity = auth_session_identity(session);
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(auth_identity_is_current(identity, NOW.wall_s));
    ck_assert_uint_eq(auth_generation(auth), 2);
    write_tenants("another", "");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(!auth_identity_is_current(identity, NOW.wall_s));
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_NEED_LOGIN);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "alice", "another").verdict, AUTH_SUCCESS);
}
END_TEST

START_TEST(a_bad_file_keeps_the_old_set)
{
    struct auth_error error;
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    write_tenants("alicepw", "user \"dave\" { tenant = nowhere }\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(error.text, "nowhere"));
    ck_assert_uint_eq(auth_generation(auth), 1);
    ck_assert(auth_identity_is_current(auth_session_identity(session), NOW.wall_s));
}
END_TEST

START_TEST(tenant_ids_survive_a_reload)
{
    struct auth_tenant before, after;
    struct auth_error error;
    ck_assert(find_tenant(auth, SLICE("news"), &before));
    file_write(tenants_path, "tenant \"new\" {}\ntenant \"news\" { ops = 5 }\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(find_tenant(auth, SLICE("news"), &after));
    ck_assert_uint_eq(before.id, after.id);
    ck_assert_uint_eq(after.ops, 5);
    ck_assert(!find_tenant(auth, SLICE("shop"), &after));
    ck_assert(find_tenant(auth, SLICE("new"), &after));
    ck_assert_uint_eq(after.id, 3);
    ck_assert(auth_tenant_get(auth, 3, &before));
    ck_assert_str_eq(before.name, "new");
    ck_assert(!auth_tenant_get(auth, 1, &before));
    ck_assert(!auth_tenant_get(auth, 99, &before));
}
END_TEST

START_TEST(a_session_may_go_while_it_is_checked)
{
    sem_t done;
    for (int i = 0; i < 50; i++) {
        struct secret *data = secret_of("\0nobody\0pw", 10);
        sem_init(&done, 0, 0);
        ck_assert_int_eq(
            auth_submit(session, AUTH_START, SLICE("PLAIN"), &data, NOW, auth_done, &done),
            AUTH_OK);
        ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_PUBLIC), AUTH_WAIT);
        auth_session_destroy(&session);
        sem_destroy(&done);
        session = auth_session_create(auth, &loopback);
    }
}
END_TEST

static void count_offers(void *arg, const struct auth_explanation *row)
{
    ck_assert_ptr_nonnull(row->reason);
    ck_assert_str_ne(row->reason, "");
    if (row->offer == AUTH_OFFERED && row->mechanism[0] != '\0')
        ++*(unsigned *)arg;
}

START_TEST(explanations_agree_with_the_list)
{
    unsigned n = 0;
    auth_explain(auth, NULL, NOW, count_offers, &n);
    /* tcp: 3 SCRAM; loopback: 3 + PLAIN; tls: EXTERNAL, 3, 3 PLUS, PLAIN; unix: EXTERNAL, 3, PLAIN
     */
    ck_assert_uint_eq(n, 3 + 4 + 8 + 5);
    n = 0;
    auth_explain(auth, "bob", NOW, count_offers, &n);
    /* One verifier; his identity rule is for unix (the rule for alice does not count for him). */
    ck_assert_uint_eq(n, 1 + 2 + 4 + 3);
    n = 0;
    auth_explain(auth, "carol", NOW, count_offers, &n);
    ck_assert_uint_eq(n, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_session");
    TCase *tc = tcase_create("auth_session");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, plain_gives_the_identity);
    tcase_add_test(tc, every_refusal_looks_the_same);
    tcase_add_test(tc, the_operator_is_told_why);
    tcase_add_test(tc, unknown_users_cost_the_same_work);
    tcase_add_test(tc, proven_passwords_are_cheap_until_a_reload);
    tcase_add_loop_test(tc, scram_logs_in_and_proves_the_server, 0, 6);
    tcase_add_loop_test(tc, scram_fails_at_the_end_for_everybody, 0, 6);
    tcase_add_test(tc, made_up_salts_stay_the_same);
    tcase_add_test(tc, a_step_needs_a_start);
    tcase_add_test(tc, a_step_belongs_to_its_mechanism);
    tcase_add_test(tc, plain_may_come_with_the_step);
    tcase_add_test(tc, a_new_login_drops_the_old_rights);
    tcase_add_test(tc, listing_changes_nothing);
    tcase_add_test(tc, every_order_of_messages);
    tcase_add_loop_test(tc, only_listed_names_are_taken, 0,
                        (int)(sizeof bad_names / sizeof *bad_names));
    tcase_add_test(tc, a_name_with_nul_is_not_taken);
    tcase_add_test(tc, a_long_message_fails);
    tcase_add_test(tc, too_many_failures_close);
    tcase_add_test(tc, failures_are_delayed_more_and_more);
    tcase_add_test(tc, plain_is_hidden_on_distant_plaintext);
    tcase_add_test(tc, text_clients_log_in_too);
    tcase_add_test(tc, certificates_and_unix_peers_are_mapped);
    tcase_add_test(tc, channel_binding_is_checked);
    tcase_add_test(tc, a_reload_revokes_what_is_gone);
    tcase_add_test(tc, a_bad_file_keeps_the_old_set);
    tcase_add_test(tc, tenant_ids_survive_a_reload);
    tcase_add_test(tc, a_session_may_go_while_it_is_checked);
    tcase_add_test(tc, explanations_agree_with_the_list);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
