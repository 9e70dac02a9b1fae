/* options.h - the command line to settings.
 * Owns: nothing.   Thread: main, before any other is started.
 * Never: opens a file or a socket, changes user, or ends the process. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdio.h>

#include "server/settings.h"

#define OPTIONS_SERVE (-1)

/* Exit codes of memcached, and so of keepd. */
enum { EXIT_BAD_VALUE = 1, EXIT_BAD_USAGE = 64, EXIT_NO_USER = 67, EXIT_NO_RESOURCE = 71 };

/* Reads the command line into *settings, which settings_init has prepared, and checks it as a
 * whole. OPTIONS_SERVE: go on. Otherwise the code to exit with: help, version and license are on
 * `out`, what is wrong is on `err`, first in memcached's words, then in ours.
 * Whatever the result, settings_fini is due. */
MUST_USE int options_parse(int argc, char **argv, bool is_root, struct settings *settings,
                           FILE *out, FILE *err);

/* -h, -V and -i, made from the rows of options.def. */
void print_help(FILE *out);
void print_version(FILE *out);
void print_license(FILE *out);

#endif
