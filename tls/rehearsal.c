#include "tls/rehearsal.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>

#include "tls/report.h"
#include "tls/session.h"

/* Each turn moves 16 KiB at least; the longest chain has far less than these. */
#define TURNS_MAX 100

#define NAME_MAX_SIZE 256

#define TRY_WORDS "Error trying a TLS handshake with"

enum verdict { WORKS, RULED_OUT, FAILS };

/* One handshake: both ends in this thread, over memory. */
struct rehearsal {
    SSL_CTX *client_ctx;
    SSL *client;
    struct tls_session server; /* only what the callbacks ask for */
};

#define IGNORE(type)                              \
    static void ignore_##type(type *a, void *arg) \
    {                                             \
        (void)a;                                  \
        (void)arg;                                \
    }
IGNORE(EVP_MD)
IGNORE(EVP_CIPHER)
IGNORE(EVP_MAC)
IGNORE(EVP_KDF)
IGNORE(EVP_RAND)
IGNORE(EVP_KEYMGMT)
IGNORE(EVP_KEYEXCH)
IGNORE(EVP_SIGNATURE)
IGNORE(EVP_ASYM_CIPHER)
IGNORE(OSSL_DECODER)
#undef IGNORE

bool rehearsal_fetch(void)
{
    /* Without memory the first one may succeed, and everything after it would crash. */
    if (OPENSSL_init_ssl(0, NULL) != 1 || OSSL_LIB_CTX_get0_global_default() == NULL)
        return false;
    OSSL_DECODER_do_all_provided(NULL, ignore_OSSL_DECODER, NULL);
    EVP_MD_do_all_provided(NULL, ignore_EVP_MD, NULL);
    EVP_CIPHER_do_all_provided(NULL, ignore_EVP_CIPHER, NULL);
    EVP_MAC_do_all_provided(NULL, ignore_EVP_MAC, NULL);
    EVP_KDF_do_all_provided(NULL, ignore_EVP_KDF, NULL);
    EVP_RAND_do_all_provided(NULL, ignore_EVP_RAND, NULL);
    EVP_KEYMGMT_do_all_provided(NULL, ignore_EVP_KEYMGMT, NULL);
    EVP_KEYEXCH_do_all_provided(NULL, ignore_EVP_KEYEXCH, NULL);
    EVP_SIGNATURE_do_all_provided(NULL, ignore_EVP_SIGNATURE, NULL);
    EVP_ASYM_CIPHER_do_all_provided(NULL, ignore_EVP_ASYM_CIPHER, NULL);
    return true;
}

static int accept_any(int is_good, X509_STORE_CTX *store)
{
    (void)is_good;
    (void)store;
    return 1;
}

/* A client that takes whatever certificate it is shown, and can do what the server's settings ask.
 */
static SSL_CTX *create_client_ctx(const struct context *context, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    const char *ciphers = context->config.ciphers;
    if (SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
        SSL_CTX_set_max_proto_version(ctx, version) == 1 &&
        SSL_CTX_set_cipher_list(ctx, ciphers != NULL ? ciphers : "ALL") == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool connect_ends(struct rehearsal *r)
{
    BIO *ours = NULL, *theirs = NULL;
    if (BIO_new_bio_pair(&ours, 0, &theirs, 0) != 1)
        return false;
    SSL_set_bio(r->server.ssl, ours, ours);
    SSL_set_bio(r->client, theirs, theirs);
    SSL_set_accept_state(r->server.ssl);
    SSL_set_connect_state(r->client);
    return true;
}

static void close_ends(struct rehearsal *r)
{
    SSL_free(r->client);
    SSL_free(r->server.ssl);
    r->client = r->server.ssl = NULL;
}

static bool open_ends(struct rehearsal *r, struct context *context, const char *name,
                      SSL_SESSION *resumed)
{
    uint8_t id[] = {'k', 'e', 'e', 'p', 'd'};
    r->server = (struct tls_session){.context = context, .fd = -1};
    r->server.ssl = SSL_new(context->ssl_ctx);
    r->client = SSL_new(r->client_ctx);
    if (r->server.ssl == NULL || r->client == NULL ||
        SSL_set_app_data(r->server.ssl, &r->server) != 1 ||
        SSL_set_session_id_context(r->server.ssl, id, sizeof id) != 1 || !connect_ends(r))
        return false;
    SSL_set_verify(r->server.ssl, SSL_VERIFY_NONE, NULL);
    /* A name that no hello can carry will not be asked for either. */
    if (name != NULL)
        (void)SSL_set_tlsext_host_name(r->client, name);
    return resumed == NULL || SSL_set_session(r->client, resumed) == 1;
}

static bool is_waiting(const SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool shake(struct rehearsal *r)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        int client = SSL_do_handshake(r->client);
        if (client != 1 && !is_waiting(r->client, client))
            return false;
        int server = SSL_do_handshake(r->server.ssl);
        if (server != 1 && !is_waiting(r->server.ssl, server))
            return false;
        if (client == 1 && server == 1)
            return true;
    }
    return false;
}

/* TLS 1.3 sends its ticket after the handshake. */
static SSL_SESSION *take_session(struct rehearsal *r)
{
    uint8_t byte;
    (void)SSL_read(r->client, &byte, sizeof byte);
    ERR_clear_error();
    SSL_set_shutdown(r->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_set_shutdown(r->server.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    return SSL_get1_session(r->client);
}

/* Settings may well leave a version nothing: a key of another kind than the ciphers want, a curve
 * that TLS 1.3 does not know. */
static enum verdict judge_failure(void)
{
    static const int reasons[] = {
        SSL_R_NO_SHARED_CIPHER,      SSL_R_NO_SHARED_GROUPS,
        SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
        SSL_R_NO_CIPHERS_AVAILABLE,  SSL_R_NO_PROTOCOLS_AVAILABLE,
        SSL_R_UNSUPPORTED_PROTOCOL,  SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
    };
    unsigned long error = ERR_peek_error();
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == reasons[i])
            return RULED_OUT;
    return FAILS;
}

/* A full handshake and one that resumes it. Unless it works, the reason is in OpenSSL's queue. */
static enum verdict try_version(struct context *context, const char *name, int version)
{
    struct rehearsal r = {.client_ctx = create_client_ctx(context, version)};
    SSL_SESSION *session = NULL;
    bool has_worked = false, is_resumable = false;
    if (r.client_ctx != NULL && open_ends(&r, context, name, NULL) && shake(&r)) {
        session = take_session(&r);
        has_worked = is_resumable = session != NULL;
    }
    close_ends(&r);
    if (is_resumable)
        has_worked = open_ends(&r, context, name, session) && shake(&r);
    close_ends(&r);
    SSL_SESSION_free(session);
    SSL_CTX_free(r.client_ctx);
    return has_worked ? WORKS : judge_failure();
}

/* What a client's certificate needs of OpenSSL. The server's own stands for it, and need not be one
 * that a client may show: only what has nothing to do with that is judged. */
static bool try_client_certificate(struct context *context)
{
    ERR_clear_error();
    struct rehearsal r = {.client_ctx = create_client_ctx(context, 0)};
    X509 *certificate = SSL_CTX_get0_certificate(context->ssl_ctx);
    EVP_PKEY *key = SSL_CTX_get0_privatekey(context->ssl_ctx);
    bool is_good = r.client_ctx != NULL &&
                   SSL_CTX_use_cert_and_key(r.client_ctx, certificate, key, NULL, 1) == 1 &&
                   open_ends(&r, context, NULL, NULL);
    if (is_good) {
        SSL_set_verify(r.server.ssl, SSL_VERIFY_PEER, accept_any);
        is_good = shake(&r) || (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                                ERR_GET_REASON(ERR_peek_error()) != ERR_R_MALLOC_FAILURE);
    }
    close_ends(&r);
    SSL_CTX_free(r.client_ctx);
    return is_good;
}

static bool lacks_signature(void)
{
    unsigned long error = ERR_peek_error();
    return ERR_GET_LIB(error) == ERR_LIB_SSL &&
           (ERR_GET_REASON(error) == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM ||
            ERR_GET_REASON(error) == SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS);
}

/* An algorithm for which memory was short when its context was made is to OpenSSL as if there were
 * none. Would another context, with the same certificate, have one? */
static bool has_lost_signature(const struct context *context, const char *name, int version)
{
    const SSL_CTX *ours = context_for_name(context, name);
    const char *ciphers = context->config.ciphers;
    struct context fresh = {.config = context->config, .ssl_ctx = SSL_CTX_new(TLS_server_method())};
    if (fresh.ssl_ctx == NULL)
        return true;
    SSL_CTX_set_security_level(fresh.ssl_ctx, SSL_CTX_get_security_level(ours));
    bool has_one = (ciphers == NULL || SSL_CTX_set_cipher_list(fresh.ssl_ctx, ciphers) == 1) &&
                   SSL_CTX_use_cert_and_key(fresh.ssl_ctx, SSL_CTX_get0_certificate(ours),
                                            SSL_CTX_get0_privatekey(ours), NULL, 1) == 1 &&
                   try_version(&fresh, NULL, version) == WORKS;
    SSL_CTX_free(fresh.ssl_ctx);
    return has_one;
}

static bool try_certificate(struct context *context, const char *name, const char *file,
                            struct tls_report *report)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    bool has_worked = false;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        ERR_clear_error();
        enum verdict verdict = try_version(context, name, versions[i]);
        if (verdict == RULED_OUT && lacks_signature() &&
            has_lost_signature(context, name, versions[i]))
            return report_fail(report, TRY_WORDS, file, "out of memory");
        has_worked = has_worked || verdict == WORKS;
        if (verdict == FAILS || (!has_worked && i + 1 == sizeof versions / sizeof *versions))
            return report_fail(report, TRY_WORDS, file, NULL);
    }
    ERR_clear_error();
    return true;
}

/* Some name that the row is for. */
static void fitting_name(const char *pattern, char *name_out)
{
    bool is_any = pattern[0] == '*';
    snprintf(name_out, NAME_MAX_SIZE, "%s%s", is_any ? "any" : "", pattern + is_any);
}

bool rehearsal_pass(struct context *context, struct tls_report *report)
{
    bool is_good = try_certificate(context, NULL, context->config.chain_cert, report);
    for (size_t i = 0; is_good && i < context->n_named; i++) {
        char name[NAME_MAX_SIZE];
        fitting_name(context->named[i].name, name);
        is_good = try_certificate(context, name, context->config.named[i].chain_cert, report);
    }
    if (is_good && context->config.ca_cert != NULL && !try_client_certificate(context))
        is_good = report_fail(report, TRY_WORDS, context->config.ca_cert, NULL);
    ERR_clear_error();
    SSL_CTX_flush_sessions(context->ssl_ctx, 0);
    for (size_t i = 0; i < context->n_named; i++)
        SSL_CTX_flush_sessions(context->named[i].ssl_ctx, 0);
    return is_good;
}
