#include "t/unit/tls_pair.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define DAY_S 86400

START_TEST(new_sessions_show_the_new_certificate)
{
    struct tls_config first = pair_config(), second = first;
    second.chain_cert = pair_file("named.pem");
    second.key = pair_file("named.key");
    struct tls *tls = pair_tls(&first);
    SSL_CTX *client_ctx = pair_client(0, NULL);
    struct pair old, new;
    pair_connect(&old, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);

    int64_t now_s = pair_now();
    struct tls_report report;
    struct tls_info before, info;
    tls_info(tls, now_s, &before);
    ck_assert(tls_reload(tls, &second, now_s + 5, &report));
    ck_assert_str_eq(report.text, "");
    pair_connect(&new, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    tls_info(tls, now_s, &info);
    ck_assert_str_eq(before.subject, "CN=localhost");
    ck_assert_str_eq(info.subject, "CN=cache.example");
    ck_assert_str_eq(info.issuer, "CN=throw-away CA");
    ck_assert_str_ne(info.serial, before.serial);
    ck_assert_uint_eq(info.generation, 2);
    ck_assert_uint_eq(info.n_sessions, 2);
    ck_assert_uint_eq(info.n_sessions_old, 1);
    ck_assert(info.last_reload_worked);
    ck_assert_int_eq(info.last_reload_s, now_s + 5);
    ck_assert_int_eq(info.loaded_s, now_s + 5);
    ck_assert(pair_talk(&old));
    ck_assert(pair_talk(&new));
    pair_close(&old);
    tls_info(tls, now_s, &info);
    ck_assert_uint_eq(info.n_sessions_old, 0);
    /* The same files again: another generation, but no session is on an old certificate. */
    ck_assert(tls_reload(tls, NULL, now_s + 6, &report));
    tls_info(tls, now_s, &info);
    ck_assert_uint_eq(info.generation, 3);
    ck_assert_uint_eq(info.n_sessions, 1);
    ck_assert_uint_eq(info.n_sessions_old, 0);
    pair_close(&new);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(session_outlives_tls)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(0, NULL);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    tls_destroy(&tls);
    ck_assert_ptr_null(tls);
    tls_destroy(&tls);
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
}
END_TEST

START_TEST(info_of_the_defaults)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUEST);
    config.crl = pair_file("crl.pem");
    struct tls *tls = pair_tls(&config);
    struct tls_info info;
    int64_t now_s = pair_now();
    tls_info(tls, now_s, &info);
    ck_assert_str_eq(info.versions, "TLSv1.2 TLSv1.3");
    ck_assert_str_eq(info.ciphers,
                     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                     "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
    ck_assert_int_ge(info.days_left, 3648);
    ck_assert_int_gt(info.crl_next_update_s, now_s);
    ck_assert(info.has_ca);
    ck_assert_int_eq(info.last_reload_s, 0);
    ck_assert_uint_eq(strlen(info.fingerprint), 64);
    tls_info(tls, info.not_after_s, &info);
    ck_assert_int_eq(info.days_left, 0);
    tls_info(tls, info.not_after_s + 1, &info);
    ck_assert_int_eq(info.days_left, -1);
    tls_destroy(&tls);
}
END_TEST

/* The step that is due, -1 = none; a second one at the same time is a mistake here. */
static int due_step(struct tls *tls, int64_t now_s)
{
    struct tls_expiry expiry;
    if (!tls_expiry_warning(tls, now_s, &expiry))
        return -1;
    int step = expiry.step;
    ck_assert(!tls_expiry_warning(tls, now_s, &expiry));
    return step;
}

START_TEST(expiry_is_told_once_for_each_step)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    struct tls_info info;
    tls_info(tls, pair_now(), &info);
    static const struct {
        int64_t before_s;
        int due;
    } steps[] = {
        {31 * DAY_S, -1}, {30 * DAY_S, 30}, {29 * DAY_S, -1}, {7 * DAY_S, 7}, {DAY_S + 1, -1},
        {DAY_S, 1},       {60, -1},         {0, 0},           {-60, -1},      {-DAY_S, -1},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        ck_assert_int_eq(due_step(tls, info.not_after_s - steps[i].before_s), steps[i].due);
    struct tls_report report;
    ck_assert(tls_reload(tls, NULL, pair_now(), &report));
    ck_assert_int_eq(due_step(tls, info.not_after_s), -1);
    config.chain_cert = pair_file("named.pem");
    config.key = pair_file("named.key");
    ck_assert(tls_reload(tls, &config, pair_now(), &report));
    tls_info(tls, pair_now(), &info);
    ck_assert_int_eq(due_step(tls, info.not_after_s - 3 * DAY_S), 7);
    tls_destroy(&tls);
}
END_TEST

/* Each certificate has its own steps, whichever ends first; a reload keeps them. */
START_TEST(expiry_of_a_named_certificate_is_told)
{
    struct tls_named named = {"old.example", pair_file("expired.pem"), pair_file("expired.key")};
    struct tls_config config = pair_config();
    config.named = &named;
    config.n_named = 1;
    struct tls_report report;
    struct tls *tls = tls_create(&config, pair_now(), &report);
    ck_assert_ptr_nonnull(tls);
    struct tls_expiry expiry;
    struct tls_info info;
    tls_info(tls, pair_now(), &info);
    ck_assert(tls_expiry_warning(tls, pair_now(), &expiry));
    ck_assert_int_eq(expiry.step, 0);
    ck_assert_int_lt(expiry.days_left, -2000);
    ck_assert_str_ne(expiry.serial, info.serial);
    ck_assert(!tls_expiry_warning(tls, pair_now(), &expiry));
    ck_assert(tls_expiry_warning(tls, info.not_after_s - 20 * DAY_S, &expiry));
    ck_assert_int_eq(expiry.step, 30);
    ck_assert_int_eq(expiry.days_left, 20);
    ck_assert_str_eq(expiry.serial, info.serial);
    named.chain_cert = pair_file("named.pem");
    named.key = pair_file("named.key");
    ck_assert(tls_reload(tls, &config, pair_now(), &report));
    ck_assert(tls_expiry_warning(tls, info.not_after_s - 20 * DAY_S, &expiry));
    ck_assert_str_eq(expiry.subject, "CN=cache.example");
    ck_assert(!tls_expiry_warning(tls, info.not_after_s - 20 * DAY_S, &expiry));
    tls_destroy(&tls);
}
END_TEST

/* Workers shake hands and talk while another thread reloads good and bad files in turn. */

struct storm {
    struct tls *tls;
    atomic_bool is_over;
    atomic_uint n_failed;
    atomic_uint n_done;
};

static void *work(void *storm_pointer)
{
    struct storm *storm = storm_pointer;
    SSL_CTX *client_ctx = pair_client(0, NULL);
    struct pair lasting;
    pair_connect(&lasting, storm->tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    SSL_SESSION *session = NULL;
    while (!atomic_load(&storm->is_over)) {
        struct pair pair;
        pair_open(&pair, storm->tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
        if (session != NULL)
            (void)SSL_set_session(pair.client, session);
        bool is_good = pair_shake(&pair) && pair_talk(&pair) && pair_talk(&lasting);
        atomic_fetch_add(is_good ? &storm->n_done : &storm->n_failed, 1);
        SSL_SESSION_free(session);
        session = atomic_load(&storm->n_done) % 3 == 0 ? NULL : SSL_get1_session(pair.client);
        pair_close(&pair);
    }
    SSL_SESSION_free(session);
    pair_close(&lasting);
    SSL_CTX_free(client_ctx);
    return NULL;
}

START_TEST(reload_under_load)
{
    struct tls_config config = pair_config(), other = config, bad = config;
    other.chain_cert = pair_file("server-rsa.pem");
    other.key = pair_file("server-rsa.key");
    bad.key = pair_file("named.key");
    struct storm storm = {.tls = pair_tls(&config)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &storm), 0);
    int64_t now_s = pair_now();
    for (int i = 0; i < 100; i++) {
        struct tls_report report;
        struct tls_info info;
        ck_assert(tls_reload(storm.tls, i % 2 == 0 ? &other : &config, now_s + i, &report));
        ck_assert(!tls_reload(storm.tls, &bad, now_s + i, &report));
        tls_set_policy(storm.tls, (uint64_t)i);
        tls_tick(storm.tls, now_s + 3600 * i);
        tls_info(storm.tls, now_s, &info);
        ck_assert_uint_eq(info.generation, (uint64_t)i + 2);
        unsigned n_before = atomic_load(&storm.n_done);
        while (atomic_load(&storm.n_done) < n_before + 3 && atomic_load(&storm.n_failed) == 0)
            (void)sched_yield();
    }
    atomic_store(&storm.is_over, true);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&storm.n_failed), 0);
    ck_assert_uint_ge(atomic_load(&storm.n_done), 300);
    struct tls_info info;
    tls_info(storm.tls, now_s, &info);
    ck_assert_uint_eq(info.n_sessions, 0);
    tls_destroy(&storm.tls);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_reload");
    TCase *tc = tcase_create("rows");
    tcase_add_test(tc, new_sessions_show_the_new_certificate);
    tcase_add_test(tc, session_outlives_tls);
    tcase_add_test(tc, info_of_the_defaults);
    tcase_add_test(tc, expiry_is_told_once_for_each_step);
    tcase_add_test(tc, expiry_of_a_named_certificate_is_told);
    tcase_add_test(tc, reload_under_load);
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
