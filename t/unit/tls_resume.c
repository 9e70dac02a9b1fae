#include "t/unit/tls_pair.h"

#include "tls/ticket.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* A full connection, whose session the client keeps. */
static SSL_SESSION *first_session(struct tls *tls, enum tls_client_cert mode, SSL_CTX *client_ctx)
{
    struct pair pair;
    pair_connect(&pair, tls, mode, client_ctx, NULL, NULL);
    ck_assert(!tls_session_is_resumed(pair.server));
    ck_assert(pair_talk(&pair));
    SSL_SESSION *session = SSL_get1_session(pair.client);
    pair_close(&pair);
    ck_assert_ptr_nonnull(session);
    return session;
}

/* Whether a second connection resumes it. */
static bool is_resumed(struct tls *tls, enum tls_client_cert mode, SSL_CTX *client_ctx,
                       SSL_SESSION *session)
{
    struct pair pair;
    pair_connect(&pair, tls, mode, client_ctx, session, NULL);
    bool is = tls_session_is_resumed(pair.server);
    ck_assert_int_eq(is, SSL_session_reused(pair.client));
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    return is;
}

/* A second connection fails: its certificate is asked for again, and not good enough. */
static void assert_refused(struct tls *tls, enum tls_client_cert mode, SSL_CTX *client_ctx,
                           SSL_SESSION *session, struct tls_report *report_out)
{
    struct pair pair;
    pair_open(&pair, tls, mode, client_ctx);
    ck_assert_int_eq(SSL_set_session(pair.client, session), 1);
    ck_assert(!pair_shake(&pair));
    ck_assert_int_eq(tls_session_fault(pair.server), TLS_FAULT_PEER);
    tls_session_explain(pair.server, report_out);
    pair_close(&pair);
}

static void forget(struct tls *tls, SSL_CTX *client_ctx, SSL_SESSION *session)
{
    SSL_SESSION_free(session);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}

START_TEST(resumes)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    struct tls_counters counters;
    tls_counters(tls, &counters);
    ck_assert_uint_eq(counters.handshakes_full, 1);
    ck_assert_uint_eq(counters.handshakes_resumed, 1);
    ck_assert_uint_eq(counters.handshakes_failed, 0);
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(resumes_with_client_certificate)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], "client");
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session, NULL);
    ck_assert(tls_session_is_resumed(pair.server));
    struct tls_peer *peer = tls_peer_create(pair.server);
    ck_assert_ptr_nonnull(peer);
    ck_assert_str_eq(peer->names[0].text, "alice");
    tls_peer_destroy(&peer);
    pair_close(&pair);
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(resumes_from_the_cache_without_ticket)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    config.has_session_cache = _i == 1;
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(TLS1_2_VERSION, "client");
    SSL_CTX_set_options(client_ctx, SSL_OP_NO_TICKET);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert_int_eq(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session), _i == 1);
    tls_set_policy(tls, 7);
    ck_assert(!is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(changed_policy_is_a_full_handshake)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUEST);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], "client");
    tls_set_policy(tls, 1);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    SSL_SESSION_free(session);
    session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    tls_set_policy(tls, 2);
    ck_assert(!is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    struct tls_counters counters;
    tls_counters(tls, &counters);
    ck_assert_uint_eq(counters.tickets_refused, 1);
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(survives_a_reload_of_the_same_trust)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUEST);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], "client");
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    struct tls_report report;
    ck_assert(tls_reload(tls, NULL, pair_now(), &report));
    ck_assert(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    forget(tls, client_ctx, session);
}
END_TEST

/* Another certificate and another kind of key, the same CA. */
START_TEST(survives_a_new_certificate)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], "client");
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    config.chain_cert = pair_file("server-rsa.pem");
    config.key = pair_file("server-rsa.key");
    struct tls_report report;
    ck_assert(tls_reload(tls, &config, pair_now(), &report));
    ck_assert(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session));
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(changed_ca_is_a_full_handshake)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    config.has_session_cache = true;
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i % 2], "client");
    if (_i >= 2)
        SSL_CTX_set_options(client_ctx, SSL_OP_NO_TICKET);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    config.ca_cert = pair_file("stranger.pem");
    struct tls_report report;
    ck_assert(tls_reload(tls, &config, pair_now(), &report));
    assert_refused(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session, &report);
    forget(tls, client_ctx, session);
}
END_TEST

static int count_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)session;
    ++*(int *)SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    return 0;
}

/* OpenSSL would give two in TLS 1.3; a client needs one. */
START_TEST(one_ticket_for_each_handshake)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    int n_tickets = 0;
    ck_assert_int_eq(SSL_CTX_set_app_data(client_ctx, &n_tickets), 1);
    (void)SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(client_ctx, count_ticket);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert_int_eq(n_tickets, 1);
    forget(tls, client_ctx, session);
}
END_TEST

/* A client that keeps its sessions uses each ticket of TLS 1.3 once. */
START_TEST(resumes_again_and_again)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    (void)SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    for (int i = 0; i < 4; i++) {
        struct pair pair;
        pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session, NULL);
        ck_assert(tls_session_is_resumed(pair.server));
        ck_assert(pair_talk(&pair));
        SSL_SESSION_free(session);
        session = SSL_get1_session(pair.client);
        pair_close(&pair);
    }
    forget(tls, client_ctx, session);
}
END_TEST

/* The steps of one handshake that a worker leaves to a job thread. */
static int n_costly_steps(struct tls *tls, SSL_CTX *client_ctx, SSL_SESSION *session)
{
    struct pair pair;
    int n = 0;
    enum tls_outcome outcome = TLS_WANT_WRITE;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    if (session != NULL)
        ck_assert_int_eq(SSL_set_session(pair.client, session), 1);
    ck_assert(tls_handshake_lightly(pair.server, &outcome));
    ck_assert_int_eq(outcome, TLS_WANT_READ); /* the hello has not come */
    for (int i = 0; i < 4 && outcome != TLS_DONE; i++) {
        (void)SSL_do_handshake(pair.client);
        if (tls_handshake_lightly(pair.server, &outcome))
            continue;
        n++;
        outcome = tls_handshake(pair.server);
    }
    ck_assert_int_eq(outcome, TLS_DONE);
    ck_assert(!tls_handshake_lightly(pair.server, &outcome));
    ck_assert_int_eq(tls_session_is_resumed(pair.server), session != NULL);
    ck_assert_int_eq(SSL_do_handshake(pair.client), 1);
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    return n;
}

/* TLS 1.3 agrees on keys and signs, or only agrees when it is resumed, in one answer; TLS 1.2 signs
 * in the first answer and agrees in the second, or does neither. A client's certificate costs in
 * the client's second flight. */
START_TEST(costly_steps)
{
    struct tls_config config = pair_config(), strict = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls *tls = pair_tls(&config), *strict_tls = pair_tls(&strict);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    SSL_CTX *known_ctx = pair_client(versions[_i], "client");
    bool is_new = versions[_i] == TLS1_3_VERSION;
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    SSL_SESSION *known = first_session(strict_tls, TLS_CLIENT_CERT_DEFAULT, known_ctx);
    ck_assert_int_eq(n_costly_steps(tls, client_ctx, NULL), is_new ? 1 : 2);
    ck_assert_int_eq(n_costly_steps(tls, client_ctx, session), is_new ? 1 : 0);
    ck_assert_int_eq(n_costly_steps(strict_tls, known_ctx, NULL), 2);
    ck_assert_int_eq(n_costly_steps(strict_tls, known_ctx, known), is_new ? 1 : 0);
    SSL_SESSION_free(session);
    SSL_SESSION_free(known);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(known_ctx);
    tls_destroy(&tls);
    tls_destroy(&strict_tls);
}
END_TEST

/* The certificate is revoked between two connections: the ticket must not save it. */
START_TEST(changed_crl_refuses_the_revoked)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    config.crl = pair_file("crl-none.pem");
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], "client-revoked");
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    config.crl = pair_file("crl.pem");
    struct tls_report report;
    ck_assert_msg(tls_reload(tls, &config, pair_now(), &report), "%s", report.text);
    assert_refused(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session, &report);
    ck_assert_str_eq(report.text,
                     "error:0A000086:SSL routines::certificate verify failed: certificate revoked");
    forget(tls, client_ctx, session);
}
END_TEST

START_TEST(session_without_certificate_stays_off_mtls)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_NONE);
    config.has_session_cache = true;
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_NONE, client_ctx);
    struct tls_report report;
    assert_refused(tls, TLS_CLIENT_CERT_REQUIRE, client_ctx, session, &report);
    forget(tls, client_ctx, session);
}
END_TEST

struct rotation_row {
    int64_t after_s[2]; /* ticks at these ages of the ticket */
    bool is_accepted;
};

static const struct rotation_row rotation_rows[] = {
    {{0, 60}, true},
    {{TICKET_PERIOD_S - 1, TICKET_PERIOD_S - 1}, true},
    {{TICKET_PERIOD_S, TICKET_PERIOD_S + 60}, true},
    {{TICKET_PERIOD_S, 2 * TICKET_PERIOD_S}, false},
    {{2 * TICKET_PERIOD_S, 2 * TICKET_PERIOD_S}, false},
    {{-5 * TICKET_PERIOD_S, -5 * TICKET_PERIOD_S + 60}, true},
};

START_TEST(ticket_keys_rotate)
{
    const struct rotation_row *row = &rotation_rows[_i];
    struct tls_config config = pair_config();
    struct tls_report report;
    struct tls *tls = tls_create(&config, pair_now(), &report);
    SSL_CTX *client_ctx = pair_client(TLS1_2_VERSION, NULL);
    SSL_SESSION *session = first_session(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    int64_t now_s = pair_now();
    tls_tick(tls, now_s + row->after_s[0] + 2);
    tls_tick(tls, now_s + row->after_s[1] + 4);
    bool is_edge = row->after_s[0] == TICKET_PERIOD_S - 1;
    if (!is_edge)
        ck_assert_int_eq(is_resumed(tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session),
                         row->is_accepted);
    forget(tls, client_ctx, session);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_resume");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, resumes, 0, 2);
    tcase_add_loop_test(tc, resumes_with_client_certificate, 0, 2);
    tcase_add_loop_test(tc, resumes_from_the_cache_without_ticket, 0, 2);
    tcase_add_loop_test(tc, changed_policy_is_a_full_handshake, 0, 2);
    tcase_add_loop_test(tc, survives_a_reload_of_the_same_trust, 0, 2);
    tcase_add_loop_test(tc, survives_a_new_certificate, 0, 2);
    tcase_add_loop_test(tc, changed_ca_is_a_full_handshake, 0, 4);
    tcase_add_loop_test(tc, one_ticket_for_each_handshake, 0, 2);
    tcase_add_loop_test(tc, resumes_again_and_again, 0, 2);
    tcase_add_loop_test(tc, costly_steps, 0, 2);
    tcase_add_loop_test(tc, changed_crl_refuses_the_revoked, 0, 2);
    tcase_add_loop_test(tc, session_without_certificate_stays_off_mtls, 0, 2);
    tcase_add_loop_test(tc, ticket_keys_rotate, 0,
                        (int)(sizeof rotation_rows / sizeof *rotation_rows));
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
