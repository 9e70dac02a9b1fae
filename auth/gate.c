#include "auth/session.h"

enum before { BEFORE_ALLOW = AUTH_ALLOW, BEFORE_NEED_LOGIN = AUTH_NEED_LOGIN };
enum pending { PENDING_WAIT = AUTH_WAIT };

/* The right that a class needs after login; ANY needs none. */
#define AUTH_RIGHT_ANY 0

static const struct {
    uint8_t before;
    uint8_t pending;
    uint16_t right;
} matrix[] = {
#define CLASS(name, word, before, pending, after) \
    {BEFORE_##before, PENDING_##pending, AUTH_RIGHT_##after},
#include "auth/classes.def"
#undef CLASS
};

_Static_assert(sizeof matrix / sizeof *matrix == N_AUTH_CLASSES, "one row for each class");

/* The owner reads the phase: it alone leaves IDLE, and READY waits for it just as PENDING does. */
static bool is_pending(const struct auth_session *session)
{
    return session->work_is_out;
}

enum auth_permit auth_gate(const struct auth *auth, const struct auth_session *session,
                           enum auth_class class)
{
    MUST(class < N_AUTH_CLASSES);
    if (session == NULL)
        return (enum auth_permit)matrix[class].before;
    if (is_pending(session))
        return (enum auth_permit)matrix[class].pending;
    /* A revoked identity counts as none. Running out (not-after) is the server's look at
     * auth_identity_is_current: the gate has no clock. */
    if (session->identity == NULL || !auth_identity_is_current(session->identity, INT64_MIN))
        return (enum auth_permit)matrix[class].before;
    uint32_t right = matrix[class].right;
    if (right == AUTH_RIGHT_ANY || (auth_identity_rights(session->identity) & right) != 0)
        return AUTH_ALLOW;
    return auth->config.is_rights_warn ? AUTH_WARN : AUTH_DENY;
}

uint32_t auth_gate_mask(const struct auth *auth, const struct auth_session *session)
{
    uint32_t mask = 0;
    for (unsigned class = 0; class < N_AUTH_CLASSES; class ++) {
        if (auth_gate(auth, session, (enum auth_class) class) == AUTH_ALLOW)
            mask |= 1u << class;
    }
    return mask;
}

void auth_note_denial(struct auth *auth, const struct auth_session *session, enum auth_class class,
                      struct slice key, struct auth_now now)
{
    static const struct auth_address nowhere;
    struct auth_denial denial = {.wall_s = now.wall_s, .class = class};
    bool is_in = session != NULL && session->identity != NULL;
    uint32_t tenant = is_in ? auth_identity_tenant(session->identity) : AUTH_TENANT_DEFAULT;
    const char *user = is_in ? auth_identity_user(session->identity) : "";
    const struct auth_address *address = session != NULL ? &session->transport.address : &nowhere;
    denial.is_warning = auth->config.is_rights_warn;
    memcpy(denial.user, user, strlen(user));
    auth_address_text(address, denial.address);
    denial.n_key = key.n < sizeof denial.key ? key.n : sizeof denial.key;
    if (denial.n_key > 0)
        memcpy(denial.key, key.p, denial.n_key);
    auth_count(denial.is_warning ? &auth->n_warnings : &auth->n_denials, 1);
    rings_add_denial(auth->rings, tenant, &denial);
    auth_tell(auth, denial.is_warning ? AUTH_EVENT_WARNED : AUTH_EVENT_DENIED, tenant,
              slice_str(user), "", address, auth_class_word(class), now.wall_s);
}
