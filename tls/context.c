#include "tls/context.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/callback.h"
#include "tls/config.h"
#include "tls/files.h"
#include "tls/rehearsal.h"
#include "tls/report.h"
#include "tls/state.h"
#include "tls/ticket.h"

/* Forward secrecy and AEAD only. TLS 1.3 has nothing else. */
#define DEFAULT_CIPHERS "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"
#define SHORT_KEY_13    "TLS_AES_128_GCM_SHA256"

#define CHECK_WORDS "Error validating the certificate"

/* A session with a client's certificate is some 4 KiB. */
#define CACHED_SESSIONS_MAX 8192

/* Bounds what an unverified client can make us hold. */
#define CLIENT_CHAIN_MAX (64 * 1024)

static const int version_numbers[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};

static void append_word(char *out, size_t size, const char *word, char separator)
{
    size_t at = strlen(out), n = strlen(word);
    if (at + n + 2 > size)
        return;
    if (at > 0)
        out[at++] = separator;
    memcpy(out + at, word, n + 1);
}

/* TLS 1.3: 128 bits of key suffice and are a third faster than 256, so they go first. What the
 * system's policy leaves out stays out. */
static bool prefer_short_key(SSL_CTX *ctx)
{
    char names[512] = "";
    const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
            const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
            const char *name = SSL_CIPHER_get_name(cipher);
            bool is_first = strcmp(name, SHORT_KEY_13) == 0;
            if (is_first == (pass == 0) && strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") == 0)
                append_word(names, sizeof names, name, ':');
        }
    }
    return names[0] == '\0' || SSL_CTX_set_ciphersuites(ctx, names) == 1;
}

static bool set_versions_and_ciphers(SSL_CTX *ctx, const struct tls_config *config,
                                     struct tls_report *report)
{
    MUST(config->min_version <= TLS_MIN_1_3);
    /* The system's policy may refuse; then nothing but TLS's name would be left. */
    if (SSL_CTX_set_min_proto_version(ctx, version_numbers[config->min_version]) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, 0) != 1)
        return report_fail(report, "Error setting the minimum TLS version", "ssl_min_version",
                           NULL);
    const char *ciphers = config->ciphers != NULL ? config->ciphers : DEFAULT_CIPHERS;
    if (SSL_CTX_set_cipher_list(ctx, ciphers) == 1 && prefer_short_key(ctx))
        return true;
    ERR_clear_error();
    snprintf(report->text, sizeof report->text, "Error setting the provided cipher(s): %.300s",
             ciphers);
    return false;
}

static void set_behaviour(SSL_CTX *ctx, const struct context *context)
{
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                       SSL_OP_IGNORE_UNEXPECTED_EOF;
    if (context->config.has_kernel_tls)
        options |= SSL_OP_ENABLE_KTLS;
    (void)SSL_CTX_set_options(ctx, options);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One recv per record instead of two; the kernel's TLS cannot have it. */
    SSL_CTX_set_read_ahead(ctx, !context->config.has_kernel_tls);
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
    (void)SSL_CTX_set_dh_auto(ctx, 1);
    (void)SSL_CTX_set_timeout(ctx, TICKET_PERIOD_S);
    (void)SSL_CTX_sess_set_cache_size(ctx, CACHED_SESSIONS_MAX);
    (void)SSL_CTX_set_session_cache_mode(
        ctx, context->config.has_session_cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
}

/* Soft checks: at start they are warnings, at a reload reasons to refuse. */
static void check_pair(struct context *context, const char *file, const struct files_pair *pair,
                       int64_t now_s, struct tls_report *report)
{
    const char *complaint = certificate_dates_complaint(pair->certificate, now_s);
    X509 *subject = pair->certificate;
    for (int i = 0; complaint == NULL && i < sk_X509_num(pair->issuers); i++) {
        X509 *issuer = sk_X509_value(pair->issuers, i);
        complaint = certificate_dates_complaint(issuer, now_s);
        if (complaint == NULL && X509_check_issued(issuer, subject) != X509_V_OK)
            complaint = "a certificate of the chain is not signed by the one that follows it";
        subject = issuer;
    }
    if (complaint == NULL)
        return;
    context->has_complaints = true;
    report_warn(report, file, complaint);
}

static bool use_pair(SSL_CTX *ctx, const char *chain_file, const struct files_pair *pair,
                     struct tls_report *report)
{
    ERR_clear_error();
    if (SSL_CTX_use_cert_and_key(ctx, pair->certificate, pair->key, pair->issuers, 1) == 1 &&
        SSL_CTX_check_private_key(ctx) == 1)
        return true;
    return report_fail(report, CHECK_WORDS, chain_file, NULL);
}

static SSL_CTX *build_ssl_ctx(struct context *context, const char *chain_file,
                              const struct files_pair *pair, struct tls_report *report)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        (void)report_fail(report, "Error creating the TLS context", chain_file, NULL);
        return NULL;
    }
    set_behaviour(ctx, context);
    if (set_versions_and_ciphers(ctx, &context->config, report) &&
        use_pair(ctx, chain_file, pair, report) && callback_install(ctx, context))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static SSL_CTX *load_ssl_ctx(struct context *context, const struct tls_named *files,
                             enum tls_key_format format, struct certificate_facts *facts_out,
                             struct tls_report *report)
{
    struct files_pair pair;
    if (!files_load_pair(files->chain_cert, files->key, format, &pair, report))
        return NULL;
    SSL_CTX *ctx = NULL;
    if (!certificate_describe(pair.certificate, facts_out))
        (void)report_fail(report, CHECK_WORDS, files->chain_cert, "it cannot be described");
    else if ((ctx = build_ssl_ctx(context, files->chain_cert, &pair, report)) != NULL)
        check_pair(context, files->chain_cert, &pair, context->loaded_s, report);
    if (ctx != NULL && !certificate_is_whole(pair.certificate)) {
        (void)report_fail(report, CHECK_WORDS, files->chain_cert, "out of memory");
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    files_drop_pair(&pair);
    return ctx;
}

static bool digest_certificate(EVP_MD_CTX *digest, X509 *certificate)
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned n;
    return X509_digest(certificate, EVP_sha256(), bytes, &n) == 1 &&
           EVP_DigestUpdate(digest, bytes, n) == 1;
}

/* Clients' issuers: into the store that verifies and the list of names that clients are told. */
static bool load_ca(struct context *context, EVP_MD_CTX *digest, struct tls_report *report)
{
    const char *file = context->config.ca_cert;
    STACK_OF(X509) *list = files_load_ca(file, report);
    if (list == NULL)
        return false;
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl_ctx);
    bool is_good = true;
    for (int i = 0; is_good && i < sk_X509_num(list); i++) {
        X509 *ca = sk_X509_value(list, i);
        /* Decodes its extensions, which OpenSSL would leave to the first handshakes, all at once.
         */
        (void)X509_check_purpose(ca, -1, 0);
        is_good = certificate_is_whole(ca) && X509_STORE_add_cert(store, ca) == 1 &&
                  SSL_CTX_add_client_CA(context->ssl_ctx, ca) == 1 &&
                  digest_certificate(digest, ca);
    }
    sk_X509_pop_free(list, X509_free);
    return is_good || report_fail(report, "Error loading the CA certificate", file, NULL);
}

static void note_crl_dates(struct context *context, const X509_CRL *crl, struct tls_report *report)
{
    int64_t next_s;
    if (!certificate_time(X509_CRL_get0_nextUpdate(crl), &next_s))
        return;
    if (context->crl_next_update_s == 0 || next_s < context->crl_next_update_s)
        context->crl_next_update_s = next_s;
    if (next_s >= context->loaded_s)
        return;
    context->has_complaints = true;
    report_warn(report, context->config.crl,
                "the revocation list has expired; every client's certificate will be refused");
}

static bool load_crl(struct context *context, EVP_MD_CTX *digest, struct tls_report *report)
{
    const char *file = context->config.crl;
    STACK_OF(X509_CRL) *list = files_load_crl(file, report);
    if (list == NULL)
        return false;
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl_ctx);
    bool is_good = X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1;
    for (int i = 0; is_good && i < sk_X509_CRL_num(list); i++) {
        X509_CRL *crl = sk_X509_CRL_value(list, i);
        uint8_t bytes[EVP_MAX_MD_SIZE];
        unsigned n;
        is_good = X509_STORE_add_crl(store, crl) == 1 &&
                  X509_CRL_digest(crl, EVP_sha256(), bytes, &n) == 1 &&
                  EVP_DigestUpdate(digest, bytes, n) == 1;
        note_crl_dates(context, crl, report);
    }
    sk_X509_CRL_pop_free(list, X509_CRL_free);
    return is_good || report_fail(report, "Error loading the revocation list", file, NULL);
}

static bool load_trust(struct context *context, struct tls_report *report)
{
    const struct tls_config *config = &context->config;
    if (config->ca_cert == NULL && (config->verify != TLS_VERIFY_NONE || config->crl != NULL))
        return report_fail(report, "Error loading the CA certificate", NULL,
                           "ssl_verify_mode and revocation lists need ssl_ca_cert");
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    if (!is_good)
        (void)report_fail(report, "Error loading the CA certificate", config->ca_cert, NULL);
    is_good = is_good && (config->ca_cert == NULL || load_ca(context, digest, report)) &&
              (config->crl == NULL || load_crl(context, digest, report)) &&
              EVP_DigestFinal_ex(digest, context->trust, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return is_good;
}

static char *lower_copy(const char *text)
{
    char *copy = strdup(text);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

/* OpenSSL verifies clients with the context that the name chose. */
static bool share_trust(const struct context *context, SSL_CTX *named)
{
    SSL_CTX_set1_cert_store(named, SSL_CTX_get_cert_store(context->ssl_ctx));
    STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(context->ssl_ctx);
    if (names == NULL)
        return true;
    STACK_OF(X509_NAME) *copy = SSL_dup_CA_list(names);
    if (copy != NULL)
        SSL_CTX_set_client_CA_list(named, copy);
    return copy != NULL;
}

static bool load_named(struct context *context, struct tls_report *report)
{
    const struct tls_config *config = &context->config;
    if (config->n_named == 0)
        return true;
    context->named = calloc(config->n_named, sizeof *context->named);
    if (context->named == NULL)
        return report_fail(report, CHECK_WORDS, config->named[0].chain_cert, "out of memory");
    context->n_named = config->n_named;
    for (size_t i = 0; i < config->n_named; i++) {
        const struct tls_named *row = &config->named[i];
        if (row->name == NULL || row->name[0] == '\0')
            return report_fail(report, CHECK_WORDS, row->chain_cert, "it has no server name");
        context->named[i].name = lower_copy(row->name);
        if (context->named[i].name == NULL)
            return report_fail(report, CHECK_WORDS, row->chain_cert, "out of memory");
        context->named[i].ssl_ctx =
            load_ssl_ctx(context, row, TLS_KEY_PEM, &context->certificates[i + 1].facts, report);
        if (context->named[i].ssl_ctx == NULL)
            return false;
        if (!share_trust(context, context->named[i].ssl_ctx))
            return report_fail(report, CHECK_WORDS, row->chain_cert, "out of memory");
    }
    return true;
}

static void describe_versions(SSL_CTX *ctx, const STACK_OF(SSL_CIPHER) * ciphers, char *out,
                              size_t size)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    bool has_old = false, has_new = false;
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        bool is_13 =
            strcmp(SSL_CIPHER_get_version(sk_SSL_CIPHER_value(ciphers, i)), "TLSv1.3") == 0;
        has_new = has_new || is_13;
        has_old = has_old || !is_13;
    }
    for (size_t i = 0; i < 4; i++) {
        bool is_allowed = SSL_CTX_get_min_proto_version(ctx) <= version_numbers[i];
        /* From level 1 on OpenSSL 3 has no signature that TLS 1.0 and 1.1 could use. */
        bool is_possible =
            i == 3 ? has_new : has_old && (i == 2 || SSL_CTX_get_security_level(ctx) == 0);
        if (is_allowed && is_possible)
            append_word(out, size, names[i], ' ');
    }
}

/* Asks a session, since what a context was told is not all that counts. */
static bool describe_offer(SSL_CTX *ctx, struct context_offer *offer)
{
    SSL *ssl = SSL_new(ctx);
    STACK_OF(SSL_CIPHER) *ciphers = ssl != NULL ? SSL_get1_supported_ciphers(ssl) : NULL;
    bool is_there = ciphers != NULL;
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
        append_word(offer->ciphers, sizeof offer->ciphers,
                    SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)), ':');
    describe_versions(ctx, ciphers, offer->versions, sizeof offer->versions);
    sk_SSL_CIPHER_free(ciphers);
    SSL_free(ssl);
    ERR_clear_error();
    return is_there;
}

struct context *context_create(struct tls *tls, const struct tls_config *config, int64_t now_s,
                               struct tls_report *report_out)
{
    report_clear(report_out);
    struct context *context = calloc(1, sizeof *context);
    bool is_whole = context != NULL && config_copy(config, &context->config);
    if (is_whole) {
        context->n_certificates = 1 + config->n_named;
        context->certificates = calloc(context->n_certificates, sizeof *context->certificates);
        is_whole = context->certificates != NULL;
    }
    if (!is_whole) {
        context_destroy(&context);
        (void)report_fail(report_out, CHECK_WORDS, config->chain_cert, "out of memory");
        return NULL;
    }
    context->tls = tls;
    context->config.has_kernel_tls = config->has_kernel_tls && tls->has_kernel_tls;
    context->loaded_s = now_s;
    struct tls_named main_files = {NULL, context->config.chain_cert, context->config.key};
    context->ssl_ctx = load_ssl_ctx(context, &main_files, context->config.key_format,
                                    &context->certificates[0].facts, report_out);
    if (context->ssl_ctx == NULL || !load_trust(context, report_out) ||
        !load_named(context, report_out)) {
        context_destroy(&context);
    } else if (!describe_offer(context->ssl_ctx, &context->offer)) {
        (void)report_fail(report_out, CHECK_WORDS, config->chain_cert,
                          "no cipher is left, or memory is short");
        context_destroy(&context);
    } else if (!rehearsal_pass(context, report_out)) {
        context_destroy(&context);
    }
    return context;
}

void context_destroy(struct context **context)
{
    struct context *c = *context;
    if (c == NULL)
        return;
    *context = NULL;
    for (size_t i = 0; i < c->n_named; i++) {
        free(c->named[i].name);
        SSL_CTX_free(c->named[i].ssl_ctx);
    }
    free(c->named);
    free(c->certificates);
    SSL_CTX_free(c->ssl_ctx);
    config_fini(&c->config);
    free(c);
}

/* RFC 6125, 6.4.3: '*' stands for the whole leftmost label. */
static bool name_fits(const char *pattern, const char *name)
{
    if (pattern[0] != '*' || pattern[1] != '.')
        return strcasecmp(pattern, name) == 0;
    const char *dot = strchr(name, '.');
    return dot != NULL && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

SSL_CTX *context_for_name(const struct context *context, const char *name)
{
    for (size_t i = 0; name != NULL && i < context->n_named; i++)
        if (name_fits(context->named[i].name, name))
            return context->named[i].ssl_ctx;
    return context->ssl_ctx;
}
