/* privileges.h - from the rights that the process was started with to none that serving needs not.
 * Owns: nothing.   Thread: main, before any other is started.
 * Never: continues with more rights than were asked for, or with one that was given back half. */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H

#include "server/settings.h"

#include <sys/types.h>

struct user {
    uid_t uid;
    gid_t gid;
};

/* Whom root is to become: settings->user, or nobody else than now where the process is not root's.
 * To be asked before anything listens, for a client must not meet a server that will not serve.
 * 0, or the exit code (options.h) after saying on stderr that there is no such user. */
MUST_USE int privileges_find_user(const struct settings *settings, struct user *user_out);

/* From root to the user, without supplementary groups; then, whoever it is, without a
 * capability, with an empty bounding set (capabilities(7)) and with no_new_privs. Everything that
 * needs a right, like a port below 1024, has been done before.
 * 0, or the exit code (options.h) after saying on stderr what is wrong. */
MUST_USE int privileges_drop(const struct settings *settings, struct user user);

#endif
