/* process.h - what the process is to the system: its limits, its files, the background.
 * Owns: nothing.   Thread: main, before any other is started, but for the pid file's removal.
 * Never: continues with more rights than it was asked to have. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/settings.h"

/* Each returns 0, or the exit code (options.h) after saying on stderr what is wrong. */

/* For what keepd says in its own words: "keepd: " and the sentence. Returns the code. */
MUST_USE int process_refuse(int code, const char *sentence);

/* Descriptors 0, 1 and 2 are open afterwards, so that no socket ever gets one of these numbers. */
MUST_USE int process_open_stdio(void);
/* Closes what the starting process left open, but for n_kept descriptors behind stderr. */
void process_close_inherited(unsigned n_kept);
/* Enough descriptors for -c connections, or fewer connections where -c was not given and the hard
 * limit is too low; core files as -r says, none otherwise. */
MUST_USE int process_set_limits(struct settings *settings);
/* With -d goes to the background. *parent_fd_out (-1 before) is then for process_tell_parent. */
MUST_USE int process_daemonize(const struct settings *settings, int *parent_fd_out);
/* The start is over: the waiting parent ends with this exit code. */
void process_tell_parent(int *parent_fd, int code);
/* Descriptors 0, 1 and 2 are /dev/null from now on. */
void process_detach_stdio(void);
/* Memory is locked when -k asks for it; a failure is only a warning. */
void process_lock_memory(const struct settings *settings);

/* -P; a failure is told on stderr and is no reason to end, as in memcached. */
void process_write_pid(const char *path);
void process_remove_pid(const char *path);

#endif
