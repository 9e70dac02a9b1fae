/* process.h - what the process is to the system: its user, its limits, its files, the background.
 * Owns: nothing.   Thread: main, before any other is started, but for the pid file's removal.
 * Never: continues with more rights than it was asked to have. */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/settings.h"

/* Each returns 0, or the exit code (options.h) after saying on stderr what is wrong. */

/* Descriptors 0, 1 and 2 are open afterwards, so that no socket ever gets one of these numbers. */
MUST_USE int process_open_stdio(void);
/* Enough descriptors for -c connections; core files as -r says, none otherwise. */
MUST_USE int process_set_limits(const struct settings *settings);
/* From root to settings->user; drops supplementary groups and every capability. */
MUST_USE int process_drop_root(const struct settings *settings);
MUST_USE int process_daemonize(const struct settings *settings);
/* Memory is locked when -k asks for it; a failure is only a warning. */
void process_lock_memory(const struct settings *settings);

void process_write_pid(const char *path);
void process_remove_pid(const char *path);

#endif
