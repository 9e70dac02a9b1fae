#include "server/option_value.h"

#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "server/options.h"

void option_print_name(FILE *err, const struct option_row *row)
{
    if (row->is_suboption)
        fprintf(err, "-o %s", row->name);
    else if (row->letter)
        fprintf(err, "-%c/--%s", row->letter, row->name);
    else
        fprintf(err, "--%s", row->name);
}

/* One of the texts "for too low|for too high", with %s as the value; an empty one is not said. */
static void print_wrong(FILE *err, const char *wrong, bool is_too_high, struct slice value)
{
    const char *bar = strchr(wrong, '|');
    const char *at = is_too_high && bar ? bar + 1 : wrong;
    const char *end = bar && at == wrong ? bar : at + strlen(at);
    if (at == end)
        return;
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

/* A least value just above a round one stands for "more than that". */
static void print_decimal_bounds(FILE *err, const struct option_row *row)
{
    double below;
    if (modf(row->min, &below) > 0)
        fprintf(err, "a number above %.0f, at most %.0f", below, row->max);
    else
        fprintf(err, "a number from %.0f to %.0f", row->min, row->max);
}

void option_print_expected(FILE *err, size_t setting)
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
        print_decimal_bounds(err, row);
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

int option_refuse_value(FILE *err, size_t setting, bool is_too_high, struct slice value)
{
    const struct option_row *row = &option_rows[setting];
    if (row->wrong)
        print_wrong(err, row->wrong, is_too_high, value);
    fputs("keepd: ", err);
    option_print_name(err, row);
    fputs(" takes ", err);
    option_print_expected(err, setting);
    fputs(", not \"", err);
    fwrite(value.p, 1, value.n, err);
    fputs("\"\n", err);
    return row->exit_code;
}

int option_refuse_memory(FILE *err)
{
    fputs("keepd: out of memory\n", err);
    return EXIT_NO_RESOURCE;
}

/* A number with its sign; false for anything that is not one. */
static bool read_whole(struct slice text, double *value_out)
{
    int64_t value;
    if (!number_parse_s64(text, -(1LL << 53), 1LL << 53, &value))
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
        return option_refuse_value(err, setting, false, value);
    if (number < row->min || number > row->max)
        return option_refuse_value(err, setting, number > row->max, value);
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
    return option_refuse_value(err, setting, false, value);
}

static int set_char(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    if (value.n != 1 || value.p[0] <= ' ' || value.p[0] > '~')
        return option_refuse_value(err, setting, false, value);
    *(char *)option_field(settings, &option_rows[setting]) = (char)value.p[0];
    return OPTIONS_SERVE;
}

/* Replaces the text, or appends to a list. */
static int set_text(size_t setting, struct settings *settings, struct slice value, FILE *err)
{
    const struct option_row *row = &option_rows[setting];
    char **text = option_field(settings, row);
    if (value.n == 0 || (row->max > 0 && (double)value.n > row->max))
        return option_refuse_value(err, setting, true, value);
    bool is_joined = row->type == TYPE_LIST && *text;
    size_t n_old = is_joined ? strlen(*text) : 0;
    char *joined = malloc(n_old + value.n + 2);
    if (!joined)
        return option_refuse_memory(err);
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

int option_set(size_t setting, struct settings *settings, struct slice value, FILE *err)
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

void option_set_bare(const struct option_row *row, struct settings *settings, bool is_negated)
{
    void *field = option_field(settings, row);
    if (row->type == TYPE_COUNT) {
        uint64_t *count = field;
        *count += (double)*count < row->max;
    } else {
        *(bool *)field = (row->type == TYPE_FLAG) != is_negated;
    }
}
