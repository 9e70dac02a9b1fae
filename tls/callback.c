#include "tls/callback.h"

#include <openssl/err.h>

#include "tls/session.h"

/* What a ticket carries beside OpenSSL's session: under which rules it was given. */
struct ticket_rules {
    uint64_t policy;
    uint8_t trust[CONTEXT_TRUST_SIZE];
};

static struct ticket_rules rules_of(const struct context *context)
{
    struct ticket_rules rules = {
        .policy = atomic_load(&context->tls->policy),
    };
    memcpy(rules.trust, context->trust, sizeof rules.trust);
    return rules;
}

static int on_server_name(SSL *ssl, int *alert, void *context)
{
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *chosen = context_for_name(context, name);
    if (chosen != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, chosen) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return name != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static bool is_to_pause(SSL *ssl)
{
    struct tls_session *session = session_of(ssl);
    session->has_paused = session->is_sparing;
    return session->has_paused;
}

/* RFC 8446, 4.2.1: a list of versions with its length in front. */
static bool offers_tls_1_3(SSL *ssl)
{
    const uint8_t *p;
    size_t n;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &p, &n) != 1)
        return false;
    for (size_t i = 1; i + 1 < n; i += 2) {
        if (p[i] == 0x03 && p[i + 1] == 0x04)
            return true;
    }
    return false;
}

/* TLS 1.3 agrees on keys in the answer to the hello, resumed or not. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    return offers_tls_1_3(ssl) && is_to_pause(ssl) ? SSL_CLIENT_HELLO_RETRY
                                                   : SSL_CLIENT_HELLO_SUCCESS;
}

/* Before anything is signed; not asked where a session is resumed. Negative: again later. */
static int on_certificate(SSL *ssl, void *arg)
{
    (void)arg;
    return is_to_pause(ssl) ? -1 : 1;
}

static int on_ticket_key(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_sealing)
{
    struct ticket_keys *keys = session_of(ssl)->context->tls->ticket_keys;
    return is_sealing ? ticket_keys_seal(keys, name, iv, cipher, mac)
                      : ticket_keys_unseal(keys, name, iv, cipher, mac);
}

static int on_ticket_given(SSL *ssl, void *context)
{
    struct ticket_rules rules = rules_of(context);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &rules, sizeof rules);
}

static bool is_trusted(SSL_SESSION *session, const struct context *context)
{
    void *bytes = NULL;
    size_t n = 0;
    struct ticket_rules rules = rules_of(context);
    if (SSL_SESSION_get0_ticket_appdata(session, &bytes, &n) != 1 || n != sizeof rules ||
        memcmp(bytes, &rules, n) != 0)
        return false;
    X509 *peer = SSL_SESSION_get0_peer(session);
    return peer == NULL || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0;
}

static SSL_TICKET_RETURN on_ticket_taken(SSL *ssl, SSL_SESSION *session, const uint8_t *name,
                                         size_t n_name, SSL_TICKET_STATUS status, void *context)
{
    (void)name;
    (void)n_name;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!is_trusted(session, context)) {
        state_count(&((struct context *)context)->tls->counters.tickets_refused);
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    /* RFC 8446, C.4: clients of TLS 1.3 use a ticket once, and need another to go on resuming. */
    bool renews = status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION;
    return renews ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

bool callback_install(SSL_CTX *ctx, struct context *context)
{
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    return SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name) == 1 &&
           SSL_CTX_set_tlsext_servername_arg(ctx, context) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, on_ticket_given, on_ticket_taken, context) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 1) == 1;
}
