#include "auth/ask.h"
#include "auth/edit.h"
#include "auth/instant.h"
#include "auth/watch_server.h"
#include "base/number.h"
#include "base/random.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 64 };

/* The options of all commands; each command says which it takes. */
enum {
    OPT_MEMORY_MIN = 1 << 0,
    OPT_MEMORY_MAX = 1 << 1,
    OPT_ITEM_MAX = 1 << 2,
    OPT_CONNECTIONS = 1 << 3,
    OPT_OPS = 1 << 4,
    OPT_BYTES = 1 << 5,
    OPT_TENANT = 1 << 6,
    OPT_RIGHTS = 1 << 7,
    OPT_PASSWORD_STDIN = 1 << 8,
    OPT_LABEL = 1 << 9,
    OPT_NOT_BEFORE = 1 << 10,
    OPT_NOT_AFTER = 1 << 11,
    OPT_ITERATIONS = 1 << 12,
    OPT_REMOVE = 1 << 13,
    OPT_NO_PASSWORD = 1 << 14,
    OPT_USER = 1 << 15,
    OPT_CERT_CN = 1 << 16,
    OPT_CERT_DNS = 1 << 17,
    OPT_CERT_URI = 1 << 18,
    OPT_CERT_EMAIL = 1 << 19,
    OPT_UNIX_UID = 1 << 20,
    OPT_UNIX_GID = 1 << 21,
    OPT_PID = 1 << 22,
    OPT_TENANTS = 1 << 23,
    OPT_HELP = 1 << 24,
    OPT_SOCKET = 1 << 25,
    OPT_ADDRESS = 1 << 26,
    OPT_TLS = 1 << 27,
    OPT_CA = 1 << 28,
    OPT_ONCE = 1 << 29,
    OPTS_REMOTE = OPT_SOCKET | OPT_ADDRESS | OPT_TLS | OPT_CA | OPT_USER | OPT_PASSWORD_STDIN,
};

static const struct option long_options[] = {
    {"memory-min", required_argument, NULL, OPT_MEMORY_MIN},
    {"memory-max", required_argument, NULL, OPT_MEMORY_MAX},
    {"item-max", required_argument, NULL, OPT_ITEM_MAX},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"ops", required_argument, NULL, OPT_OPS},
    {"bytes", required_argument, NULL, OPT_BYTES},
    {"tenant", required_argument, NULL, OPT_TENANT},
    {"rights", required_argument, NULL, OPT_RIGHTS},
    {"password-stdin", no_argument, NULL, OPT_PASSWORD_STDIN},
    {"label", required_argument, NULL, OPT_LABEL},
    {"not-before", required_argument, NULL, OPT_NOT_BEFORE},
    {"not-after", required_argument, NULL, OPT_NOT_AFTER},
    {"iterations", required_argument, NULL, OPT_ITERATIONS},
    {"remove", no_argument, NULL, OPT_REMOVE},
    {"no-password", no_argument, NULL, OPT_NO_PASSWORD},
    {"user", required_argument, NULL, OPT_USER},
    {"cert-cn", required_argument, NULL, OPT_CERT_CN},
    {"cert-dns", required_argument, NULL, OPT_CERT_DNS},
    {"cert-uri", required_argument, NULL, OPT_CERT_URI},
    {"cert-email", required_argument, NULL, OPT_CERT_EMAIL},
    {"unix-uid", required_argument, NULL, OPT_UNIX_UID},
    {"unix-gid", required_argument, NULL, OPT_UNIX_GID},
    {"pid", required_argument, NULL, OPT_PID},
    {"tenants", required_argument, NULL, OPT_TENANTS},
    {"help", no_argument, NULL, OPT_HELP},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"tls", no_argument, NULL, OPT_TLS},
    {"ca", required_argument, NULL, OPT_CA},
    {"once", no_argument, NULL, OPT_ONCE},
    {NULL, 0, NULL, 0},
};

#define N_OPTIONS 30

struct call {
    struct edit edit;
    const char *path;
    const char *name;
    int n_words; /* behind the command */
    char **words;
    unsigned given; /* OPT_ bits */
    const char *values[N_OPTIONS];
};

static const char usage_text[] =
    "usage: keepctl --tenants FILE COMMAND\n"
    "\n"
    "  tenant add NAME [--memory-min 64m] [--memory-max 1g] [--item-max 1m]\n"
    "                  [--connections N] [--ops N] [--bytes N]\n"
    "  tenant del NAME\n"
    "  tenant list\n"
    "  user add USER --tenant NAME [--rights read,write,...] [--password-stdin | --no-password]\n"
    "  user list\n"
    "  user disable USER | user enable USER | user del USER\n"
    "  passwd USER [--label L] [--not-before TIME] [--not-after TIME] [--iterations N]\n"
    "              [--password-stdin | --remove]\n"
    "  identity add NAME --user USER (--cert-cn | --cert-dns | --cert-uri | --cert-email |\n"
    "                                 --unix-uid | --unix-gid) VALUE\n"
    "  identity del NAME\n"
    "  check\n"
    "  reload --pid PID-OR-FILE      asks a running keepd to read its files again\n"
    "\n"
    "  SERVER stats [NAME...]        one of the server's statistics\n"
    "  SERVER top [--once]           what goes on, once a second; q ends\n"
    "  SERVER reload                 as above, and says what is wrong with the files\n"
    "  SERVER check-auth             can this user log in; what the server offers\n"
    "  SERVER is --socket PATH, or --address HOST:PORT [--tls [--ca FILE]]; in front of or behind\n"
    "  the command, with [--user NAME --password-stdin]\n"
    "\n"
    "TIME is 2026-11-30 or 2026-11-30T12:00:00Z. Without --password-stdin the password is asked\n"
    "for on the terminal. See keepctl(1).\n";

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("keepctl: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_FAILURE;
}

static int complain_edit(const struct call *call)
{
    return complain("%s", call->edit.error.text);
}

static const char *value_of(const struct call *call, unsigned option)
{
    return (call->given & option) != 0 ? call->values[__builtin_ctz(option)] : NULL;
}

/* ---- secrets ---- */

static bool set_dates(const struct call *call, struct user_secret *secret)
{
    const char *before = value_of(call, OPT_NOT_BEFORE), *after = value_of(call, OPT_NOT_AFTER);
    secret->not_before = secret->not_after = 0;
    if (before != NULL && !instant_parse(slice_str(before), &secret->not_before)) {
        complain("--not-before: \"%s\" is not a time such as 2026-11-30", before);
        return false;
    }
    if (after != NULL && !instant_parse(slice_str(after), &secret->not_after)) {
        complain("--not-after: \"%s\" is not a time such as 2026-11-30", after);
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
    const char *wanted = value_of(call, OPT_ITERATIONS);
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
        complain("--iterations: 4096 to 1000000");
        return false;
    }
    for (unsigned i = 0; i < N_VERIFIER_HASHES; i++) {
        if (!verifier_make((enum verifier_hash)i, (uint32_t)iterations, slice_of(salt, n_salt),
                           slice_of(password->p, password->n), &secret->verifiers[i])) {
            complain("the key derivation failed");
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
    const char *label = value_of(call, OPT_LABEL);
    struct user_secret made = {.n_verifiers = 0};
    if (label == NULL)
        label = "main";
    if (edit_name_fault(label) != NULL || strlen(label) > USERS_LABEL_MAX) {
        complain("--label: 1 to %d printable bytes", USERS_LABEL_MAX);
        return false;
    }
    if (!set_dates(call, &made))
        return false;
    const char *reason;
    struct secret *password = ask_password((call->given & OPT_PASSWORD_STDIN) != 0, &reason);
    if (password == NULL) {
        complain("%s", reason);
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

/* ---- commands ---- */

static int save(struct call *call, const char *kind, const char *title, char *text)
{
    if (text == NULL)
        return complain("out of memory");
    bool is_good = edit_put(&call->edit, kind, title, text) && edit_save(&call->edit);
    secret_wipe(text, strlen(text));
    free(text);
    return is_good ? EXIT_SUCCESS : complain_edit(call);
}

static int removed(struct call *call, const char *kind)
{
    bool is_good = edit_put(&call->edit, kind, call->name, NULL) && edit_save(&call->edit);
    return is_good ? EXIT_SUCCESS : complain_edit(call);
}

static bool size_option(const struct call *call, unsigned option, const char *name, uint64_t *out)
{
    const char *text = value_of(call, option);
    if (text == NULL || number_parse_size(slice_str(text), UINT64_C(1) << 50, out))
        return true;
    complain("--%s: \"%s\" is not a number or a size such as 64m", name, text);
    return false;
}

static int tenant_add(struct call *call)
{
    struct auth_tenant tenant = {.id = 0};
    const char *fault = edit_name_fault(call->name);
    if (fault != NULL)
        return complain("tenant \"%s\": %s", call->name, fault);
    bool is_default = strcmp(call->name, "default") == 0;
    if (!is_default && users_find_tenant(call->edit.users, slice_str(call->name)) != NULL)
        return complain("tenant \"%s\" is there already", call->name);
    snprintf(tenant.name, sizeof tenant.name, "%s", call->name);
    if (!size_option(call, OPT_MEMORY_MIN, "memory-min", &tenant.memory_min) ||
        !size_option(call, OPT_MEMORY_MAX, "memory-max", &tenant.memory_max) ||
        !size_option(call, OPT_ITEM_MAX, "item-max", &tenant.item_max) ||
        !size_option(call, OPT_CONNECTIONS, "connections", &tenant.connections) ||
        !size_option(call, OPT_OPS, "ops", &tenant.ops) ||
        !size_option(call, OPT_BYTES, "bytes", &tenant.bytes))
        return EXIT_USAGE;
    return save(call, "tenant", call->name, edit_render_tenant(&tenant));
}

static int tenant_del(struct call *call)
{
    const struct users *users = call->edit.users;
    const struct auth_tenant *tenant = users_find_tenant(users, slice_str(call->name));
    if (tenant == NULL)
        return complain("there is no tenant \"%s\"", call->name);
    for (size_t i = 0; i < users->n_users; i++) {
        if (&users->tenants[users->users[i].tenant] == tenant)
            return complain("tenant \"%s\" still has user \"%s\"", call->name,
                            users->users[i].name);
    }
    return removed(call, "tenant");
}

static int tenant_list(struct call *call)
{
    const struct users *users = call->edit.users;
    printf("%-24s %14s %14s %12s %11s %10s %12s\n", "TENANT", "MEMORY-MIN", "MEMORY-MAX",
           "ITEM-MAX", "CONNECTIONS", "OPS", "BYTES");
    for (size_t i = 0; i < users->n_tenants; i++) {
        const struct auth_tenant *t = &users->tenants[i];
        printf("%-24s %14llu %14llu %12llu %11llu %10llu %12llu\n", t->name,
               (unsigned long long)t->memory_min, (unsigned long long)t->memory_max,
               (unsigned long long)t->item_max, (unsigned long long)t->connections,
               (unsigned long long)t->ops, (unsigned long long)t->bytes);
    }
    return EXIT_SUCCESS;
}

static int user_add(struct call *call)
{
    const char *tenant = value_of(call, OPT_TENANT), *rights = value_of(call, OPT_RIGHTS);
    const struct users *users = call->edit.users;
    struct user user = {.name = NULL, .rights = USERS_RIGHTS_DEFAULT};
    const char *fault = edit_name_fault(call->name);
    if (fault != NULL)
        return complain("user \"%s\": %s", call->name, fault);
    if (tenant == NULL)
        return complain("user add needs --tenant NAME");
    if (users_find(users, slice_str(call->name)) != NULL)
        return complain("user \"%s\" is there already", call->name);
    const struct auth_tenant *found = users_find_tenant(users, slice_str(tenant));
    if (found == NULL)
        return complain("there is no tenant \"%s\"", tenant);
    if (rights != NULL && !edit_rights_parse(rights, &user.rights))
        return complain("--rights: read, write, delete, incr, touch, flush, stats, dump, admin");
    user.tenant = (uint32_t)(found - users->tenants);
    user.name = strdup(call->name);
    int result = EXIT_FAILURE;
    if (user.name != NULL && ((call->given & OPT_NO_PASSWORD) != 0 || set_password(call, &user)))
        result = save(call, "user", call->name, edit_render_user(users, &user));
    secret_wipe(user.secrets, user.n_secrets * sizeof *user.secrets);
    free(user.secrets);
    free(user.name);
    return result;
}

static struct user *named_user(struct call *call)
{
    struct user *user = users_find(call->edit.users, slice_str(call->name));
    if (user == NULL)
        complain("there is no user \"%s\"", call->name);
    return user;
}

static int user_set_disabled(struct call *call, bool is_disabled)
{
    struct user *user = named_user(call);
    if (user == NULL)
        return EXIT_FAILURE;
    user->is_disabled = is_disabled;
    return save(call, "user", call->name, edit_render_user(call->edit.users, user));
}

static int user_disable(struct call *call)
{
    return user_set_disabled(call, true);
}

static int user_enable(struct call *call)
{
    return user_set_disabled(call, false);
}

static int user_del(struct call *call)
{
    return named_user(call) != NULL ? removed(call, "user") : EXIT_FAILURE;
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

static int user_list(struct call *call)
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
    const char *label = value_of(call, OPT_LABEL);
    struct user_secret *secret = find_label(user, label != NULL ? label : "main");
    if (secret == NULL)
        return complain("user \"%s\" has no secret \"%s\"", call->name,
                        label != NULL ? label : "main");
    size_t at = (size_t)(secret - user->secrets);
    memmove(secret, secret + 1, (user->n_secrets - at - 1) * sizeof *secret);
    user->n_secrets--;
    return save(call, "user", call->name, edit_render_user(call->edit.users, user));
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

static int passwd(struct call *call)
{
    struct user *user = named_user(call);
    if (user == NULL)
        return EXIT_FAILURE;
    if ((call->given & OPT_REMOVE) != 0)
        return remove_secret(call, user);
    if (!set_password(call, user))
        return EXIT_FAILURE;
    tell_scram(user);
    return save(call, "user", call->name, edit_render_user(call->edit.users, user));
}

static int identity_add(struct call *call)
{
    static const char *const keys[] = {"cert-cn",    "cert-dns", "cert-uri",
                                       "cert-email", "unix-uid", "unix-gid"};
    const char *user = value_of(call, OPT_USER), *value = NULL, *key = NULL;
    char *text = NULL;
    for (unsigned i = 0; i < 6; i++) {
        const char *given = value_of(call, OPT_CERT_CN << i);
        if (given != NULL && value != NULL)
            return complain("identity add takes one of --cert-... and --unix-...");
        value = given != NULL ? given : value;
        key = given != NULL ? keys[i] : key;
    }
    if (user == NULL || value == NULL)
        return complain("identity add needs --user and one of --cert-... and --unix-...");
    if (edit_name_fault(call->name) != NULL || edit_name_fault(user) != NULL ||
        strpbrk(value, "\"'\\$\n") != NULL)
        return complain("a name or value holds a quote, a backslash or a dollar");
    if (asprintf(&text, "identity \"%s\" {\n    %s = \"%s\"\n    user = \"%s\"\n}", call->name, key,
                 value, user) < 0)
        text = NULL;
    return save(call, "identity", call->name, text);
}

static int identity_del(struct call *call)
{
    return removed(call, "identity");
}

static int check(struct call *call)
{
    const struct users *users = call->edit.users;
    printf("%s: good: %zu tenants, %zu users, %zu identity rules\n", call->edit.path,
           users->n_tenants, users->n_users, users->n_rules);
    return EXIT_SUCCESS;
}

/* ---- commands that ask a running server ---- */

static bool log_in(struct call *call, struct remote *remote)
{
    char error[REMOTE_LINE_MAX + 64];
    const char *user = value_of(call, OPT_USER), *reason;
    if (user == NULL)
        return true;
    if ((call->given & OPT_PASSWORD_STDIN) == 0) {
        complain("--user needs --password-stdin");
        return false;
    }
    struct secret *password = ask_password(true, &reason);
    if (password == NULL) {
        complain("%s", reason);
        return false;
    }
    bool is_in = remote_login(remote, user, password, error, sizeof error);
    secret_destroy(&password);
    if (!is_in)
        complain("%s", error);
    return is_in;
}

static struct remote *open_server(struct call *call)
{
    char error[1024];
    struct remote_config config = {
        .socket = value_of(call, OPT_SOCKET),
        .address = value_of(call, OPT_ADDRESS),
        .is_tls = (call->given & OPT_TLS) != 0,
        .ca_file = value_of(call, OPT_CA),
    };
    if ((config.socket == NULL) == (config.address == NULL)) {
        complain("give --socket PATH or --address HOST:PORT");
        return NULL;
    }
    struct remote *remote = remote_open(&config, error, sizeof error);
    if (remote == NULL)
        complain("%s", error);
    else if (!log_in(call, remote))
        remote_close(&remote);
    return remote;
}

static int stats(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_stats(remote, call->n_words, call->words);
    remote_close(&remote);
    return code;
}

static int top(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_top(remote, (call->given & OPT_ONCE) != 0);
    remote_close(&remote);
    return code;
}

static int check_auth(struct call *call)
{
    static char what[] = "auth";
    char *words[] = {what};
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    if (value_of(call, OPT_USER) != NULL)
        printf("logged in as %s\n", value_of(call, OPT_USER));
    int code = watch_stats(remote, 1, words);
    remote_close(&remote);
    return code;
}

static int reload_by_server(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_reload(remote);
    remote_close(&remote);
    return code;
}

static int reload(struct call *call)
{
    if ((call->given & (OPT_SOCKET | OPT_ADDRESS)) != 0)
        return reload_by_server(call);
    const char *where = value_of(call, OPT_PID);
    uint64_t pid;
    char line[32] = "";
    if (where == NULL)
        return complain("reload needs --pid PID, --pid FILE, --socket or --address");
    if (!number_parse_u64(slice_str(where), INT32_MAX, &pid)) {
        FILE *f = fopen(where, "r");
        if (f == NULL)
            return complain("%s: %s", where, strerror(errno));
        if (fgets(line, sizeof line, f) == NULL)
            line[0] = '\0';
        fclose(f);
        line[strcspn(line, "\r\n")] = '\0';
        if (!number_parse_u64(slice_str(line), INT32_MAX, &pid))
            return complain("%s holds no process number", where);
    }
    if (pid < 2 || kill((pid_t)pid, SIGHUP) != 0)
        return complain("process %llu: %s", (unsigned long long)pid, strerror(errno));
    return EXIT_SUCCESS;
}

enum needs { NEEDS_NOTHING, NEEDS_FILE, CHANGES_FILE, MAKES_FILE };

static const struct command {
    const char *noun;
    const char *verb; /* NULL: the noun is all */
    bool takes_name;
    enum needs needs;
    unsigned options;
    int (*run)(struct call *call);
} commands[] = {
    {"tenant", "add", true, MAKES_FILE,
     OPT_MEMORY_MIN | OPT_MEMORY_MAX | OPT_ITEM_MAX | OPT_CONNECTIONS | OPT_OPS | OPT_BYTES,
     tenant_add},
    {"tenant", "del", true, CHANGES_FILE, 0, tenant_del},
    {"tenant", "list", false, NEEDS_FILE, 0, tenant_list},
    {"user", "add", true, CHANGES_FILE,
     OPT_TENANT | OPT_RIGHTS | OPT_PASSWORD_STDIN | OPT_NO_PASSWORD | OPT_LABEL | OPT_NOT_BEFORE |
         OPT_NOT_AFTER | OPT_ITERATIONS,
     user_add},
    {"user", "list", false, NEEDS_FILE, 0, user_list},
    {"user", "disable", true, CHANGES_FILE, 0, user_disable},
    {"user", "enable", true, CHANGES_FILE, 0, user_enable},
    {"user", "del", true, CHANGES_FILE, 0, user_del},
    {"passwd", NULL, true, CHANGES_FILE,
     OPT_LABEL | OPT_NOT_BEFORE | OPT_NOT_AFTER | OPT_ITERATIONS | OPT_PASSWORD_STDIN | OPT_REMOVE,
     passwd},
    {"identity", "add", true, CHANGES_FILE,
     OPT_USER | OPT_CERT_CN | OPT_CERT_DNS | OPT_CERT_URI | OPT_CERT_EMAIL | OPT_UNIX_UID |
         OPT_UNIX_GID,
     identity_add},
    {"identity", "del", true, CHANGES_FILE, 0, identity_del},
    {"check", NULL, false, NEEDS_FILE, 0, check},
    {"reload", NULL, false, NEEDS_NOTHING, OPT_PID | OPTS_REMOTE, reload},
    {"stats", NULL, false, NEEDS_NOTHING, OPTS_REMOTE, stats},
    {"top", NULL, false, NEEDS_NOTHING, OPTS_REMOTE | OPT_ONCE, top},
    {"check-auth", NULL, false, NEEDS_NOTHING, OPTS_REMOTE, check_auth},
};

/* ---- the command line ---- */

static int usage_error(const char *what)
{
    fprintf(stderr, "keepctl: %s\n%s", what, usage_text);
    return EXIT_USAGE;
}

static const struct command *find_command(int n_words, char **words, int *n_used_out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        int n = c->verb != NULL ? 2 : 1;
        if (n_words < n || strcmp(words[0], c->noun) != 0 ||
            (c->verb != NULL && strcmp(words[1], c->verb) != 0))
            continue;
        *n_used_out = n;
        return c;
    }
    return NULL;
}

static int run_command(struct call *call, const struct command *command)
{
    int result;
    if (command->needs == NEEDS_NOTHING)
        return command->run(call);
    if (call->path == NULL)
        return usage_error("--tenants FILE is missing");
    bool is_open = edit_open(&call->edit, call->path, command->needs >= CHANGES_FILE,
                             command->needs == MAKES_FILE);
    result = is_open ? command->run(call) : complain_edit(call);
    edit_close(&call->edit);
    return result;
}

static int parse_options(struct call *call, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?')
            return usage_error("unknown option, or an option without its value");
        if (option == OPT_HELP) {
            fputs(usage_text, stdout);
            exit(EXIT_SUCCESS);
        }
        if (option == OPT_TENANTS)
            call->path = optarg;
        else
            call->given |= (unsigned)option;
        call->values[__builtin_ctz((unsigned)option)] = optarg;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct call call;
    int n_used = 0;
    int result = parse_options(&call, argc, argv);
    if (result != EXIT_SUCCESS)
        return result;
    const struct command *command = find_command(argc - optind, argv + optind, &n_used);
    if (command == NULL)
        return usage_error("no such command");
    call.n_words = argc - optind - n_used;
    call.words = argv + optind + n_used;
    if (command->run != stats && call.n_words != (command->takes_name ? 1 : 0))
        return usage_error(command->takes_name ? "give one name" : "too many words");
    if ((call.given & ~command->options) != 0)
        return usage_error("an option does not belong to this command");
    call.name = command->takes_name ? argv[optind + n_used] : NULL;
    return run_command(&call, command);
}
