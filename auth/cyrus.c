#include "auth/cyrus.h"

#include "auth/cyrus_memory.h"
#include "auth/users.h"
#include "base/secret.h"

#include <malloc.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
/* Plug-ins keep what they allocate in variables of their own. They stay loaded in a build that
 * looks for leaks, so that it finds those variables. */
int dlclose(void *handle);
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
#endif

#define N_CALLBACKS 6
#define PLUGIN_NAME "keepd"

struct cyrus {
    struct cyrus_options options;
    char *realm;
    uint32_t installed;
    char outside_plugins[128]; /* auxprop plug-ins when the outside may be asked */
    sasl_callback_t callbacks[3];
};

struct cyrus_exchange {
    struct cyrus *cyrus;
    const struct cyrus_host *host;
    sasl_conn_t *conn;
    const char *mechanism;
    bool may_ask_outside;
    sasl_channel_binding_t binding;
    sasl_callback_t callbacks[N_CALLBACKS];
};

/* ---- locks ---- */

static void *mutex_alloc(void)
{
    pthread_mutex_t *mutex = cyrus_malloc(sizeof *mutex);
    if (mutex != NULL)
        pthread_mutex_init(mutex, NULL);
    return mutex;
}

static int mutex_lock(void *mutex)
{
    return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int mutex_unlock(void *mutex)
{
    return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void mutex_free(void *mutex)
{
    pthread_mutex_destroy(mutex);
    cyrus_free(mutex);
}

/* ---- callbacks ---- */

typedef int (*any_callback)(void);

/* cyrus keeps callbacks of all signatures in one type. */
#define CALLBACK(id, function, context) \
    ((sasl_callback_t){(id), (any_callback)(void (*)(void))(function), (context)})

/* Messages may hold what must not be seen (SASL_LOG_PASS); the reason of a failure comes from
 * sasl_errdetail instead. */
static int on_log(void *context, int level, const char *message)
{
    (void)context;
    (void)level;
    (void)message;
    return SASL_OK;
}

static int answer(const char *value, const char **result, unsigned *len)
{
    if (value == NULL)
        return SASL_FAIL;
    *result = value;
    if (len != NULL)
        *len = (unsigned)strlen(value);
    return SASL_OK;
}

static const char *configured(const struct cyrus *cyrus, const char *option)
{
    return cyrus->options.conf != NULL ? sasl_conf_get(cyrus->options.conf, option) : NULL;
}

static int on_global_option(void *context, const char *plugin, const char *option,
                            const char **result, unsigned *len)
{
    const struct cyrus *cyrus = context;
    (void)plugin;
    /* The allow-list is ours; scram.c reads its result even when the option is not there. */
    if (strcmp(option, "mech_list") == 0)
        return SASL_FAIL;
    const char *value = configured(cyrus, option);
    if (value == NULL && strcmp(option, "scram_iteration_counter") == 0)
        value = "4096";
    return answer(value, result, len);
}

static int on_option(void *context, const char *plugin, const char *option, const char **result,
                     unsigned *len)
{
    const struct cyrus_exchange *exchange = context;
    if (strcmp(option, "auxprop_plugin") == 0)
        return answer(exchange->may_ask_outside ? exchange->cyrus->outside_plugins : PLUGIN_NAME,
                      result, len);
    if (strcmp(option, "pwcheck_method") == 0 && !exchange->may_ask_outside)
        return answer("none", result, len);
    return on_global_option(exchange->cyrus, plugin, option, result, len);
}

static int on_canon_user(sasl_conn_t *conn, void *context, const char *in, unsigned inlen,
                         unsigned flags, const char *realm, char *out, unsigned out_max,
                         unsigned *out_len)
{
    struct cyrus_exchange *exchange = context;
    (void)conn;
    (void)realm;
    size_t n = inlen != 0 ? inlen : strlen(in);
    if (n >= out_max)
        return SASL_BUFOVER;
    /* White space at its ends would be stripped before on_authorize compares. */
    if ((flags & SASL_CU_AUTHZID) != 0 && n > 0 && users_name_fault(slice_of(in, n)) != NULL)
        return SASL_BADAUTH;
    if ((flags & SASL_CU_AUTHID) != 0) {
        bool is_good = false;
        exchange->may_ask_outside =
            exchange->host->name(exchange->host->arg, slice_of(in, n), &is_good) &&
            exchange->cyrus->options.has_outside;
        if (!is_good)
            return SASL_BADAUTH;
    }
    memmove(out, in, n);
    out[n] = '\0';
    *out_len = (unsigned)n;
    return SASL_OK;
}

static int on_authorize(sasl_conn_t *conn, void *context, const char *requested, unsigned rlen,
                        const char *authenticated, unsigned alen, const char *realm, unsigned urlen,
                        struct propctx *properties)
{
    (void)conn;
    (void)context;
    (void)realm;
    (void)urlen;
    (void)properties;
    return slice_equal(slice_of(requested, rlen), slice_of(authenticated, alen)) ? SASL_OK
                                                                                 : SASL_NOAUTHZ;
}

static int on_password(sasl_conn_t *conn, void *context, const char *user, const char *password,
                       unsigned passlen, struct propctx *properties)
{
    struct cyrus_exchange *exchange = context;
    (void)conn;
    (void)properties;
    return exchange->host->password(exchange->host->arg, slice_str(user),
                                    slice_of(password, passlen))
               ? SASL_OK
               : SASL_BADAUTH;
}

/* ---- the auxprop plug-in: stored verifiers for SCRAM ---- */

/* The exchange that a lookup belongs to is the context of one of our own callbacks. */
static struct cyrus_exchange *exchange_of(sasl_server_params_t *params)
{
    sasl_callback_ft function = NULL;
    void *context = NULL;
    if (params->utils->getcallback(params->utils->conn, SASL_CB_SERVER_USERDB_CHECKPASS, &function,
                                   &context) != SASL_OK)
        return NULL;
    return context;
}

static int auxprop_lookup(void *glob_context, sasl_server_params_t *params, unsigned flags,
                          const char *user, unsigned ulen)
{
    char text[400];
    (void)glob_context;
    struct cyrus_exchange *exchange = exchange_of(params);
    /* libmemcached names itself twice; on_authorize compares the two. */
    if ((flags & SASL_AUXPROP_AUTHZID) != 0)
        return SASL_OK;
    if (exchange == NULL || strncmp(exchange->mechanism, "SCRAM-", 6) != 0)
        return SASL_NOUSER;
    exchange->host->verifier(exchange->host->arg, slice_of(user, ulen), text);
    int result = params->utils->prop_set(params->propctx, "*authPassword", text, -1);
    secret_wipe(text, sizeof text);
    return result == SASL_OK ? SASL_OK : SASL_NOUSER;
}

static int auxprop_init(const sasl_utils_t *utils, int max_version, int *out_version,
                        sasl_auxprop_plug_t **plug_out, const char *name)
{
    static char plugin_name[] = PLUGIN_NAME;
    static sasl_auxprop_plug_t plug = {.auxprop_lookup = auxprop_lookup, .name = plugin_name};
    (void)utils;
    (void)name;
    if (max_version < SASL_AUXPROP_PLUG_VERSION)
        return SASL_BADVERS;
    *out_version = SASL_AUXPROP_PLUG_VERSION;
    *plug_out = &plug;
    return SASL_OK;
}

/* ---- start and end ---- */

static uint32_t find_installed(void)
{
    uint32_t set = 0;
    const char **names = sasl_global_listmech();
    for (; names != NULL && *names != NULL; names++) {
        enum mechanism mechanism;
        bool is_alias;
        if (!mechanism_find(slice_str(*names), &mechanism, &is_alias) || is_alias)
            continue;
        set |= MECHANISM_BIT(mechanism);
        /* cyrus lists the -PLUS form only on a connection that has a binding. */
        if (mechanism_kind(mechanism) == MECHANISM_KIND_SCRAM && !mechanism_is_plus(mechanism))
            set |= MECHANISM_BIT(mechanism - 1);
    }
    return set;
}

/* Ours comes last: with sasldb's clear password there, it is the password that counts. */
static void name_plugins(struct cyrus *cyrus)
{
    const char *wanted = configured(cyrus, "auxprop_plugin");
    snprintf(cyrus->outside_plugins, sizeof cyrus->outside_plugins, "%.100s " PLUGIN_NAME,
             wanted != NULL ? wanted : "sasldb");
}

struct cyrus *cyrus_create(const struct cyrus_options *options, char *reason_out)
{
    struct cyrus *cyrus = calloc(1, sizeof *cyrus);
    char nowhere[] = "/nonexistent";
    if (cyrus == NULL || (cyrus->realm = strdup(options->realm)) == NULL) {
        snprintf(reason_out, AUTH_TEXT_MAX, "out of memory");
        free(cyrus);
        return NULL;
    }
    cyrus->options = *options;
    name_plugins(cyrus);
    cyrus->callbacks[0] = CALLBACK(SASL_CB_LOG, on_log, cyrus);
    cyrus->callbacks[1] = CALLBACK(SASL_CB_GETOPT, on_global_option, cyrus);
    cyrus->callbacks[2] = CALLBACK(SASL_CB_LIST_END, NULL, NULL);
    /* sasldb's library reads clear passwords into memory of its own, and frees it as it is. */
    if (options->has_outside)
        (void)mallopt(M_PERTURB, 0xff);
    sasl_set_alloc(cyrus_malloc, cyrus_calloc, cyrus_realloc, cyrus_free);
    sasl_set_mutex(mutex_alloc, mutex_lock, mutex_unlock, mutex_free);
    (void)sasl_set_path(SASL_PATH_TYPE_CONFIG, nowhere);
    int result = sasl_server_init(cyrus->callbacks, "memcached");
    if (result == SASL_OK) {
        result = sasl_auxprop_add_plugin(PLUGIN_NAME, auxprop_init);
        if (result != SASL_OK)
            sasl_server_done();
    }
    if (result != SASL_OK) {
        snprintf(reason_out, AUTH_TEXT_MAX, "cyrus-sasl does not start: %s",
                 sasl_errstring(result, NULL, NULL));
        free(cyrus->realm);
        free(cyrus);
        return NULL;
    }
    cyrus->installed = find_installed();
    return cyrus;
}

void cyrus_destroy(struct cyrus **cyrus)
{
    if (*cyrus == NULL)
        return;
    sasl_server_done();
    free((*cyrus)->realm);
    free(*cyrus);
    *cyrus = NULL;
}

uint32_t cyrus_installed(const struct cyrus *cyrus)
{
    return cyrus->installed;
}

/* ---- exchanges ---- */

static bool set_properties(struct cyrus_exchange *exchange, const struct cyrus_start *start)
{
    sasl_ssf_t ssf = start->ssf;
    /* max_ssf and maxbufsize stay 0: no security layer that nobody would apply. */
    sasl_security_properties_t security = {.security_flags = SASL_SEC_NOANONYMOUS};
    if (!start->is_private)
        security.security_flags |= SASL_SEC_NOPLAINTEXT;
    if (sasl_setprop(exchange->conn, SASL_SSF_EXTERNAL, &ssf) != SASL_OK ||
        sasl_setprop(exchange->conn, SASL_SEC_PROPS, &security) != SASL_OK)
        return false;
    if (start->external != NULL &&
        sasl_setprop(exchange->conn, SASL_AUTH_EXTERNAL, start->external) != SASL_OK)
        return false;
    if (start->binding_type == NULL)
        return true;
    exchange->binding.name = start->binding_type;
    exchange->binding.critical = 0;
    exchange->binding.len = start->binding.n;
    exchange->binding.data = start->binding.p;
    return sasl_setprop(exchange->conn, SASL_CHANNEL_BINDING, &exchange->binding) == SASL_OK;
}

static void set_callbacks(struct cyrus_exchange *exchange)
{
    sasl_callback_t *at = exchange->callbacks;
    *at++ = CALLBACK(SASL_CB_LOG, on_log, exchange);
    *at++ = CALLBACK(SASL_CB_GETOPT, on_option, exchange);
    *at++ = CALLBACK(SASL_CB_CANON_USER, on_canon_user, exchange);
    *at++ = CALLBACK(SASL_CB_PROXY_POLICY, on_authorize, exchange);
    *at++ = CALLBACK(SASL_CB_SERVER_USERDB_CHECKPASS, on_password, exchange);
    *at++ = CALLBACK(SASL_CB_LIST_END, NULL, NULL);
    MUST(at == exchange->callbacks + N_CALLBACKS);
}

struct cyrus_exchange *cyrus_open(struct cyrus *cyrus, const struct cyrus_host *host,
                                  const struct cyrus_start *start)
{
    struct cyrus_exchange *exchange = cyrus_memory_is_short() ? NULL : calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->cyrus = cyrus;
    exchange->host = host;
    exchange->mechanism = mechanism_name(start->mechanism);
    set_callbacks(exchange);
    unsigned flags = start->wants_success_data ? SASL_SUCCESS_DATA : 0;
    /* No user realm: names stay as they are, and sasldb takes the server's name for the realm. */
    if (sasl_server_new("memcached", cyrus->realm, NULL, NULL, NULL, exchange->callbacks, flags,
                        &exchange->conn) != SASL_OK ||
        !set_properties(exchange, start))
        cyrus_close(&exchange);
    return exchange;
}

void cyrus_close(struct cyrus_exchange **exchange)
{
    if (*exchange == NULL)
        return;
    if ((*exchange)->conn != NULL)
        sasl_dispose(&(*exchange)->conn);
    free(*exchange);
    *exchange = NULL;
}

static enum cyrus_result result_of(int result, const char *out, unsigned n, struct slice *out_out)
{
    *out_out = slice_of(NULL, 0);
    if (result != SASL_OK && result != SASL_CONTINUE)
        return CYRUS_FAILED;
    if (out != NULL)
        *out_out = slice_of(out, n);
    return result == SASL_OK ? CYRUS_DONE : CYRUS_MORE;
}

/* cyrus, its plug-ins and back ends leave copies of passwords on the stack, however deep. */

enum cyrus_result cyrus_first(struct cyrus_exchange *exchange, struct slice data, struct slice *out)
{
    /* cyrus leaves these alone in some successes. */
    const char *server = NULL;
    unsigned n_server = 0;
    const char *client = (const char *)data.p;
    if (data.n == 0)
        client = strcmp(exchange->mechanism, "EXTERNAL") == 0 ? "" : NULL;
    if (cyrus_memory_is_short())
        return CYRUS_FAILED;
    int result = sasl_server_start(exchange->conn, exchange->mechanism, client, (unsigned)data.n,
                                   &server, &n_server);
    secret_wipe_deep_stack();
    return result_of(result, server, n_server, out);
}

enum cyrus_result cyrus_next(struct cyrus_exchange *exchange, struct slice data, struct slice *out)
{
    const char *server = NULL;
    unsigned n_server = 0;
    const char *client = data.n > 0 ? (const char *)data.p : "";
    if (cyrus_memory_is_short())
        return CYRUS_FAILED;
    int result = sasl_server_step(exchange->conn, client, (unsigned)data.n, &server, &n_server);
    secret_wipe_deep_stack();
    return result_of(result, server, n_server, out);
}

bool cyrus_check_outside(struct cyrus_exchange *exchange, struct slice name, struct slice password)
{
    int result = sasl_checkpass(exchange->conn, (const char *)name.p, (unsigned)name.n,
                                (const char *)password.p, (unsigned)password.n);
    secret_wipe_deep_stack();
    return result == SASL_OK;
}

const char *cyrus_reason(struct cyrus_exchange *exchange)
{
    const char *reason = sasl_errdetail(exchange->conn);
    return reason != NULL ? reason : "refused";
}
