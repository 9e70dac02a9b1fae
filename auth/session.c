#include "auth/session.h"

#include "auth/plain.h"

#include <stdlib.h>

static struct auth_session *session_of(struct pool_job *job)
{
    return (struct auth_session *)(void *)job;
}

static void session_free(struct auth_session *session)
{
    exchange_close(session);
    identity_destroy(&session->identity);
    identity_destroy(&session->proven);
    secret_destroy(&session->data);
    for (size_t i = 0; i < session->transport.n_names; i++)
        free((char *)(uintptr_t)session->names[i].text);
    free(session->names);
    free(session->mechanisms);
    free(session->out);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

/* ---- on an auth thread ---- */

static void session_run(struct pool_job *job, uint64_t now_ms)
{
    struct auth_session *session = session_of(job);
    uint64_t start_ms = 0;
    pthread_mutex_lock(&session->lock);
    bool is_abandoned = session->is_abandoned;
    pthread_mutex_unlock(&session->lock);
    enum session_turn turn =
        is_abandoned ? TURN_FINISHED : exchange_run(session, now_ms, &start_ms);
    pthread_mutex_lock(&session->lock);
    is_abandoned = session->is_abandoned;
    if (!is_abandoned && turn == TURN_LATER) {
        /* Under the lock, so that auth_session_destroy finds it either running or waiting. */
        job->start_ms = start_ms;
        MUST(pool_add(session->auth->pool, job, true));
    } else if (!is_abandoned) {
        session->phase = SESSION_READY;
        session->done(session->done_arg);
    }
    pthread_mutex_unlock(&session->lock);
    if (is_abandoned)
        session_free(session);
}

/* ---- creation ---- */

static bool copy_names(struct auth_session *session, const struct auth_transport *transport)
{
    size_t n = transport->n_names < SESSION_NAMES_MAX ? transport->n_names : SESSION_NAMES_MAX;
    session->transport.n_names = 0;
    session->transport.names = NULL;
    if (n == 0)
        return true;
    session->names = calloc(n, sizeof *session->names);
    if (session->names == NULL)
        return false;
    session->transport.names = session->names;
    for (size_t i = 0; i < n; i++) {
        char *text = strndup(transport->names[i].text, SESSION_NAME_MAX);
        if (text == NULL)
            return false;
        session->names[i] = (struct auth_name){.kind = transport->names[i].kind, .text = text};
        session->transport.n_names = i + 1;
    }
    return true;
}

static void copy_binding(struct auth_session *session, const struct auth_transport *transport)
{
    session->transport.binding_type = NULL;
    session->transport.binding = slice_of(NULL, 0);
    if (transport->binding_type == NULL || transport->binding.n == 0 ||
        transport->binding.n > sizeof session->binding ||
        strlen(transport->binding_type) >= sizeof session->binding_type)
        return;
    memcpy(session->binding_type, transport->binding_type, strlen(transport->binding_type) + 1);
    memcpy(session->binding, transport->binding.p, transport->binding.n);
    session->transport.binding_type = session->binding_type;
    session->transport.binding = slice_of(session->binding, transport->binding.n);
}

static bool copy_transport(struct auth_session *session, const struct auth_transport *transport)
{
    session->transport = *transport;
    session->transport.mechanisms = NULL;
    copy_binding(session, transport);
    if (!copy_names(session, transport))
        return false;
    if (transport->mechanisms == NULL)
        return true;
    session->mechanisms = strdup(transport->mechanisms);
    session->transport.mechanisms = session->mechanisms;
    return session->mechanisms != NULL;
}

struct auth_session *auth_session_create(struct auth *auth, const struct auth_transport *transport)
{
    struct auth_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    if (pthread_mutex_init(&session->lock, NULL) != 0) {
        free(session);
        return NULL;
    }
    session->auth = auth;
    session->job.run = session_run;
    exchange_init(session);
    if (!copy_transport(session, transport)) {
        session_free(session);
        return NULL;
    }
    return session;
}

void auth_session_destroy(struct auth_session **session)
{
    struct auth_session *s = *session;
    if (s == NULL)
        return;
    *session = NULL;
    pthread_mutex_lock(&s->lock);
    bool is_mine = s->phase != SESSION_PENDING || pool_remove(s->auth->pool, &s->job);
    /* Otherwise an auth thread holds it, and frees it when it has finished. */
    s->is_abandoned = !is_mine;
    pthread_mutex_unlock(&s->lock);
    if (is_mine)
        session_free(s);
}

/* ---- messages ---- */

static enum auth_result submit(struct auth_session *session, struct secret **data,
                               struct auth_now now, auth_done_fn *done, void *done_arg)
{
    struct auth *auth = session->auth;
    session->now = now;
    session->done = done;
    session->done_arg = done_arg;
    session->data = *data;
    *data = NULL;
    session->phase = SESSION_PENDING;
    session->job.start_ms = 0;
    session->work_is_out = true;
    if (!pool_add(auth->pool, &session->job, false)) {
        session->phase = SESSION_IDLE;
        session->work_is_out = false;
        *data = session->data;
        session->data = NULL;
        auth_count(&auth->n_busy, 1);
        auth_tell(auth, AUTH_EVENT_LOGIN_BUSY, AUTH_TENANT_DEFAULT, slice_of(NULL, 0), "",
                  &session->transport.address, "the queue of logins is full", now.wall_s);
        return AUTH_BUSY;
    }
    return AUTH_OK;
}

enum auth_result auth_submit(struct auth_session *session, enum auth_step step,
                             struct slice mechanism, struct secret **data, struct auth_now now,
                             auth_done_fn *done, void *done_arg)
{
    struct secret *none = NULL;
    if (step == AUTH_START)
        identity_destroy(&session->identity);
    if (session->work_is_out)
        return AUTH_BUSY;
    session->work = step == AUTH_START ? WORK_START : WORK_STEP;
    session->is_name_good = mechanism.n <= AUTH_MECHANISM_MAX &&
                            (mechanism.n == 0 || memchr(mechanism.p, '\0', mechanism.n) == NULL);
    size_t n = session->is_name_good ? mechanism.n : 0;
    if (n > 0)
        memcpy(session->wire_name, mechanism.p, n);
    session->wire_name[n] = '\0';
    return submit(session, data != NULL ? data : &none, now, done, done_arg);
}

enum auth_result auth_submit_text(struct auth_session *session, struct secret **line,
                                  struct auth_now now, auth_done_fn *done, void *done_arg)
{
    identity_destroy(&session->identity);
    if (session->work_is_out)
        return AUTH_BUSY;
    if (*line == NULL || (*line)->n == 0 || memchr((*line)->p, ' ', (*line)->n) == NULL)
        return AUTH_MALFORMED;
    session->work = WORK_TEXT;
    session->wire_name[0] = '\0';
    return submit(session, line, now, done, done_arg);
}

/* ---- messages that need no thread ---- */

static bool finish_at_once(struct auth_session *session, struct slice name, struct slice password)
{
    if (!exchange_try(session, name, password, session->now.mono_ms))
        return false;
    identity_destroy(&session->identity);
    session->phase = SESSION_READY;
    session->work_is_out = true;
    return true;
}

bool auth_try_plain(struct auth_session *session, struct slice message, struct auth_now now)
{
    static const char name[] = "PLAIN";
    struct plain_parts parts;
    if (session->work_is_out || !auth_is_plain_offered(session->auth, &session->transport) ||
        plain_parse(message, &parts) != NULL)
        return false;
    session->work = WORK_START;
    session->now = now;
    session->is_name_good = true;
    memcpy(session->wire_name, name, sizeof name);
    return finish_at_once(session, parts.user, parts.password);
}

bool auth_try_text(struct auth_session *session, struct slice line, struct auth_now now)
{
    struct plain_parts parts;
    if (session->work_is_out || line.n > AUTH_DATA_MAX || plain_parse_line(line, &parts) != NULL ||
        !auth_is_text_allowed(session->auth, &session->transport))
        return false;
    session->work = WORK_TEXT;
    session->now = now;
    session->wire_name[0] = '\0';
    return finish_at_once(session, parts.user, parts.password);
}

void auth_collect(struct auth_session *session, struct auth_now now,
                  struct auth_outcome *outcome_out)
{
    struct auth *auth = session->auth;
    MUST(session->phase == SESSION_READY);
    session->phase = SESSION_IDLE;
    session->work_is_out = false;
    *outcome_out = session->outcome;
    if (outcome_out->verdict == AUTH_SUCCESS) {
        session->identity = session->proven;
        session->proven = NULL;
        return;
    }
    if (outcome_out->verdict != AUTH_FAILURE || ++session->n_failures < auth->config.attempts_max)
        return;
    outcome_out->must_close = true;
    auth_tell(auth, AUTH_EVENT_TOO_MANY_FAILURES, AUTH_TENANT_DEFAULT,
              slice_of(session->user, session->n_user), session->wire_name,
              &session->transport.address, "the connection is closed", now.wall_s);
}

enum auth_result auth_login_external(struct auth_session *session, struct auth_now now)
{
    struct auth *auth = session->auth;
    const struct auth_transport *t = &session->transport;
    const char *reason;
    identity_destroy(&session->identity);
    if (session->work_is_out)
        return AUTH_BUSY;
    struct users *users = auth_users_take(auth);
    const struct rule *rule =
        auth_find_rule(users, t->names, t->n_names, t->has_peer_ids, t->uid, t->gid);
    if (rule != NULL) {
        struct slice name = slice_str(users->users[rule->user].name);
        struct proof proof = {.kind = PROOF_EXTERNAL, .rule = rule->kind};
        memcpy(proof.pattern, rule->pattern, strnlen(rule->pattern, sizeof proof.pattern - 1));
        session->identity = identity_create(auth, name, &proof, now.wall_s, &reason);
        bool is_in = session->identity != NULL;
        uint32_t tenant = is_in ? auth_identity_tenant(session->identity) : AUTH_TENANT_DEFAULT;
        auth_count(is_in ? &auth->n_logins : &auth->n_failures, 1);
        rings_count(auth->rings, tenant, is_in);
        auth_tell(auth, is_in ? AUTH_EVENT_LOGIN : AUTH_EVENT_LOGIN_FAILED, tenant, name,
                  "external", &t->address, is_in ? "" : reason, now.wall_s);
    }
    users_drop(&users);
    return session->identity != NULL ? AUTH_OK : AUTH_NOT_MAPPED;
}

struct auth_identity *auth_session_identity(const struct auth_session *session)
{
    return session->identity;
}
