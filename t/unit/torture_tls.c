/* Each allocation of our own code fails once, at the start, at a reload, at a connection, and where
 * a peer's names are read. OpenSSL's own ones: t/unit/tls_memory.c. */
#include "t/unit/shortage.h"
#include "t/unit/tls_pair.h"

static struct tls_config config_of_all(void)
{
    static struct tls_named named;
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    named = (struct tls_named){"other.example", config.chain_cert, config.key};
    config.named = &named;
    config.n_named = 1;
    config.ciphers = "ECDHE+AESGCM";
    config.crl = pair_file("crl.pem");
    return config;
}

static void check_works(struct tls *tls)
{
    SSL_CTX *client_ctx = pair_client(TLS1_3_VERSION, "client");
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, "other.example");
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
}

static void creates(void)
{
    struct tls_config config = config_of_all();
    struct tls_report report = {.text = ""};
    shortage_begin();
    struct tls *tls = tls_create(&config, pair_now(), &report);
    shortage_end();
    ck_assert_msg(tls != NULL || (shortage_has_struck() && report.text[0] != '\0'), "%s",
                  report.text);
    if (tls != NULL)
        check_works(tls);
    tls_destroy(&tls);
}

static void reloads_with(bool is_with_config)
{
    struct tls_config config = config_of_all();
    struct tls *tls = pair_tls(&config);
    struct tls_report report = {.text = ""};
    struct tls_info info;
    shortage_begin();
    bool has_worked = tls_reload(tls, is_with_config ? &config : NULL, pair_now(), &report);
    shortage_end();
    ck_assert_msg(has_worked || (shortage_has_struck() && report.text[0] != '\0'), "%s",
                  report.text);
    tls_info(tls, pair_now(), &info);
    ck_assert_uint_eq(info.generation, has_worked ? 2 : 1);
    check_works(tls);
    tls_destroy(&tls);
}

static void reloads(void)
{
    reloads_with(false);
}

static void reloads_with_a_configuration(void)
{
    reloads_with(true);
}

static void serves(void)
{
    struct tls_config config = config_of_all();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(TLS1_3_VERSION, "client");
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    shortage_begin();
    struct tls_session *session = tls_session_create(tls, pair.server_fd, TLS_CLIENT_CERT_REQUIRE);
    struct tls_peer *peer = tls_peer_create(pair.server);
    tls_tick(tls, pair_now() + 100000);
    shortage_end();
    ck_assert(shortage_has_struck() || (session != NULL && peer != NULL));
    ck_assert(peer == NULL || peer->n_names > 0);
    ck_assert(pair_talk(&pair));
    tls_peer_destroy(&peer);
    tls_session_destroy(&session);
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    check_works(tls);
    tls_destroy(&tls);
}

static const struct scenario scenarios[] = {
    SCENARIO(creates),
    SCENARIO(reloads),
    SCENARIO(reloads_with_a_configuration),
    SCENARIO(serves),
};

int main(void)
{
    return pair_run(shortage_suite("torture_tls", scenarios, N_ROWS(scenarios), NULL, NULL));
}
