/* keepctl.h - one call of keepctl: its command, its options, the file that it edits.
 * Owns: nothing; the strings are those of the command line.
 * Thread: one.
 * Never: is linked into the server. */
#ifndef AUTH_KEEPCTL_H
#define AUTH_KEEPCTL_H

#include "auth/edit.h"

#define EXIT_USAGE 64 /* sysexits.h: EX_USAGE */

enum keepctl_option {
#define OPTION(name, word, takes) KEEPCTL_OPTION_##name,
#include "auth/keepctl_options.def"
#undef OPTION
    N_KEEPCTL_OPTIONS
};

/* The same as bits of a set. */
enum {
#define OPTION(name, word, takes) OPT_##name = 1 << KEEPCTL_OPTION_##name,
#include "auth/keepctl_options.def"
#undef OPTION
};

struct call {
    struct edit edit; /* open where the command needs the file */
    const char *name; /* NULL where the command takes none */
    int n_words;      /* behind the command */
    char **words;
    unsigned given; /* OPT_ bits */
    const char *values[N_KEEPCTL_OPTIONS];
};

/* The option's value; NULL when it was not given. */
const char *call_value(const struct call *call, enum keepctl_option option);

/* The option's name without its dashes. */
const char *call_option_word(enum keepctl_option option);

/* Says on stderr what is wrong. Returns EXIT_FAILURE. */
int call_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts a section into the file and saves it; `text` is wiped and freed (NULL: memory was short).
 * Returns an exit code, and has said what went wrong. */
int call_save(struct call *call, const char *kind, char *text);

/* The same for a section that goes. */
int call_remove(struct call *call, const char *kind);

/* The commands: each returns an exit code, and has said on stderr what went wrong. */
#define COMMAND(noun, verb, takes, needs, options, function) int function(struct call *call);
#include "auth/keepctl_commands.def"
#undef COMMAND

#endif
