#include "tls/session.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tls/report.h"
#include "tls/wire.h"

/* A record of 16 KiB may come in pieces; more than this waits for the next turn. */
#define RECVS_PER_CALL 2

/* Bytes without a byte of data, after which the peer is only making work: with key updates, 64 KiB
 * of them cost 25 ms. A record with data is 16 KiB and a little. */
#define FRUITLESS_MAX (64 * 1024)

/* What one record takes at most, and so what a pending one can hold back. */
#define RECORD_MAX 16384

static int effective_verify(const struct context *context, enum tls_client_cert client_cert)
{
    static const int modes[] = {
        [TLS_VERIFY_NONE] = SSL_VERIFY_NONE,
        [TLS_VERIFY_REQUEST] = SSL_VERIFY_PEER,
        [TLS_VERIFY_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [TLS_VERIFY_ONCE] =
            SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE,
    };
    if (client_cert == TLS_CLIENT_CERT_NONE)
        return SSL_VERIFY_NONE;
    if (client_cert == TLS_CLIENT_CERT_REQUIRE)
        return modes[TLS_VERIFY_REQUIRE];
    return modes[context->config.verify];
}

/* Sessions are resumed only where as much was asked of the client as when they were made. */
static bool set_verify(SSL *ssl, int mode)
{
    uint8_t id[] = {'k', 'e', 'e', 'p', 'd', (uint8_t)mode};
    SSL_set_verify(ssl, mode, NULL);
    return SSL_set_session_id_context(ssl, id, sizeof id) == 1;
}

struct tls_session *tls_session_create(struct tls *tls, int fd, enum tls_client_cert client_cert)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    ERR_clear_error();
    session->fd = fd;
    session->context = state_take(tls);
    const struct context *context = session->context;
    session->ssl = SSL_new(context->ssl_ctx);
    if (session->ssl == NULL || SSL_set_app_data(session->ssl, session) != 1 ||
        !set_verify(session->ssl, effective_verify(context, client_cert)) ||
        !wire_attach(session, tls->wire, context->config.has_kernel_tls)) {
        ERR_clear_error();
        tls_session_destroy(&session);
        return NULL;
    }
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_destroy(struct tls_session **session)
{
    struct tls_session *s = *session;
    if (s == NULL)
        return;
    *session = NULL;
    /* OpenSSL forgets a cached session that was not shut down: clients often just go. */
    if (s->ssl != NULL && s->is_ready && !s->is_broken)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    state_drop(&s->context);
    free(s);
}

/* Has the peer begun with something that is no TLS? */
static bool is_plain(const struct tls_session *session)
{
    return !session->is_ready && session->opening != TLS_OPENING_HELLO &&
           session->opening != TLS_OPENING_NONE;
}

static enum tls_fault classify(const struct tls_session *session, unsigned long error)
{
    if (is_plain(session))
        return TLS_FAULT_PLAIN;
    if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        return TLS_FAULT_SYSTEM;
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return TLS_FAULT_PROTOCOL;
    switch (ERR_GET_REASON(error)) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return TLS_FAULT_PEER;
    default:
        return TLS_FAULT_PROTOCOL;
    }
}

static void count_end(struct tls_session *session)
{
    struct state_counters *counters = &session->context->tls->counters;
    if (session->fault == TLS_FAULT_CUT)
        state_count(&counters->cut_ends);
    if (!session->is_ready) {
        state_count(&counters->handshakes_failed);
        if (session->fault == TLS_FAULT_PLAIN)
            state_count(&counters->handshakes_plain);
    } else if (session->fault == TLS_FAULT_PROTOCOL) {
        state_count(&counters->proto_errors);
    }
}

/* The first fault is the one that is told and counted. */
static enum tls_outcome end(struct tls_session *session, enum tls_fault fault)
{
    session->has_ended = true;
    if (session->fault == TLS_FAULT_NONE && fault != TLS_FAULT_NONE) {
        session->fault = fault;
        count_end(session);
    }
    return TLS_CLOSED;
}

/* An end after which OpenSSL must not be called again. A peer that only stopped sending, with
 * close_notify or without, may still want our answers. */
static enum tls_outcome break_off(struct tls_session *session, enum tls_fault fault)
{
    session->is_broken = true;
    return end(session, fault);
}

/* Before every call of OpenSSL that can fail: its queue belongs to the thread, not to us. */
static void begin(struct tls_session *session)
{
    session->n_recvs_left = RECVS_PER_CALL;
    ERR_clear_error();
    errno = 0;
}

/* What OpenSSL's return value of 0 or less means. */
static enum tls_outcome settle(struct tls_session *session, int result)
{
    int error = errno;
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_CLIENT_HELLO_CB: /* has_paused: nobody looks at the outcome */
    case SSL_ERROR_WANT_X509_LOOKUP:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: {
        bool is_clean = session->is_ready && !session->saw_eof;
        if (is_plain(session))
            return end(session, TLS_FAULT_PLAIN);
        return end(session, is_clean ? TLS_FAULT_NONE : TLS_FAULT_CUT);
    }
    case SSL_ERROR_SSL:
        session->openssl_error = ERR_get_error();
        ERR_clear_error();
        return break_off(session, classify(session, session->openssl_error));
    default:
        ERR_clear_error();
        if (is_plain(session))
            return break_off(session, TLS_FAULT_PLAIN);
        if (session->saw_eof || error == ECONNRESET || error == EPIPE)
            return break_off(session, TLS_FAULT_CUT);
        if (session->system_error == 0)
            session->system_error = error;
        return break_off(session, TLS_FAULT_SYSTEM);
    }
}

/* Tickets are judged when they come back; a session of the cache has only its time, which must not
 * be longer than that of the client's certificate. */
static void bound_cached_session(SSL *ssl)
{
    const X509 *peer = SSL_get0_peer_certificate(ssl);
    SSL_SESSION *cached = SSL_get_session(ssl);
    int days, seconds;
    if (peer == NULL || cached == NULL ||
        ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(peer)) != 1)
        return;
    long left_s = days < 1 ? seconds : TICKET_PERIOD_S;
    if (left_s < SSL_SESSION_get_timeout(cached))
        (void)SSL_SESSION_set_timeout(cached, left_s > 0 ? left_s : 0);
}

static void note_handshake(struct tls_session *session)
{
    struct state_counters *counters = &session->context->tls->counters;
    session->is_ready = true;
    session->is_drained = SSL_has_pending(session->ssl) == 0;
    session->n_fruitless = 0;
    bool is_resumed = SSL_session_reused(session->ssl) == 1;
    if (!is_resumed && session->context->config.has_session_cache)
        bound_cached_session(session->ssl);
    state_count(is_resumed ? &counters->handshakes_resumed : &counters->handshakes_full);
}

/* With the kernel's TLS, OpenSSL's BIO reads the socket and keeps the bytes to itself. */
static void peek_opening(struct tls_session *session)
{
    uint8_t bytes[6];
    ssize_t n = recv(session->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        session->opening = tls_recognise(slice_of(bytes, (size_t)n));
}

enum tls_outcome tls_handshake(struct tls_session *session)
{
    if (session->has_ended)
        return TLS_CLOSED;
    if (session->is_ready)
        return TLS_DONE;
    if (session->opening == TLS_OPENING_NONE && session->context->config.has_kernel_tls)
        peek_opening(session);
    begin(session);
    int result = SSL_do_handshake(session->ssl);
    if (result == 1) {
        note_handshake(session);
        return TLS_DONE;
    }
    enum tls_outcome outcome = settle(session, result);
    /* A line shorter than a record's head would leave OpenSSL waiting for the rest of it. */
    if (outcome != TLS_CLOSED && is_plain(session))
        return break_off(session, TLS_FAULT_PLAIN);
    return outcome;
}

/* Is a hello all that the next step reads? What it costs is then found out on the way. Or are the
 * keys agreed on, and nothing but the client's Finished to come, without a certificate? */
static bool may_be_light(const struct tls_session *session)
{
    const SSL *ssl = session->ssl;
    uint8_t byte;
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
    if (session->has_ended || session->is_ready || session->has_paused)
        return false;
    if (state == TLS_ST_BEFORE || state == TLS_ST_SR_CLNT_HELLO)
        return true;
    return SSL_get_finished(ssl, &byte, sizeof byte) > 0 &&
           (SSL_session_reused(ssl) == 1 || SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE);
}

bool tls_handshake_lightly(struct tls_session *session, enum tls_outcome *outcome_out)
{
    if (!may_be_light(session))
        return false;
    session->is_sparing = true;
    enum tls_outcome outcome = tls_handshake(session);
    session->is_sparing = false;
    if (session->has_paused)
        return false;
    *outcome_out = outcome;
    return true;
}

enum tls_outcome tls_read(struct tls_session *session, uint8_t *out, size_t n, size_t *n_out)
{
    MUST(n > 0 && session->is_ready);
    if (session->has_ended)
        return TLS_CLOSED;
    /* A key update's answer cannot pass a record that waits; OpenSSL would end the session. */
    if (session->n_retry > 0)
        return session->retry_wants;
    begin(session);
    session->is_drained = false;
    size_t total = 0;
    while (total < n) {
        size_t got;
        int result = SSL_read_ex(session->ssl, out + total, n - total, &got);
        if (result != 1) {
            enum tls_outcome outcome = settle(session, result);
            session->is_drained = outcome == TLS_WANT_READ;
            if (session->n_fruitless > FRUITLESS_MAX && outcome != TLS_CLOSED)
                outcome = break_off(session, TLS_FAULT_PROTOCOL);
            if (total == 0)
                return outcome;
            break;
        }
        total += got;
        session->n_fruitless = 0;
        if (SSL_has_pending(session->ssl) == 0) {
            session->is_drained = true;
            break;
        }
    }
    *n_out = total;
    return TLS_DONE;
}

void tls_expect_more(struct tls_session *session, bool is_followed)
{
    session->is_followed = is_followed;
}

enum tls_outcome tls_write(struct tls_session *session, const uint8_t *bytes, size_t n,
                           size_t *n_out)
{
    MUST(n > 0 && session->is_ready);
    if (session->is_broken)
        return TLS_CLOSED;
    MUST(n >= session->n_retry);
    begin(session);
    size_t total = 0;
    while (total < n) {
        size_t put;
        session->may_hold = session->is_followed || n - total > RECORD_MAX;
        int result = SSL_write_ex(session->ssl, bytes + total, n - total, &put);
        if (result != 1) {
            enum tls_outcome outcome = settle(session, result);
            size_t n_left = n - total;
            session->retry_wants = outcome;
            session->n_retry = (uint32_t)(n_left < RECORD_MAX ? n_left : RECORD_MAX);
            if (total == 0)
                return outcome;
            break;
        }
        session->n_retry = 0;
        total += put;
    }
    *n_out = total;
    return TLS_DONE;
}

enum tls_outcome tls_shutdown(struct tls_session *session)
{
    if (!session->is_ready || session->is_broken)
        return TLS_DONE;
    begin(session);
    session->may_hold = false;
    int result = SSL_shutdown(session->ssl);
    return result >= 0 ? TLS_DONE : settle(session, result);
}

bool tls_has_pending(const struct tls_session *session)
{
    return session->is_ready && !session->is_drained;
}

bool tls_session_is_ready(const struct tls_session *session)
{
    return session->is_ready;
}

bool tls_session_is_resumed(const struct tls_session *session)
{
    return session->is_ready && SSL_session_reused(session->ssl) == 1;
}

enum tls_fault tls_session_fault(const struct tls_session *session)
{
    return session->fault;
}
