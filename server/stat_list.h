/* stat_list.h - private: a list of statistics on its way into an answer.
 * Owns: nothing.   Thread: the connection's worker.
 * Never: goes on when memory was short; stat_list_end tells so. */
#ifndef SERVER_STAT_LIST_H
#define SERVER_STAT_LIST_H

#include "server/command.h"

#include <sys/time.h>

struct stat_list {
    const struct command *c;
    bool is_ok; /* false once memory was short */
};

/* One line each: its name, and its value as bytes, a string or a number. */
void stat_slice(struct stat_list *list, const char *name, struct slice value);
void stat_text(struct stat_list *list, const char *name, const char *value);
void stat_u64(struct stat_list *list, const char *name, uint64_t value);
/* seconds.microseconds: monitoring tools insist on the six digits. */
void stat_time(struct stat_list *list, const char *name, struct timeval value);

/* The end of the list, and the result of the command. */
MUST_USE enum execute_result stat_list_end(struct stat_list *list);

/* One function per name behind `stats`: stats_login.c, stats_tls.c, stats_tenants.c,
 * stats_sight.c. */
command_function command_stats_auth, command_stats_denials, command_stats_authlog,
    command_stats_tls, command_stats_tenants, command_stats_latency, command_stats_topkeys,
    command_stats_advisor;

#endif
