/* option_rows.h - private to the options: options.def as one table to look things up in.
 * Owns: nothing; the table is constant.   Thread: any.
 * Never: included but by settings.c, print_help.c and the files named option. */
#ifndef SERVER_OPTION_ROWS_H
#define SERVER_OPTION_ROWS_H

#include "server/settings.h"

enum setting_type {
    TYPE_FLAG,
    TYPE_FLAG_OFF,
    TYPE_SWITCH_OFF,
    TYPE_NUMBER,
    TYPE_LEVEL,
    TYPE_COUNT,
    TYPE_PORT,
    TYPE_SIZE,
    TYPE_KIB,
    TYPE_MIB,
    TYPE_OCTAL,
    TYPE_DECIMAL2,
    TYPE_DECIMAL3,
    TYPE_CHAR,
    TYPE_CHOICE,
    TYPE_TEXT,
    TYPE_PATH,
    TYPE_PATH_OR_NO,
    TYPE_LIST,
};

enum setting_effect { EFFECT_LIVE, EFFECT_START, EFFECT_NONE };

struct option_row {
    const char *name; /* NULL: no option */
    int letter;       /* 0: none */
    bool is_suboption;
    uint8_t type;        /* enum setting_type */
    uint8_t effect;      /* enum setting_effect */
    int exit_code;       /* of a bad value */
    size_t offset;       /* in struct settings */
    double min, max;     /* exact: no bound is above 2^53 */
    const char *setting; /* in `stats settings`, or NULL */
    const char *wrong;
    const char *help;
};

/* Indexed by enum setting. */
extern const struct option_row option_rows[N_SETTINGS];

struct option_choice {
    int setting; /* enum setting */
    int value;
    const char *name;  /* on the command line */
    const char *shown; /* in `stats settings` */
};

extern const struct option_choice option_choices[];
extern const size_t n_option_choices;

#define SETTING_ROOM 32

/* The text of a value as `stats settings` shows it; room holds it if it has to be made. */
struct slice setting_shown(const struct settings *settings, size_t setting,
                           char room[SETTING_ROOM]);

static inline void *option_field(struct settings *settings, const struct option_row *row)
{
    return (uint8_t *)settings + row->offset;
}

static inline const void *option_field_of(const struct settings *settings,
                                          const struct option_row *row)
{
    return (const uint8_t *)settings + row->offset;
}

/* Does an option of this type stand alone? */
static inline bool option_is_bare(const struct option_row *row)
{
    return row->type <= TYPE_SWITCH_OFF || row->type == TYPE_COUNT;
}

static inline bool option_is_text(const struct option_row *row)
{
    return row->type >= TYPE_TEXT;
}

#endif
