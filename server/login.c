#include "server/login.h"

#include "server/answer.h"
#include "server/create_auth.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/steps.h"
#include "server/strangers.h"
#include "server/tenants.h"
#include "server/transport_tls.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <sys/socket.h>

#define BINDING_MAX 64
#define EVERYTHING  UINT32_MAX
#define BODY_MAX    (64u << 10) /* bytes of a refused body that are swallowed before login */

struct login {
    struct auth_session *session;
    struct conn *conn;
    struct message message; /* the check is done */
    uint8_t verb;           /* what to answer: */
    uint8_t dialect;
    uint8_t opcode;
    uint32_t opaque;
    uint8_t status; /* of the answer, once it is known */
    bool must_close;
    struct slice data; /* server data of the answer; auth's until the next message */
};

static struct auth_now now_of(const struct conn *conn)
{
    return auth_time(conn->worker->server);
}

/* Neither protocol nor auth knows the other, and both have the list. */
#define CLASS(name, word, before, pending, after) \
    _Static_assert((int)CLASS_##name == (int)AUTH_CLASS_##name, "one order of classes");
#include "auth/classes.def"
#undef CLASS
_Static_assert((int)N_CLASSES == (int)N_AUTH_CLASSES, "one list of classes");

static struct auth *auth_of(const struct conn *conn)
{
    return conn->worker->server->auth;
}

/* NULL: nobody is logged in. */
static struct auth_identity *identity_of(const struct conn *conn)
{
    return conn->login != NULL ? auth_session_identity(conn->login->session) : NULL;
}

bool login_is_operator(const struct conn *conn)
{
    return (conn->session.allowed & (1u << CLASS_ADMIN)) != 0;
}

bool login_is_due(const struct conn *conn)
{
    return auth_of(conn) != NULL && identity_of(conn) == NULL;
}

/* ---- what auth is told about the transport ---- */

/* Names and binding data live in here while auth copies them. */
struct facts {
    struct auth_transport transport;
    struct auth_name names[TLS_PEER_NAMES_MAX];
    struct tls_peer *peer;
    struct tls_binding binding;
};

static void tell_address(const union address *peer, struct auth_transport *transport)
{
    if (peer->family == AF_INET) {
        uint32_t ip = ntohl(peer->v4.sin_addr.s_addr);
        transport->address.family = AUTH_PEER_IPV4;
        memcpy(transport->address.ip, &peer->v4.sin_addr, 4);
        transport->is_loopback = ip >> 24 == 127;
    } else if (peer->family == AF_INET6) {
        transport->address.family = AUTH_PEER_IPV6;
        memcpy(transport->address.ip, &peer->v6.sin6_addr, 16);
        transport->is_loopback = IN6_IS_ADDR_LOOPBACK(&peer->v6.sin6_addr);
    } else {
        transport->address.family = AUTH_PEER_UNIX;
        transport->is_unix = true;
    }
}

static void tell_unix_peer(const struct conn *conn, struct auth_transport *transport)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
        return;
    transport->has_peer_ids = true;
    transport->uid = peer.uid;
    transport->gid = peer.gid;
}

static enum auth_name_kind kind_of(enum tls_name_kind kind)
{
    switch (kind) {
    case TLS_NAME_DNS:
        return AUTH_CERT_DNS;
    case TLS_NAME_URI:
        return AUTH_CERT_URI;
    case TLS_NAME_EMAIL:
        return AUTH_CERT_EMAIL;
    default:
        return AUTH_CERT_CN;
    }
}

static void tell_tls(struct tls_session *session, struct facts *facts)
{
    struct auth_transport *transport = &facts->transport;
    transport->is_tls = true;
    transport->ssf = tls_session_cipher_bits(session);
    if (tls_session_binding(session, &facts->binding)) {
        transport->binding_type = facts->binding.name;
        transport->binding = slice_of(facts->binding.bytes, facts->binding.n);
    }
    facts->peer = tls_peer_create(session);
    if (facts->peer == NULL)
        return;
    for (size_t i = 0; i < facts->peer->n_names; i++)
        facts->names[i] =
            (struct auth_name){kind_of(facts->peer->names[i].kind), facts->peer->names[i].text};
    transport->names = facts->names;
    transport->n_names = facts->peer->n_names;
}

static void gather_facts(const struct conn *conn, struct facts *facts)
{
    struct tls_session *session = transport_tls_session(conn);
    memset(&facts->transport, 0, sizeof facts->transport);
    facts->peer = NULL;
    tell_address(&conn->peer, &facts->transport);
    if (facts->transport.is_unix)
        tell_unix_peer(conn, &facts->transport);
    if (session != NULL)
        tell_tls(session, facts);
}

/* ---- the session ---- */

static bool bind_tenant(struct conn *conn, struct tenant *tenant)
{
    struct tenant_counters *counters = tenant_counters_of(tenant, conn->worker->id);
    if (counters == NULL)
        return false;
    conn->session.tenant = tenant;
    atomic_store_explicit(&conn->shown_tenant, tenant, memory_order_relaxed);
    conn->session.cache = tenant->cache;
    conn->session.counters = counters;
    return true;
}

/* The rights of the identity, or those of nobody. */
static void set_rights(struct conn *conn)
{
    struct auth *auth = auth_of(conn);
    conn->session.allowed =
        auth == NULL ? EVERYTHING
                     : auth_gate_mask(auth, conn->login != NULL ? conn->login->session : NULL);
}

static void leave(struct conn *conn)
{
    if (conn->session.has_entered)
        tenant_leave(conn->session.tenant);
    conn->session.has_entered = false;
}

/* Nobody: the default tenant, which is empty where logins are required. */
static bool leave_tenant(struct conn *conn)
{
    leave(conn);
    bool is_bound = bind_tenant(conn, tenants_get(conn->worker->server->tenants, 0));
    set_rights(conn);
    if (auth_of(conn) != NULL)
        strangers_add(conn);
    return is_bound;
}

/* The identity's tenant takes the connection in; false when it is full or unknown. */
static bool enter_tenant(struct conn *conn)
{
    uint32_t id = auth_identity_tenant(identity_of(conn));
    struct tenant *tenant = tenants_get(conn->worker->server->tenants, id);
    if (tenant == NULL || !tenant_enter(tenant))
        return false;
    if (!bind_tenant(conn, tenant)) {
        tenant_leave(tenant);
        return false;
    }
    conn->session.has_entered = true;
    set_rights(conn);
    strangers_remove(conn);
    return true;
}

static void done(void *arg)
{
    struct login *login = arg;
    struct worker *worker = login->conn->worker;
    worker_tell(worker, &login->message);
}

static void run_done(struct worker *worker, struct message *message)
{
    struct login *login = (struct login *)((char *)message - offsetof(struct login, message));
    (void)worker;
    conn_job_done(login->conn);
}

/* The session is made when the first login message comes: until then it costs nothing. */
static struct login *login_of(struct conn *conn)
{
    struct facts facts;
    if (conn->login != NULL)
        return conn->login;
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return NULL;
    gather_facts(conn, &facts);
    bool is_unreadable_peer = transport_tls_session(conn) != NULL &&
                              tls_session_has_peer(transport_tls_session(conn)) &&
                              facts.peer == NULL;
    if (!is_unreadable_peer)
        login->session = auth_session_create(auth_of(conn), &facts.transport);
    tls_peer_destroy(&facts.peer);
    if (login->session == NULL) {
        free(login);
        return NULL;
    }
    login->conn = conn;
    login->message.run = run_done;
    conn->login = login;
    return login;
}

void login_end(struct conn *conn)
{
    struct login *login = conn->login;
    leave(conn);
    if (login == NULL)
        return;
    auth_session_destroy(&login->session);
    free(login);
    conn->login = NULL;
}

void login_by_transport(struct conn *conn)
{
    bool has_proof = listener_is_unix(conn->listener);
    struct tls_session *session = transport_tls_session(conn);
    if (session != NULL)
        has_proof = tls_session_has_peer(session);
    if (auth_of(conn) == NULL || !has_proof)
        return;
    struct login *login = login_of(conn);
    if (login == NULL)
        return;
    if (auth_login_external(login->session, now_of(conn)) != AUTH_OK || !enter_tenant(conn))
        login_end(conn);
}

bool login_begin(struct conn *conn)
{
    if (!leave_tenant(conn))
        return false;
    conn->auth_generation = auth_of(conn) != NULL ? auth_generation(auth_of(conn)) : 0;
    /* Without logins everybody is in it from the start. A datagram socket is no connection. */
    if (auth_of(conn) == NULL && conn->listener != NULL)
        conn->session.has_entered = tenant_enter(conn->session.tenant);
    if (listener_is_unix(conn->listener))
        login_by_transport(conn);
    return true;
}

/* ---- the exchange ---- */

/* The answer, composed when the check is done (and, after a failure, its delay is over). */
static enum step answer_login(struct conn *conn)
{
    struct login *login = conn->login;
    struct request request = {.verb = login->verb,
                              .dialect = login->dialect,
                              .opcode = login->opcode,
                              .opaque = login->opaque};
    struct reply reply = {.status = login->status, .text = login->data};
    conn->is_job_done = false;
    conn->closes_after_flush |= login->must_close;
    login->data = slice_of(NULL, 0);
    return answer(conn, &request, &reply) ? step_answered(conn) : STEP_CLOSE;
}

static enum step collect(struct conn *conn)
{
    struct login *login = conn->login;
    struct auth_outcome outcome;
    conn->is_job_done = false;
    auth_collect(login->session, now_of(conn), &outcome);
    login->must_close = outcome.must_close;
    login->data = outcome.data;
    login->status = outcome.verdict == AUTH_CONTINUE ? STATUS_AUTH_CONTINUE : STATUS_AUTHENTICATED;
    if (outcome.verdict == AUTH_SUCCESS && !enter_tenant(conn)) {
        log_security(conn->worker->server->log, "tenant_full",
                     LOG_STR("user", auth_identity_user(identity_of(conn))), LOG_END);
        outcome.verdict = AUTH_FAILURE;
        login->must_close = true;
    }
    if (outcome.verdict != AUTH_FAILURE)
        return answer_login(conn);
    login->status = STATUS_AUTH_FAILURE;
    login->data = slice_of(NULL, 0);
    if (outcome.delay_ms == 0)
        return answer_login(conn);
    return conn_sleep(conn, outcome.delay_ms, answer_login) ? STEP_WAIT : STEP_CLOSE;
}

static enum execute_result wait_for_check(struct conn *conn)
{
    conn->has_job = true;
    conn_wait_for_job(conn, collect);
    return EXECUTE_MOVED;
}

static enum execute_result take_outcome(struct conn *conn)
{
    conn_take_outcome(conn, collect);
    return EXECUTE_MOVED;
}

static struct login *prepare(struct conn *conn, const struct request *request)
{
    struct login *login = login_of(conn);
    if (login == NULL)
        return NULL;
    login->verb = request->verb;
    login->dialect = request->dialect;
    login->opcode = request->opcode;
    login->opaque = request->opaque;
    return login;
}

static enum execute_result fail_now(struct conn *conn, const struct request *request,
                                    enum status status)
{
    return answer_status(conn, request, status) ? EXECUTE_NEXT : EXECUTE_CLOSE;
}

static struct secret *secret_of(struct slice bytes)
{
    struct secret *secret = secret_create(bytes.n);
    if (secret != NULL && !secret_append(secret, bytes))
        secret_destroy(&secret);
    return secret;
}

enum execute_result login_sasl(struct conn *conn, const struct request *request)
{
    struct auth *auth = auth_of(conn);
    if (auth == NULL || !auth_has_sasl(auth))
        return fail_now(conn, request, STATUS_UNKNOWN_OPCODE);
    if (request->verb == VERB_SASL_LIST) {
        char list[AUTH_LIST_MAX];
        struct facts facts;
        gather_facts(conn, &facts);
        size_t n = auth_mechanisms(auth, &facts.transport, list);
        tls_peer_destroy(&facts.peer);
        return answer_text(conn, request, slice_of(list, n)) ? EXECUTE_NEXT : EXECUTE_CLOSE;
    }
    if (request->value.p == NULL && request->n_value > 0) /* too large to be a login */
        return answer_status(conn, request, STATUS_AUTH_FAILURE) && request->n_value <= BODY_MAX
                   ? EXECUTE_NEXT
                   : EXECUTE_CLOSE;
    struct login *login = prepare(conn, request);
    if (login == NULL)
        return EXECUTE_CLOSE;
    bool is_start = request->verb == VERB_SASL_START;
    if (is_start && slice_is(request->key, "PLAIN") &&
        auth_try_plain(login->session, request->value, now_of(conn))) {
        secret_wipe((void *)request->value.p, request->value.n);
        return leave_tenant(conn) ? take_outcome(conn) : EXECUTE_CLOSE;
    }
    struct secret *data = secret_of(request->value);
    if (data == NULL)
        return EXECUTE_CLOSE;
    secret_wipe((void *)request->value.p, request->value.n);
    enum auth_result result = auth_submit(login->session, is_start ? AUTH_START : AUTH_STEP,
                                          request->key, &data, now_of(conn), done, login);
    secret_destroy(&data);
    /* After auth has dropped the identity: rights read before that would outlive it. */
    if (is_start && !leave_tenant(conn))
        return EXECUTE_CLOSE;
    if (result == AUTH_OK)
        return wait_for_check(conn);
    return fail_now(conn, request, STATUS_AUTH_FAILURE);
}

/* ---- text: the first set is "user password" ---- */

static enum execute_result text_login(struct conn *conn, struct request *request)
{
    request->is_quiet = false;
    if (request->value.p == NULL) {
        request->closes = true;
        return fail_now(conn, request, STATUS_AUTH_TOO_LONG);
    }
    const uint8_t *end = request->value.p + request->value.n;
    if (request->n_trailer != 2 || end[0] != '\r' || end[1] != '\n')
        return fail_now(conn, request, STATUS_BAD_AUTH_END);
    struct login *login = prepare(conn, request);
    if (login == NULL)
        return EXECUTE_CLOSE;
    login->dialect = DIALECT_TEXT;
    login->verb = VERB_SET;
    if (auth_try_text(login->session, request->value, now_of(conn))) {
        secret_wipe((void *)request->value.p, request->value.n);
        return take_outcome(conn);
    }
    struct secret *line = secret_of(request->value);
    if (line == NULL)
        return EXECUTE_CLOSE;
    secret_wipe((void *)request->value.p, request->value.n);
    enum auth_result result = auth_submit_text(login->session, &line, now_of(conn), done, login);
    secret_destroy(&line);
    if (result == AUTH_OK)
        return wait_for_check(conn);
    return fail_now(conn, request,
                    result == AUTH_MALFORMED ? STATUS_BAD_AUTH_TOKEN : STATUS_AUTH_FAILURE);
}

/* Nobody is logged in, and this request is not for everybody. */
static enum execute_result refuse_stranger(struct conn *conn, struct request *request)
{
    bool is_set = request->command.n == 3 && slice_is(request->command, "set");
    if (request->dialect == DIALECT_BINARY) {
        /* Broken packets are told so first, as by memcached; an unknown opcode is not. */
        if (request->verb == VERB_BAD && request->status != STATUS_UNKNOWN_OPCODE)
            return fail_now(conn, request, request->status);
        request->closes = true;
        return fail_now(conn, request, STATUS_UNAUTHENTICATED);
    }
    if (is_set && auth_has_text(auth_of(conn)))
        return text_login(conn, request);
    request->is_quiet = false;
    if (request->n_value > BODY_MAX)
        request->closes = true;
    return fail_now(conn, request, STATUS_UNAUTHENTICATED);
}

enum status login_status_denied(const struct request *request)
{
    switch (verb_class(request->verb)) {
    case CLASS_READ:
        return STATUS_MISS;
    case CLASS_DELETE:
    case CLASS_TOUCH:
        return STATUS_NOT_FOUND;
    case CLASS_INCR: /* text clients take any other line for the new number */
        return request->dialect == DIALECT_TEXT ? STATUS_NOT_FOUND : STATUS_NOT_STORED;
    case CLASS_WRITE:
        return STATUS_NOT_STORED;
    case CLASS_FLUSH:
        return STATUS_FLUSH_DENIED;
    default:
        return STATUS_DENIED;
    }
}

enum execute_result login_refuse(struct conn *conn, struct request *request, bool *is_allowed_out)
{
    struct auth *auth = auth_of(conn);
    struct auth_session *session = conn->login != NULL ? conn->login->session : NULL;
    enum auth_class class = (enum auth_class)verb_class(request->verb);
    *is_allowed_out = false;
    switch (auth_gate(auth, session, class)) {
    case AUTH_ALLOW:
        *is_allowed_out = true;
        return EXECUTE_NEXT;
    case AUTH_WARN:
        auth_note_denial(auth, session, class, request->key, now_of(conn));
        *is_allowed_out = true;
        return EXECUTE_NEXT;
    case AUTH_DENY:
        auth_note_denial(auth, session, class, request->key, now_of(conn));
        if (request->verb == VERB_STATS)
            return answer_stat_end(conn, request) ? EXECUTE_NEXT : EXECUTE_CLOSE;
        /* Without the right to read, not even that the counter is there is told. */
        if (class == (enum auth_class)CLASS_INCR && !(conn->session.allowed >> CLASS_READ & 1))
            return fail_now(conn, request, STATUS_NOT_FOUND);
        return fail_now(conn, request, login_status_denied(request));
    case AUTH_WAIT: /* bytes behind a pending login are not parsed */
    case AUTH_NEED_LOGIN:
        break;
    }
    return refuse_stranger(conn, request);
}

/* ---- sessions that end ---- */

/* One refusal that nobody asked for: clients take 0x20 as the end of the session. */
static void tell_revoked(struct conn *conn)
{
    bool is_binary = conn->parser.protocol == PROTOCOL_BINARY;
    struct request request = {
        .verb = VERB_NOOP, .opcode = 0x0a, .dialect = is_binary ? DIALECT_BINARY : DIALECT_TEXT};
    if (state_now(conn) != CONN_HEAD || !answer_status(conn, &request, STATUS_UNAUTHENTICATED))
        return;
    enum step ignored = conn_flush(conn, CONN_HEAD);
    (void)ignored;
}

bool login_is_current(struct conn *conn)
{
    struct auth_identity *identity = identity_of(conn);
    uint64_t generation = auth_generation(auth_of(conn));
    if (identity == NULL)
        return true;
    if (!auth_identity_is_current(identity, server_now(conn->worker->server))) {
        tell_revoked(conn);
        return false;
    }
    if (generation != conn->auth_generation) {
        conn->auth_generation = generation;
        set_rights(conn);
    }
    return true;
}
