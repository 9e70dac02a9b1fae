/* command.h - private: the executors of the verbs, one function each.
 * Owns: nothing.   Thread: the connection's worker, online.
 * Never: called but through the table in execute.c. */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "server/answer.h"
#include "server/execute.h"

/* One request on its way through execution. */
struct command {
    struct conn *conn;
    struct request *request;
    const struct cache_key *key;
    uint32_t now;
};

typedef enum execute_result command_function(const struct command *command);

/* items: command_items.c */
command_function command_get, command_store, command_delete, command_arith, command_touch,
    command_meta_debug;
/* the server itself: command_admin.c */
command_function command_flush, command_noop, command_version, command_quit, command_verbosity,
    command_shutdown, command_memlimit, command_slabs, command_lru, command_crawler, command_watch,
    command_extstore, command_refresh_certs, command_reload;
/* statistics: command_stats.c */
command_function command_stats;
/* login: command_login.c */
command_function command_login;

/* The end of a get whose key was looked for: it is counted, told to whom it concerns, and answered.
 * After a plain cache_get, item's is_won is false. */
enum execute_result command_get_conclude(const struct command *command, enum cache_result result,
                                         const struct cache_item *item);

/* Unix seconds at which an exptime as sent is over: CACHE_NEVER, CACHE_PAST, or later. */
static inline uint32_t exptime_absolute(int64_t exptime, uint32_t now)
{
    if (exptime == 0)
        return CACHE_NEVER;
    if (exptime < 0)
        return CACHE_PAST;
    if (exptime <= EXPTIME_RELATIVE_MAX)
        exptime += now;
    if (exptime <= now)
        return CACHE_PAST;
    return exptime > UINT32_MAX ? UINT32_MAX : (uint32_t)exptime;
}

/* Turns the outcome of an answer_ function into the executor's result. */
static inline enum execute_result command_end(bool is_answered)
{
    return is_answered ? EXECUTE_NEXT : EXECUTE_CLOSE;
}

#endif
