/* watch_server.h - keepctl's commands that ask a running server.
 * Owns: nothing.   Thread: one.
 * Never: changes a file. */
#ifndef AUTH_WATCH_SERVER_H
#define AUTH_WATCH_SERVER_H

#include "auth/remote.h"

/* Each returns an exit code, and has said on stderr what went wrong. */
int watch_stats(struct remote *remote, int n_words, char **words);
int watch_reload(struct remote *remote);
int watch_top(struct remote *remote, bool is_once);

#endif
