#include "server/options.h"

#include <getopt.h>
#include <stdlib.h>

#include "server/option_value.h"
#include "server/options_check.h"

#define LONG_ONLY 256 /* what getopt returns for row i is its letter, or this plus i */

/* Words of -o. */

static bool has_no_prefix(struct slice word)
{
    return word.n > 3 && memcmp(word.p, "no_", 3) == 0;
}

static bool find_suboption(struct slice name, size_t *setting_out)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (!option_rows[i].is_suboption || !slice_is(name, option_rows[i].name))
            continue;
        *setting_out = i;
        return true;
    }
    return false;
}

/* "maxconns_fast", and "no_maxconns_fast" for what can be turned off. */
static bool find_word(struct slice name, size_t *setting_out, bool *is_negated_out)
{
    *is_negated_out = false;
    if (find_suboption(name, setting_out))
        return true;
    if (!has_no_prefix(name) || !find_suboption(slice_of(name.p + 3, name.n - 3), setting_out))
        return false;
    *is_negated_out = true;
    return option_is_bare(&option_rows[*setting_out]) ||
           option_rows[*setting_out].type == TYPE_LEVEL;
}

static int refuse_missing(FILE *err, const struct option_row *row)
{
    fprintf(err,
            option_is_text(row) || row->type == TYPE_CHOICE ? "Missing %s argument\n"
                                                            : "Missing numeric argument for %s\n",
            row->name);
    return row->exit_code;
}

static int set_word(struct settings *settings, struct slice word, FILE *err)
{
    const uint8_t *equal = memchr(word.p, '=', word.n);
    size_t n_name = equal ? (size_t)(equal - word.p) : word.n;
    struct slice value = equal ? slice_of(equal + 1, word.n - n_name - 1) : (struct slice){NULL, 0};
    size_t setting;
    bool is_negated;
    if (!find_word(slice_of(word.p, n_name), &setting, &is_negated)) {
        fprintf(err, "Illegal suboption \"%.*s\"\n", (int)word.n, (const char *)word.p);
        return EXIT_BAD_VALUE;
    }
    const struct option_row *row = &option_rows[setting];
    settings->is_given[setting] = true;
    if (option_is_bare(row) || is_negated) {
        if (equal)
            return option_refuse_value(err, setting, false, value);
        if (row->type == TYPE_LEVEL)
            *(uint64_t *)option_field(settings, row) = 0;
        else
            option_set_bare(row, settings, is_negated);
        return OPTIONS_SERVE;
    }
    if (equal && value.n > 0)
        return option_set(setting, settings, value, err);
    if (row->type != TYPE_LEVEL)
        return refuse_missing(err, row);
    *(uint64_t *)option_field(settings, row) = 1;
    return OPTIONS_SERVE;
}

static int set_words(struct settings *settings, FILE *err)
{
    const char *at = settings->extended_text;
    while (at && *at) {
        size_t n = strcspn(at, ",");
        int result = n > 0 ? set_word(settings, slice_of(at, n), err) : OPTIONS_SERVE;
        if (result != OPTIONS_SERVE)
            return result;
        at += n + (at[n] == ',');
    }
    return OPTIONS_SERVE;
}

/* The command line itself. */

struct getopt_tables {
    char letters[3 * N_SETTINGS + 2];
    struct option longs[N_SETTINGS + 1];
};

static void fill_tables(struct getopt_tables *tables)
{
    char *letter = tables->letters;
    struct option *at = tables->longs;
    *letter++ = ':';
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!row->name || row->is_suboption)
            continue;
        int has_arg = option_is_bare(row) ? no_argument : required_argument;
        *at++ = (struct option){row->name, has_arg, NULL, LONG_ONLY + (int)i};
        if (!row->letter)
            continue;
        *letter++ = (char)row->letter;
        if (has_arg != no_argument)
            *letter++ = ':';
    }
    *letter = '\0';
    *at = (struct option){NULL, 0, NULL, 0};
}

static bool find_option(int code, size_t *setting_out)
{
    if (code >= LONG_ONLY) {
        *setting_out = (size_t)(code - LONG_ONLY);
        return true;
    }
    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (!option_rows[i].letter || option_rows[i].letter != code)
            continue;
        *setting_out = i;
        return true;
    }
    return false;
}

/* getopt has left the culprit in optopt, or in the word before optind. */
static int refuse_option(int code, char **argv, FILE *err)
{
    size_t setting;
    if (code == ':' && find_option(optopt, &setting)) {
        fputs("keepd: option requires an argument: ", err);
        option_print_name(err, &option_rows[setting]);
        fputs(" takes ", err);
        option_print_expected(err, setting);
        fputc('\n', err);
    } else if (optopt > 0 && optopt < LONG_ONLY) {
        fprintf(err, "keepd: invalid option -- '%c'; see keepd -h\n", optopt);
    } else {
        fprintf(err, "keepd: unrecognized option '%s'; see keepd -h\n", argv[optind - 1]);
    }
    fputs("Illegal argument \"?\"\n", err);
    return EXIT_BAD_VALUE;
}

static int read_command_line(int argc, char **argv, struct settings *settings, FILE *err)
{
    struct getopt_tables tables;
    fill_tables(&tables);
    optind = 0;
    opterr = 0;
    for (;;) {
        size_t setting;
        int code = getopt_long(argc, argv, tables.letters, tables.longs, NULL);
        if (code == -1)
            return set_words(settings, err);
        if (code == '?' || code == ':' || !find_option(code, &setting))
            return refuse_option(code, argv, err);
        settings->is_given[setting] = true;
        int result = OPTIONS_SERVE;
        if (option_is_bare(&option_rows[setting]))
            option_set_bare(&option_rows[setting], settings, false);
        else
            result = option_set(setting, settings, slice_str(optarg), err);
        if (result != OPTIONS_SERVE)
            return result;
    }
}

int options_parse(int argc, char **argv, bool is_root, struct settings *settings, FILE *out,
                  FILE *err)
{
    int result = read_command_line(argc, argv, settings, err);
    if (result != OPTIONS_SERVE)
        return result;
    if (settings->shows_help)
        print_help(out);
    if (settings->shows_version)
        print_version(out);
    if (settings->shows_license)
        print_license(out);
    if (settings->shows_help || settings->shows_version || settings->shows_license)
        return EXIT_SUCCESS;
    return options_check(settings, is_root, err);
}
