#include "server/command.h"

#include "server/login.h"
#include "server/watch.h"

#include <stdio.h>

static const struct {
    const char *word;
    bool is_for_operators;
} types[N_WATCH_TYPES] = {
#define WATCH(name, word, is_for_operators) [WATCH_##name] = {word, is_for_operators},
#include "server/watch.def"
#undef WATCH
};

static bool find_type(struct slice word, uint32_t *types_out)
{
    for (unsigned i = 0; i < N_WATCH_TYPES; i++) {
        if (slice_is(word, types[i].word)) {
            *types_out |= 1u << i;
            return true;
        }
    }
    return false;
}

/* The words behind watch; none means fetchers. */
static bool parse_types(const struct request *request, uint32_t *types_out)
{
    unsigned n = request_n_args(request);
    *types_out = n == 0 ? 1u << WATCH_FETCHERS : 0;
    for (unsigned i = 0; i < n; i++) {
        if (!find_type(request_arg(request, i), types_out))
            return false;
    }
    return true;
}

/* The first type that a tenant's user may not see; NULL when there is none. */
static const char *type_denied(uint32_t wanted)
{
    for (unsigned i = 0; i < N_WATCH_TYPES; i++) {
        if ((wanted >> i & 1) != 0 && types[i].is_for_operators)
            return types[i].word;
    }
    return NULL;
}

enum execute_result command_watch(const struct command *c)
{
    struct conn *conn = c->conn;
    struct server *server = conn->worker->server;
    const struct tenant *tenant = login_is_operator(conn) ? NULL : conn->session.tenant;
    const char *denied;
    char line[80];
    uint32_t wanted;
    if (server->settings->denies_watch)
        return command_say(c, "CLIENT_ERROR watch commands not allowed");
    if (!output_is_empty(&conn->worker->out))
        return command_say(c, "ERROR cannot pipeline other commands before watch");
    if (!parse_types(c->request, &wanted))
        return command_end(answer_status(conn, c->request, STATUS_ERROR));
    if (tenant != NULL && (denied = type_denied(wanted)) != NULL) {
        snprintf(line, sizeof line, "CLIENT_ERROR watch %s needs the right admin", denied);
        return command_say(c, line);
    }
    switch (watch_begin(server->watch, conn, wanted, tenant)) {
    case WATCH_BEGUN:
        break;
    case WATCH_TOO_MANY:
        return command_say(c, "WATCHER_TOO_MANY log watcher limit reached");
    case WATCH_FAILED:
        return command_say(c, "WATCHER_FAILED failed to add log watcher");
    }
    conn_enter(conn, CONN_WATCH);
    return answer_status(conn, c->request, STATUS_OK) ? EXECUTE_MOVED : EXECUTE_CLOSE;
}
