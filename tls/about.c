/* What a session can tell about itself: for logs, statistics and cyrus. */
#include <openssl/err.h>
#include <stdio.h>

#include "tls/report.h"
#include "tls/session.h"

static void explain_openssl(const struct tls_session *session, struct tls_report *report)
{
    char error[256];
    ERR_error_string_n(session->openssl_error, error, sizeof error);
    long verdict = SSL_get_verify_result(session->ssl);
    if (session->fault == TLS_FAULT_PEER && verdict != X509_V_OK)
        snprintf(report->text, sizeof report->text, "%s: %s", error,
                 X509_verify_cert_error_string(verdict));
    else
        snprintf(report->text, sizeof report->text, "%s", error);
}

void tls_session_explain(const struct tls_session *session, struct tls_report *report_out)
{
    static const char *const words[] = {
        [TLS_FAULT_NONE] = "",
        [TLS_FAULT_PLAIN] = "the client does not speak TLS",
        [TLS_FAULT_PEER] = "the client's certificate was refused",
        [TLS_FAULT_PROTOCOL] = "TLS protocol error",
        [TLS_FAULT_CUT] = "the client ended the connection without close_notify",
        [TLS_FAULT_SYSTEM] = "the socket failed",
    };
    if (session->openssl_error != 0)
        explain_openssl(session, report_out);
    else if (session->system_error != 0)
        snprintf(report_out->text, sizeof report_out->text, "%s", strerror(session->system_error));
    else
        snprintf(report_out->text, sizeof report_out->text, "%s", words[session->fault]);
}

unsigned tls_session_cipher_bits(const struct tls_session *session)
{
    int bits = SSL_get_cipher_bits(session->ssl, NULL);
    return bits > 0 ? (unsigned)bits : 0;
}

/* RFC 9266. */
static bool bind_exporter(SSL *ssl, struct tls_binding *binding)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    binding->name = "tls-exporter";
    binding->n = 32;
    return SSL_export_keying_material(ssl, binding->bytes, binding->n, label, sizeof label - 1,
                                      (const uint8_t *)"", 0, 1) == 1;
}

/* RFC 5929, 3.1: the first Finished of the handshake: the client's, or the server's if resumed.
 * RFC 7627, 1: without extended master secret two connections can be made to share it. */
static bool bind_unique(SSL *ssl, struct tls_binding *binding)
{
    if (SSL_get_extms_support(ssl) != 1)
        return false;
    binding->name = "tls-unique";
    binding->n = SSL_session_reused(ssl) == 1
                     ? SSL_get_finished(ssl, binding->bytes, sizeof binding->bytes)
                     : SSL_get_peer_finished(ssl, binding->bytes, sizeof binding->bytes);
    return binding->n > 0 && binding->n <= sizeof binding->bytes;
}

bool tls_session_binding(struct tls_session *session, struct tls_binding *binding_out)
{
    if (!session->is_ready)
        return false;
    ERR_clear_error();
    struct tls_binding binding;
    bool is_there = SSL_version(session->ssl) >= TLS1_3_VERSION
                        ? bind_exporter(session->ssl, &binding)
                        : bind_unique(session->ssl, &binding);
    ERR_clear_error();
    if (is_there)
        *binding_out = binding;
    return is_there;
}
