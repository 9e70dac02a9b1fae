#include "auth/ask.h"
#include "auth/instant.h"
#include "auth/keepctl.h"
#include "base/number.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool set_dates(const struct call *call, struct user_secret *secret)
{
    const char *before = call_value(call, KEEPCTL_OPTION_NOT_BEFORE),
               *after = call_value(call, KEEPCTL_OPTION_NOT_AFTER);
    secret->not_before = secret->not_after = 0;
    if (before != NULL && !instant_parse(slice_str(before), &secret->not_before)) {
        call_complain("--not-before: \"%s\" is not a time such as 2026-11-30", before);
        return false;
    }
    if (after != NULL && !instant_parse(slice_str(after), &secret->not_after)) {
        call_complain("--not-after: \"%s\" is not a time such as 2026-11-30", after);
        return false;
    }
    return true;
}

/* A user's secrets share their salt: one derivation then serves a PLAIN check against all. */
static bool set_verifiers(const struct call *call, const struct user *user,
                          struct user_secret *secret, const struct secret *password)
{
    uint8_t salt[VERIFIER_KEY_MAX];
    size_t n_salt = VERIFIER_SALT_SIZE;
    uint64_t iterations = VERIFIER_ITERATIONS;
    const char *wanted = call_value(call, KEEPCTL_OPTION_ITERATIONS);
    random_fill(salt, n_salt);
    if (user->n_secrets > 0) {
        const struct verifier *old = user_secret_plain(&user->secrets[0]);
        if (old->n_salt > 0) {
            n_salt = old->n_salt;
            memcpy(salt, old->salt, n_salt);
            iterations = old->iterations;
        }
    }
    if (wanted != NULL &&
        (!number_parse_u64(slice_str(wanted), VERIFIER_ITERATIONS_MAX, &iterations) ||
         iterations < VERIFIER_ITERATIONS)) {
        call_complain("--iterations: %d to %d", VERIFIER_ITERATIONS, VERIFIER_ITERATIONS_MAX);
        return false;
    }
    for (unsigned i = 0; i < N_VERIFIER_HASHES; i++) {
        if (!verifier_make((enum verifier_hash)i, (uint32_t)iterations, slice_of(salt, n_salt),
                           slice_of(password->p, password->n), &secret->verifiers[i])) {
            call_complain("the key derivation failed");
            return false;
        }
    }
    secret->n_verifiers = N_VERIFIER_HASHES;
    return true;
}

static struct user_secret *find_label(struct user *user, const char *label)
{
    for (size_t i = 0; i < user->n_secrets; i++) {
        if (strcmp(user->secrets[i].label, label) == 0)
            return &user->secrets[i];
    }
    return NULL;
}

static struct user_secret *add_label(struct user *user, const char *label)
{
    struct user_secret *larger = calloc(user->n_secrets + 1, sizeof *larger);
    if (larger == NULL)
        return NULL;
    if (user->n_secrets > 0)
        memcpy(larger, user->secrets, user->n_secrets * sizeof *larger);
    secret_wipe(user->secrets, user->n_secrets * sizeof *larger);
    free(user->secrets);
    user->secrets = larger;
    struct user_secret *secret = &larger[user->n_secrets];
    snprintf(secret->label, sizeof secret->label, "%s", label);
    return secret;
}

/* Puts a password into the user: in the place of the label's secret, or behind the others. */
static bool set_password(const struct call *call, struct user *user)
{
    const char *label = call_value(call, KEEPCTL_OPTION_LABEL);
    struct user_secret made = {.n_verifiers = 0};
    if (label == NULL)
        label = "main";
    if (edit_name_fault(label) != NULL || strlen(label) > USERS_LABEL_MAX) {
        call_complain("--label: 1 to %d printable bytes", USERS_LABEL_MAX);
        return false;
    }
    if (!set_dates(call, &made))
        return false;
    const char *reason;
    struct secret *password = ask_password((call->given & OPT_PASSWORD_STDIN) != 0, &reason);
    if (password == NULL) {
        call_complain("%s", reason);
        return false;
    }
    bool is_good = set_verifiers(call, user, &made, password);
    secret_destroy(&password);
    struct user_secret *place = find_label(user, label);
    bool is_new = place == NULL;
    if (is_good && is_new)
        place = add_label(user, label);
    if (is_good && place != NULL) {
        memcpy(made.label, place->label, sizeof made.label);
        *place = made;
        user->n_secrets += is_new;
    }
    secret_wipe(&made, sizeof made);
    return is_good && place != NULL;
}

int call_user_add(struct call *call)
{
    const char *tenant = call_value(call, KEEPCTL_OPTION_TENANT),
               *rights = call_value(call, KEEPCTL_OPTION_RIGHTS);
    const struct users *users = call->edit.users;
    struct user user = {.name = NULL, .rights = USERS_RIGHTS_DEFAULT};
    const char *fault = edit_name_fault(call->name);
    if (fault != NULL)
        return call_complain("user \"%s\": %s", call->name, fault);
    if (tenant == NULL)
        return call_complain("user add needs --tenant NAME");
    if (users_find(users, slice_str(call->name)) != NULL)
        return call_complain("user \"%s\" is there already", call->name);
    const struct auth_tenant *found = users_find_tenant(users, slice_str(tenant));
    if (found == NULL)
        return call_complain("there is no tenant \"%s\"", tenant);
    if (rights != NULL && !edit_rights_parse(rights, &user.rights))
        return call_complain(
            "--rights: read, write, delete, incr, touch, flush, stats, dump, admin");
    user.tenant = (uint32_t)(found - users->tenants);
    user.name = strdup(call->name);
    int result = EXIT_FAILURE;
    if (user.name != NULL && ((call->given & OPT_NO_PASSWORD) != 0 || set_password(call, &user)))
        result = call_save(call, "user", edit_render_user(users, &user));
    secret_wipe(user.secrets, user.n_secrets * sizeof *user.secrets);
    free(user.secrets);
    free(user.name);
    return result;
}

static struct user *named_user(struct call *call)
{
    struct user *user = users_find(call->edit.users, slice_str(call->name));
    if (user == NULL)
        call_complain("there is no user \"%s\"", call->name);
    return user;
}

static int user_set_disabled(struct call *call, bool is_disabled)
{
    struct user *user = named_user(call);
    if (user == NULL)
        return EXIT_FAILURE;
    user->is_disabled = is_disabled;
    return call_save(call, "user", edit_render_user(call->edit.users, user));
}

int call_user_disable(struct call *call)
{
    return user_set_disabled(call, true);
}

int call_user_enable(struct call *call)
{
    return user_set_disabled(call, false);
}

int call_user_del(struct call *call)
{
    return named_user(call) != NULL ? call_remove(call, "user") : EXIT_FAILURE;
}

static void list_secrets(const struct user *user)
{
    char when[INSTANT_TEXT_MAX];
    for (size_t i = 0; i < user->n_secrets; i++) {
        const struct user_secret *secret = &user->secrets[i];
        printf("%s%s", i > 0 ? ", " : "", secret->label);
        if (secret->not_before != 0) {
            instant_format(secret->not_before, when);
            printf(" from %s", when);
        }
        if (secret->not_after != 0) {
            instant_format(secret->not_after, when);
            printf(" until %s", when);
        }
    }
    printf("%s\n", user->n_secrets == 0 ? "-" : "");
}

int call_user_list(struct call *call)
{
    const struct users *users = call->edit.users;
    char rights[80];
    printf("%-24s %-24s %-8s %-52s %s\n", "USER", "TENANT", "STATE", "RIGHTS", "SECRETS");
    for (size_t i = 0; i < users->n_users; i++) {
        const struct user *user = &users->users[i];
        edit_rights_text(user->rights, ",", rights);
        printf("%-24s %-24s %-8s %-52s ", user->name, users->tenants[user->tenant].name,
               user->is_disabled ? "disabled" : "enabled", rights[0] != '\0' ? rights : "-");
        list_secrets(user);
    }
    return EXIT_SUCCESS;
}

static int remove_secret(struct call *call, struct user *user)
{
    const char *label = call_value(call, KEEPCTL_OPTION_LABEL);
    struct user_secret *secret = find_label(user, label != NULL ? label : "main");
    if (secret == NULL)
        return call_complain("user \"%s\" has no secret \"%s\"", call->name,
                             label != NULL ? label : "main");
    size_t at = (size_t)(secret - user->secrets);
    memmove(secret, secret + 1, (user->n_secrets - at - 1) * sizeof *secret);
    user->n_secrets--;
    return call_save(call, "user", edit_render_user(call->edit.users, user));
}

/* Who rotates a password shall not find out by the clients that are locked out. */
static void tell_scram(const struct user *user)
{
    if (user->n_secrets < 2)
        return;
    printf(
        "Logins by SCRAM take the secret \"%s\" of %s while it is valid, as the last in the file; "
        "PLAIN and text logins take each.\n",
        user->secrets[user->n_secrets - 1].label, user->name);
}

int call_passwd(struct call *call)
{
    struct user *user = named_user(call);
    if (user == NULL)
        return EXIT_FAILURE;
    if ((call->given & OPT_REMOVE) != 0)
        return remove_secret(call, user);
    if (!set_password(call, user))
        return EXIT_FAILURE;
    tell_scram(user);
    return call_save(call, "user", edit_render_user(call->edit.users, user));
}
