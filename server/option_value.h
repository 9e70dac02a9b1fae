/* option_value.h - private to the options: one argument to the field of its row, and what is said
 * about one that does not fit.
 * Owns: nothing; texts go to the settings.   Thread: main, before any other is started.
 * Never: looks at more than one option. */
#ifndef SERVER_OPTION_VALUE_H
#define SERVER_OPTION_VALUE_H

#include <stdio.h>

#include "server/option_rows.h"

/* Reads value as the type of the row says, checks it and stores it. OPTIONS_SERVE, or the code to
 * exit with once memcached's message and ours are on err. */
MUST_USE int option_set(size_t setting, struct settings *settings, struct slice value, FILE *err);

/* An option that stands alone; is_negated: it was written with no_ before it. */
void option_set_bare(const struct option_row *row, struct settings *settings, bool is_negated);

/* Messages and their exit codes. */
int option_refuse_value(FILE *err, size_t setting, bool is_too_high, struct slice value);
int option_refuse_memory(FILE *err);

/* How an option is called: "-p/--port", "-o hashpower". */
void option_print_name(FILE *err, const struct option_row *row);

/* What it takes: "a number from 1 to 64". */
void option_print_expected(FILE *err, size_t setting);

#endif
