#include "t/unit/tls_pair.h"

#include <string.h>

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* What is asked, what is shown, what comes of it. */
struct client_row {
    enum tls_verify verify;
    enum tls_client_cert listener;
    const char *certificate;
    bool is_accepted;
    bool has_peer;
    const char *text; /* of the fault, its end */
};

static const struct client_row client_rows[] = {
    {TLS_VERIFY_NONE, TLS_CLIENT_CERT_DEFAULT, NULL, true, false, ""},
    {TLS_VERIFY_NONE, TLS_CLIENT_CERT_DEFAULT, "client", true, false, ""},
    {TLS_VERIFY_REQUEST, TLS_CLIENT_CERT_DEFAULT, NULL, true, false, ""},
    {TLS_VERIFY_REQUEST, TLS_CLIENT_CERT_DEFAULT, "client", true, true, ""},
    {TLS_VERIFY_REQUEST, TLS_CLIENT_CERT_DEFAULT, "client-stranger", false, false,
     "certificate verify failed: unable to get local issuer certificate"},
    {TLS_VERIFY_REQUIRE, TLS_CLIENT_CERT_DEFAULT, NULL, false, false,
     "peer did not return a certificate"},
    {TLS_VERIFY_ONCE, TLS_CLIENT_CERT_DEFAULT, NULL, false, false,
     "peer did not return a certificate"},
    {TLS_VERIFY_ONCE, TLS_CLIENT_CERT_DEFAULT, "client", true, true, ""},
    {TLS_VERIFY_REQUIRE, TLS_CLIENT_CERT_DEFAULT, "client-expired", false, false,
     "certificate verify failed: certificate has expired"},
    {TLS_VERIFY_REQUIRE, TLS_CLIENT_CERT_DEFAULT, "client-revoked", false, false,
     "certificate verify failed: certificate revoked"},
    {TLS_VERIFY_REQUIRE, TLS_CLIENT_CERT_NONE, NULL, true, false, ""},
    {TLS_VERIFY_REQUIRE, TLS_CLIENT_CERT_NONE, "client-stranger", true, false, ""},
    {TLS_VERIFY_NONE, TLS_CLIENT_CERT_REQUIRE, NULL, false, false,
     "peer did not return a certificate"},
    {TLS_VERIFY_NONE, TLS_CLIENT_CERT_REQUIRE, "client", true, true, ""},
};

START_TEST(client_certificate_row)
{
    const struct client_row *row = &client_rows[_i / 2];
    struct tls_config config = pair_config_verify(row->verify);
    config.crl = pair_file("crl.pem");
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i % 2], row->certificate);
    struct pair pair;
    pair_open(&pair, tls, row->listener, client_ctx);
    ck_assert_int_eq(pair_shake(&pair), row->is_accepted);
    ck_assert_int_eq(tls_session_is_ready(pair.server), row->is_accepted);
    ck_assert_int_eq(tls_session_has_peer(pair.server), row->has_peer);
    ck_assert_int_eq(tls_session_fault(pair.server),
                     row->is_accepted ? TLS_FAULT_NONE : TLS_FAULT_PEER);
    struct tls_report report;
    tls_session_explain(pair.server, &report);
    ck_assert_ptr_nonnull(strstr(report.text, row->text));
    struct tls_peer *peer = tls_peer_create(pair.server);
    ck_assert_int_eq(peer != NULL, row->has_peer);
    tls_peer_destroy(&peer);
    struct tls_counters counters;
    tls_counters(tls, &counters);
    ck_assert_uint_eq(counters.handshakes_failed, !row->is_accepted);
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

static struct tls_peer *peer_of(const char *certificate)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(0, certificate);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    struct tls_peer *peer = tls_peer_create(pair.server);
    ck_assert_ptr_nonnull(peer);
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
    return peer;
}

START_TEST(names_of_all_kinds)
{
    struct tls_peer *peer = peer_of("client");
    static const struct {
        enum tls_name_kind kind;
        const char *text;
    } expected[] = {
        {TLS_NAME_CN, "alice"},
        {TLS_NAME_DNS, "app.example"},
        {TLS_NAME_URI, "spiffe://example/app"},
        {TLS_NAME_EMAIL, "alice@example.org"},
    };
    ck_assert_uint_eq(peer->n_names, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(peer->names[i].kind, expected[i].kind);
        ck_assert_str_eq(peer->names[i].text, expected[i].text);
    }
    ck_assert_str_eq(peer->subject, "CN=alice");
    ck_assert_uint_eq(strlen(peer->fingerprint), 64);
    ck_assert_uint_gt(strlen(peer->serial), 0);
    ck_assert_int_gt(peer->not_after_s, pair_now());
    tls_peer_destroy(&peer);
    tls_peer_destroy(&peer);
}
END_TEST

START_TEST(common_name_alone)
{
    struct tls_peer *peer = peer_of("client-bare");
    ck_assert_uint_eq(peer->n_names, 1);
    ck_assert_str_eq(peer->names[0].text, "bare");
    tls_peer_destroy(&peer);
}
END_TEST

START_TEST(two_common_names_are_none)
{
    struct tls_peer *peer = peer_of("client-twice");
    ck_assert_uint_eq(peer->n_names, 0);
    tls_peer_destroy(&peer);
}
END_TEST

START_TEST(name_with_nul_is_left_out)
{
    struct tls_peer *peer = peer_of("client-nul");
    ck_assert_uint_eq(peer->n_names, 1);
    ck_assert_str_eq(peer->names[0].text, "nul");
    tls_peer_destroy(&peer);
}
END_TEST

/* Server and client must come to the same bytes, or SCRAM-PLUS fails. */
START_TEST(binding_is_the_clients_exporter)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(TLS1_3_VERSION, NULL);
    struct pair pair;
    struct tls_binding binding;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert(!tls_session_binding(pair.server, &binding));
    ck_assert(pair_shake(&pair));
    ck_assert(tls_session_binding(pair.server, &binding));
    uint8_t bytes[32];
    ck_assert_int_eq(SSL_export_keying_material(pair.client, bytes, sizeof bytes,
                                                "EXPORTER-Channel-Binding", 24, NULL, 0, 0),
                     1);
    ck_assert_str_eq(binding.name, "tls-exporter");
    ck_assert_uint_eq(binding.n, sizeof bytes);
    ck_assert_mem_eq(binding.bytes, bytes, sizeof bytes);
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(binding_is_the_clients_unique)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(TLS1_2_VERSION, NULL);
    SSL_SESSION *session = NULL;
    for (int round = 0; round < 2; round++) {
        struct pair pair;
        pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, session, NULL);
        bool is_resumed = round == 1;
        ck_assert_int_eq(tls_session_is_resumed(pair.server), is_resumed);
        struct tls_binding binding;
        ck_assert(tls_session_binding(pair.server, &binding));
        uint8_t bytes[64];
        size_t n = is_resumed ? SSL_get_peer_finished(pair.client, bytes, sizeof bytes)
                              : SSL_get_finished(pair.client, bytes, sizeof bytes);
        ck_assert_str_eq(binding.name, "tls-unique");
        ck_assert_uint_eq(binding.n, n);
        ck_assert_mem_eq(binding.bytes, bytes, n);
        if (session == NULL)
            session = SSL_get1_session(pair.client);
        pair_close(&pair);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(no_unique_without_extended_master_secret)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(TLS1_2_VERSION, NULL);
    SSL_CTX_set_options(client_ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    struct tls_binding binding;
    ck_assert(!tls_session_binding(pair.server, &binding));
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

struct name_row {
    const char *asked, *shown;
};

static const struct name_row name_rows[] = {
    {NULL, "localhost"},
    {"localhost", "localhost"},
    {"cache.example", "cache.example"},
    {"CACHE.Example", "cache.example"},
    {"a.cache.example", "cache.example"},
    {"b.a.cache.example", "localhost"},
    {".cache.example", "localhost"},
    {"cache.example.org", "localhost"},
};

START_TEST(server_name_chooses_certificate)
{
    const struct name_row *row = &name_rows[_i];
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls_named named[] = {
        {"Cache.example", pair_file("named.pem"), pair_file("named.key")},
        {"*.cache.example", pair_file("named.pem"), pair_file("named.key")},
    };
    config.named = named;
    config.n_named = 2;
    struct tls *tls = pair_tls(&config);
    for (int i = 0; i < 2; i++) {
        SSL_CTX *client_ctx = pair_client(versions[i], "client");
        struct pair pair;
        pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, row->asked);
        char name[64];
        X509 *shown = SSL_get0_peer_certificate(pair.client);
        X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
        ck_assert_str_eq(name, row->shown);
        ck_assert(tls_session_has_peer(pair.server));
        pair_close(&pair);
        /* A stranger is one under every name. */
        SSL_CTX *stranger_ctx = pair_client(versions[i], "client-stranger");
        pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, stranger_ctx);
        if (row->asked != NULL)
            ck_assert_int_eq(SSL_set_tlsext_host_name(pair.client, row->asked), 1);
        ck_assert(!pair_shake(&pair));
        pair_close(&pair);
        SSL_CTX_free(stranger_ctx);
        SSL_CTX_free(client_ctx);
    }
    tls_destroy(&tls);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_peer");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, client_certificate_row, 0, 2 * N_ROWS(client_rows));
    tcase_add_test(tc, names_of_all_kinds);
    tcase_add_test(tc, common_name_alone);
    tcase_add_test(tc, two_common_names_are_none);
    tcase_add_test(tc, name_with_nul_is_left_out);
    tcase_add_test(tc, binding_is_the_clients_exporter);
    tcase_add_test(tc, binding_is_the_clients_unique);
    tcase_add_test(tc, no_unique_without_extended_master_secret);
    tcase_add_loop_test(tc, server_name_chooses_certificate, 0, N_ROWS(name_rows));
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
