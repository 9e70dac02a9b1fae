#include "auth/session.h"

#include "auth/plain.h"
#include "auth/pwdb.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- ends ---- */

void exchange_close(struct auth_session *session)
{
    cyrus_close(&session->exchange);
    if (session->users != NULL)
        users_drop(&session->users);
    secret_wipe(&session->proof, sizeof session->proof);
    session->has_proof = false;
    session->is_admitted = false;
    session->is_booked = false;
    session->is_resumed = false;
    session->n_steps = 0;
}

static struct slice user_of(const struct auth_session *session)
{
    return slice_of(session->user, session->n_user);
}

static void set_user(struct auth_session *session, struct slice name)
{
    session->n_user = name.n < AUTH_NAME_MAX ? name.n : AUTH_NAME_MAX;
    if (session->n_user > 0)
        memcpy(session->user, name.p, session->n_user);
    session->user[session->n_user] = '\0';
}

static uint32_t tenant_of_name(struct auth_session *session)
{
    if (session->users == NULL)
        return AUTH_TENANT_DEFAULT;
    const struct user *user = users_find(
        session->users, auth_plain_name(session->auth, session->users, user_of(session)));
    return user != NULL ? session->users->tenants[user->tenant].id : AUTH_TENANT_DEFAULT;
}

static const char *shown_mechanism(const struct auth_session *session)
{
    return session->work == WORK_TEXT ? "text" : session->wire_name;
}

/* Ends with the one failure that the client sees. is_guess: a credential was checked. */
static enum session_turn fail(struct auth_session *session, const char *reason, bool is_guess,
                              uint64_t now_ms)
{
    struct auth *auth = session->auth;
    uint32_t tenant = tenant_of_name(session);
    session->outcome = (struct auth_outcome){.verdict = AUTH_FAILURE};
    if (is_guess)
        session->outcome.delay_ms = throttle_fail(auth->throttle, &session->transport.address,
                                                  user_of(session), now_ms, session->is_booked);
    auth_count(&auth->n_failures, 1);
    rings_count(auth->rings, tenant, false);
    auth_tell(auth, AUTH_EVENT_LOGIN_FAILED, tenant, user_of(session), shown_mechanism(session),
              &session->transport.address, reason, session->now.wall_s);
    session->state = EXCHANGE_FAILED;
    return TURN_FINISHED;
}

static enum session_turn succeed(struct auth_session *session, struct slice out, uint64_t now_ms)
{
    struct auth *auth = session->auth;
    const char *reason = NULL;
    struct slice name = auth_plain_name(auth, session->users, user_of(session));
    if (!session->has_proof)
        session->proof = (struct proof){.kind = PROOF_OUTSIDE};
    struct auth_identity *identity =
        identity_create(auth, name, &session->proof, session->now.wall_s, &reason);
    if (identity == NULL)
        return fail(session, reason, true, now_ms);
    session->proven = identity;
    session->outcome = (struct auth_outcome){.verdict = AUTH_SUCCESS, .data = out};
    throttle_succeed(auth->throttle, &session->transport.address, user_of(session), now_ms,
                     session->is_booked);
    auth_count(&auth->n_logins, 1);
    rings_count(auth->rings, auth_identity_tenant(identity), true);
    auth_tell(auth, AUTH_EVENT_LOGIN, auth_identity_tenant(identity), name,
              shown_mechanism(session), &session->transport.address, "", session->now.wall_s);
    session->state = EXCHANGE_DONE;
    return TURN_FINISHED;
}

/* Why a credential that was well-formed did not fit: for the operator only. */
static const char *wrong_credential(const struct auth_session *session)
{
    const struct users *users = session->users;
    struct slice name = auth_plain_name(session->auth, users, user_of(session));
    const struct user *user = users_find(users, name);
    if (user == NULL && users_find_text(users, name) != NULL)
        return "wrong password";
    if (user == NULL)
        return session->auth->config.has_sasl ? "unknown user or wrong password" : "unknown user";
    if (user->is_disabled)
        return "the user is disabled";
    if (user->n_secrets == 0)
        return session->auth->config.has_sasl ? "wrong password" : "the user has no secret";
    for (size_t i = 0; i < user->n_secrets; i++) {
        if (user_secret_is_valid(&user->secrets[i], session->now.wall_s))
            return "wrong password";
    }
    return "all secrets of the user are outside their dates";
}

/* What cyrus says is precise about the form of a message and vague about the password. */
static const char *why_failed(const struct auth_session *session)
{
    const char *reason = cyrus_reason(session->exchange);
    bool is_credential =
        session->mechanism == MECHANISM_PLAIN || strstr(reason, "StoredKey mismatch") != NULL;
    return session->is_admitted && is_credential ? wrong_credential(session) : reason;
}

/* ---- what cyrus asks ---- */

/* Ours are checked against our files only. */
static bool is_outside_name(const struct users *users, struct slice plain)
{
    const struct user *user = users_find(users, plain);
    return (user == NULL || user->n_secrets == 0) && users_find_text(users, plain) == NULL;
}

static bool host_name(void *arg, struct slice name, bool *is_good_out)
{
    struct auth_session *session = arg;
    set_user(session, name);
    /* cyrus would strip white space, and then another name than the client's would log in. */
    *is_good_out = users_name_fault(name) == NULL;
    return is_outside_name(session->users, auth_plain_name(session->auth, session->users, name));
}

static bool host_password(void *arg, struct slice name, struct slice password)
{
    struct auth_session *session = arg;
    struct auth *auth = session->auth;
    struct password_work work;
    struct slice plain = auth_plain_name(auth, session->users, name);
    bool is_right = password_check(session->users, &auth->keys, plain, password,
                                   session->now.wall_s, &session->proof, &work);
    auth_count(&auth->n_derivations, work.derivations);
    auth_count(&auth->n_cache_hits, work.is_from_cache);
    if (!is_right && auth->config.has_sasl && auth->config.pwdb_path != NULL)
        is_right = pwdb_check(auth->config.pwdb_path, auth->config.realm, &auth->keys, plain,
                              password, session->users->generation, &session->proof);
    session->has_proof = is_right;
    return is_right;
}

static void host_verifier(void *arg, struct slice name, char *text_out)
{
    struct auth_session *session = arg;
    struct auth *auth = session->auth;
    struct slice plain = auth_plain_name(auth, session->users, name);
    const struct user *user = users_find(session->users, plain);
    enum verifier_hash hash = mechanism_hash(session->mechanism);
    struct verifier made_up;
    size_t secret = 0;
    const struct verifier *verifier = user != NULL && !user->is_disabled
                                          ? user_scram(user, hash, session->now.wall_s, &secret)
                                          : NULL;
    session->has_proof = verifier != NULL;
    if (verifier != NULL) {
        password_proof_of(&user->secrets[secret], &session->proof);
    } else {
        password_fake_verifier(session->users, &auth->keys, hash, plain, &made_up);
        verifier = &made_up;
    }
    verifier_format(verifier, text_out);
    secret_wipe(&made_up, sizeof made_up);
}

/* ---- the throttle ---- */

/* Before a credential is checked. False: *turn_out says how this run ends. */
static bool is_admitted(struct auth_session *session, uint64_t now_ms, uint64_t *start_ms_out,
                        enum session_turn *turn_out)
{
    uint32_t wait_ms;
    struct auth *auth = session->auth;
    if (session->is_admitted)
        return true;
    switch (throttle_admit(auth->throttle, &session->transport.address, user_of(session), now_ms,
                           &wait_ms)) {
    case THROTTLE_NOW:
        session->is_admitted = true;
        return true;
    case THROTTLE_LATER:
        session->is_admitted = session->is_booked = session->is_resumed = true;
        *start_ms_out = now_ms + wait_ms;
        *turn_out = TURN_LATER;
        return false;
    case THROTTLE_REFUSE:
        break;
    }
    *turn_out = fail(session, "too many failures from this address: refused without a check", false,
                     now_ms);
    auth_count(&auth->n_throttled, 1);
    session->outcome.delay_ms = THROTTLE_DELAY_MAX_MS;
    return false;
}

/* ---- what sasldb has proven ---- */

static bool begin_outside(const struct auth_session *session, struct file_mark *mark_out)
{
    return session->auth->remembered != NULL &&
           remembered_begin(session->auth->remembered, mark_out);
}

static void keep_outside(const struct auth_session *session, struct slice name,
                         struct slice password, const struct file_mark *mark)
{
    const struct auth *auth = session->auth;
    uint8_t tag[VERIFIER_TAG_SIZE];
    struct slice plain = auth_plain_name(auth, session->users, name);
    if (password_tag(&auth->keys, plain, password, tag))
        remembered_keep(auth->remembered, tag, mark, session->now.wall_s);
    secret_wipe(tag, sizeof tag);
}

/* ---- SASL ---- */

static struct slice data_of(const struct auth_session *session)
{
    if (session->data == NULL)
        return slice_of(NULL, 0);
    return slice_of(session->data->p, session->data->n);
}

static enum session_turn more(struct auth_session *session, struct slice out)
{
    session->outcome = (struct auth_outcome){.verdict = AUTH_CONTINUE, .data = out};
    return TURN_FINISHED;
}

/* Is this the message whose check would tell a guesser something? SCRAM's first is not. */
static bool is_credential(const struct auth_session *session)
{
    if (session->mechanism == MECHANISM_EXTERNAL)
        return false;
    if (session->mechanism == MECHANISM_PLAIN)
        return data_of(session).n > 0;
    return session->n_steps > 0 && session->n_user > 0;
}

static enum session_turn deliver(struct auth_session *session, uint64_t now_ms,
                                 uint64_t *start_ms_out)
{
    struct slice data = data_of(session), out;
    enum session_turn turn;
    const char *fault;
    struct plain_parts parts;
    if (session->mechanism == MECHANISM_PLAIN && data.n > 0) {
        fault = plain_parse(data, &parts);
        if (fault != NULL)
            return fail(session, fault, false, now_ms);
        set_user(session, parts.user);
    }
    if (is_credential(session) && !is_admitted(session, now_ms, start_ms_out, &turn))
        return turn;
    session->is_resumed = false;
    bool is_first = session->n_steps++ == 0;
    if (session->n_steps > SESSION_STEPS_MAX)
        return fail(session, "too many steps", false, now_ms);
    struct file_mark mark;
    bool may_keep =
        session->mechanism == MECHANISM_PLAIN && data.n > 0 && begin_outside(session, &mark);
    enum cyrus_result result = is_first ? cyrus_first(session->exchange, data, &out)
                                        : cyrus_next(session->exchange, data, &out);
    if (result == CYRUS_MORE)
        return more(session, out);
    if (result == CYRUS_FAILED)
        return fail(session, why_failed(session), session->is_admitted, now_ms);
    if (may_keep && !session->has_proof)
        keep_outside(session, parts.user, parts.password, &mark);
    return succeed(session, out, now_ms);
}

static const char *const obstacle_reasons[] = {
    [OBSTACLE_NONE] = "",
    [OBSTACLE_NOT_ALLOWED] = "not in the list of allowed mechanisms",
    [OBSTACLE_NOT_INSTALLED] = "not installed",
    [OBSTACLE_NO_SECRET] = "no user has a secret for it",
    [OBSTACLE_CLEAR_TEXT] = "would show the password: not allowed over plaintext TCP",
    [OBSTACLE_NO_BINDING] = "the connection has no channel binding",
    [OBSTACLE_NO_IDENTITY] = "the peer has proven no identity that is mapped to a user",
};

/* The offered list goes along: a client that insists on CRAM-MD5 is diagnosed by one line. */
static enum session_turn refuse_mechanism(struct auth_session *session, const char *why,
                                          uint64_t now_ms)
{
    char offered[AUTH_LIST_MAX], reason[SESSION_REASON_MAX];
    auth_mechanisms(session->auth, &session->transport, offered);
    snprintf(reason, sizeof reason, "%s; offered: %.100s", why, offered);
    return fail(session, reason, false, now_ms);
}

static const struct rule *rule_of(const struct auth_session *session)
{
    const struct auth_transport *t = &session->transport;
    return auth_find_rule(session->users, t->names, t->n_names, t->has_peer_ids, t->uid, t->gid);
}

static bool open_cyrus(struct auth_session *session, bool is_alias, const struct rule *rule)
{
    const struct auth_transport *t = &session->transport;
    struct cyrus_start start = {
        .mechanism = session->mechanism,
        .wants_success_data = is_alias,
        .is_private = auth_transport_is_private(t) || session->auth->config.is_plain_allowed,
        .ssf = t->ssf,
        .binding_type = t->binding_type,
        .binding = t->binding,
    };
    if (session->mechanism == MECHANISM_EXTERNAL && rule != NULL) {
        start.external = session->users->users[rule->user].name;
        session->proof = (struct proof){.kind = PROOF_EXTERNAL, .rule = rule->kind};
        snprintf(session->proof.pattern, sizeof session->proof.pattern, "%s", rule->pattern);
        session->has_proof = true;
    }
    session->exchange = cyrus_open(session->auth->cyrus, &session->host, &start);
    return session->exchange != NULL;
}

static enum session_turn start(struct auth_session *session, uint64_t now_ms,
                               uint64_t *start_ms_out)
{
    struct mechanism_facts facts;
    bool is_alias = false;
    if (!session->is_name_good || session->auth->cyrus == NULL ||
        !mechanism_find(slice_str(session->wire_name), &session->mechanism, &is_alias))
        return refuse_mechanism(session, "unknown mechanism", now_ms);
    const struct rule *rule = rule_of(session);
    auth_mechanism_facts(session->auth, session->users, &session->transport, rule != NULL, &facts);
    enum mechanism_obstacle obstacle = mechanism_obstacle(session->mechanism, &facts);
    if (obstacle != OBSTACLE_NONE)
        return refuse_mechanism(session, obstacle_reasons[obstacle], now_ms);
    memcpy(session->started_name, session->wire_name, sizeof session->started_name);
    if (!open_cyrus(session, is_alias, rule))
        return fail(session, "out of memory", false, now_ms);
    session->state = EXCHANGE_STARTED;
    return deliver(session, now_ms, start_ms_out);
}

static enum session_turn step(struct auth_session *session, uint64_t now_ms, uint64_t *start_ms_out)
{
    /* After the end: refused, and neither dropped nor granted anything. */
    if (session->state != EXCHANGE_STARTED) {
        enum exchange_state state = session->state;
        enum session_turn turn = fail(session, "a step without a start", false, now_ms);
        session->state = state;
        return turn;
    }
    if (!session->is_name_good || strcmp(session->wire_name, session->started_name) != 0)
        return fail(session, "a step of another mechanism", false, now_ms);
    return deliver(session, now_ms, start_ms_out);
}

/* ---- text ---- */

static bool check_outside(struct auth_session *session, struct slice name, struct slice password)
{
    bool is_good;
    if (!session->auth->config.has_sasl || session->auth->cyrus == NULL ||
        !host_name(session, name, &is_good) || !is_good)
        return false;
    struct file_mark mark;
    bool may_keep = begin_outside(session, &mark);
    session->mechanism = MECHANISM_PLAIN;
    bool is_right =
        open_cyrus(session, false, NULL) && cyrus_check_outside(session->exchange, name, password);
    if (is_right && may_keep)
        keep_outside(session, name, password, &mark);
    return is_right;
}

static enum session_turn text_login(struct auth_session *session, uint64_t now_ms,
                                    uint64_t *start_ms_out)
{
    struct plain_parts parts;
    enum session_turn turn;
    const char *complaint = plain_parse_line(data_of(session), &parts);
    set_user(session, parts.user);
    if (complaint != NULL)
        return fail(session, complaint, false, now_ms);
    if (!auth_is_text_allowed(session->auth, &session->transport))
        return fail(session, obstacle_reasons[OBSTACLE_CLEAR_TEXT], false, now_ms);
    if (!is_admitted(session, now_ms, start_ms_out, &turn))
        return turn;
    if (!host_password(session, parts.user, parts.password) &&
        !check_outside(session, parts.user, parts.password))
        return fail(session, wrong_credential(session), true, now_ms);
    set_user(session, parts.user);
    return succeed(session, slice_of(NULL, 0), now_ms);
}

void exchange_init(struct auth_session *session)
{
    session->host = (struct cyrus_host){
        .arg = session, .name = host_name, .password = host_password, .verifier = host_verifier};
}

/* ---- one run ---- */

static enum session_turn run(struct auth_session *session, uint64_t now_ms, uint64_t *start_ms_out)
{
    if (!session->is_resumed &&
        now_ms - session->job.added_ms > session->auth->config.time_limit_ms)
        return fail(session, "it waited too long for an auth thread", false, now_ms);
    if (session->data != NULL && session->data->n > AUTH_DATA_MAX)
        return fail(session, "the message is too long", false, now_ms);
    if (session->is_resumed && session->work != WORK_TEXT)
        return deliver(session, now_ms, start_ms_out);
    switch (session->work) {
    case WORK_START:
        return start(session, now_ms, start_ms_out);
    case WORK_STEP:
        return step(session, now_ms, start_ms_out);
    case WORK_TEXT:
        return text_login(session, now_ms, start_ms_out);
    }
    return fail(session, "no work", false, now_ms);
}

/* cyrus's buffer goes with the exchange; the outcome lives longer. */
static bool keep_out(struct auth_session *session)
{
    struct slice data = session->outcome.data;
    free(session->out);
    session->out = NULL;
    session->outcome.data = slice_of(NULL, 0);
    if (session->outcome.verdict == AUTH_FAILURE || data.n == 0)
        return true;
    session->out = malloc(data.n);
    if (session->out == NULL)
        return false;
    memcpy(session->out, data.p, data.n);
    session->outcome.data = slice_of(session->out, data.n);
    return true;
}

enum session_turn exchange_run(struct auth_session *session, uint64_t now_ms,
                               uint64_t *start_ms_out)
{
    /* A new START ends what was there before. */
    if (session->work != WORK_STEP && !session->is_resumed) {
        exchange_close(session);
        session->state = EXCHANGE_NONE;
        set_user(session, slice_of(NULL, 0));
    }
    if (session->users == NULL)
        session->users = auth_users_take(session->auth);
    if (run(session, now_ms, start_ms_out) == TURN_LATER)
        return TURN_LATER;
    secret_destroy(&session->data);
    if (!keep_out(session)) {
        identity_destroy(&session->proven);
        session->outcome = (struct auth_outcome){.verdict = AUTH_FAILURE};
        session->state = EXCHANGE_FAILED;
    }
    if (session->outcome.verdict != AUTH_CONTINUE)
        exchange_close(session);
    return TURN_FINISHED;
}

/* ---- at once ---- */

static enum password_answer recall(struct auth_session *session, struct users *users,
                                   struct slice name, struct slice password, bool *has_proof_out)
{
    struct auth *auth = session->auth;
    struct slice plain = auth_plain_name(auth, users, name);
    uint8_t tag[VERIFIER_TAG_SIZE];
    bool has_tag = password_tag(&auth->keys, plain, password, tag);
    secret_wipe_near_stack(); /* the hash has worked there */
    if (!has_tag)
        return PASSWORD_OPEN;
    enum password_answer answer =
        password_recall(users, tag, plain, session->now.wall_s, &session->proof);
    *has_proof_out = answer == PASSWORD_RIGHT;
    if (answer != PASSWORD_RIGHT && auth->config.has_sasl) {
        bool is_proven = auth->remembered != NULL && is_outside_name(users, plain) &&
                         remembered_holds(auth->remembered, tag);
        answer = is_proven ? PASSWORD_RIGHT : PASSWORD_OPEN;
    }
    secret_wipe(tag, sizeof tag);
    return answer;
}

bool exchange_try(struct auth_session *session, struct slice name, struct slice password,
                  uint64_t now_ms)
{
    struct auth *auth = session->auth;
    bool has_proof = false;
    /* A guesser who has to wait learns nothing before the wait. */
    if (!throttle_is_free(auth->throttle, &session->transport.address, name, now_ms))
        return false;
    exchange_close(session);
    session->state = EXCHANGE_NONE;
    session->users = auth_users_take(auth);
    enum password_answer answer = recall(session, session->users, name, password, &has_proof);
    if (answer == PASSWORD_OPEN) {
        exchange_close(session);
        return false;
    }
    session->has_proof = has_proof;
    set_user(session, name);
    if (answer == PASSWORD_RIGHT) {
        auth_count(&auth->n_cache_hits, session->proof.kind != PROOF_TEXT || !has_proof);
        (void)succeed(session, slice_of(NULL, 0), now_ms);
    } else {
        (void)fail(session, wrong_credential(session), true, now_ms);
    }
    exchange_close(session);
    return true;
}
