/* command.h - private: the executors of the verbs, one function each.
 * Owns: nothing.   Thread: the connection's worker, online.
 * Never: called but through the table in execute.c; plain_gets.c alone concludes what it began. */
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

#define COMMAND(verb, function) command_function function;
#include "server/commands.def"
#undef COMMAND

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

/* Seconds left, -1 when it never expires. */
static inline int64_t time_left(uint32_t exptime, uint32_t now)
{
    if (exptime == CACHE_NEVER)
        return -1;
    return exptime > now ? (int64_t)(exptime - now) : 0;
}

/* What only meta shows of an item. */
static inline void command_describe_state(struct reply *reply, const struct cache_item *item,
                                          uint32_t now)
{
    reply->ttl_before = time_left(item->exptime_before, now);
    reply->ttl_after = time_left(item->exptime, now);
    reply->last_access = now > item->last_access ? now - item->last_access : 0;
    reply->was_fetched = item->was_fetched;
    reply->key_is_base64 = item->key_is_base64;
    reply->is_won = item->is_won;
    reply->is_stale = item->is_stale;
    reply->is_already_won = item->is_already_won;
}

/* Turns the outcome of an answer_ function into the executor's result. */
static inline enum execute_result command_end(bool is_answered)
{
    return is_answered ? EXECUTE_NEXT : EXECUTE_CLOSE;
}

/* Answers with a line that no status has. */
static inline enum execute_result command_say(const struct command *command, const char *line)
{
    return command_end(answer_text(command->conn, command->request, slice_str(line)));
}

#endif
