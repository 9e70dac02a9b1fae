#include "config.h"

#include "protocol/bare_get.h"
#include "protocol/dialects.h"
#include "protocol/text_line.h"

#include <stddef.h>

#define LINE_MIN           4   /* a line with its end; shorter ones are malformed */
#define LEADING_SPACES_MAX 100 /* before the command of a line that is not complete yet */
#define WORD_MAX           16
#define DIGITS_MAX         9 /* of a number that cannot exceed any limit */

enum shape {
    SHAPE_KEYS,         /* <key>+ */
    SHAPE_EXPTIME_KEYS, /* <exptime> <key>+ */
    SHAPE_STORE,        /* <key> <flags> <exptime> <bytes> [noreply] */
    SHAPE_STORE_CAS,    /* ... <bytes> <cas unique> [noreply] */
    SHAPE_KEY,          /* <key> [noreply] */
    SHAPE_KEY_DELTA,    /* <key> <delta> [noreply] */
    SHAPE_KEY_EXPTIME,  /* <key> <exptime> [noreply] */
    SHAPE_DELAY,        /* [delay] [noreply] */
    SHAPE_WORDS,        /* left to execution, which always answers */
    SHAPE_WORDS_QUIET,  /* left to execution, but a last word noreply is taken off */
};

struct command_row {
    char word[WORD_MAX]; /* padded with zeros */
    uint8_t n_word;
    uint8_t verb;
    uint8_t shape;
    uint32_t does;
};

enum {
#define TEXT_COMMAND(word, verb, shape, does) COMMAND_##word,
#include "protocol/text_commands.def"
#undef TEXT_COMMAND
    N_COMMANDS
};

static const struct command_row commands[N_COMMANDS] = {
#define TEXT_COMMAND(word, verb, shape, does) \
    [COMMAND_##word] = {#word, sizeof #word - 1, VERB_##verb, SHAPE_##shape, does},
#include "protocol/text_commands.def"
#undef TEXT_COMMAND
};

NEVER_INLINE const struct command_row *find_command(struct slice word)
{
    char padded[WORD_MAX] = {0};
    if (word.n == 0 || word.n >= WORD_MAX)
        return NULL;
    memcpy(padded, word.p, word.n);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (word.n == commands[i].n_word && memcmp(padded, commands[i].word, WORD_MAX) == 0)
            return &commands[i];
    return NULL;
}

static bool is_get_family(const struct command_row *row)
{
    return row != NULL && row->shape <= SHAPE_EXPTIME_KEYS;
}

/* C's strtoul within 64 bits, cut to 32: what client libraries send for flags beyond 32 bits is
 * accepted since 2003. */
MUST_USE static bool parse_client_flags(struct slice word, uint32_t *flags_out)
{
    uint64_t value;
    if (word.n > 0 && word.p[0] == '+')
        word = slice_of(word.p + 1, word.n - 1);
    if (!number_parse_u64(word, UINT64_MAX, &value))
        return false;
    *flags_out = (uint32_t)value;
    return true;
}

/* The exptime of storage commands: C's strtol, cut to 32 bits with sign. */
MUST_USE static bool parse_store_exptime(struct slice word, int64_t *exptime_out)
{
    int64_t value;
    if (LIKELY(word.n == 1 && word.p[0] == '0')) {
        *exptime_out = 0;
        return true;
    }
    if (word.n > 1 && word.p[0] == '+' && word.p[1] != '-')
        word = slice_of(word.p + 1, word.n - 1);
    if (!number_parse_s64(word, INT64_MIN, INT64_MAX, &value))
        return false;
    *exptime_out = (int32_t)(uint32_t)(uint64_t)value;
    return true;
}

/* The exptime of touch, gat, gats and flush_all. */
MUST_USE static bool parse_exptime(struct slice word, int64_t *exptime_out)
{
    return number_parse_s64(word, INT32_MIN, INT32_MAX, exptime_out);
}

/* Takes a last word noreply off the line; what is left of the line are words beyond the required
 * ones, so a key or number of that spelling is never taken for it. */
static bool take_noreply(struct line *line)
{
    static const size_t n = sizeof "noreply" - 1;
    line_skip_spaces(line);
    while (line->at < line->end && line->end[-1] == ' ')
        line->end--;
    size_t n_left = (size_t)(line->end - line->at);
    if (LIKELY(n_left < n) || memcmp(line->end - n, "noreply", n) != 0)
        return false;
    if (n_left > n && line->end[-(ptrdiff_t)n - 1] != ' ')
        return false;
    line->end -= n;
    while (line->at < line->end && line->end[-1] == ' ')
        line->end--;
    return true;
}

/* The same for a line of which nothing else is looked at any more. */
NEVER_INLINE bool ends_with_noreply(struct line line)
{
    return take_noreply(&line);
}

NEVER_INLINE void parse_store(const struct command_row *row, struct line line, struct request *out)
{
    bool has_cas = row->shape == SHAPE_STORE_CAS;
    struct slice key = line_key(&line);
    struct slice flags = line_word(&line);
    struct slice exptime = line_word(&line);
    struct slice bytes = line_word(&line);
    struct slice cas = has_cas ? line_word(&line) : (struct slice){0};
    if (UNLIKELY(bytes.n == 0 || (has_cas && cas.n == 0) ||
                 !line_value_size(bytes, &out->n_value))) {
        request_refuse(out, STATUS_BAD_FORMAT);
        return;
    }
    out->key = key;
    out->n_trailer = VALUE_TRAILER;
    if (UNLIKELY(!line_is_empty(&line)))
        out->is_quiet = ends_with_noreply(line);
    if (UNLIKELY(key.n > KEY_MAX || !parse_client_flags(flags, &out->client_flags) ||
                 !parse_store_exptime(exptime, &out->exptime) ||
                 (has_cas && !number_parse_u64(cas, UINT64_MAX, &out->cas))))
        request_refuse(out, STATUS_BAD_FORMAT);
}

/* Behind the key of a delete only the 0 of old clients may stand. memcached ignored other words in
 * some versions; they are mistakes, and memccapable insists on an error. */
static bool is_delete_end(struct line line)
{
    struct slice word = line_word(&line);
    line_skip_spaces(&line);
    return word.n == 0 || (slice_is(word, "0") && line_is_empty(&line));
}

/* <key>, or <key> and a number, then perhaps noreply. */
NEVER_INLINE void parse_keyed(const struct command_row *row, struct line line, struct request *out)
{
    out->key = line_key(&line);
    struct slice number = row->shape == SHAPE_KEY ? SLICE("0") : line_word(&line);
    if (out->key.n == 0 || number.n == 0) {
        request_refuse(out, STATUS_BAD_FORMAT);
        return;
    }
    out->is_quiet = take_noreply(&line);
    if (out->key.n > KEY_MAX)
        request_refuse(out, STATUS_BAD_FORMAT);
    else if (row->shape == SHAPE_KEY && UNLIKELY(!is_delete_end(line)))
        request_refuse(out, STATUS_BAD_DELETE);
    else if (row->shape == SHAPE_KEY_DELTA && !number_parse_u64(number, UINT64_MAX, &out->delta))
        request_refuse(out, STATUS_BAD_DELTA);
    else if (row->shape == SHAPE_KEY_EXPTIME && !parse_exptime(number, &out->exptime))
        request_refuse(out, STATUS_BAD_EXPTIME);
}

NEVER_INLINE void parse_words(const struct command_row *row, struct line line, struct request *out)
{
    if (row->shape != SHAPE_WORDS)
        out->is_quiet = take_noreply(&line);
    line_skip_spaces(&line);
    out->args = slice_of(line.at, (size_t)(line.end - line.at));
    out->closes = row->verb == VERB_QUIT;
    struct slice delay = line_word(&line);
    if (row->shape == SHAPE_DELAY && delay.n > 0 && !parse_exptime(delay, &out->exptime))
        request_refuse(out, STATUS_BAD_EXPTIME);
}

/* A browser or a proxy that was lured here: nothing of what it says may run. */
NEVER_INLINE bool is_http(struct line line)
{
    struct slice last = {0};
    for (struct slice word = line_word(&line); word.n > 0; word = line_word(&line))
        last = word;
    return last.n >= 5 && memcmp(last.p, "HTTP/", 5) == 0;
}

static enum parse_result bad(struct request *out, enum status status)
{
    request_clear(out);
    request_refuse(out, status);
    return PARSE_BAD;
}

/* No newline yet: is there still room for one? */
NEVER_INLINE enum parse_result wait_for_line(struct parser *parser, const uint8_t *p, size_t n,
                                             struct request *out)
{
    parser->n_searched = (uint32_t)n;
    if (LIKELY(n <= TEXT_LINE_MAX))
        return PARSE_MORE;
    struct line line = {p, p + n};
    line_skip_spaces(&line);
    if (line.at - p > LEADING_SPACES_MAX || !is_get_family(find_command(line_word(&line))))
        return bad(out, STATUS_NONE);
    return n < MULTIGET_LINE_MAX ? PARSE_MORE : bad(out, STATUS_LINE_TOO_LONG);
}

/* Behind the last byte of the line that ends with this newline. */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *newline)
{
    return newline > p && newline[-1] == '\r' ? newline - 1 : newline;
}

/* Is every word of the line short enough for a key? A hop goes to the last space of the next
 * KEY_MAX + 1 bytes: what lies before it is short, so most bytes are never looked at. */
static bool keys_fit(const struct line *line)
{
    const uint8_t *at = line->at;
    while (line->end - at > KEY_MAX) {
        const uint8_t *space = memrchr(at, ' ', KEY_MAX + 1);
        if (space == NULL)
            return false;
        at = space + 1;
    }
    return true;
}

/* One key of a get line; line.at is its first byte, no space, p what the caller has not consumed.
 */
ALWAYS_INLINE void take_key(struct parser *parser, const uint8_t *p, struct line line,
                            const uint8_t *newline, struct bare_get *out)
{
    const uint8_t *end = find_space(line.at, line.end), *next = end;
    while (next < line.end && *next == ' ')
        next++;
    out->key = slice_of(line.at, (size_t)(end - line.at));
    out->is_first = false;
    out->is_last = next == line.end;
    if (out->is_last) {
        parser->multiget = 0;
        next = newline + 1;
    }
    parser->n_line_left = (uint32_t)(newline + 1 - next);
    out->n_consumed = (size_t)(next - p);
}

/* The same as a request; line.at is past words in front of the key. */
static void take_key_request(struct parser *parser, const uint8_t *p, struct line line,
                             const uint8_t *newline, struct request *out, size_t *n_consumed_out)
{
    const struct command_row *row = &commands[parser->multiget - 1];
    struct bare_get get;
    take_key(parser, p, line, newline, &get);
    out->verb = row->verb;
    out->does = row->does;
    out->exptime = parser->exptime;
    out->command = slice_of(row->word, row->n_word);
    out->key = get.key;
    out->is_last = get.is_last;
    *n_consumed_out = get.n_consumed;
}

NEVER_INLINE enum parse_result next_key(struct parser *parser, const uint8_t *p, size_t n,
                                        struct request *out, size_t *n_consumed_out)
{
    if (UNLIKELY(n < parser->n_line_left))
        return PARSE_MORE;
    const uint8_t *newline = p + parser->n_line_left - 1;
    request_clear(out);
    take_key_request(parser, p, (struct line){p, line_end(p, newline)}, newline, out,
                     n_consumed_out);
    return PARSE_OK;
}

/* The first key of a get line, after a look at all of them. *n_consumed_out is the whole line,
 * which is what a refusal consumes. */
NEVER_INLINE enum parse_result first_key(struct parser *parser, const struct command_row *row,
                                         const uint8_t *p, struct line line, struct request *out,
                                         size_t *n_consumed_out)
{
    const uint8_t *newline = p + *n_consumed_out - 1;
    bool has_exptime = row->shape == SHAPE_EXPTIME_KEYS;
    struct slice exptime_word = {0};
    int64_t exptime = 0;
    if (UNLIKELY(*n_consumed_out > MULTIGET_LINE_MAX))
        return bad(out, STATUS_LINE_TOO_LONG);
    if (UNLIKELY(has_exptime))
        exptime_word = line_word(&line);
    line_skip_spaces(&line);
    if (UNLIKELY(line_is_empty(&line) || !keys_fit(&line))) {
        request_refuse(out, STATUS_BAD_FORMAT);
        return PARSE_OK;
    }
    if (UNLIKELY(has_exptime && !parse_exptime(exptime_word, &exptime))) {
        request_refuse(out, STATUS_BAD_EXPTIME);
        return PARSE_OK;
    }
    parser->multiget = (uint8_t)(row - commands + 1);
    parser->exptime = (int32_t)exptime;
    take_key_request(parser, p, line, newline, out, n_consumed_out);
    out->is_first = true;
    return PARSE_OK;
}

static void parse_arguments(const struct command_row *row, struct line line, struct request *out)
{
    out->verb = row->verb;
    out->does = row->does;
    switch ((enum shape)row->shape) {
    case SHAPE_STORE:
    case SHAPE_STORE_CAS:
        parse_store(row, line, out);
        break;
    case SHAPE_KEY:
    case SHAPE_KEY_DELTA:
    case SHAPE_KEY_EXPTIME:
        parse_keyed(row, line, out);
        break;
    case SHAPE_DELAY:
    case SHAPE_WORDS:
    case SHAPE_WORDS_QUIET:
        parse_words(row, line, out);
        break;
    case SHAPE_KEYS:
    case SHAPE_EXPTIME_KEYS:
        MUST(false); /* a get line is taken apart key by key */
    }
}

/* A line that begins with another word than get; line.at is at its start. */
NEVER_INLINE enum parse_result parse_command(struct parser *parser, const uint8_t *p,
                                             struct line line, struct request *out,
                                             size_t *n_consumed_out)
{
    const struct command_row *row = &commands[COMMAND_set];
    out->command = slice_of(p, 3);
    if (LIKELY(memcmp(p, "set ", 4) == 0)) {
        line.at += 3;
    } else {
        line_skip_spaces(&line);
        if (meta_parse(line, out))
            return PARSE_OK;
        out->command = line_word(&line);
        row = find_command(out->command);
    }
    if (UNLIKELY(row == NULL)) {
        if (is_http(line))
            return bad(out, STATUS_NONE);
        request_refuse(out, STATUS_ERROR);
        return PARSE_OK;
    }
    if (is_get_family(row))
        return first_key(parser, row, p, line, out, n_consumed_out);
    parse_arguments(row, line, out);
    return PARSE_OK;
}

/* get and set are told by a compare of one word: they are nearly all of the traffic. */
NEVER_INLINE enum parse_result parse_line(struct parser *parser, const uint8_t *p, size_t n,
                                          struct request *out, size_t *n_consumed_out)
{
    size_t n_searched = parser->n_searched < n ? parser->n_searched : 0;
    const uint8_t *newline = memchr(p + n_searched, '\n', n - n_searched);
    if (UNLIKELY(newline == NULL))
        return wait_for_line(parser, p, n, out);
    parser->n_searched = 0;
    request_clear(out);
    *n_consumed_out = (size_t)(newline + 1 - p);
    if (UNLIKELY(*n_consumed_out < LINE_MIN)) {
        request_refuse(out, STATUS_BAD_FORMAT);
        return PARSE_OK;
    }
    struct line line = {p, line_end(p, newline)};
    if (p[0] == 'm' && meta_parse(line, out))
        return PARSE_OK;
    if (memcmp(p, "get ", 4) != 0)
        return parse_command(parser, p, line, out, n_consumed_out);
    line.at += 3;
    out->command = slice_of(p, 3);
    return first_key(parser, &commands[COMMAND_get], p, line, out, n_consumed_out);
}

bool text_parse_bare_key(struct parser *parser, const uint8_t *p, size_t n, struct bare_get *out)
{
    if (parser->multiget != COMMAND_get + 1 || UNLIKELY(n < parser->n_line_left))
        return false;
    const uint8_t *newline = p + parser->n_line_left - 1;
    take_key(parser, p, (struct line){p, line_end(p, newline)}, newline, out);
    return true;
}

void bare_get_request(const struct bare_get *get, struct request *out)
{
    const struct command_row *row = &commands[COMMAND_get];
    request_clear(out);
    out->verb = row->verb;
    out->does = row->does;
    out->command = slice_of(row->word, row->n_word);
    out->key = get->key;
    out->is_first = get->is_first;
    out->is_last = get->is_last;
}

/* A number of so few digits that it is one for flags, exptime and size alike. Returns what is
 * behind it, or NULL: another kind of word, or none. */
ALWAYS_INLINE const uint8_t *take_digits(const uint8_t *at, const uint8_t *end,
                                         uint32_t *number_out)
{
    const uint8_t *start = at, *limit = end - at > DIGITS_MAX ? at + DIGITS_MAX : end;
    uint32_t number = 0, digit;
    for (; at < limit && (digit = (uint32_t)*at - '0') <= 9; at++)
        number = number * 10 + digit;
    *number_out = number;
    return at == start ? NULL : at;
}

/* The same with one space behind it. */
ALWAYS_INLINE const uint8_t *take_digits_word(const uint8_t *at, const uint8_t *end,
                                              uint32_t *number_out)
{
    if (LIKELY(end - at >= 2 && at[1] == ' ')) { /* most flags and times are 0 */
        *number_out = (uint32_t)*at - '0';
        return *number_out <= 9 ? at + 2 : NULL;
    }
    at = take_digits(at, end, number_out);
    return at != NULL && at < end && *at == ' ' ? at + 1 : NULL;
}

/* The end of a line of set, which may be quiet. NULL: another end, or not there yet. */
ALWAYS_INLINE const uint8_t *take_set_end(const uint8_t *at, const uint8_t *end, bool *is_quiet_out)
{
    static const char quiet[] = " noreply\r\n";
    *is_quiet_out = false;
    if (LIKELY(end - at >= 2 && at[0] == '\r' && at[1] == '\n'))
        return at + 2;
    *is_quiet_out = true;
    size_t n = sizeof quiet - 1;
    return (size_t)(end - at) >= n && memcmp(at, quiet, n) == 0 ? at + n : NULL;
}

/* A line of set as clients write it, without a search for its end: single spaces, short numbers,
 * and at most noreply behind them. False: it may be any line, also one that is not complete. */
ALWAYS_INLINE bool parse_usual_set(const uint8_t *p, size_t n, struct bare_set *out)
{
    const uint8_t *end = p + n, *at;
    if (UNLIKELY(n < LINE_MIN || memcmp(p, "set ", 4) != 0))
        return false;
    const uint8_t *key = p + 4;
    const uint8_t *gap = find_gap(key, end, KEY_MAX + 1);
    if (UNLIKELY(gap == NULL || *gap != ' ' || gap == key || gap - key > KEY_MAX))
        return false;
    if (UNLIKELY((at = take_digits_word(gap + 1, end, &out->client_flags)) == NULL ||
                 (at = take_digits_word(at, end, &out->exptime)) == NULL ||
                 (at = take_digits(at, end, &out->n_value)) == NULL ||
                 (at = take_set_end(at, end, &out->is_quiet)) == NULL))
        return false;
    out->key = slice_of(key, (size_t)(gap - key));
    out->n_head = (uint32_t)(at - p);
    out->dialect = DIALECT_TEXT;
    return true;
}

size_t text_parse_bare_set(struct parser *parser, const uint8_t *p, size_t n, struct bare_set *out)
{
    if (UNLIKELY(!parse_usual_set(p, n, out)))
        return 0;
    size_t at_end = (size_t)out->n_head + out->n_value;
    if (UNLIKELY(n < at_end + VALUE_TRAILER || p[at_end] != '\r' || p[at_end + 1] != '\n'))
        return 0;
    out->value = p + out->n_head;
    parser->n_searched = 0;
    return at_end + VALUE_TRAILER;
}

void text_set_request(const struct bare_set *set, struct request *out)
{
    const struct command_row *row = &commands[COMMAND_set];
    request_clear(out);
    out->verb = row->verb;
    out->does = row->does;
    out->command = slice_of(row->word, row->n_word);
    out->key = set->key;
    out->client_flags = set->client_flags;
    out->exptime = set->exptime;
    out->value = slice_of(set->value, set->value == NULL ? 0 : set->n_value);
    out->n_value = set->n_value;
    out->n_trailer = VALUE_TRAILER;
    out->is_quiet = set->is_quiet;
}

NEVER_INLINE enum parse_result parse_set(struct parser *parser, const uint8_t *p, size_t n,
                                         struct request *out, size_t *n_consumed_out)
{
    struct bare_set set;
    if (UNLIKELY(!parse_usual_set(p, n, &set)))
        return parse_line(parser, p, n, out, n_consumed_out);
    set.value = NULL;
    text_set_request(&set, out);
    parser->n_searched = 0;
    *n_consumed_out = set.n_head;
    return PARSE_OK;
}

NEVER_INLINE enum parse_result parse_meta(struct parser *parser, const uint8_t *p, size_t n,
                                          struct request *out, size_t *n_consumed_out)
{
    if (UNLIKELY(!meta_parse_get(p, n, out, n_consumed_out)))
        return parse_line(parser, p, n, out, n_consumed_out);
    parser->n_searched = 0;
    return PARSE_OK;
}

NEVER_INLINE enum parse_result parse_classic(struct parser *parser, const uint8_t *p, size_t n,
                                             struct request *out, size_t *n_consumed_out)
{
    struct bare_get get;
    if (parse_bare_get(parser, p, n, &get)) {
        bare_get_request(&get, out);
        *n_consumed_out = get.n_consumed;
        return PARSE_OK;
    }
    if (parser->multiget != 0)
        return next_key(parser, p, n, out, n_consumed_out);
    return parse_line(parser, p, n, out, n_consumed_out);
}

/* What has no frame of its own costs each of them less. */
enum parse_result text_parse(struct parser *parser, const uint8_t *p, size_t n, struct request *out,
                             size_t *n_consumed_out)
{
    if (p[0] == 's' && parser->multiget == 0)
        return parse_set(parser, p, n, out, n_consumed_out);
    if (p[0] == 'm' && parser->multiget == 0)
        return parse_meta(parser, p, n, out, n_consumed_out);
    return parse_classic(parser, p, n, out, n_consumed_out);
}
