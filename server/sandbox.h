/* sandbox.h - the system calls that a serving process may make; the rows are in syscalls.def.
 * Owns: nothing.   Thread: main, when every thread has been started and nobody is served yet.
 * Never: is left again. */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include "base/must.h"

#include <stdbool.h>

/* Was keepd built with a filter? */
bool sandbox_is_built_in(void);

/* From here on every thread, also one that is started later, makes only the calls of the rows.
 * 0, or an errno when the kernel takes no filter: then nothing has changed. */
MUST_USE int sandbox_enter(void);

#endif
