#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "tls/certificate.h"
#include "tls/session.h"

bool tls_session_has_peer(const struct tls_session *session)
{
    return session->is_ready && SSL_get0_peer_certificate(session->ssl) != NULL &&
           SSL_get_verify_result(session->ssl) == X509_V_OK &&
           (SSL_get_verify_mode(session->ssl) & SSL_VERIFY_PEER) != 0;
}

/* "admin\0.example" and line ends are tricks against whoever compares or logs. */
static bool is_clean(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return n > 0;
}

/* False only when memory is short; a name that is not clean, or one too many, is left out. */
static bool add_name(struct tls_peer *peer, enum tls_name_kind kind, const char *text, size_t n)
{
    if (peer->n_names == TLS_PEER_NAMES_MAX || !is_clean(text, n))
        return true;
    char *copy = strndup(text, n);
    if (copy == NULL)
        return false;
    peer->names[peer->n_names++] = (struct tls_name){kind, copy};
    return true;
}

static bool add_common_name(struct tls_peer *peer, X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return true;
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    uint8_t *text = NULL;
    int n = ASN1_STRING_to_UTF8(&text, value);
    bool is_added = n >= 0 && add_name(peer, TLS_NAME_CN, (const char *)text, (size_t)n);
    OPENSSL_free(text);
    return is_added;
}

static bool add_general_name(struct tls_peer *peer, const GENERAL_NAME *name)
{
    const ASN1_IA5STRING *text;
    enum tls_name_kind kind;
    switch (name->type) {
    case GEN_DNS:
        kind = TLS_NAME_DNS;
        text = name->d.dNSName;
        break;
    case GEN_URI:
        kind = TLS_NAME_URI;
        text = name->d.uniformResourceIdentifier;
        break;
    case GEN_EMAIL:
        kind = TLS_NAME_EMAIL;
        text = name->d.rfc822Name;
        break;
    default:
        return true;
    }
    return add_name(peer, kind, (const char *)ASN1_STRING_get0_data(text),
                    (size_t)ASN1_STRING_length(text));
}

static bool add_alternative_names(struct tls_peer *peer, X509 *certificate)
{
    int is_critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &is_critical, NULL);
    /* -1 is OpenSSL's "not there"; what is there must be understood. */
    bool is_whole = names != NULL || is_critical == -1;
    for (int i = 0; is_whole && i < sk_GENERAL_NAME_num(names); i++)
        is_whole = add_general_name(peer, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    return is_whole;
}

struct tls_peer *tls_peer_create(const struct tls_session *session)
{
    if (!tls_session_has_peer(session))
        return NULL;
    X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    struct tls_peer *peer = calloc(1, sizeof *peer);
    struct certificate_facts facts;
    bool is_whole = peer != NULL && certificate_describe(certificate, &facts) &&
                    (peer->subject = strdup(facts.subject)) != NULL &&
                    add_common_name(peer, certificate) && add_alternative_names(peer, certificate);
    ERR_clear_error();
    if (!is_whole) {
        tls_peer_destroy(&peer);
        return NULL;
    }
    memcpy(peer->fingerprint, facts.fingerprint, sizeof peer->fingerprint);
    memcpy(peer->serial, facts.serial, sizeof peer->serial);
    peer->not_after_s = facts.not_after_s;
    return peer;
}

void tls_peer_destroy(struct tls_peer **peer)
{
    struct tls_peer *p = *peer;
    if (p == NULL)
        return;
    *peer = NULL;
    for (size_t i = 0; i < p->n_names; i++)
        free(p->names[i].text);
    free(p->subject);
    free(p);
}
