#include "server/options.h"

#include "config.h"
#include "server/option_rows.h"

#define HELP_COLUMN 30
#define HELP_WIDTH  96

static const char *argument_name(const struct option_row *row)
{
    switch (row->type) {
    case TYPE_SIZE:
    case TYPE_KIB:
    case TYPE_MIB:
        return "<size>";
    case TYPE_OCTAL:
        return "<mask>";
    case TYPE_CHAR:
        return "<char>";
    case TYPE_CHOICE:
        return "<name>";
    case TYPE_PATH:
    case TYPE_PATH_OR_NO:
        return "<file>";
    case TYPE_TEXT:
        return "<text>";
    case TYPE_LIST:
        return "<list>";
    default:
        return "<num>";
    }
}

/* The help text from HELP_COLUMN on, broken between words. */
static void print_wrapped(FILE *out, const char *text, int column)
{
    if (column >= HELP_COLUMN)
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(out, "%*s", HELP_COLUMN - column, "");
    int at = HELP_COLUMN;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (at > HELP_COLUMN && at + 1 + n > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, (size_t)n, out);
        at += n;
        text += n + (text[n] == ' ');
    }
    fputc('\n', out);
}

/* 67108864 is 64m. */
static void render_size(char *out, size_t n_out, uint64_t bytes)
{
    static const char suffixes[][2] = {"", "k", "m", "g"};
    size_t i = 0;
    for (; i < 3 && bytes > 0 && bytes % 1024 == 0; i++)
        bytes /= 1024;
    snprintf(out, n_out, "%llu%s", (unsigned long long)bytes, suffixes[i]);
}

/* Empty where the default is not worth a word: texts, and options that stand alone. */
static void render_default(const struct settings *defaults, size_t setting, char *out, size_t n_out)
{
    const struct option_row *row = &option_rows[setting];
    bool is_size = row->type == TYPE_SIZE || row->type == TYPE_KIB || row->type == TYPE_MIB;
    out[0] = '\0';
    if (option_is_bare(row) || option_is_text(row) || row->type == TYPE_CHAR)
        return;
    if (is_size) {
        const uint64_t *bytes = option_field_of(defaults, row);
        render_size(out, n_out, *bytes);
        return;
    }
    char room[SETTING_ROOM];
    struct slice shown = setting_shown(defaults, setting, room);
    for (size_t i = 0; row->type == TYPE_CHOICE && i < n_option_choices; i++)
        if (option_choices[i].setting == (int)setting &&
            option_choices[i].value == *(const int *)option_field_of(defaults, row))
            shown = slice_str(option_choices[i].name);
    snprintf(out, n_out, "%.*s", (int)shown.n, (const char *)shown.p);
}

static void print_explanation(FILE *out, const struct settings *defaults, size_t setting,
                              int column)
{
    const struct option_row *row = &option_rows[setting];
    char text[512], value[64];
    render_default(defaults, setting, value, sizeof value);
    if (value[0] && row->effect != EFFECT_NONE)
        snprintf(text, sizeof text, "%s (default %s)", row->help, value);
    else
        snprintf(text, sizeof text, "%s", row->help);
    print_wrapped(out, text, column);
}

static int print_option_name(FILE *out, const struct option_row *row)
{
    int n = row->letter ? fprintf(out, "-%c, --%s", row->letter, row->name)
                        : fprintf(out, "    --%s", row->name);
    if (!option_is_bare(row))
        n += fprintf(out, "=%s", argument_name(row));
    return n;
}

static int print_word_name(FILE *out, const struct option_row *row)
{
    bool can_be_turned_off = option_is_bare(row) || row->type == TYPE_LEVEL;
    int n = fprintf(out, "   %s%s", can_be_turned_off ? "[no_]" : "", row->name);
    if (row->type == TYPE_LEVEL)
        n += fprintf(out, "[=%s]", argument_name(row));
    else if (!option_is_bare(row))
        n += fprintf(out, "=%s", argument_name(row));
    return n;
}

static void print_rows(FILE *out, const struct settings *defaults, bool is_suboption, bool is_inert)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!row->name || row->is_suboption != is_suboption ||
            (row->effect == EFFECT_NONE) != is_inert)
            continue;
        int n = is_suboption ? print_word_name(out, row) : print_option_name(out, row);
        print_explanation(out, defaults, i, n);
    }
}

void print_help(FILE *out)
{
    struct settings defaults;
    settings_init(&defaults);
    print_version(out);
    fputs("usage: keepd [options]\n\n", out);
    print_rows(out, &defaults, false, false);
    fputs("\nWords of -o:\n", out);
    print_rows(out, &defaults, true, false);
    fputs("\nAccepted for the sake of existing command lines, without effect:\n", out);
    print_rows(out, &defaults, false, true);
    print_rows(out, &defaults, true, true);
    fputs("\nMore is told by: man keepd.\n", out);
    settings_fini(&defaults);
}

void print_version(FILE *out)
{
    fprintf(out, "keepd %s (compatible with memcached %s)\n", PACKAGE_VERSION, COMPATIBLE_VERSION);
}

void print_license(FILE *out)
{
    fputs("keepd is free software under the BSD 3-clause license: it may be used, changed and\n"
          "passed on, with its copyright notice, and comes without any warranty.\n"
          "The full text is in the file LICENSE.\n",
          out);
}
