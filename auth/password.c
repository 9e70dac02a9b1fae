#include "auth/password.h"

#include "base/random.h"

void password_proof_of(const struct user_secret *secret, struct proof *proof_out)
{
    memset(proof_out, 0, sizeof *proof_out);
    proof_out->kind = PROOF_SECRET;
    proof_out->not_after = secret->not_after;
    memcpy(proof_out->key, user_secret_plain(secret)->stored_key, sizeof proof_out->key);
}

static void fake_salt(const struct users_keys *keys, struct slice name, const char *scheme,
                      uint8_t salt_out[VERIFIER_SALT_SIZE])
{
    uint8_t tag[VERIFIER_TAG_SIZE];
    if (!verifier_tag(keys->fake, slice_str(scheme), name, tag))
        random_fill(tag, sizeof tag);
    memcpy(salt_out, tag, VERIFIER_SALT_SIZE);
}

void password_fake_verifier(const struct users *users, const struct users_keys *keys,
                            enum verifier_hash hash, struct slice name,
                            struct verifier *verifier_out)
{
    memset(verifier_out, 0, sizeof *verifier_out);
    verifier_out->hash = hash;
    verifier_out->iterations = users->iterations;
    verifier_out->n_salt = VERIFIER_SALT_SIZE;
    /* One salt for all hashes, as keepctl makes them. */
    fake_salt(keys, name, "salt", verifier_out->salt);
    /* Keys that no password has: a proof against them would be a preimage of random bytes. */
    random_fill(verifier_out->stored_key, verifier_size(hash));
    random_fill(verifier_out->server_key, verifier_size(hash));
}

static void derive(const struct verifier *verifier, struct slice password, uint8_t *key_out,
                   struct password_work *work)
{
    work->derivations++;
    work->iterations += verifier->iterations;
    if (!verifier_derive(verifier->hash, verifier->iterations,
                         slice_of(verifier->salt, verifier->n_salt), password, key_out))
        random_fill(key_out, verifier_size(verifier->hash));
}

/* What is left of the work that every "no" costs. */
static void spend_rest(const struct users *users, const struct users_keys *keys, struct slice name,
                       struct slice password, struct password_work *work)
{
    uint8_t key[VERIFIER_KEY_MAX];
    if (work->iterations >= users->plain_work)
        return;
    struct verifier fake;
    password_fake_verifier(users, keys, VERIFIER_SHA_256, name, &fake);
    fake.iterations = (uint32_t)(users->plain_work - work->iterations);
    derive(&fake, password, key, work);
    secret_wipe(key, sizeof key);
    secret_wipe(&fake, sizeof fake);
}

bool password_tag(const struct users_keys *keys, struct slice name, struct slice password,
                  uint8_t *tag_out)
{
    return verifier_tag(keys->tag, name, password, tag_out);
}

/* Has this very password been proven before, with a secret that is still valid? */
static bool find_proven(struct users *users, struct user *user, const uint8_t *tag, int64_t wall_s,
                        size_t *secret_out)
{
    pthread_mutex_lock(&users->proven_lock);
    bool is_same = user->is_proven && secret_equal(slice_of(tag, VERIFIER_TAG_SIZE),
                                                   slice_of(user->proven_tag, VERIFIER_TAG_SIZE));
    size_t secret = user->proven_secret;
    pthread_mutex_unlock(&users->proven_lock);
    if (!is_same || !user_secret_is_valid(&user->secrets[secret], wall_s))
        return false;
    *secret_out = secret;
    return true;
}

static void keep_proven(struct users *users, struct user *user, const uint8_t *tag, size_t secret)
{
    pthread_mutex_lock(&users->proven_lock);
    user->is_proven = true;
    user->proven_secret = secret;
    memcpy(user->proven_tag, tag, VERIFIER_TAG_SIZE);
    pthread_mutex_unlock(&users->proven_lock);
}

/* Derives once for each different salt and compares with all secrets, without stopping early. */
static bool find_secret(const struct user *user, struct slice password, int64_t wall_s,
                        size_t *secret_out, struct password_work *work)
{
    uint8_t key[VERIFIER_KEY_MAX];
    bool is_found = false;
    for (size_t i = 0; i < user->n_secrets; i++) {
        const struct verifier *mine = user_secret_plain(&user->secrets[i]);
        bool is_shared = false;
        for (size_t j = 0; j < i && !is_shared; j++)
            is_shared = verifier_shares_derivation(mine, user_secret_plain(&user->secrets[j]));
        if (is_shared)
            continue;
        derive(mine, password, key, work);
        for (size_t j = i; j < user->n_secrets; j++) {
            const struct verifier *other = user_secret_plain(&user->secrets[j]);
            size_t n = verifier_size(other->hash);
            if (!verifier_shares_derivation(mine, other) ||
                !user_secret_is_valid(&user->secrets[j], wall_s))
                continue;
            if (secret_equal(slice_of(key, n), slice_of(other->stored_key, n))) {
                *secret_out = j;
                is_found = true;
            }
        }
    }
    secret_wipe(key, sizeof key);
    return is_found;
}

/* The same for a user of the file, who may be nobody, or disabled. */
static bool recall_proven(struct users *users, struct user *user, const uint8_t *tag,
                          int64_t wall_s, struct proof *proof_out)
{
    size_t secret;
    if (user == NULL || user->is_disabled || !find_proven(users, user, tag, wall_s, &secret))
        return false;
    password_proof_of(&user->secrets[secret], proof_out);
    return true;
}

static bool check_file(struct users *users, const uint8_t *tag, struct user *user,
                       struct slice password, int64_t wall_s, struct proof *proof_out,
                       struct password_work *work)
{
    size_t secret;
    if (user == NULL)
        return false;
    if (recall_proven(users, user, tag, wall_s, proof_out)) {
        work->is_from_cache = true;
        return true;
    }
    bool is_right = find_secret(user, password, wall_s, &secret, work);
    if (!is_right || user->is_disabled)
        return false;
    keep_proven(users, user, tag, secret);
    password_proof_of(&user->secrets[secret], proof_out);
    return true;
}

static bool check_text(const struct users *users, const uint8_t *tag, struct slice name,
                       struct proof *proof_out)
{
    static const uint8_t nobody[VERIFIER_TAG_SIZE];
    const struct text_user *user = users_find_text(users, name);
    const uint8_t *expected = user != NULL ? user->tag : nobody;
    bool is_equal =
        secret_equal(slice_of(tag, VERIFIER_TAG_SIZE), slice_of(expected, VERIFIER_TAG_SIZE));
    if (user == NULL || !is_equal)
        return false;
    memset(proof_out, 0, sizeof *proof_out);
    proof_out->kind = PROOF_TEXT;
    memcpy(proof_out->key, user->tag, sizeof user->tag);
    return true;
}

enum password_answer password_recall(struct users *users, const uint8_t *tag, struct slice name,
                                     int64_t wall_s, struct proof *proof_out)
{
    if (check_text(users, tag, name, proof_out) ||
        recall_proven(users, users_find(users, name), tag, wall_s, proof_out))
        return PASSWORD_RIGHT;
    return users->plain_work == 0 ? PASSWORD_WRONG : PASSWORD_OPEN;
}

bool password_check(struct users *users, const struct users_keys *keys, struct slice name,
                    struct slice password, int64_t wall_s, struct proof *proof_out,
                    struct password_work *work_out)
{
    uint8_t tag[VERIFIER_TAG_SIZE];
    memset(work_out, 0, sizeof *work_out);
    /* Without a tag, for want of memory, nobody is let in. */
    bool is_right =
        password_tag(keys, name, password, tag) &&
        (check_text(users, tag, name, proof_out) ||
         check_file(users, tag, users_find(users, name), password, wall_s, proof_out, work_out));
    if (!is_right)
        spend_rest(users, keys, name, password, work_out);
    secret_wipe(tag, sizeof tag);
    return is_right;
}
