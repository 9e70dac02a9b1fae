/* OpenSSL's allocations fail one after the other, in the server's calls only. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/certificate.h"
#include "t/unit/tls_pair.h"
#include "t/unit/tls_shortage.h"

/* All of the first ones, then ever fewer: all of them would take minutes. */
static long next_place(long n)
{
    return n + 1 + n / 64;
}

/* One connection with a request; true when nothing went wrong on the way. */
static bool serve_once(struct tls *tls, SSL_CTX *client_ctx)
{
    struct pair pair;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    tls_session_destroy(&pair.server);
    tls_shortage_begin();
    pair.server = tls_session_create(tls, pair.server_fd, TLS_CLIENT_CERT_DEFAULT);
    tls_shortage_end();
    enum tls_outcome outcome = pair.server != NULL ? TLS_WANT_READ : TLS_CLOSED;
    for (int i = 0; i < 8 && outcome == TLS_WANT_READ; i++) {
        (void)SSL_do_handshake(pair.client);
        tls_shortage_begin();
        outcome = tls_handshake(pair.server);
        tls_shortage_end();
    }
    bool is_good = outcome == TLS_DONE;
    if (is_good) {
        uint8_t bytes[16];
        size_t n;
        is_good = SSL_write(pair.client, "get a\r\n", 7) == 7;
        tls_shortage_begin();
        struct tls_peer *peer = tls_peer_create(pair.server);
        is_good = is_good && peer != NULL &&
                  tls_read(pair.server, bytes, sizeof bytes, &n) == TLS_DONE &&
                  tls_write(pair.server, bytes, n, &n) == TLS_DONE &&
                  tls_shutdown(pair.server) == TLS_DONE;
        tls_peer_destroy(&peer);
        tls_shortage_end();
    }
    tls_shortage_begin();
    pair_close(&pair);
    tls_shortage_end();
    ERR_clear_error();
    return is_good;
}

START_TEST(each_allocation_of_a_connection_fails_once)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(_i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, "client");
    ck_assert(serve_once(tls, client_ctx));
    long n = 0, n_failed = 0;
    do {
        n = next_place(n);
        tls_shortage_set(n);
        if (!serve_once(tls, client_ctx))
            n_failed++;
    } while (tls_shortage_has_struck() && n < 100000);
    ck_assert_int_gt(n_failed, 50);
    tls_shortage_set(0);
    ck_assert(serve_once(tls, client_ctx));
    struct tls_info info;
    tls_info(tls, pair_now(), &info);
    ck_assert_uint_eq(info.n_sessions, 0);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(each_allocation_of_a_reload_fails_once)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    config.crl = pair_file("crl.pem");
    struct tls *tls = pair_tls(&config);
    long n = 0;
    uint64_t n_good = 0;
    do {
        struct tls_report report;
        n = next_place(n);
        tls_shortage_set(n);
        tls_shortage_begin();
        bool has_worked = tls_reload(tls, NULL, pair_now(), &report);
        tls_shortage_end();
        n_good += has_worked;
        struct tls_info info;
        tls_info(tls, pair_now(), &info);
        ck_assert_uint_eq(info.generation, 1 + n_good);
        ck_assert_str_eq(info.versions, "TLSv1.2 TLSv1.3");
        ck_assert_int_eq(report.text[0] == '\0', has_worked);
    } while (tls_shortage_has_struck() && n < 100000);
    ck_assert_int_gt(n, 100);
    tls_shortage_set(0);
    SSL_CTX *client_ctx = pair_client(0, "client");
    ck_assert(serve_once(tls, client_ctx));
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

/* The certificate that signs itself, read where an allocation may fail; NULL when it was noticed.
 */
static X509 *read_certificate(long n_fails)
{
    BIO *bio = BIO_new_file(pair_file("ca.pem"), "r");
    ck_assert_ptr_nonnull(bio);
    tls_shortage_set(n_fails);
    tls_shortage_begin();
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (certificate != NULL)
        (void)X509_check_purpose(certificate, -1, 0);
    tls_shortage_end();
    BIO_free(bio);
    ERR_clear_error();
    if (certificate == NULL || certificate_is_whole(certificate))
        return certificate;
    X509_free(certificate);
    return NULL;
}

START_TEST(each_allocation_of_a_certificate_fails_once)
{
    X509 *good = read_certificate(0);
    ck_assert_ptr_nonnull(good);
    long n = 0;
    bool has_struck;
    do {
        X509 *certificate = read_certificate(++n);
        has_struck = tls_shortage_has_struck();
        if (certificate == NULL)
            continue;
        ck_assert_msg(X509_get_extension_flags(certificate) == X509_get_extension_flags(good),
                      "allocation %ld: the flags are %x, not %x", n,
                      X509_get_extension_flags(certificate), X509_get_extension_flags(good));
        ck_assert_msg(EVP_PKEY_get_security_bits(X509_get0_pubkey(certificate)) ==
                          EVP_PKEY_get_security_bits(X509_get0_pubkey(good)),
                      "allocation %ld: the key differs", n);
        X509_free(certificate);
    } while (has_struck);
    ck_assert_int_gt(n, 50);
    X509_free(good);
}
END_TEST

int main(void)
{
    tls_shortage_install();
    Suite *suite = suite_create("tls_memory");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, each_allocation_of_a_connection_fails_once, 0, 2);
    tcase_add_test(tc, each_allocation_of_a_reload_fails_once);
    tcase_add_test(tc, each_allocation_of_a_certificate_fails_once);
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
