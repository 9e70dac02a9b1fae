#include "server/create_auth.h"

#include "server/log.h"

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

struct auth_now auth_time(const struct server *server)
{
    struct timespec mono;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    return (struct auth_now){
        .wall_s = server_now(server),
        .mono_ms = (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000,
    };
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
        .memory_total = settings->max_bytes,
        .event = on_event,
        .event_arg = server,
    };
    if (!settings->requires_login)
        return true;
    server->auth = auth_create(&config, auth_time(server), &error);
    if (server->auth == NULL)
        fprintf(stderr, "keepd: %s\n", error.text);
    return server->auth != NULL;
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
