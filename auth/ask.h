/* ask.h - a new password from the terminal or from stdin, for keepctl.
 * Owns: nothing.   Thread: one.
 * Never: shows what is typed; leaves the terminal without echo. */
#ifndef AUTH_ASK_H
#define AUTH_ASK_H

#include "base/secret.h"

/* From stdin (all of it, without one newline at the end), or asked for twice on the terminal.
 * NULL: *reason_out tells why. */
MUST_USE struct secret *ask_password(bool is_stdin, const char **reason_out);

#endif
