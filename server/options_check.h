/* options_check.h - private to the options: what they mean together.
 * Owns: nothing; listeners go to the settings.   Thread: main, before any other is started.
 * Never: resolves a name or opens a file. */
#ifndef SERVER_OPTIONS_CHECK_H
#define SERVER_OPTIONS_CHECK_H

#include <stdio.h>

#include "server/settings.h"

/* Derives what follows from the options and refuses what does not fit together: OPTIONS_SERVE, or
 * the code to exit with. Warnings go to err too. */
MUST_USE int options_check(struct settings *settings, bool is_root, FILE *err);

#endif
