#include "server/transport_tls.h"

#include "server/address.h"
#include "server/conn.h"
#include "server/jobs.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/steps.h"
#include "server/watch.h"
#include "tls/tls.h"

#include <stdlib.h>

/* What TLS adds to a connection. */
struct link {
    struct tls *tls;
    struct tls_session *session; /* NULL until the peer has spoken */
    struct conn *conn;
    struct job job;         /* a part of the handshake, on a job thread */
    struct message message; /* its end, back on the worker */
    enum tls_outcome outcome;
};

static struct link *link_of(const struct conn *conn)
{
    return conn->transport_state;
}

struct tls_session *transport_tls_session(const struct conn *conn)
{
    return conn->transport == &transport_tls ? link_of(conn)->session : NULL;
}

static enum tls_client_cert wanted_cert(const struct listener *listener)
{
    switch (listener_spec(listener)->tls) {
    case LISTEN_TLS_WITHOUT_PEER:
        return TLS_CLIENT_CERT_NONE;
    case LISTEN_TLS_WITH_PEER:
        return TLS_CLIENT_CERT_REQUIRE;
    default:
        return TLS_CLIENT_CERT_DEFAULT;
    }
}

bool transport_tls_attach(struct conn *conn)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return false;
    link->conn = conn;
    link->tls = conn->worker->server->tls;
    conn->transport = &transport_tls;
    conn->transport_state = link;
    return true;
}

/* One line per address and minute tells the operator who speaks the wrong language. */
static void report_failure(struct conn *conn)
{
    struct log *log = conn->worker->server->log;
    struct tls_session *session = link_of(conn)->session;
    char address[ADDRESS_TEXT_MAX];
    struct tls_report report;
    address_render_host(&conn->peer, address, sizeof address);
    switch (tls_session_fault(session)) {
    case TLS_FAULT_PLAIN:
        if (watch_is_on(conn->worker->server->watch, WATCH_CONNEVENTS))
            watch_tls_error(conn, "plaintext on a TLS port");
        log_security(log, "plaintext_on_tls_port", LOG_STR("address", address),
                     LOG_STR("listener", listener_name(conn->listener)), LOG_END);
        break;
    case TLS_FAULT_PEER:
    case TLS_FAULT_PROTOCOL:
        tls_session_explain(session, &report);
        if (watch_is_on(conn->worker->server->watch, WATCH_CONNEVENTS))
            watch_tls_error(conn, report.text);
        log_security(log, "tls_failed", LOG_STR("address", address), LOG_STR("reason", report.text),
                     LOG_END);
        break;
    default:
        break;
    }
}

static enum io io_of(struct conn *conn, enum tls_outcome outcome)
{
    conn->io_wanted = 0;
    switch (outcome) {
    case TLS_DONE:
        return IO_DONE;
    case TLS_WANT_READ:
        conn->io_wanted = EV_READ;
        return IO_WANT_READ;
    case TLS_WANT_WRITE:
        conn->io_wanted = EV_WRITE;
        return IO_WANT_WRITE;
    case TLS_CLOSED:
        break;
    }
    return IO_CLOSED;
}

/* ---- handshake: costly parts run on a job thread; the worker waits for the socket between ---- */

/* What a session takes of time and memory is not spent on a peer that says nothing. */
static bool has_session(struct link *link)
{
    const struct conn *conn = link->conn;
    if (link->session == NULL)
        link->session = tls_session_create(link->tls, conn->fd, wanted_cert(conn->listener));
    return link->session != NULL;
}

static void handshake_done(struct worker *worker, struct message *message)
{
    struct link *link = (struct link *)((char *)message - offsetof(struct link, message));
    (void)worker;
    conn_job_done(link->conn);
}

static void handshake_run(struct job *job)
{
    struct link *link = (struct link *)((char *)job - offsetof(struct link, job));
    struct worker *worker = link->conn->worker;
    link->outcome = has_session(link) ? tls_handshake(link->session) : TLS_CLOSED;
    worker_tell(worker, &link->message);
}

static void handshake_submit(struct conn *conn)
{
    struct link *link = link_of(conn);
    link->job.run = handshake_run;
    link->message.run = handshake_done;
    conn->has_job = true;
    jobs_submit(conn->worker->server->jobs, &link->job);
}

/* The way to a job thread and back costs more than some parts do: those are done here. */
static bool handshake_lightly(struct conn *conn)
{
    struct link *link = link_of(conn);
    return !conn->worker->has_shaken && has_session(link) &&
           tls_handshake_lightly(link->session, &link->outcome);
}

static enum io tls_transport_handshake(struct conn *conn)
{
    struct link *link = link_of(conn);
    if (!conn->is_job_done && !handshake_lightly(conn)) {
        handshake_submit(conn);
        return IO_JOB;
    }
    conn->is_job_done = false;
    enum io io = io_of(conn, link->outcome);
    if (io == IO_CLOSED && link->session != NULL)
        report_failure(conn);
    return io;
}

/* ---- after the handshake ---- */

static enum io tls_transport_readv(struct conn *conn, const struct iovec *iov, int n_iov,
                                   size_t *n_out)
{
    struct tls_session *session = link_of(conn)->session;
    size_t n_all = 0;
    for (int i = 0; i < n_iov; i++) {
        size_t n = 0;
        enum tls_outcome outcome = tls_read(session, iov[i].iov_base, iov[i].iov_len, &n);
        if (outcome != TLS_DONE && n_all == 0)
            return io_of(conn, outcome);
        n_all += n;
        if (n < iov[i].iov_len || !tls_has_pending(session))
            break;
    }
    *n_out = n_all;
    return io_of(conn, TLS_DONE);
}

/* Records are filled: what lies scattered is gathered first. */
static enum io write_pieces(struct conn *conn, const struct slice *pieces, size_t n_pieces,
                            size_t n_all, size_t *n_out)
{
    struct worker *worker = conn->worker;
    struct tls_session *session = link_of(conn)->session;
    size_t n_done = 0, n = 0;
    while (n_done < n_all) {
        struct slice bytes =
            tls_gather(pieces, n_pieces, n_done, worker->record, worker->record_capacity);
        tls_expect_more(session, n_done + bytes.n < n_all);
        enum tls_outcome outcome = tls_write(session, bytes.p, bytes.n, &n);
        if (outcome != TLS_DONE && n_done == 0)
            return io_of(conn, outcome);
        if (outcome != TLS_DONE)
            break;
        n_done += n;
    }
    *n_out = n_done;
    return io_of(conn, TLS_DONE);
}

static enum io tls_transport_writev(struct conn *conn, const struct iovec *iov, int n_iov,
                                    size_t *n_out)
{
    struct worker *worker = conn->worker;
    struct slice pieces[OUTPUT_IOV_MAX];
    size_t n_all = 0;
    MUST(n_iov <= OUTPUT_IOV_MAX);
    for (int i = 0; i < n_iov; i++) {
        pieces[i] = slice_of(iov[i].iov_base, iov[i].iov_len);
        n_all += iov[i].iov_len;
    }
    if (worker->record == NULL)
        worker->record = malloc(worker->record_capacity);
    if (worker->record == NULL)
        return IO_CLOSED;
    return write_pieces(conn, pieces, (size_t)n_iov, n_all, n_out);
}

static bool tls_transport_has_pending(const struct conn *conn)
{
    return tls_has_pending(link_of(conn)->session);
}

static void tls_transport_close(struct conn *conn)
{
    struct link *link = link_of(conn);
    if (!conn->has_job && link->session != NULL && tls_session_is_ready(link->session)) {
        /* A socket that does not take the close_notify loses it: nobody waits for it. */
        enum tls_outcome ignored = tls_shutdown(link->session);
        (void)ignored;
    }
}

static void tls_transport_free(struct conn *conn)
{
    struct link *link = link_of(conn);
    tls_session_destroy(&link->session);
    free(link);
    conn->transport_state = NULL;
}

const struct transport transport_tls = {
    .name = "tls",
    .handshake = tls_transport_handshake,
    .readv = tls_transport_readv,
    .writev = tls_transport_writev,
    .has_pending = tls_transport_has_pending,
    .close = tls_transport_close,
    .free = tls_transport_free,
};
