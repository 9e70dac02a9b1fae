#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/unit/tls_pair.h"

/* NULL = the good one; "-" = none given. Text: what follows the file's folder, or all of it. */
struct file_row {
    const char *chain, *key, *ca, *crl;
    enum tls_key_format format;
    const char *before; /* the report up to the file name */
    const char *after;  /* "/file : reason" */
};

#define CHAIN "Error loading the certificate chain: "
#define KEY   "Error loading the key: "
#define CA    "Error loading the CA certificate: "
#define CRL   "Error loading the revocation list: "

#define NO_START   "error:0480006C:PEM routines::no start line"
#define NO_FILE    "error:80000002:system library::No such file or directory"
#define UNREADABLE "error:1E08010C:DECODER routines::unsupported"

static const struct file_row refused_rows[] = {
    {"gone.pem", NULL, NULL, NULL, 0, CHAIN, "/gone.pem : " NO_FILE},
    {"-", NULL, NULL, NULL, 0, CHAIN "(null) : no file is given", NULL},
    {NULL, "-", NULL, NULL, 0, KEY "(null) : no file is given", NULL},
    {"empty.pem", NULL, NULL, NULL, 0, CHAIN, "/empty.pem : " NO_START " (the file is empty)"},
    {"server.der", NULL, NULL, NULL, 0, CHAIN,
     "/server.der : " NO_START " (the file looks like DER; PEM is expected)"},
    {"server.key", NULL, NULL, NULL, 0, CHAIN, "/server.key : " NO_START},
    {".", NULL, NULL, NULL, 0, CHAIN, "/. : not a file, or larger than 8 MiB"},
    {NULL, "gone.key", NULL, NULL, 0, KEY, "/gone.key : " NO_FILE},
    {NULL, "server-rsa.key", NULL, NULL, 0, KEY,
     "/server-rsa.key : error:05800073:x509 certificate routines::key type mismatch"},
    {NULL, "expired.key", NULL, NULL, 0, KEY,
     "/expired.key : error:05800074:x509 certificate routines::key values mismatch"},
    {NULL, "server-pass.key", NULL, NULL, 0, KEY,
     "/server-pass.key : the key needs a passphrase; give a key without one"},
    {NULL, "server-pass8.key", NULL, NULL, 0, KEY,
     "/server-pass8.key : the key needs a passphrase; give a key without one"},
    {NULL, "server-key.der", NULL, NULL, 0, KEY,
     "/server-key.der : " UNREADABLE " (the file looks like DER; PEM is expected)"},
    {NULL, "server.key", NULL, NULL, TLS_KEY_DER, KEY,
     "/server.key : " UNREADABLE " (the file looks like PEM; DER is expected)"},
    {NULL, "empty.pem", NULL, NULL, 0, KEY, "/empty.pem : " UNREADABLE " (the file is empty)"},
    {NULL, NULL, "gone.pem", NULL, 0, CA, "/gone.pem : " NO_FILE},
    {NULL, NULL, "empty.pem", NULL, 0, CA, "/empty.pem : " NO_START " (the file is empty)"},
    {NULL, NULL, "ca.pem", "gone.pem", 0, CRL, "/gone.pem : " NO_FILE},
    {NULL, NULL, "ca.pem", "ca.pem", 0, CRL, "/ca.pem : " NO_START},
    {NULL, NULL, NULL, "crl.pem", 0,
     CA "(null) : ssl_verify_mode and revocation lists need ssl_ca_cert", NULL},
};

static const char *given(const char *name, const char *usual)
{
    if (name == NULL)
        return usual;
    return strcmp(name, "-") == 0 ? NULL : pair_file(name);
}

static struct tls_config config_of(const struct file_row *row)
{
    struct tls_config config = pair_config();
    config.chain_cert = given(row->chain, config.chain_cert);
    config.key = given(row->key, config.key);
    config.ca_cert = given(row->ca, NULL);
    config.crl = given(row->crl, NULL);
    config.key_format = row->format;
    return config;
}

static void expect_text(const struct file_row *row, const char *text)
{
    char expected[TLS_REPORT_SIZE];
    char folder[256] = "";
    if (row->after != NULL) {
        snprintf(folder, sizeof folder, "%s", pair_file(""));
        folder[strlen(folder) - 1] = '\0';
    }
    snprintf(expected, sizeof expected, "%s%s%s", row->before, folder,
             row->after != NULL ? row->after : "");
    ck_assert_str_eq(text, expected);
}

START_TEST(refused_at_start)
{
    const struct file_row *row = &refused_rows[_i];
    struct tls_config config = config_of(row);
    struct tls_report report;
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    expect_text(row, report.text);
}
END_TEST

static void check_serves(struct tls *tls)
{
    SSL_CTX *client_ctx = pair_client(0, NULL);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
}

/* The same files at a reload: the old context stays and still serves. */
START_TEST(refused_at_reload)
{
    const struct file_row *row = &refused_rows[_i];
    struct tls_config good = pair_config(), config = config_of(row);
    struct tls *tls = pair_tls(&good);
    struct tls_report report;
    int64_t now_s = pair_now();
    ck_assert(!tls_reload(tls, &config, now_s, &report));
    expect_text(row, report.text);
    struct tls_info info;
    tls_info(tls, now_s, &info);
    ck_assert(!info.last_reload_worked);
    ck_assert_int_eq(info.last_reload_s, now_s);
    ck_assert_str_eq(info.last_reload_text, report.text);
    ck_assert_uint_eq(info.generation, 1);
    check_serves(tls);
    tls_destroy(&tls);
}
END_TEST

static const struct file_row warned_rows[] = {
    {"expired.pem", "expired.key", NULL, NULL, 0, "", "/expired.pem : certificate has expired"},
    {"future.pem", "future.key", NULL, NULL, 0, "", "/future.pem : certificate is not yet valid"},
    {"chain-mixed.pem", "chain.key", NULL, NULL, 0, "",
     "/chain-mixed.pem : a certificate of the chain is not signed by the one that follows it"},
    {NULL, NULL, "ca.pem", "crl-old.pem", 0, "",
     "/crl-old.pem : the revocation list has expired; every client's certificate will be refused"},
};

START_TEST(warned_at_start_refused_at_reload)
{
    const struct file_row *row = &warned_rows[_i];
    struct tls_config config = config_of(row), good = pair_config();
    struct tls_report report;
    struct tls *tls = tls_create(&config, pair_now(), &report);
    ck_assert_msg(tls != NULL, "%s", report.text);
    expect_text(row, report.text);
    tls_destroy(&tls);

    tls = pair_tls(&good);
    ck_assert(!tls_reload(tls, &config, pair_now(), &report));
    struct file_row refused = *row;
    refused.before = "Error validating the certificate: ";
    expect_text(&refused, report.text);
    tls_destroy(&tls);
}
END_TEST

static const struct file_row good_rows[] = {
    {NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"server-rsa.pem", "server-rsa.key", NULL, NULL, TLS_KEY_PEM, NULL, NULL},
    {NULL, "server-key.der", NULL, NULL, TLS_KEY_DER, NULL, NULL},
    {"chain.pem", "chain.key", "ca.pem", "crl.pem", 0, NULL, NULL},
};

START_TEST(accepted)
{
    struct tls_config config = config_of(&good_rows[_i]);
    struct tls *tls = pair_tls(&config);
    check_serves(tls);
    tls_destroy(&tls);
}
END_TEST

START_TEST(unreadable_after_dropping_rights)
{
    if (geteuid() != 0)
        return;
    struct tls_config config = pair_config();
    struct tls_report report;
    ck_assert_int_eq(seteuid(65534), 0);
    struct tls *tls = tls_create(&config, pair_now(), &report);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_ptr_null(tls);
    ck_assert_ptr_nonnull(strstr(report.text, "Permission denied; after start the files are read "
                                              "as uid 65534, which must be allowed to"));
}
END_TEST

START_TEST(ciphers_that_do_not_exist)
{
    struct tls_config config = pair_config();
    config.ciphers = "FOO";
    struct tls_report report;
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    ck_assert_str_eq(report.text, "Error setting the provided cipher(s): FOO");
}
END_TEST

START_TEST(verify_without_ca)
{
    struct tls_config config = pair_config();
    config.verify = TLS_VERIFY_REQUEST;
    struct tls_report report;
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    ck_assert_str_eq(report.text,
                     CA "(null) : ssl_verify_mode and revocation lists need ssl_ca_cert");
}
END_TEST

START_TEST(long_names_are_cut)
{
    char name[4096];
    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    struct tls_config config = pair_config();
    config.chain_cert = name;
    struct tls_report report;
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    ck_assert_uint_lt(strlen(report.text), sizeof report.text);
    ck_assert_ptr_nonnull(strstr(report.text, "File name too long"));
}
END_TEST

START_TEST(named_certificate_is_checked)
{
    struct tls_config config = pair_config();
    struct tls_named named = {"cache.example", pair_file("named.pem"), pair_file("server.key")};
    config.named = &named;
    config.n_named = 1;
    struct tls_report report;
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    ck_assert_ptr_nonnull(strstr(report.text, "server.key : error:05800074:x509"));
    named.key = pair_file("named.key");
    named.name = "";
    ck_assert_ptr_null(tls_create(&config, pair_now(), &report));
    ck_assert_ptr_nonnull(strstr(report.text, "named.pem : it has no server name"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_files");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, refused_at_start, 0, N_ROWS(refused_rows));
    tcase_add_loop_test(tc, refused_at_reload, 0, N_ROWS(refused_rows));
    tcase_add_loop_test(tc, warned_at_start_refused_at_reload, 0, N_ROWS(warned_rows));
    tcase_add_loop_test(tc, accepted, 0, N_ROWS(good_rows));
    tcase_add_test(tc, unreadable_after_dropping_rights);
    tcase_add_test(tc, ciphers_that_do_not_exist);
    tcase_add_test(tc, verify_without_ca);
    tcase_add_test(tc, long_names_are_cut);
    tcase_add_test(tc, named_certificate_is_checked);
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
