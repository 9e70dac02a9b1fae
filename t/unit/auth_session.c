/* Logins and refusals: who is let in, by which mechanism, and what the operator is told. */
#include "t/unit/auth_login.h"

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
    tcase_add_test(tc, plain_gives_the_identity);
    tcase_add_test(tc, every_refusal_looks_the_same);
    tcase_add_test(tc, the_operator_is_told_why);
    tcase_add_test(tc, unknown_users_cost_the_same_work);
    tcase_add_test(tc, proven_passwords_are_cheap_until_a_reload);
    tcase_add_loop_test(tc, scram_logs_in_and_proves_the_server, 0, 6);
    tcase_add_loop_test(tc, scram_fails_at_the_end_for_everybody, 0, 6);
    tcase_add_test(tc, made_up_salts_stay_the_same);
    tcase_add_test(tc, too_many_failures_close);
    tcase_add_test(tc, failures_are_delayed_more_and_more);
    tcase_add_test(tc, plain_is_hidden_on_distant_plaintext);
    tcase_add_test(tc, text_clients_log_in_too);
    tcase_add_test(tc, certificates_and_unix_peers_are_mapped);
    tcase_add_test(tc, channel_binding_is_checked);
    tcase_add_test(tc, explanations_agree_with_the_list);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
