#include "auth/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define DEFAULT_SASLDB "/etc/sasldb2"

/* ---- what is offered to a transport ---- */

bool auth_transport_is_private(const struct auth_transport *transport)
{
    return transport->is_tls || transport->is_loopback || transport->is_unix;
}

static const char *configured(const struct auth *auth, const char *option)
{
    return auth->conf != NULL ? sasl_conf_get(auth->conf, option) : NULL;
}

/* Can sasldb (or another auxprop plug-in) give clear passwords, as SCRAM and CRAM-MD5 need them? A
 * libmemcached client takes the strongest mechanism offered: SCRAM must not be offered to users who
 * exist in saslauthd or PWDB only. */
static bool has_outside_secrets(const struct auth *auth)
{
    const char *method = configured(auth, "pwcheck_method");
    const char *plugin = configured(auth, "auxprop_plugin");
    const char *path = configured(auth, "sasldb_path");
    if (!auth->config.has_sasl || (method != NULL && strcasestr(method, "auxprop") == NULL))
        return false;
    if (plugin != NULL && strcasecmp(plugin, "sasldb") != 0)
        return true;
    return access(path != NULL ? path : DEFAULT_SASLDB, R_OK) == 0;
}

const char *auth_sasldb_path(const struct auth *auth)
{
    const char *method = configured(auth, "pwcheck_method");
    const char *plugin = configured(auth, "auxprop_plugin");
    const char *path = configured(auth, "sasldb_path");
    if (!auth->config.has_sasl || (method != NULL && strcasecmp(method, "auxprop") != 0) ||
        (plugin != NULL && strcasecmp(plugin, "sasldb") != 0))
        return NULL;
    return path != NULL ? path : DEFAULT_SASLDB;
}

static uint32_t provable(const struct auth *auth, const struct users *users)
{
    uint32_t set = 0;
    bool has_outside = has_outside_secrets(auth);
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        enum mechanism mechanism = (enum mechanism)i;
        bool is_provable = true;
        if (mechanism_kind(mechanism) == MECHANISM_KIND_SCRAM)
            is_provable = has_outside || users->has_verifier[mechanism_hash(mechanism)];
        else if (mechanism_kind(mechanism) == MECHANISM_KIND_SHARED)
            is_provable = has_outside;
        if (is_provable)
            set |= MECHANISM_BIT(i);
    }
    return set;
}

/* But for what users have and the peer has proven. */
static struct mechanism_facts transport_facts(const struct auth *auth,
                                              const struct auth_transport *transport)
{
    unsigned n_unknown;
    char unknown[AUTH_MECHANISM_MAX + 1];
    return (struct mechanism_facts){
        .allowed = transport->mechanisms != NULL
                       ? mechanisms_parse(transport->mechanisms, &n_unknown, unknown)
                       : auth->allowed,
        .installed = auth->cyrus != NULL ? cyrus_installed(auth->cyrus) : 0,
        .is_private = auth_transport_is_private(transport),
        .is_plain_allowed = auth->config.is_plain_allowed,
        .has_binding = transport->binding_type != NULL && transport->binding.n > 0,
    };
}

void auth_mechanism_facts(const struct auth *auth, const struct users *users,
                          const struct auth_transport *transport, bool has_identity,
                          struct mechanism_facts *facts_out)
{
    *facts_out = transport_facts(auth, transport);
    facts_out->provable = provable(auth, users);
    facts_out->has_identity = has_identity;
}

bool auth_is_plain_offered(const struct auth *auth, const struct auth_transport *transport)
{
    struct mechanism_facts facts = transport_facts(auth, transport);
    facts.provable = MECHANISM_BIT(MECHANISM_PLAIN); /* needs no file to be looked at */
    return mechanism_obstacle(MECHANISM_PLAIN, &facts) == OBSTACLE_NONE;
}

bool auth_is_text_allowed(const struct auth *auth, const struct auth_transport *transport)
{
    return auth->config.text_path != NULL || auth_transport_is_private(transport) ||
           auth->config.is_plain_allowed;
}

size_t auth_mechanisms(struct auth *auth, const struct auth_transport *transport, char *list_out)
{
    struct mechanism_facts facts;
    size_t n = 0;
    struct users *users = auth_users_take(auth);
    const struct rule *rule =
        auth_find_rule(users, transport->names, transport->n_names, transport->has_peer_ids,
                       transport->uid, transport->gid);
    auth_mechanism_facts(auth, users, transport, rule != NULL, &facts);
    list_out[0] = '\0';
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        if (mechanism_obstacle((enum mechanism)i, &facts) != OBSTACLE_NONE)
            continue;
        int more = snprintf(list_out + n, AUTH_LIST_MAX - n, "%s%s", n > 0 ? " " : "",
                            mechanism_name((enum mechanism)i));
        MUST(more > 0 && (size_t)more < AUTH_LIST_MAX - n);
        n += (size_t)more;
    }
    users_drop(&users);
    return n;
}

/* ---- why ---- */

struct explaining {
    struct auth *auth;
    const struct users *users;
    const struct user *user;
    int64_t wall_s;
    auth_explain_fn *fn;
    void *arg;
};

static void tell(const struct explaining *x, const char *mechanism, const char *transport,
                 enum auth_offer offer, const char *reason)
{
    struct auth_explanation row = {
        .mechanism = mechanism, .transport = transport, .offer = offer, .reason = reason};
    x->fn(x->arg, &row);
}

static void tell_obstacle(const struct explaining *x, enum mechanism mechanism,
                          const char *transport, enum mechanism_obstacle obstacle)
{
    char reason[AUTH_TEXT_MAX];
    const char *name = mechanism_name(mechanism);
    enum auth_offer offer = AUTH_HIDDEN;
    switch (obstacle) {
    case OBSTACLE_NONE:
        offer = AUTH_OFFERED;
        snprintf(reason, sizeof reason, "ready");
        break;
    case OBSTACLE_NOT_ALLOWED:
        snprintf(reason, sizeof reason, "not in the list of allowed mechanisms: add %s to it",
                 name);
        break;
    case OBSTACLE_NOT_INSTALLED:
        offer = AUTH_IMPOSSIBLE;
        snprintf(reason, sizeof reason, "not installed: install the Debian package %s",
                 mechanism_package(mechanism));
        break;
    case OBSTACLE_NO_SECRET:
        offer = AUTH_IMPOSSIBLE;
        if (mechanism_kind(mechanism) == MECHANISM_KIND_SHARED)
            snprintf(
                reason, sizeof reason,
                "needs clear passwords: -S and a readable sasldb; the tenants file keeps none");
        else
            snprintf(reason, sizeof reason,
                     "no user has a %s verifier: set the password with keepctl passwd",
                     verifier_mechanism(mechanism_hash(mechanism)));
        break;
    case OBSTACLE_CLEAR_TEXT:
        snprintf(reason, sizeof reason,
                 "would show the password: use TLS, loopback or a unix socket, or allow it");
        break;
    case OBSTACLE_NO_BINDING:
        offer = AUTH_IMPOSSIBLE;
        snprintf(reason, sizeof reason, "needs TLS: there is nothing to bind to");
        break;
    case OBSTACLE_NO_IDENTITY:
        snprintf(reason, sizeof reason,
                 "the peer has no mapped identity: add an identity section to the tenants file");
        break;
    }
    tell(x, name, transport, offer, reason);
}

/* What of a mechanism that is offered does not work for this user; NULL: it does. */
static const char *user_obstacle(const struct explaining *x, enum mechanism mechanism)
{
    size_t secret;
    const struct user *user = x->user;
    if (user == NULL)
        return x->users->has_file ? "the tenants file has no such user" : NULL;
    if (user->is_disabled)
        return "the user is disabled: keepctl user enable";
    if (mechanism == MECHANISM_EXTERNAL) {
        for (size_t i = 0; i < x->users->n_rules; i++) {
            if (&x->users->users[x->users->rules[i].user] == user)
                return NULL;
        }
        return "no identity section names this user";
    }
    if (user->n_secrets == 0)
        return x->auth->config.has_sasl
                   ? NULL
                   : "the user has no secret: set the password with keepctl passwd";
    if (mechanism_kind(mechanism) == MECHANISM_KIND_SCRAM &&
        user_scram(user, mechanism_hash(mechanism), x->wall_s, &secret) == NULL)
        return "the user has no valid verifier for it: set the password with keepctl passwd";
    for (size_t i = 0; i < user->n_secrets; i++) {
        if (user_secret_is_valid(&user->secrets[i], x->wall_s))
            return NULL;
    }
    return "all of the user's secrets are outside their dates";
}

static void explain_transport(const struct explaining *x, const char *name,
                              const struct auth_transport *transport, const char *user)
{
    struct mechanism_facts facts;
    bool has_rules = false;
    for (size_t i = 0; i < x->users->n_rules; i++) {
        bool is_unix_rule = x->users->rules[i].kind >= RULE_UID;
        has_rules |= transport->is_tls ? !is_unix_rule : transport->is_unix && is_unix_rule;
    }
    auth_mechanism_facts(x->auth, x->users, transport, has_rules, &facts);
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        enum mechanism mechanism = (enum mechanism)i;
        enum mechanism_obstacle obstacle = mechanism_obstacle(mechanism, &facts);
        const char *reason =
            obstacle == OBSTACLE_NONE && user != NULL ? user_obstacle(x, mechanism) : NULL;
        if (reason != NULL)
            tell(x, mechanism_name(mechanism), name, AUTH_IMPOSSIBLE, reason);
        else
            tell_obstacle(x, mechanism, name, obstacle);
    }
}

static void explain_sources(const struct explaining *x)
{
    const struct auth_config *config = &x->auth->config;
    char text[AUTH_TEXT_MAX];
    tell(x, "", "realm", AUTH_OFFERED, config->realm);
    snprintf(text, sizeof text, "%.300s, %zu users, %zu tenants",
             config->tenants_path != NULL ? config->tenants_path : "none", x->users->n_users,
             x->users->n_tenants);
    tell(x, "", "tenants_file", config->tenants_path != NULL ? AUTH_OFFERED : AUTH_HIDDEN, text);
    tell(x, "", "auth_file", config->text_path != NULL ? AUTH_OFFERED : AUTH_HIDDEN,
         config->text_path != NULL ? config->text_path : "none");
    if (!config->has_sasl) {
        tell(x, "", "sasl_outside", AUTH_HIDDEN, "sasldb, saslauthd and PWDB need -S");
        return;
    }
    const char *path = sasl_conf_path(x->auth->conf);
    tell(x, "", "sasl_conf", path != NULL ? AUTH_OFFERED : AUTH_HIDDEN,
         path != NULL ? path : "no memcached.conf found");
    const char *db = configured(x->auth, "sasldb_path");
    db = db != NULL ? db : "/etc/sasldb2";
    bool is_readable = access(db, R_OK) == 0;
    snprintf(text, sizeof text, "%.300s%s", db,
             is_readable ? "" : ": not readable; make it with saslpasswd2 -c, check its owner");
    tell(x, "", "sasldb", is_readable ? AUTH_OFFERED : AUTH_IMPOSSIBLE, text);
    const char *method = configured(x->auth, "pwcheck_method");
    tell(x, "", "pwcheck_method", AUTH_OFFERED, method != NULL ? method : "auxprop");
    tell(x, "", "pwdb", config->pwdb_path != NULL ? AUTH_OFFERED : AUTH_HIDDEN,
         config->pwdb_path != NULL ? config->pwdb_path : "MEMCACHED_SASL_PWDB is not set");
}

void auth_explain(struct auth *auth, const char *user, struct auth_now now, auth_explain_fn *fn,
                  void *arg)
{
    static const struct auth_transport tcp = {.address = {.family = AUTH_PEER_IPV4}};
    static const struct auth_transport loopback = {.is_loopback = true,
                                                   .address = {.family = AUTH_PEER_IPV4}};
    static const struct auth_transport tls = {.is_tls = true,
                                              .ssf = 256,
                                              .binding_type = "tls-exporter",
                                              .binding = {(const uint8_t *)"x", 1},
                                              .address = {.family = AUTH_PEER_IPV4}};
    static const struct auth_transport local = {.is_unix = true};
    struct users *users = auth_users_take(auth);
    struct explaining x = {
        .auth = auth, .users = users, .wall_s = now.wall_s, .fn = fn, .arg = arg};
    if (user != NULL)
        x.user = users_find(users, auth_plain_name(auth, users, slice_str(user)));
    explain_sources(&x);
    explain_transport(&x, "tcp", &tcp, user);
    explain_transport(&x, "loopback", &loopback, user);
    explain_transport(&x, "tls", &tls, user);
    explain_transport(&x, "unix", &local, user);
    users_drop(&users);
}
