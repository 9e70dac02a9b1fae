/* pwdb.h - MEMCACHED_SASL_PWDB: lines "user[@realm]:password[:anything]".
 * Owns: nothing.   Thread: any.
 * Never: keeps a password; tells by its time which line was the user's. */
#ifndef AUTH_PWDB_H
#define AUTH_PWDB_H

#include "auth/password.h"

/* One look into the file, which is read anew each time as memcached does. Name matches with and
 * without "@realm". True: proof_out is filled; generation is that of the set of users which was
 * current before the look. */
MUST_USE bool pwdb_check(const char *path, const char *realm, const struct users_keys *keys,
                         struct slice name, struct slice password, uint64_t generation,
                         struct proof *proof_out);

/* Keeps tags of what the file lets in, with a set that is not published yet. False: error_out. */
MUST_USE bool pwdb_load(struct users *users, const char *path, const char *realm,
                        const struct users_keys *keys, struct auth_error *error_out);

/* Does the file, as it was when this set was loaded, still let in who proved this? A set that was
 * current already at the login knows no better than the login: it holds. */
bool pwdb_holds(const struct users *users, const struct proof *proof);

#endif
