#include "server/settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "server/option_rows.h"

const struct option_row option_rows[N_SETTINGS] = {
#define ROW(field, name, letter, is_sub, type, min, max, effect, setting, rc, wrong, help) \
    [SETTING_##field] = {name,                                                             \
                         letter,                                                           \
                         is_sub,                                                           \
                         TYPE_##type,                                                      \
                         EFFECT_##effect,                                                  \
                         rc,                                                               \
                         offsetof(struct settings, field),                                 \
                         (double)(min),                                                    \
                         (double)(max),                                                    \
                         setting,                                                          \
                         wrong,                                                            \
                         help},
#define OPTION(field, name, letter, type, initial, ...) \
    ROW(field, name, letter, false, type, __VA_ARGS__)
#define SUBOPTION(field, name, type, initial, ...) ROW(field, name, 0, true, type, __VA_ARGS__)
#define RUNTIME(field, type, initial, setting) \
    ROW(field, NULL, 0, false, type, 0, 0, LIVE, setting, 0, NULL, NULL)
#include "server/options.def"
#undef OPTION
#undef SUBOPTION
#undef RUNTIME
};

const struct option_choice option_choices[] = {
    {SETTING_protocol, PROTOCOL_AUTO, "auto", "auto-negotiate"},
    {SETTING_protocol, PROTOCOL_TEXT, "ascii", "ascii"},
    {SETTING_protocol, PROTOCOL_BINARY, "binary", "binary"},
    {SETTING_hash_algorithm, HASH_JENKINS, "jenkins", "xxh3"},
    {SETTING_hash_algorithm, HASH_MURMUR3, "murmur3", "xxh3"},
    {SETTING_hash_algorithm, HASH_XXH3, "xxh3", "xxh3"},
    {SETTING_rights_mode, RIGHTS_ENFORCE, "enforce", "enforce"},
    {SETTING_rights_mode, RIGHTS_WARN, "warn", "warn"},
};
const size_t n_option_choices = sizeof option_choices / sizeof *option_choices;

void settings_init(struct settings *settings)
{
    *settings = (struct settings){
#define OPTION(field, name, letter, type, initial, ...) .field = initial,
#define SUBOPTION(field, name, type, initial, ...)      .field = initial,
#define RUNTIME(field, type, initial, setting)          .field = initial,
#include "server/options.def"
#undef OPTION
#undef SUBOPTION
#undef RUNTIME
    };
}

void settings_fini(struct settings *settings)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!option_is_text(row))
            continue;
        char **text = option_field(settings, row);
        free(*text);
        *text = NULL;
    }
    listen_specs_destroy(&settings->listeners, settings->n_listeners);
    settings->n_listeners = 0;
}

static struct slice shown_text(const char *text, const char *absent)
{
    return slice_str(text ? text : absent);
}

static struct slice shown_choice(size_t setting, int value)
{
    for (size_t i = 0; i < n_option_choices; i++)
        if (option_choices[i].setting == (int)setting && option_choices[i].value == value)
            return slice_str(option_choices[i].shown);
    return SLICE("?");
}

static struct slice shown_decimal(char *room, size_t n, int n_digits, double value)
{
    return slice_of(room, (size_t)snprintf(room, n, "%.*f", n_digits, value));
}

struct slice setting_shown(const struct settings *settings, size_t i, char room[SETTING_ROOM])
{
    const struct option_row *row = &option_rows[i];
    const void *field = option_field_of(settings, row);
    switch ((enum setting_type)row->type) {
    case TYPE_FLAG:
    case TYPE_FLAG_OFF:
        return *(const bool *)field ? SLICE("yes") : SLICE("no");
    case TYPE_SWITCH_OFF:
        return *(const bool *)field ? SLICE("on") : SLICE("off");
    case TYPE_NUMBER:
    case TYPE_LEVEL:
    case TYPE_COUNT:
    case TYPE_SIZE:
    case TYPE_KIB:
    case TYPE_MIB:
        return slice_of(room, number_render_u64((uint8_t *)room, *(const uint64_t *)field));
    case TYPE_PORT:
        return slice_of(room, number_render_s64((uint8_t *)room, *(const int32_t *)field));
    case TYPE_OCTAL:
        return slice_of(room, (size_t)snprintf(room, SETTING_ROOM, "%llo",
                                               (unsigned long long)*(const uint64_t *)field));
    case TYPE_DECIMAL2:
        return shown_decimal(room, SETTING_ROOM, 2, *(const double *)field);
    case TYPE_DECIMAL3:
        return shown_decimal(room, SETTING_ROOM, 3, *(const double *)field);
    case TYPE_CHAR:
        return slice_of(field, 1);
    case TYPE_CHOICE:
        return shown_choice(i, *(const int *)field);
    case TYPE_TEXT:
    case TYPE_LIST:
        return shown_text(*(char *const *)field, "NULL");
    case TYPE_PATH:
        return shown_text(*(char *const *)field, "(null)");
    case TYPE_PATH_OR_NO:
        return shown_text(*(char *const *)field, "no");
    }
    return SLICE("?");
}

void settings_walk(const struct settings *settings, settings_visit *visit, void *context)
{
    char room[SETTING_ROOM];
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (option_rows[i].setting)
            visit(context, slice_str(option_rows[i].setting), setting_shown(settings, i, room));
}

/* Nobody misses what an option without effect says when it says the default. */
static bool is_default(const struct settings *settings, const struct settings *defaults, size_t i)
{
    char room[SETTING_ROOM], default_room[SETTING_ROOM];
    return slice_equal(setting_shown(settings, i, room), setting_shown(defaults, i, default_room));
}

void settings_walk_inert(const struct settings *settings, settings_visit *visit, void *context)
{
    struct settings defaults;
    settings_init(&defaults);
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->effect != EFFECT_NONE || !settings->is_given[i] ||
            is_default(settings, &defaults, i))
            continue;
        char name[64];
        const char *start = row->is_suboption ? "-o " : row->letter ? "-" : "--";
        int n = !row->is_suboption && row->letter
                    ? snprintf(name, sizeof name, "%s%c", start, row->letter)
                    : snprintf(name, sizeof name, "%s%s", start, row->name);
        visit(context, slice_of(name, (size_t)n), slice_str(row->help));
    }
}
