#include "server/create_auth.h"

#include "server/log.h"
#include "server/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void on_event(void *arg, const struct auth_event *event)
{
    struct server *server = arg;
    bool is_good = event->kind == AUTH_EVENT_LOGIN || event->kind == AUTH_EVENT_RELOADED;
    const struct log_field fields[] = {
        LOG_STR("user", event->user),       LOG_STR("mechanism", event->mechanism),
        LOG_STR("address", event->address), LOG_NUMBER("tenant", event->tenant),
        LOG_STR("reason", event->reason),   LOG_END,
    };
    log_write_summed(server->log, is_good ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING,
                     auth_event_word(event->kind), fields);
}

/* The first set comes before the cache: create_cache makes its tenants. */
static bool on_new_tenant(void *arg, const struct auth_tenant *tenant)
{
    struct server *server = arg;
    return tenants_prepare(server->tenants, tenant);
}

struct auth_now auth_time(const struct server *server)
{
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct auth_now){
        .wall_s = server_now(server),
        .mono_ms = (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000,
    };
}

static void count_tenant(void *arg, const struct auth_tenant *tenant)
{
    (void)tenant;
    ++*(unsigned *)arg;
}

unsigned count_tenants(const struct server *server)
{
    unsigned n = 0;
    if (server->auth != NULL)
        auth_tenants_each(server->auth, count_tenant, &n);
    return n;
}

bool promise_memory(struct server *server, uint64_t n_bytes, struct auth_error *error_out)
{
    struct auth_memory memory = {.total = n_bytes, .unit = server->segment_size};
    return server->auth == NULL || auth_set_memory(server->auth, &memory, error_out) == AUTH_OK;
}

bool create_auth(struct server *server)
{
    const struct settings *settings = server->settings;
    struct auth_error error;
    struct auth_config config = {
        .tenants_path = settings->tenants_file,
        .text_path = settings->auth_file,
        .has_sasl = settings->has_sasl,
        .pwdb_path = getenv("MEMCACHED_SASL_PWDB"),
        .sasl_conf_path = getenv("SASL_CONF_PATH"),
        .mechanisms = settings->sasl_mechanisms,
        .realm = settings->realm,
        .n_threads = (unsigned)settings->n_auth_threads,
        .attempts_max = (unsigned)settings->auth_attempts,
        .is_plain_allowed = settings->allows_plaintext_login,
        .is_rights_warn = settings->rights_mode == RIGHTS_WARN,
        .event = on_event,
        .event_arg = server,
        .prepare = on_new_tenant,
        .prepare_arg = server,
    };
    if (!settings->requires_login)
        return true;
    server->auth = auth_create(&config, auth_time(server), &error);
    bool is_good = server->auth != NULL;
    if (is_good) {
        server->segment_size = cache_segment_size(settings->max_bytes, count_tenants(server));
        is_good = promise_memory(server, settings->max_bytes, &error);
    }
    if (!is_good)
        fprintf(stderr, "keepd: %s\n", error.text);
    return is_good;
}

static void print_row(void *arg, const struct auth_explanation *row)
{
    fprintf(arg, "%-16s %-10s %-10s %s\n", row->mechanism, row->transport,
            auth_offer_word(row->offer), row->reason);
}

void explain_auth(struct server *server, const char *user)
{
    auth_explain(server->auth, user, auth_time(server), print_row, stdout);
}
