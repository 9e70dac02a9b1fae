#include "auth/pwdb.h"
#include "auth/state.h"

#include <stdlib.h>

struct auth_identity {
    struct auth *auth;
    struct auth_identity *next; /* auth->lock */
    struct auth_identity *previous;
    char user[AUTH_NAME_MAX + 1];
    uint32_t tenant;
    struct proof proof;
    atomic_uint rights;
    atomic_bool is_revoked;
    atomic_int_fast64_t not_after; /* 0 never */
};

struct standing {
    uint32_t tenant;
    uint32_t rights;
    int64_t not_after;
};

static const struct user_secret *proving_secret(const struct user *user, const struct proof *proof,
                                                int64_t wall_s)
{
    for (size_t i = 0; user != NULL && i < user->n_secrets; i++) {
        const struct verifier *verifier = user_secret_plain(&user->secrets[i]);
        if (memcmp(verifier->stored_key, proof->key, sizeof proof->key) == 0 &&
            user_secret_is_valid(&user->secrets[i], wall_s))
            return &user->secrets[i];
    }
    return NULL;
}

static bool rule_holds(const struct users *users, const struct user *user,
                       const struct proof *proof)
{
    for (size_t i = 0; user != NULL && i < users->n_rules; i++) {
        const struct rule *rule = &users->rules[i];
        if (rule->kind == proof->rule && strcmp(rule->pattern, proof->pattern) == 0)
            return &users->users[rule->user] == user;
    }
    return false;
}

/* Does the proof still hold in this set? NULL: yes, and standing is filled in part. */
static const char *proof_fault(const struct users *users, const struct user *user,
                               struct slice name, const struct proof *proof, int64_t wall_s,
                               struct standing *standing)
{
    const struct user_secret *secret;
    const struct text_user *text;
    switch (proof->kind) {
    case PROOF_SECRET:
        secret = proving_secret(user, proof, wall_s);
        if (secret == NULL)
            return "the secret is gone or has run out";
        standing->not_after = secret->not_after;
        return NULL;
    case PROOF_TEXT:
        text = users_find_text(users, name);
        if (text == NULL || memcmp(text->tag, proof->key, sizeof text->tag) != 0)
            return "the password file has changed";
        return NULL;
    case PROOF_EXTERNAL:
        return rule_holds(users, user, proof) ? NULL : "the identity rule is gone";
    case PROOF_PWDB:
        return pwdb_holds(users, proof) ? NULL : "the password file has changed";
    case PROOF_OUTSIDE:
        return NULL;
    }
    return "unknown proof";
}

/* What a proven name is worth in this set. NULL: standing is filled. */
static const char *standing_of(const struct users *users, struct slice name,
                               const struct proof *proof, int64_t wall_s, struct standing *standing)
{
    const struct user *user = users_find(users, name);
    *standing = (struct standing){.tenant = AUTH_TENANT_DEFAULT, .rights = USERS_RIGHTS_ALL};
    if (users->has_file && user == NULL)
        return "the tenants file has no such user";
    if (user != NULL && user->is_disabled)
        return "the user is disabled";
    if (user != NULL) {
        standing->tenant = users->tenants[user->tenant].id;
        standing->rights = user->rights;
    }
    return proof_fault(users, user, name, proof, wall_s, standing);
}

static void identity_link(struct auth_identity *identity)
{
    struct auth *auth = identity->auth;
    identity->next = auth->identities;
    if (identity->next != NULL)
        identity->next->previous = identity;
    auth->identities = identity;
}

static void identity_unlink(struct auth_identity *identity)
{
    struct auth *auth = identity->auth;
    if (identity->previous != NULL)
        identity->previous->next = identity->next;
    else
        auth->identities = identity->next;
    if (identity->next != NULL)
        identity->next->previous = identity->previous;
}

struct auth_identity *identity_create(struct auth *auth, struct slice name,
                                      const struct proof *proof, int64_t wall_s,
                                      const char **reason_out)
{
    struct standing standing;
    struct auth_identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL || name.n > AUTH_NAME_MAX) {
        *reason_out = identity == NULL ? "out of memory" : "the name is too long";
        free(identity);
        return NULL;
    }
    atomic_init(&identity->is_revoked, false);
    identity->auth = auth;
    identity->proof = *proof;
    if (name.n > 0)
        memcpy(identity->user, name.p, name.n);
    /* Under the lock: a reload that came in between must not be missed. */
    pthread_mutex_lock(&auth->lock);
    *reason_out = standing_of(auth->users, name, proof, wall_s, &standing);
    if (*reason_out == NULL) {
        identity->tenant = standing.tenant;
        atomic_init(&identity->rights, standing.rights);
        atomic_init(&identity->not_after, standing.not_after);
        identity_link(identity);
    }
    pthread_mutex_unlock(&auth->lock);
    if (*reason_out != NULL) {
        free(identity);
        return NULL;
    }
    return identity;
}

size_t identities_review(struct auth *auth, int64_t wall_s)
{
    size_t n_revoked = 0;
    for (struct auth_identity *i = auth->identities; i != NULL; i = i->next) {
        struct standing standing;
        const char *reason =
            standing_of(auth->users, slice_str(i->user), &i->proof, wall_s, &standing);
        if (reason == NULL && standing.tenant == i->tenant) {
            atomic_store_explicit(&i->rights, standing.rights, memory_order_relaxed);
            atomic_store_explicit(&i->not_after, standing.not_after, memory_order_relaxed);
        } else if (!atomic_exchange(&i->is_revoked, true)) {
            n_revoked++;
        }
    }
    return n_revoked;
}

void identity_destroy(struct auth_identity **identity)
{
    struct auth_identity *i = *identity;
    *identity = NULL;
    if (i == NULL)
        return;
    pthread_mutex_lock(&i->auth->lock);
    identity_unlink(i);
    pthread_mutex_unlock(&i->auth->lock);
    secret_wipe(&i->proof, sizeof i->proof);
    free(i);
}

const char *auth_identity_user(const struct auth_identity *identity)
{
    return identity->user;
}

uint32_t auth_identity_tenant(const struct auth_identity *identity)
{
    return identity->tenant;
}

uint32_t auth_identity_rights(const struct auth_identity *identity)
{
    return atomic_load_explicit(&identity->rights, memory_order_relaxed);
}

bool auth_identity_is_current(const struct auth_identity *identity, int64_t wall_s)
{
    int64_t not_after = atomic_load_explicit(&identity->not_after, memory_order_relaxed);
    return !atomic_load_explicit(&identity->is_revoked, memory_order_acquire) &&
           (not_after == 0 || wall_s < not_after);
}
