#include "server/options.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "server/option_rows.h"

#define LONG_ONLY 256 /* what getopt returns for row i is its letter, or this plus i */

/* How an option is called in a message. */
static void print_name(FILE *err, const struct option_row *row)
{
    if (row->is_suboption)
        fprintf(err, "-o %s", row->name);
    else if (row->letter)
        fprintf(err, "-%c/--%s", row->letter, row->name);
    else
        fprintf(err, "--%s", row->name);
}

/* One of the texts "for too low|for too high", with %s as the value. */
static void print_wrong(FILE *err, const char *wrong, bool is_too_high, struct slice value)
{
    const char *bar = strchr(wrong, '|');
    const char *at = is_too_high && bar ? bar + 1 : wrong;
    const char *end = bar && at == wrong ? bar : at + strlen(at);
    for (; at < end; at++) {
        if (at[0] == '%' && at[1] == 's') {
            fwrite(value.p, 1, value.n, err);
            at++;
        } else {
            fputc(*at, err);
        }
    }
    fputc('\n', err);
}

static void print_choices(FILE *err, size_t setting)
{
    const char *before = "one of ";
    for (size_t i = 0; i < n_option_choices; i++) {
        if (option_choices[i].setting != (int)setting)
            continue;
        fprintf(err, "%s%s", before, option_choices[i].name);
        before = ", ";
    }
}

/* What this option takes, in words. */
static void print_expected(FILE *err, size_t setting)
{
    const struct option_row *row = &option_rows[setting];
    switch ((enum setting_type)row->type) {
    case TYPE_FLAG:
    case TYPE_FLAG_OFF:
    case TYPE_SWITCH_OFF:
    case TYPE_COUNT:
        fputs("no value", err);
        break;
    case TYPE_NUMBER:
    case TYPE_LEVEL:
    case TYPE_PORT:
        fprintf(err, "a number from %.0f to %.0f", row->min, row->max);
        break;
    case TYPE_SIZE:
        fprintf(err, "bytes, or a number with a suffix k, m, g; from %.0f to %.0f bytes", row->min,
                row->max);
        break;
    case TYPE_KIB:
        fprintf(err, "KiB, or a number with a suffix k, m, g; from %.0f to %.0f KiB",
                row->min / 1024, row->max / 1024);
        break;
    case TYPE_MIB:
        fprintf(err, "MiB, or a number with a suffix k, m, g, t; from %.0f to %.0f MiB",
                row->min / 1048576, row->max / 1048576);
        break;
    case TYPE_OCTAL:
        fprintf(err, "an octal number up to %llo", (unsigned long long)row->max);
        break;
    case TYPE_DECIMAL2:
    case TYPE_DECIMAL3:
        fprintf(err, "a number from %g to %g", row->min, row->max);
        break;
    case TYPE_CHAR:
        fputs("one printable character", err);
        break;
    case TYPE_CHOICE:
        print_choices(err, setting);
        break;
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_PATH_OR_NO:
    case TYPE_LIST:
        fputs("a text", err);
        if (row->max > 0)
            fprintf(err, " of at most %.0f bytes", row->max);
        break;
    }
}

static int refuse_value(FILE *err, size_t setting, bool is_too_high, struct slice value)
{
    const struct option_row *row = &option_rows[setting];
    if (row->wrong)
        print_wrong(err, row->wrong, is_too_high, value);
    fputs("keepd: ", err);
    print_name(err, row);
    fputs(" takes ", err);
    print_expected(err, setting);
    fputs(", not \"", err);
    fwrite(value.p, 1, value.n, err);
    fputs("\"\n", err);
    return row->exit_code;
}

static int refuse_memory(FILE *err)
{
    fputs("keepd: out of memory\n", err);
    return EXIT_NO_RESOURCE;
}

/* A number with its sign; false for anything that is not one. */
static bool read_whole(struct slice text, double *value_out)
{
    int64_t value;
    if (!number_parse_s64(text, -(1ll << 53), 1ll << 53, &value))
        return false;
    *value_out = (double)value;
    return true;
}

/* A plain number counts in units; a suffix makes it bytes. */
static bool read_size(struct slice text, double unit, double *value_out)
{
    uint64_t bytes;
    double whole;
    if (read_whole(text, &whole)) {
        *value_out = whole * unit;
        return true;
    }
    if (!number_parse_size(text, 1ull << 53, &bytes))
        return false;
    *value_out = (double)bytes;
    return true;
}

static bool read_octal(struct slice text, double *value_out)
{
    uint64_t value = 0;
    if (text.n == 0 || text.n > 8)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '7')
            return false;
        value = value * 8 + (uint64_t)(text.p[i] - '0');
    }
    *value_out = (double)value;
    return true;
}

static bool read_decimal(struct slice text, double *value_out)
{
    char copy[32], *end;
    if (text.n == 0 || text.n >= sizeof copy || text.p[0] == ' ')
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    double value = strtod(copy, &end);
    if (end != copy + text.n || !isfinite(value))
        return false;
    *value_out = value;
    return true;
}

static bool read_number(const struct option_row *row, struct slice text, double *value_out)
{
    switch (row->type) {
    case TYPE_SIZE:
        return read_size(text, 1, value_out);
    case TYPE_KIB:
        return read_size(text, 1024, value_out);
    case TYPE_MIB:
        return read_size(text, 1048576, value_out);
    case TYPE_OCTAL:
        return read_octal(text, value_out);
    case TYPE_DECIMAL2:
    case TYPE_DECIMAL3:
        return read_decimal(text, value_out);
    default:
        return read_whole(text, value_out);
    }
}

static void store_number(const struct option_row *row, void *field, double value)
{
    if (row->type == TYPE_DECIMAL2 || row->type == TYPE_DECIMAL3)
        *(double *)field = value;
    else if (row->type == TYPE_PORT)
        *(int32_t *)field = (int32_t)value;
    else
        *(uint64_t *)field = (uint64_t)value;
}

static int set_number(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    const struct option_row *row = &option_rows[setting];
    double number;
    if (!read_number(row, value, &number))
        return refuse_value(err, setting, false, value);
    if (number < row->min || number > row->max)
        return refuse_value(err, setting, number > row->max, value);
    store_number(row, option_field(settings, row), number);
    return OPTIONS_SERVE;
}

static int set_choice(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    for (size_t i = 0; i < n_option_choices; i++) {
        if (option_choices[i].setting != (int)setting || !slice_is(value, option_choices[i].name))
            continue;
        *(int *)option_field(settings, &option_rows[setting]) = option_choices[i].value;
        return OPTIONS_SERVE;
    }
    return refuse_value(err, setting, false, value);
}

static int set_char(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    if (value.n != 1 || value.p[0] <= ' ' || value.p[0] > '~')
        return refuse_value(err, setting, false, value);
    *(char *)option_field(settings, &option_rows[setting]) = (char)value.p[0];
    return OPTIONS_SERVE;
}

/* Replaces the text, or appends to a list. */
static int set_text(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    const struct option_row *row = &option_rows[setting];
    char **text = option_field(settings, row);
    if (value.n == 0 || (row->max > 0 && (double)value.n > row->max))
        return refuse_value(err, setting, true, value);
    bool is_joined = row->type == TYPE_LIST && *text;
    size_t n_old = is_joined ? strlen(*text) : 0;
    char *joined = malloc(n_old + value.n + 2);
    if (!joined)
        return refuse_memory(err);
    if (is_joined) {
        memcpy(joined, *text, n_old);
        joined[n_old++] = ',';
    }
    memcpy(joined + n_old, value.p, value.n);
    joined[n_old + value.n] = '\0';
    free(*text);
    *text = joined;
    return OPTIONS_SERVE;
}

static int set_value(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    switch (option_rows[setting].type) {
    case TYPE_CHOICE:
        return set_choice(setting, settings, value, err);
    case TYPE_CHAR:
        return set_char(setting, settings, value, err);
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_PATH_OR_NO:
    case TYPE_LIST:
        return set_text(setting, settings, value, err);
    default:
        return set_number(setting, settings, value, err);
    }
}

static void set_bare(const struct option_row *row, struct settings *settings, bool is_negated)
{
    void *field = option_field(settings, row);
    if (row->type == TYPE_COUNT) {
        uint64_t *count = field;
        *count += (double)*count < row->max;
    } else {
        *(bool *)field = (row->type == TYPE_FLAG) != is_negated;
    }
}

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
            option_is_text(row) ? "Missing %s argument\n" : "Missing numeric argument for %s\n",
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
            return refuse_value(err, setting, false, value);
        if (row->type == TYPE_LEVEL)
            *(uint64_t *)option_field(settings, row) = 0;
        else
            set_bare(row, settings, is_negated);
        return OPTIONS_SERVE;
    }
    if (equal && value.n > 0)
        return set_value(setting, settings, value, err);
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

/* What the options mean together. */

static int refuse(FILE *err, int exit_code, const char *text)
{
    fprintf(err, "%s\n", text);
    return exit_code;
}

static int check_login(const struct settings *settings, FILE *err)
{
    if (settings->has_sasl && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: Cannot enable UDP while using binary SASL authentication.");
    if (settings->auth_file && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "Cannot use UDP with ascii authentication enabled (-U 0 to disable)");
    if (settings->tenants_file && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: Cannot enable UDP while --tenants requires login (-U 0 to disable)");
    return OPTIONS_SERVE;
}

static int check_together(const struct settings *settings, FILE *err)
{
    if (settings->item_size_max > settings->max_bytes / 2)
        return refuse(err, EXIT_BAD_USAGE,
                      "Cannot set item size limit higher than 1/2 of memory max.");
    if (settings->hot_lru_pct + settings->warm_lru_pct > 80)
        return refuse(err, EXIT_BAD_USAGE,
                      "hot_lru_pct + warm_lru_pct cannot be more than 80% combined");
    if (settings->n_napi_ids > settings->n_threads) {
        fprintf(err, "Number of napi_ids(%llu) cannot be greater than number of threads(%llu)\n",
                (unsigned long long)settings->n_napi_ids, (unsigned long long)settings->n_threads);
        return EXIT_BAD_USAGE;
    }
    if (settings->has_tls && settings->tcp_port == 0)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: You cannot enable SSL without a TCP port.");
    if (settings->has_tls && !settings->tls_chain_file)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: -Z needs -o ssl_chain_cert=FILE,ssl_key=FILE");
    if (settings->log_file && settings->has_syslog)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: --log-file and --syslog exclude each other");
    return check_login(settings, err);
}

static void warn(const struct settings *settings, FILE *err)
{
    if (settings->n_threads > 64)
        fputs("WARNING: Setting a high number of worker threads is not recommended.\n"
              " Set this value to the number of cores in your machine or less.\n",
              err);
}

static int read_listeners(struct settings *settings, FILE *err)
{
    const char *wrong;
    struct slice rest;
    if (listen_specs_parse(slice_str(settings->listen_text), settings->has_tls,
                           &settings->listeners, &settings->n_listeners, &wrong, &rest))
        return OPTIONS_SERVE;
    fprintf(err, "%s: \"%.*s\"\n", wrong, (int)rest.n, (const char *)rest.p);
    fprintf(err, "failed to listen on one of interface(s) %s: Invalid argument\n",
            settings->listen_text);
    return EXIT_NO_RESOURCE;
}

/* Without -l: every address if logins protect the cache, else loopback only. */
static int default_listeners(struct settings *settings, FILE *err)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    size_t n = settings->is_loopback_only ? 2 : 1;
    settings->listeners = calloc(n, sizeof *settings->listeners);
    if (!settings->listeners)
        return refuse_memory(err);
    for (; settings->n_listeners < n; settings->n_listeners++) {
        const char *host = settings->is_loopback_only ? loopback[settings->n_listeners] : NULL;
        if (!listen_spec_init(&settings->listeners[settings->n_listeners], host))
            return refuse_memory(err);
    }
    return OPTIONS_SERVE;
}

static int derive(struct settings *settings, FILE *err)
{
    if (settings->udp_port != 0 && !settings->is_given[SETTING_tcp_port])
        settings->tcp_port = settings->udp_port;
    settings->is_detail_enabled = settings->is_given[SETTING_prefix_delimiter];
    settings->n_threads_per_udp = settings->n_threads;
    for (char *at = settings->sasl_mechanisms; at && *at; at++)
        if (*at == ',' || *at == ';')
            *at = ' ';
    settings->requires_login = settings->has_sasl || settings->auth_file || settings->tenants_file;
    settings->is_loopback_only = !settings->listen_text && !settings->requires_login;
    return settings->listen_text ? read_listeners(settings, err) : default_listeners(settings, err);
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
        fputs("keepd: ", err);
        print_name(err, &option_rows[setting]);
        fputs(" takes ", err);
        print_expected(err, setting);
        fputs(", and there is nothing behind it\n", err);
    } else if (optopt > 0 && optopt < LONG_ONLY) {
        fprintf(err, "keepd: there is no option -%c; see keepd -h\n", optopt);
    } else {
        fprintf(err, "keepd: there is no option %s; see keepd -h\n", argv[optind - 1]);
    }
    return refuse(err, EXIT_BAD_VALUE, "Illegal argument \"?\"");
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
            set_bare(&option_rows[setting], settings, false);
        else
            result = set_value(setting, settings, slice_str(optarg), err);
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
    result = check_together(settings, err);
    if (result != OPTIONS_SERVE)
        return result;
    bool only_checks = settings->checks_config || settings->checks_auth_of;
    if (is_root && !settings->user && !only_checks)
        return refuse(err, EXIT_BAD_USAGE, "must add '-u root' to start as root");
    warn(settings, err);
    return derive(settings, err);
}
