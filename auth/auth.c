#include "auth/pwdb.h"
#include "auth/state.h"
#include "auth/verifier.h"

#include "base/number.h"
#include "base/random.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_THREADS       2
#define DEFAULT_QUEUE         4096
#define DEFAULT_ATTEMPTS      10
#define DEFAULT_TIME_LIMIT_MS 10000

/* ---- the current set ---- */

struct users *auth_users_take(struct auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    struct users *users = auth->users;
    users_take(users);
    pthread_mutex_unlock(&auth->lock);
    return users;
}

static const char *tenant_name_of(const void *owner, uint32_t index)
{
    return ((const struct auth *)owner)->tenant_names[index];
}

/* The id of a tenant's name: the one it had before, or the next. */
static bool tenant_id(struct auth *auth, const char *name, uint32_t *id_out)
{
    bool is_double;
    struct slice key = slice_str(name);
    if (name_table_find(&auth->tenant_ids, key, tenant_name_of, auth, id_out))
        return true;
    size_t n = auth->n_tenant_names;
    if ((n & (n - 1)) == 0) {
        size_t capacity = n == 0 ? 1 : n * 2;
        char **larger = realloc(auth->tenant_names, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        auth->tenant_names = larger;
    }
    auth->tenant_names[n] = strdup(name);
    if (auth->tenant_names[n] == NULL)
        return false;
    if (!name_table_add(&auth->tenant_ids, key, (uint32_t)n, tenant_name_of, auth, &is_double)) {
        free(auth->tenant_names[n]);
        return false;
    }
    auth->n_tenant_names++;
    *id_out = (uint32_t)n;
    return true;
}

/* An id is never given to another name, so that a tenant that left keeps its own. With the lock. */
static bool has_ids(const struct auth *auth, const struct users *users)
{
    size_t n = auth->n_tenant_names;
    uint32_t id;
    for (size_t i = 0; i < users->n_tenants; i++)
        n += !name_table_find(&auth->tenant_ids, slice_str(users->tenants[i].name), tenant_name_of,
                              auth, &id);
    return n <= AUTH_TENANTS_MAX;
}

/* NULL: every tenant of the set has its id. With the lock. */
static const char *give_ids(struct auth *auth, struct users *users)
{
    if (!has_ids(auth, users))
        return "too many different tenants since the start: restart keepd";
    for (size_t i = 0; i < users->n_tenants; i++) {
        if (!tenant_id(auth, users->tenants[i].name, &users->tenants[i].id))
            return "out of memory";
    }
    return NULL;
}

/* Nothing but publishing is left to do. With the lock. */
static bool is_publishable(struct auth *auth, struct users *users, struct auth_error *error_out)
{
    if (!users_guarantees_fit(users, &auth->memory, auth->config.tenants_path, error_out))
        return false;
    const char *fault = give_ids(auth, users);
    if (fault != NULL)
        users_error(error_out, "tenants", 0, "%s", fault);
    return fault == NULL;
}

/* Whoever logs in finds a tenant: it is there before its users are. Without the lock, which no call
 * out of auth is made with. */
static bool prepare_tenants(struct auth *auth, struct users *users, struct auth_error *error_out)
{
    const struct auth_config *config = &auth->config;
    pthread_mutex_lock(&auth->lock);
    bool is_good = is_publishable(auth, users, error_out);
    pthread_mutex_unlock(&auth->lock);
    if (!is_good || config->prepare == NULL)
        return is_good;
    for (size_t i = 0; i < users->n_tenants; i++) {
        if (!config->prepare(config->prepare_arg, &users->tenants[i])) {
            users_error(error_out, "tenants", 0, "out of memory for the tenants");
            return false;
        }
    }
    return true;
}

/* Makes a loaded set the current one. False: error_out tells why, the old one stays and the
 * loaded one is dropped. */
static bool publish(struct auth *auth, struct users *users, int64_t wall_s, size_t *n_revoked_out,
                    struct auth_error *error_out)
{
    struct users *old = users;
    pthread_mutex_lock(&auth->lock);
    bool is_good = is_publishable(auth, users, error_out);
    if (is_good) {
        old = auth->users;
        users->generation = atomic_load(&auth->generation) + 1;
        auth->users = users;
        *n_revoked_out = identities_review(auth, wall_s);
        atomic_store(&auth->generation, users->generation);
    }
    pthread_mutex_unlock(&auth->lock);
    if (auth->remembered != NULL)
        remembered_forget(auth->remembered);
    if (old != NULL)
        users_drop(&old);
    return is_good;
}

struct slice auth_plain_name(const struct auth *auth, const struct users *users, struct slice name)
{
    const uint8_t *at = name.n > 0 ? memrchr(name.p, '@', name.n) : NULL;
    if (at == NULL || !auth->config.has_sasl || users_find(users, name) != NULL ||
        users_find_text(users, name) != NULL)
        return name;
    size_t n = (size_t)(at - name.p);
    return slice_is(slice_of(at + 1, name.n - n - 1), auth->config.realm) ? slice_of(name.p, n)
                                                                          : name;
}

static bool rule_matches_name(const struct rule *rule, const struct auth_name *name)
{
    static const enum rule_kind kinds[] = {[AUTH_CERT_CN] = RULE_CN,
                                           [AUTH_CERT_DNS] = RULE_DNS,
                                           [AUTH_CERT_URI] = RULE_URI,
                                           [AUTH_CERT_EMAIL] = RULE_EMAIL};
    return rule->kind == kinds[name->kind] && strcmp(rule->pattern, name->text) == 0;
}

const struct rule *auth_find_rule(const struct users *users, const struct auth_name *names,
                                  size_t n_names, bool has_ids, uint32_t uid, uint32_t gid)
{
    for (size_t i = 0; i < users->n_rules; i++) {
        const struct rule *rule = &users->rules[i];
        char number[16];
        if (rule->kind == RULE_UID || rule->kind == RULE_GID) {
            snprintf(number, sizeof number, "%u", rule->kind == RULE_UID ? uid : gid);
            if (has_ids && strcmp(number, rule->pattern) == 0)
                return rule;
            continue;
        }
        for (size_t n = 0; n < n_names; n++) {
            if (rule_matches_name(rule, &names[n]))
                return rule;
        }
    }
    return NULL;
}

/* ---- telling ---- */

/* What does not fit is cut. */
static void copy_text(const char *text, char *out, size_t size)
{
    size_t n = strnlen(text, size - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}

/* "203.0.113.9", for each login: without printf. */
static void ipv4_text(const uint8_t *ip, char *out)
{
    size_t n = 0;
    for (unsigned i = 0; i < 4; i++) {
        n += number_render_u64((uint8_t *)out + n, ip[i]);
        out[n++] = i < 3 ? '.' : '\0';
    }
}

void auth_address_text(const struct auth_address *address, char *out)
{
    copy_text("unix", out, 48);
    if (address->family == AUTH_PEER_IPV4)
        ipv4_text(address->ip, out);
    else if (address->family == AUTH_PEER_IPV6)
        (void)inet_ntop(AF_INET6, address->ip, out, 48);
}

void auth_tell(struct auth *auth, enum auth_event_kind kind, uint32_t tenant, struct slice user,
               const char *mechanism, const struct auth_address *address, const char *reason,
               int64_t wall_s)
{
    struct auth_record record = {.wall_s = wall_s, .kind = kind, .tenant = tenant};
    size_t n = user.n < AUTH_NAME_MAX ? user.n : AUTH_NAME_MAX;
    for (size_t i = 0; i < n; i++)
        record.user[i] = user.p[i] != '\0' ? (char)user.p[i] : '?';
    copy_text(mechanism, record.mechanism, sizeof record.mechanism);
    copy_text(reason, record.reason, sizeof record.reason);
    if (address != NULL)
        auth_address_text(address, record.address);
    /* Denials have rings of their own. */
    if (kind != AUTH_EVENT_DENIED && kind != AUTH_EVENT_WARNED)
        rings_add_record(auth->rings, &record);
    if (auth->config.event == NULL)
        return;
    struct auth_event event = {.kind = kind,
                               .tenant = tenant,
                               .user = record.user,
                               .mechanism = record.mechanism,
                               .address = record.address,
                               .reason = reason,
                               .wall_s = wall_s};
    auth->config.event(auth->config.event_arg, &event);
}

/* ---- creation ---- */

static bool copy_string(const char **string)
{
    if (*string == NULL)
        return true;
    *string = strdup(*string);
    return *string != NULL;
}

static const char **config_strings(struct auth_config *config, unsigned index)
{
    const char **const strings[] = {&config->tenants_path, &config->text_path,
                                    &config->pwdb_path,    &config->sasl_conf_path,
                                    &config->mechanisms,   &config->realm};
    return index < sizeof strings / sizeof *strings ? strings[index] : NULL;
}

static bool copy_config(struct auth *auth, const struct auth_config *config)
{
    char host[256] = "localhost";
    const char **string;
    bool is_good = true;
    auth->config = *config;
    if (config->realm == NULL && gethostname(host, sizeof host - 1) == 0)
        auth->config.realm = host;
    /* All are replaced, even after a failure: what is freed later must be ours. */
    for (unsigned i = 0; (string = config_strings(&auth->config, i)) != NULL; i++)
        is_good = copy_string(string) && is_good;
    if (config->n_threads == 0)
        auth->config.n_threads = DEFAULT_THREADS;
    if (config->queue_max == 0)
        auth->config.queue_max = DEFAULT_QUEUE;
    if (config->attempts_max == 0)
        auth->config.attempts_max = DEFAULT_ATTEMPTS;
    if (config->time_limit_ms == 0)
        auth->config.time_limit_ms = DEFAULT_TIME_LIMIT_MS;
    return is_good;
}

static bool choose_mechanisms(struct auth *auth, struct auth_error *error_out)
{
    unsigned n_unknown;
    char unknown[AUTH_MECHANISM_MAX + 1];
    const char *listed = auth->conf != NULL ? sasl_conf_get(auth->conf, "mech_list") : NULL;
    if (auth->config.mechanisms != NULL) {
        auth->allowed = mechanisms_parse(auth->config.mechanisms, &n_unknown, unknown);
        if (n_unknown > 0) {
            users_error(error_out, "mechanisms", 0,
                        "\"%s\" is not known, or never offered (ANONYMOUS, NTLM)", unknown);
            return false;
        }
    } else if (listed != NULL) {
        auth->allowed = mechanisms_parse(listed, &n_unknown, unknown);
    } else {
        auth->allowed = mechanisms_default();
    }
    return true;
}

/* What was asked for by name must be there; of the default, something must be. */
static bool check_installed(const struct auth *auth, struct auth_error *error_out)
{
    uint32_t installed = cyrus_installed(auth->cyrus);
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        if (auth->config.mechanisms == NULL || (auth->allowed & ~installed & MECHANISM_BIT(i)) == 0)
            continue;
        users_error(error_out, "mechanisms", 0,
                    "%s is not installed: install the Debian package %s",
                    mechanism_name((enum mechanism)i), mechanism_package((enum mechanism)i));
        return false;
    }
    uint32_t external = MECHANISM_BIT(MECHANISM_EXTERNAL);
    if ((auth->allowed & installed & ~external) == 0 && (auth->allowed & ~external) != 0) {
        users_error(error_out, "mechanisms", 0,
                    "no SASL mechanism is installed: install the Debian package libsasl2-modules");
        return false;
    }
    return true;
}

static bool start_cyrus(struct auth *auth, struct auth_error *error_out)
{
    char reason[AUTH_TEXT_MAX];
    if (auth->config.has_sasl) {
        auth->conf = sasl_conf_open(auth->config.sasl_conf_path, error_out);
        if (auth->conf == NULL)
            return false;
    }
    if (!choose_mechanisms(auth, error_out))
        return false;
    if (!auth->config.has_sasl && auth->config.tenants_path == NULL)
        return true;
    struct cyrus_options options = {
        .conf = auth->conf, .has_outside = auth->config.has_sasl, .realm = auth->config.realm};
    auth->cyrus = cyrus_create(&options, reason);
    if (auth->cyrus == NULL) {
        users_error(error_out, "sasl", 0, "%.200s", reason);
        return false;
    }
    return check_installed(auth, error_out);
}

/* Passwords are kept in mind only where sasldb alone decides: its file tells when it changes. */
static bool open_memory(struct auth *auth)
{
    const char *path = auth_sasldb_path(auth);
    if (path == NULL)
        return true;
    auth->remembered = remembered_create(path);
    return auth->remembered != NULL;
}

static bool load_first(struct auth *auth, struct auth_now now, struct auth_error *error_out)
{
    size_t n_revoked;
    struct users *users =
        users_load(auth->config.tenants_path, auth->config.text_path, &auth->keys, error_out);
    return users != NULL && publish(auth, users, now.wall_s, &n_revoked, error_out);
}

static struct tag_key *make_key(void)
{
    uint8_t bytes[VERIFIER_TAG_SIZE];
    random_fill(bytes, sizeof bytes);
    struct tag_key *key = tag_key_create(bytes);
    secret_wipe(bytes, sizeof bytes);
    return key;
}

struct auth *auth_create(const struct auth_config *config, struct auth_now now,
                         struct auth_error *error_out)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL || pthread_mutex_init(&auth->lock, NULL) != 0) {
        users_error(error_out, "auth", 0, "out of memory");
        free(auth);
        return NULL;
    }
    auth->keys = (struct users_keys){make_key(), make_key()};
    auth->rings = rings_create();
    auth->throttle = throttle_create();
    if (!copy_config(auth, config) || auth->rings == NULL || auth->throttle == NULL ||
        auth->keys.tag == NULL || auth->keys.fake == NULL || !verifier_rehearse()) {
        users_error(error_out, "auth", 0, "out of memory");
        goto fail;
    }
    if (!load_first(auth, now, error_out) || !start_cyrus(auth, error_out))
        goto fail;
    if (!open_memory(auth)) {
        users_error(error_out, "auth", 0, "out of memory");
        goto fail;
    }
    auth->pool = pool_create(auth->config.n_threads, auth->config.queue_max);
    if (auth->pool == NULL) {
        users_error(error_out, "auth", 0, "the auth threads cannot be started");
        goto fail;
    }
    return auth;
fail:
    auth_destroy(&auth);
    return NULL;
}

void auth_destroy(struct auth **auth)
{
    struct auth *a = *auth;
    const char **string;
    if (a == NULL)
        return;
    *auth = NULL;
    pool_destroy(&a->pool);
    cyrus_destroy(&a->cyrus);
    sasl_conf_close(&a->conf);
    if (a->users != NULL)
        users_drop(&a->users);
    remembered_destroy(&a->remembered);
    throttle_destroy(&a->throttle);
    rings_destroy(&a->rings);
    for (size_t i = 0; i < a->n_tenant_names; i++)
        free(a->tenant_names[i]);
    free(a->tenant_names);
    free(a->tenant_ids.slots);
    for (unsigned i = 0; (string = config_strings(&a->config, i)) != NULL; i++)
        free((char *)(uintptr_t)*string);
    tag_key_destroy(&a->keys.tag);
    tag_key_destroy(&a->keys.fake);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

enum auth_result auth_check_file(const char *tenants_path, struct auth_error *error_out)
{
    static const struct users_keys keys;
    struct users *users = users_load(tenants_path, NULL, &keys, error_out);
    if (users == NULL)
        return AUTH_BAD_CONFIG;
    users_drop(&users);
    return AUTH_OK;
}

enum auth_result auth_set_memory(struct auth *auth, const struct auth_memory *memory,
                                 struct auth_error *error_out)
{
    pthread_mutex_lock(&auth->lock);
    bool is_good = users_guarantees_fit(auth->users, memory, auth->config.tenants_path, error_out);
    if (is_good)
        auth->memory = *memory;
    pthread_mutex_unlock(&auth->lock);
    return is_good ? AUTH_OK : AUTH_BAD_CONFIG;
}

/* The files as they are now. NULL: error_out tells why. At the start PWDB is not looked at, for it
 * counts at each login, and nobody is in yet. */
static struct users *load_again(struct auth *auth, struct auth_error *error_out)
{
    const struct auth_config *config = &auth->config;
    struct users *users =
        users_load(config->tenants_path, config->text_path, &auth->keys, error_out);
    if (users == NULL || !config->has_sasl || config->pwdb_path == NULL)
        return users;
    if (!pwdb_load(users, config->pwdb_path, config->realm, &auth->keys, error_out))
        users_drop(&users);
    return users;
}

enum auth_result auth_reload(struct auth *auth, struct auth_now now, struct auth_error *error_out)
{
    static const struct slice nobody;
    char text[96];
    size_t n_revoked = 0;
    struct users *users = load_again(auth, error_out);
    if (users != NULL && !prepare_tenants(auth, users, error_out))
        users_drop(&users);
    if (users == NULL || !publish(auth, users, now.wall_s, &n_revoked, error_out)) {
        auth_tell(auth, AUTH_EVENT_RELOAD_FAILED, AUTH_TENANT_DEFAULT, nobody, "", NULL,
                  error_out->text, now.wall_s);
        return AUTH_BAD_CONFIG;
    }
    snprintf(text, sizeof text, "generation %llu, %zu logins revoked",
             (unsigned long long)auth_generation(auth), n_revoked);
    auth_tell(auth, AUTH_EVENT_RELOADED, AUTH_TENANT_DEFAULT, nobody, "", NULL, text, now.wall_s);
    return AUTH_OK;
}

uint64_t auth_generation(const struct auth *auth)
{
    return atomic_load_explicit(&auth->generation, memory_order_acquire);
}

bool auth_has_sasl(const struct auth *auth)
{
    return auth->cyrus != NULL;
}

bool auth_has_text(const struct auth *auth)
{
    return auth->cyrus != NULL || auth->config.text_path != NULL;
}

/* ---- tenants ---- */

static int compare_ids(const void *a, const void *b)
{
    const struct auth_tenant *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

void auth_tenants_each(struct auth *auth, auth_tenant_fn *fn, void *arg)
{
    struct users *users = auth_users_take(auth);
    const struct auth_tenant **sorted = calloc(users->n_tenants, sizeof *sorted);
    for (size_t i = 0; sorted != NULL && i < users->n_tenants; i++)
        sorted[i] = &users->tenants[i];
    if (sorted != NULL)
        qsort(sorted, users->n_tenants, sizeof *sorted, compare_ids);
    /* Short of memory the order is the file's. */
    for (size_t i = 0; i < users->n_tenants; i++)
        fn(arg, sorted != NULL ? sorted[i] : &users->tenants[i]);
    free(sorted);
    users_drop(&users);
}

bool auth_tenant_get(struct auth *auth, uint32_t id, struct auth_tenant *tenant_out)
{
    struct users *users = auth_users_take(auth);
    bool is_there = false;
    pthread_mutex_lock(&auth->lock);
    const char *name = id < auth->n_tenant_names ? auth->tenant_names[id] : NULL;
    pthread_mutex_unlock(&auth->lock);
    if (name != NULL) {
        const struct auth_tenant *tenant = users_find_tenant(users, slice_str(name));
        is_there = tenant != NULL;
        if (is_there)
            *tenant_out = *tenant;
    }
    users_drop(&users);
    return is_there;
}

/* ---- what stats show ---- */

void auth_denials_each(struct auth *auth, uint32_t tenant, auth_denial_fn *fn, void *arg)
{
    rings_denials_each(auth->rings, tenant, fn, arg);
}

void auth_records_each(struct auth *auth, uint32_t tenant, auth_record_fn *fn, void *arg)
{
    rings_records_each(auth->rings, tenant, fn, arg);
}

void auth_tenant_counts(struct auth *auth, uint32_t tenant, uint64_t *logins_out,
                        uint64_t *failures_out)
{
    rings_counts(auth->rings, tenant, logins_out, failures_out);
}

static uint64_t read_counter(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void auth_counters_read(struct auth *auth, struct auth_counters *counters_out)
{
    *counters_out = (struct auth_counters){
        .logins = read_counter(&auth->n_logins),
        .failures = read_counter(&auth->n_failures),
        .throttled = read_counter(&auth->n_throttled),
        .derivations = read_counter(&auth->n_derivations),
        .cache_hits = read_counter(&auth->n_cache_hits),
        .busy = read_counter(&auth->n_busy),
        .queued = pool_load(auth->pool),
        .denials = read_counter(&auth->n_denials),
        .warnings = read_counter(&auth->n_warnings),
    };
}
