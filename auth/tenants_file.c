#include "auth/users.h"

#include "auth/instant.h"
#include "auth/sections.h"
#include "base/number.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX_BYTES (64u << 20)
#define NUMBER_MAX     (UINT64_C(1) << 50)
#define PARSER_ROOM    (256u << 10)
#define PARSER_FACTOR  8u /* bytes that the parser may take for each of the text */

/* The library's callbacks have no argument of ours; one file is read by one thread at a time. */
struct reading {
    struct users *users;
    const char *path;
    struct auth_error *error_out;
    bool has_error;
    bool has_default;     /* the tenant "default" was in the file */
    unsigned line_of_min; /* of the last memory-min */
};

static _Thread_local struct reading *reading;

/* ---- errors ---- */

static void fault(cfg_t *cfg, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first complaint is the one that is kept: what follows is its consequence. */
static void keep_fault(unsigned line, const char *format, va_list ap)
{
    char reason[AUTH_TEXT_MAX / 2];
    if (reading->has_error)
        return;
    vsnprintf(reason, sizeof reason, format, ap);
    users_error(reading->error_out, reading->path, line, "%s", reason);
    reading->has_error = true;
}

static void fault(cfg_t *cfg, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    keep_fault(cfg->line > 0 ? (unsigned)cfg->line : 1, format, ap);
    va_end(ap);
}

static void library_fault(cfg_t *cfg, const char *format, va_list ap)
{
    keep_fault(cfg->line > 0 ? (unsigned)cfg->line : 1, format, ap);
}

static void line_fault(unsigned line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void line_fault(unsigned line, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    keep_fault(line, format, ap);
    va_end(ap);
}

/* ---- values, checked where they stand so that the error has their line ---- */

static const char *text_of(cfg_opt_t *opt)
{
    return cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
}

static int check_size(cfg_t *cfg, cfg_opt_t *opt)
{
    uint64_t value;
    if (strcmp(opt->name, "memory-min") == 0)
        reading->line_of_min = (unsigned)cfg->line;
    if (number_parse_size(slice_str(text_of(opt)), NUMBER_MAX, &value))
        return 0;
    fault(cfg, "%s: \"%s\" is not a size such as 64m", opt->name, text_of(opt));
    return -1;
}

static int check_instant(cfg_t *cfg, cfg_opt_t *opt)
{
    int64_t when;
    if (instant_parse(slice_str(text_of(opt)), &when))
        return 0;
    fault(cfg, "%s: \"%s\" is not a time such as 2026-11-30 or 2026-11-30T12:00:00Z", opt->name,
          text_of(opt));
    return -1;
}

static int check_verifier(cfg_t *cfg, cfg_opt_t *opt)
{
    struct verifier verifier;
    const char *reason;
    bool is_good = verifier_parse(slice_str(text_of(opt)), &verifier, &reason);
    secret_wipe(&verifier, sizeof verifier);
    if (is_good)
        return 0;
    fault(cfg, "bad verifier: %s", reason);
    return -1;
}

static bool right_of(struct slice word, uint32_t *bit_out)
{
#define RIGHT(name, text, index)      \
    if (slice_is(word, text)) {       \
        *bit_out = AUTH_RIGHT_##name; \
        return true;                  \
    }
#include "auth/rights.def"
#undef RIGHT
    return false;
}

static int check_right(cfg_t *cfg, cfg_opt_t *opt)
{
    uint32_t bit;
    if (right_of(slice_str(text_of(opt)), &bit))
        return 0;
    fault(cfg, "unknown right \"%s\": read, write, delete, incr, touch, flush, stats, dump, admin",
          text_of(opt));
    return -1;
}

static int check_pattern(cfg_t *cfg, cfg_opt_t *opt)
{
    size_t n = strlen(text_of(opt));
    if (n > 0 && n < 256)
        return 0;
    fault(cfg, "%s must have 1 to 255 bytes", opt->name);
    return -1;
}

static int check_id(cfg_t *cfg, cfg_opt_t *opt)
{
    uint64_t value;
    if (number_parse_u64(slice_str(text_of(opt)), UINT32_MAX - 1, &value))
        return 0;
    fault(cfg, "%s: \"%s\" is not a number", opt->name, text_of(opt));
    return -1;
}

/* ---- sections ---- */

static uint64_t size_in(cfg_t *section, const char *key)
{
    uint64_t value = 0;
    const char *text = cfg_getstr(section, key);
    if (text != NULL)
        (void)!number_parse_size(slice_str(text), NUMBER_MAX, &value);
    return value;
}

static const char *name_in_tenants(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->tenants[index].name;
}

static const char *name_in_users(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->users[index].name;
}

/* Doubling growth: is this count a power of two (or none), so that the array is full? */
static bool is_full(size_t n)
{
    return (n & (n - 1)) == 0;
}

/* NULL: is_double_out tells whether the name was there, otherwise memory is short. */
static struct auth_tenant *tenant_slot(struct users *users, const char *title, bool *is_double_out)
{
    *is_double_out = false;
    if (strcmp(title, "default") == 0) {
        *is_double_out = reading->has_default;
        reading->has_default = true;
        return *is_double_out ? NULL : &users->tenants[0];
    }
    if (is_full(users->n_tenants)) {
        struct auth_tenant *larger = realloc(users->tenants, users->n_tenants * 2 * sizeof *larger);
        if (larger == NULL)
            return NULL;
        users->tenants = larger;
    }
    struct auth_tenant *tenant = &users->tenants[users->n_tenants];
    memset(tenant, 0, sizeof *tenant);
    snprintf(tenant->name, sizeof tenant->name, "%s", title);
    if (!name_table_add(&users->tenant_names, slice_str(title), (uint32_t)users->n_tenants,
                        name_in_tenants, users, is_double_out))
        return NULL;
    users->n_tenants++;
    return tenant;
}

static bool title_is_good(cfg_t *cfg, cfg_t *section, const char *what)
{
    const char *reason = users_name_fault(slice_str(cfg_title(section)));
    if (reason != NULL)
        fault(cfg, "%s: %s", what, reason);
    return reason == NULL;
}

static int double_or_memory(cfg_t *cfg, cfg_t *section, bool is_double)
{
    if (is_double)
        fault(cfg, "%s \"%s\" is there twice", cfg_name(section), cfg_title(section));
    else
        fault(cfg, "out of memory");
    return -1;
}

static int read_tenant_section(cfg_t *cfg, cfg_t *section)
{
    bool is_double;
    if (!title_is_good(cfg, section, "tenant"))
        return -1;
    if (reading->users->n_tenants == AUTH_TENANTS_MAX) {
        fault(cfg, "more than %d tenants", AUTH_TENANTS_MAX - 1);
        return -1;
    }
    struct auth_tenant *tenant = tenant_slot(reading->users, cfg_title(section), &is_double);
    if (tenant == NULL)
        return double_or_memory(cfg, section, is_double);
    tenant->memory_min = size_in(section, "memory-min");
    tenant->line_of_min = reading->line_of_min;
    tenant->memory_max = size_in(section, "memory-max");
    tenant->item_max = size_in(section, "item-max");
    tenant->connections = size_in(section, "connections");
    tenant->ops = size_in(section, "ops");
    tenant->bytes = size_in(section, "bytes");
    if (tenant->memory_max != 0 && tenant->memory_min > tenant->memory_max) {
        fault(cfg, "tenant \"%s\": memory-min is above memory-max", tenant->name);
        return -1;
    }
    return 0;
}

static int64_t instant_in(cfg_t *section, const char *key)
{
    int64_t when = 0;
    const char *text = cfg_getstr(section, key);
    if (text != NULL)
        (void)!instant_parse(slice_str(text), &when);
    return when;
}

static bool read_secret(cfg_t *cfg, cfg_t *section, struct user_secret *out)
{
    const char *reason;
    unsigned n = cfg_size(section, "verifiers");
    const char *label = cfg_title(section);
    memset(out, 0, sizeof *out);
    if (strlen(label) > USERS_LABEL_MAX || users_name_fault(slice_str(label)) != NULL) {
        fault(cfg, "secret: the label must be 1 to 64 printable bytes");
        return false;
    }
    memcpy(out->label, label, strlen(label) + 1);
    if (n == 0) {
        fault(cfg, "secret \"%s\": it has no verifiers", label);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        struct verifier verifier;
        if (!verifier_parse(slice_str(cfg_getnstr(section, "verifiers", i)), &verifier, &reason))
            return false;
        for (unsigned j = 0; j < out->n_verifiers; j++) {
            if (out->verifiers[j].hash == verifier.hash) {
                fault(cfg, "secret \"%s\": two verifiers for %s", label,
                      verifier_mechanism(verifier.hash));
                return false;
            }
        }
        out->verifiers[out->n_verifiers++] = verifier;
    }
    out->not_before = instant_in(section, "not-before");
    out->not_after = instant_in(section, "not-after");
    if (out->not_after != 0 && out->not_after <= out->not_before) {
        fault(cfg, "secret \"%s\": not-after is not after not-before", label);
        return false;
    }
    return true;
}

/* At the end of the section, so that a complaint has its line. */
static int check_secret(cfg_t *cfg, cfg_opt_t *opt)
{
    struct user_secret secret;
    bool is_good = read_secret(cfg, cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1), &secret);
    secret_wipe(&secret, sizeof secret);
    return is_good ? 0 : -1;
}

static bool read_secrets(cfg_t *cfg, cfg_t *section, struct user *user)
{
    unsigned n = cfg_size(section, "secret");
    if (n == 0)
        return true;
    user->secrets = calloc(n, sizeof *user->secrets);
    if (user->secrets == NULL) {
        fault(cfg, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        user->n_secrets = i + 1;
        if (!read_secret(cfg, cfg_getnsec(section, "secret", i), &user->secrets[i]))
            return false;
    }
    return true;
}

static uint32_t rights_in(cfg_t *section)
{
    uint32_t rights = 0, bit;
    cfg_opt_t *opt = cfg_getopt(section, "rights");
    if (cfg_opt_size(opt) == 0)
        return (opt->flags & CFGF_MODIFIED) != 0 ? 0 : USERS_RIGHTS_DEFAULT;
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        if (right_of(slice_str(cfg_opt_getnstr(opt, i)), &bit))
            rights |= bit;
    }
    return rights;
}

static bool read_user_tenant(cfg_t *cfg, cfg_t *section, struct user *user)
{
    const char *tenant = cfg_getstr(section, "tenant");
    if (tenant == NULL) {
        fault(cfg, "user \"%s\" has no tenant", cfg_title(section));
        return false;
    }
    const struct auth_tenant *found = users_find_tenant(reading->users, slice_str(tenant));
    if (found == NULL) {
        fault(cfg, "user \"%s\": there is no tenant \"%s\" above", cfg_title(section), tenant);
        return false;
    }
    user->tenant = (uint32_t)(found - reading->users->tenants);
    return true;
}

static int read_user_section(cfg_t *cfg, cfg_t *section)
{
    bool is_double = false;
    struct users *users = reading->users;
    if (!title_is_good(cfg, section, "user"))
        return -1;
    if (is_full(users->n_users)) {
        size_t n = users->n_users == 0 ? 1 : users->n_users * 2;
        struct user *larger = realloc(users->users, n * sizeof *larger);
        if (larger == NULL) {
            fault(cfg, "out of memory");
            return -1;
        }
        users->users = larger;
    }
    struct user *user = &users->users[users->n_users];
    memset(user, 0, sizeof *user);
    user->line = (unsigned)cfg->line;
    user->name = strdup(cfg_title(section));
    if (user->name == NULL ||
        !name_table_add(&users->user_names, slice_str(user->name), (uint32_t)users->n_users,
                        name_in_users, users, &is_double)) {
        free(user->name);
        return double_or_memory(cfg, section, is_double);
    }
    users->n_users++;
    user->is_disabled = cfg_getbool(section, "disabled");
    user->rights = rights_in(section);
    return read_user_tenant(cfg, section, user) && read_secrets(cfg, section, user) ? 0 : -1;
}

/* The library looks for a section's title among all that it has kept: with thousands that takes
 * longer than all the rest, so each is let go as soon as it is read. Doubles are found by our own
 * tables. */
static int read_and_drop(cfg_t *cfg, cfg_opt_t *opt, int (*read)(cfg_t *cfg, cfg_t *section))
{
    unsigned last = cfg_opt_size(opt) - 1;
    int result = read(cfg, cfg_opt_getnsec(opt, last));
    return result == 0 && cfg_opt_rmnsec(opt, last) == CFG_SUCCESS ? 0 : -1;
}

static int read_tenant(cfg_t *cfg, cfg_opt_t *opt)
{
    return read_and_drop(cfg, opt, read_tenant_section);
}

static int read_user(cfg_t *cfg, cfg_opt_t *opt)
{
    return read_and_drop(cfg, opt, read_user_section);
}

static const char *const rule_keys[] = {"cert-cn",    "cert-dns", "cert-uri",
                                        "cert-email", "unix-uid", "unix-gid"};

static bool add_rule(cfg_t *cfg, enum rule_kind kind, const char *pattern, uint32_t user)
{
    struct users *users = reading->users;
    if (is_full(users->n_rules)) {
        size_t n = users->n_rules == 0 ? 1 : users->n_rules * 2;
        struct rule *larger = realloc(users->rules, n * sizeof *larger);
        if (larger == NULL) {
            fault(cfg, "out of memory");
            return false;
        }
        users->rules = larger;
    }
    char *copy = strdup(pattern);
    if (copy == NULL) {
        fault(cfg, "out of memory");
        return false;
    }
    users->rules[users->n_rules++] = (struct rule){.kind = kind, .pattern = copy, .user = user};
    return true;
}

static int read_identity(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    const char *name = cfg_getstr(section, "user");
    const char *pattern = NULL;
    unsigned n_keys = 0;
    enum rule_kind kind = RULE_CN;
    for (unsigned i = 0; i < sizeof rule_keys / sizeof *rule_keys; i++) {
        const char *text = cfg_getstr(section, rule_keys[i]);
        if (text == NULL)
            continue;
        n_keys++;
        pattern = text;
        kind = (enum rule_kind)i;
    }
    if (n_keys != 1) {
        fault(cfg,
              "identity \"%s\": give one of cert-cn, cert-dns, cert-uri, cert-email, unix-uid, "
              "unix-gid",
              cfg_title(section));
        return -1;
    }
    const struct user *user = name != NULL ? users_find(reading->users, slice_str(name)) : NULL;
    if (user == NULL) {
        fault(cfg, "identity \"%s\": there is no user \"%s\" above", cfg_title(section),
              name != NULL ? name : "");
        return -1;
    }
    return add_rule(cfg, kind, pattern, (uint32_t)(user - reading->users->users)) ? 0 : -1;
}

/* ---- the whole file ---- */

static void set_checks(cfg_t *cfg)
{
    static const char *const sizes[] = {"memory-min", "memory-max",  "item-max",
                                        "ops",        "connections", "bytes"};
    char path[64];
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(path, sizeof path, "tenant|%s", sizes[i]);
        cfg_set_validate_func(cfg, path, check_size);
    }
    for (unsigned i = 0; i < sizeof rule_keys / sizeof *rule_keys; i++) {
        snprintf(path, sizeof path, "identity|%s", rule_keys[i]);
        cfg_set_validate_func(cfg, path, i >= RULE_UID ? check_id : check_pattern);
    }
    cfg_set_validate_func(cfg, "user|rights", check_right);
    cfg_set_validate_func(cfg, "user|secret|verifiers", check_verifier);
    cfg_set_validate_func(cfg, "user|secret|not-before", check_instant);
    cfg_set_validate_func(cfg, "user|secret|not-after", check_instant);
    cfg_set_validate_func(cfg, "user|secret", check_secret);
    cfg_set_validate_func(cfg, "tenant", read_tenant);
    cfg_set_validate_func(cfg, "user", read_user);
    cfg_set_validate_func(cfg, "identity", read_identity);
}

/* libconfuse, and the scanner in it, do not survive a lack of memory everywhere: they begin where
 * there is plenty. */
static bool has_memory(size_t n_text)
{
    void *volatile p = malloc(PARSER_ROOM + PARSER_FACTOR * n_text);
    bool is_there = p != NULL;
    free(p);
    return is_there;
}

static bool parse_text(char *text)
{
    unsigned line;
    cfg_opt_t tenant[] = {CFG_STR("memory-min", NULL, CFGF_NODEFAULT),
                          CFG_STR("memory-max", NULL, CFGF_NODEFAULT),
                          CFG_STR("item-max", NULL, CFGF_NODEFAULT),
                          CFG_STR("connections", NULL, CFGF_NODEFAULT),
                          CFG_STR("ops", NULL, CFGF_NODEFAULT),
                          CFG_STR("bytes", NULL, CFGF_NODEFAULT),
                          CFG_END()};
    cfg_opt_t secret[] = {CFG_STR_LIST("verifiers", NULL, CFGF_NODEFAULT),
                          CFG_STR("not-before", NULL, CFGF_NODEFAULT),
                          CFG_STR("not-after", NULL, CFGF_NODEFAULT), CFG_END()};
    cfg_opt_t user[] = {
        CFG_STR("tenant", NULL, CFGF_NODEFAULT), CFG_STR_LIST("rights", NULL, CFGF_NODEFAULT),
        CFG_BOOL("disabled", cfg_false, CFGF_NONE),
        CFG_SEC("secret", secret, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END()};
    cfg_opt_t identity[] = {
        CFG_STR("cert-cn", NULL, CFGF_NODEFAULT),  CFG_STR("cert-dns", NULL, CFGF_NODEFAULT),
        CFG_STR("cert-uri", NULL, CFGF_NODEFAULT), CFG_STR("cert-email", NULL, CFGF_NODEFAULT),
        CFG_STR("unix-uid", NULL, CFGF_NODEFAULT), CFG_STR("unix-gid", NULL, CFGF_NODEFAULT),
        CFG_STR("user", NULL, CFGF_NODEFAULT),     CFG_END()};
    cfg_opt_t file[] = {
        CFG_SEC("tenant", tenant, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_SEC("user", user, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_SEC("identity", identity, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END()};
    if (!section_is_closed(text, &line)) {
        line_fault(line, "the section that begins here is not closed");
        return false;
    }
    cfg_t *cfg = has_memory(strlen(text)) ? cfg_init(file, CFGF_NONE) : NULL;
    if (cfg == NULL) {
        line_fault(0, "out of memory");
        return false;
    }
    sections_blank_comments(text);
    cfg_set_error_function(cfg, library_fault);
    set_checks(cfg);
    errno = 0;
    int result = cfg_parse_buf(cfg, text);
    if (result != CFG_SUCCESS && errno == ENOMEM) {
        line_fault(0, "out of memory");
        return false; /* what is half built, the library cannot free without a crash */
    }
    if (result != CFG_SUCCESS)
        line_fault(cfg->line > 0 ? (unsigned)cfg->line : 1, "syntax error");
    cfg_free(cfg);
    return result == CFG_SUCCESS && !reading->has_error;
}

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

bool tenants_file_load(struct users *users, const char *path, struct auth_error *error_out)
{
    size_t n = 0;
    char *text = users_read_file(path, FILE_MAX_BYTES, &n, error_out);
    if (text == NULL)
        return false;
    struct reading mine = {.users = users, .path = path, .error_out = error_out};
    reading = &mine;
    bool is_good;
    const char *nul = memchr(text, '\0', n);
    if (nul != NULL) {
        line_fault(line_of(text, nul), "the file holds a NUL byte");
        is_good = false;
    } else {
        is_good = n == 0 || parse_text(text);
    }
    reading = NULL;
    secret_wipe(text, n);
    free(text);
    return is_good;
}
