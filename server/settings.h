/* settings.h - what the command line asked for, checked and complete.
 * Owns: its texts and the list of listeners.   Thread: any, while nobody writes; main.c writes.
 * Never: changes while workers read it, but for a copy that is rendered. */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "base/bytes.h"
#include "base/must.h"
#include "protocol/parse.h"
#include "server/listen_spec.h"

enum hash_algorithm { HASH_JENKINS, HASH_MURMUR3, HASH_XXH3 };
enum rights_mode { RIGHTS_ENFORCE, RIGHTS_WARN };

/* Field of each type of row; the words are those of the type column of options.def. */

#define SETTING_FIELD_FLAG(field)       bool field; /* the option alone says yes       */
#define SETTING_FIELD_FLAG_OFF(field)   bool field; /* the option alone says no        */
#define SETTING_FIELD_SWITCH_OFF(field) bool field; /* the same, shown as on and off   */
#define SETTING_FIELD_NUMBER(field)     uint64_t field;
#define SETTING_FIELD_LEVEL(field)      uint64_t field; /* a number that may be left out: 1 */
#define SETTING_FIELD_COUNT(field)      uint64_t field; /* how often the option stood there */
#define SETTING_FIELD_PORT(field)       int32_t field;  /* -1 any free one, 0 none         */
#define SETTING_FIELD_SIZE(field)       uint64_t field; /* bytes, argument in bytes        */
#define SETTING_FIELD_KIB(field)        uint64_t field; /* bytes, argument in KiB          */
#define SETTING_FIELD_MIB(field)        uint64_t field; /* bytes, argument in MiB          */
#define SETTING_FIELD_OCTAL(field)      uint64_t field;
#define SETTING_FIELD_DECIMAL2(field)   double field;
#define SETTING_FIELD_DECIMAL3(field)   double field;
#define SETTING_FIELD_CHAR(field)       char field;
#define SETTING_FIELD_CHOICE(field)     int field;   /* an enum, see option_choices     */
#define SETTING_FIELD_TEXT(field)       char *field; /* NULL when absent, shown as NULL */
#define SETTING_FIELD_PATH(field)       char *field; /* absent is shown as (null)       */
#define SETTING_FIELD_PATH_OR_NO(field) char *field; /* absent is shown as no           */
#define SETTING_FIELD_LIST(field)       char *field; /* given several times: joined by , */

/* One number for each row, to ask whether it was given. */
enum setting {
#define OPTION(field, ...)    SETTING_##field,
#define SUBOPTION(field, ...) SETTING_##field,
#define RUNTIME(field, ...)   SETTING_##field,
#include "server/options.def"
#undef OPTION
#undef SUBOPTION
#undef RUNTIME
    N_SETTINGS
};

struct settings {
#define OPTION(field, name, letter, type, ...) SETTING_FIELD_##type(field)
#define SUBOPTION(field, name, type, ...)      SETTING_FIELD_##type(field)
#define RUNTIME(field, type, ...)              SETTING_FIELD_##type(field)
#include "server/options.def"
#undef OPTION
#undef SUBOPTION
#undef RUNTIME
    bool is_given[N_SETTINGS]; /* by the command line */

    /* Derived once all options are read. */
    struct listen_spec *listeners; /* what -l says, or the default; empty hosts mean any */
    size_t n_listeners;
    bool requires_login;   /* -S, -Y or --tenants */
    bool is_loopback_only; /* nobody asked for addresses and no login is required */
};

/* All defaults. */
void settings_init(struct settings *settings);
void settings_fini(struct settings *settings);

typedef void settings_visit(void *context, struct slice name, struct slice value);

/* The lines of `stats settings`, in memcached's order. Values that change while serving (maxbytes,
 * verbosity, oldest, detail_enabled) are fields: set them in a copy and walk the copy. */
void settings_walk(const struct settings *settings, settings_visit *visit, void *context);

/* The options that were given another value than their default and have no effect in keepd, as they
 * are written on a command line; value is the reason. */
void settings_walk_inert(const struct settings *settings, settings_visit *visit, void *context);

#endif
