#include "server/execute.h"

#include "server/command.h"
#include "server/login.h"
#include "server/trace.h"
#include "server/upload.h"

static command_function *const commands[N_VERBS] = {
#define COMMAND(verb, function) [VERB_##verb] = function,
#include "server/commands.def"
#undef COMMAND
};

enum {
    N_COMMANDS = 0
#define COMMAND(verb, function) +1
#include "server/commands.def"
#undef COMMAND
};
_Static_assert(N_COMMANDS == N_VERBS - 1, "commands.def has a row for each verb, but for BAD");

void execute_refusal(struct conn *conn, const struct request *request)
{
    /* A connection that cannot be answered for want of memory closes with its next request. */
    if (!answer_status(conn, request, request->status))
        conn->closes_after_flush = true;
}

/* What is left of the value of a request that does not want it is discarded as it arrives. */
static bool swallow_rest(struct conn *conn, const struct request *request)
{
    uint64_t n = (uint64_t)request->n_value + request->n_trailer;
    if (request->value.p != NULL || n == 0)
        return false;
    conn->n_swallow = n;
    conn_enter(conn, CONN_SWALLOW);
    return true;
}

NEVER_INLINE enum execute_result refuse(struct conn *conn, const struct request *request)
{
    execute_refusal(conn, request);
    if (request->closes || conn->closes_after_flush)
        return EXECUTE_CLOSE;
    return swallow_rest(conn, request) ? EXECUTE_MOVED : EXECUTE_NEXT;
}

/* A value that is still to come gets a place of its own. */
NEVER_INLINE enum execute_result begin_upload(struct conn *conn, const struct request *request,
                                              const struct cache_key *key)
{
    enum status status;
    if (upload_state_begin(conn, request, key->hash, &status)) {
        conn_enter(conn, CONN_VALUE);
        return EXECUTE_MOVED;
    }
    execute_refuse_value(conn, request, key, status);
    return swallow_rest(conn, request) ? EXECUTE_MOVED : EXECUTE_NEXT;
}

/* What was answered may end the connection, or leave bytes to be discarded. */
NEVER_INLINE enum execute_result finish(struct conn *conn, const struct request *request,
                                        enum execute_result result)
{
    if (result != EXECUTE_NEXT)
        return result;
    if (request->closes)
        return EXECUTE_CLOSE;
    return swallow_rest(conn, request) ? EXECUTE_MOVED : EXECUTE_NEXT;
}

enum execute_result execute(struct conn *conn, struct request *request, const struct cache_key *key)
{
    if (trace_is_on(conn))
        trace_request(conn, request);
    if (UNLIKELY(!(conn->session.allowed >> verb_class(request->verb) & 1) ||
                 (request->verb == VERB_BAD && login_is_due(conn)))) {
        bool is_allowed;
        enum execute_result result = login_refuse(conn, request, &is_allowed);
        if (!is_allowed)
            return finish(conn, request, result);
    }
    if (UNLIKELY(request->verb == VERB_BAD || request->status != STATUS_NONE))
        return refuse(conn, request);
    command_function *function = commands[request->verb];
    MUST(function != NULL);
    bool has_rest = request->value.p == NULL && request->n_value + request->n_trailer > 0;
    if (UNLIKELY(has_rest) && function == command_store)
        return begin_upload(conn, request, key);
    struct command command = {conn, request, key, conn->worker->now};
    enum execute_result result = function(&command);
    if (LIKELY(result == EXECUTE_NEXT && !request->closes && !has_rest))
        return EXECUTE_NEXT;
    return finish(conn, request, result);
}
