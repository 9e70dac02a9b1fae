#include "protocol/base64.h"
#include "protocol/dialects.h"
#include "protocol/text_line.h"

#include <stddef.h>

#define META_WORDS_MAX 20 /* of a line, command and key counted */
#define OPAQUE_MAX     31
#define MODE_DEFAULT   0 /* no M was given */

/* Who uses a flag. */
enum { MG = 1, MS = 2, MD = 4, MA = 8 };

enum token {
    TOKEN_UNKNOWN, /* no such flag */
    TOKEN_FLAG,    /* none; more bytes behind the letter do no harm */
    TOKEN_QUIET,
    TOKEN_U64,
    TOKEN_S32,
    TOKEN_U32,
    TOKEN_MODE,
    TOKEN_OPAQUE, /* copied from request.meta to the reply */
    TOKEN_PROXY,  /* reserved for proxies, neither read nor returned */
};

struct meta_row {
    uint8_t verb;
    uint8_t who;
    uint32_t does;
};

#define LETTER_FIRST 'A'

static const struct meta_row meta_rows[UINT8_MAX + 1] = {
#define META_COMMAND(letter, verb, who, does) [letter] = {VERB_##verb, who, does},
#include "protocol/meta_commands.def"
#undef META_COMMAND
};

struct flag_row {
    uint8_t token;
    uint8_t who;
    uint8_t bad; /* enum status: answer to a token that cannot be read */
    uint8_t field;
    uint32_t does;
};

#define FIELD_none           0
#define FIELD_cas            offsetof(struct request, cas)
#define FIELD_new_cas        offsetof(struct request, new_cas)
#define FIELD_delta          offsetof(struct request, delta)
#define FIELD_initial        offsetof(struct request, initial)
#define FIELD_client_flags   offsetof(struct request, client_flags)
#define FIELD_exptime        offsetof(struct request, exptime)
#define FIELD_vivify_exptime offsetof(struct request, vivify_exptime)
#define FIELD_recache_ttl    offsetof(struct request, recache_ttl)

static const struct flag_row flag_rows[UINT8_MAX + 1] = {
#define META_FLAG(letter, token, field, bad, does, who) \
    [letter] = {TOKEN_##token, who, STATUS_##bad, FIELD_##field, does},
#include "protocol/meta_flags.def"
#undef META_FLAG
};

static bool is_alphanumeric(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26 || (uint8_t)(c - '0') < 10;
}

/* Reads a token into the field of its row. A command that does not use the flag wants it readable
 * too, but keeps the field's default. */
MUST_USE static bool read_number(const struct flag_row *row, struct slice text, bool is_used,
                                 struct request *out)
{
    uint8_t *field = (uint8_t *)out + row->field;
    uint64_t number = 0;
    int64_t time = 0;
    if (row->token == TOKEN_S32) {
        if (!number_parse_s64(text, INT32_MIN, INT32_MAX, &time))
            return false;
        if (is_used)
            memcpy(field, &time, sizeof time);
        return true;
    }
    if (!number_parse_u64(text, row->token == TOKEN_U32 ? UINT32_MAX : UINT64_MAX, &number))
        return false;
    if (is_used && row->token == TOKEN_U32)
        out->client_flags = (uint32_t)number;
    else if (is_used)
        memcpy(field, &number, sizeof number);
    return true;
}

/* What a flag does beyond its bits. False when its token is bad. */
MUST_USE NEVER_INLINE bool apply_flag(const struct flag_row *row, struct slice word, bool is_used,
                                      struct request *out, uint8_t *mode)
{
    switch ((enum token)row->token) {
    case TOKEN_U64:
    case TOKEN_S32:
    case TOKEN_U32:
        return read_number(row, slice_of(word.p + 1, word.n - 1), is_used, out);
    case TOKEN_OPAQUE:
        return word.n - 1 <= OPAQUE_MAX;
    case TOKEN_MODE:
        *mode = word.n > 1 && word.p[1] != MODE_DEFAULT ? word.p[1] : ' ';
        return true;
    case TOKEN_QUIET:
        out->is_quiet = is_used;
        return true;
    case TOKEN_UNKNOWN:
    case TOKEN_FLAG:
    case TOKEN_PROXY:
        break;
    }
    return true;
}

/* Reads the flags one by one up to the first that is wrong; *n_words counts all words read. */
static enum status read_flags(struct line line, uint8_t who, struct request *out, uint8_t *mode,
                              unsigned *n_words)
{
    const uint8_t *at = line.at;
    uint64_t seen = 0;
    for (; at < line.end; at = skip_spaces(at, line.end)) {
        const uint8_t *word = at;
        const struct flag_row *row = &flag_rows[*word];
        bool is_used = (row->who & who) != 0;
        at = word_end(word, line.end);
        if (UNLIKELY(row->token == TOKEN_UNKNOWN))
            return STATUS_INVALID_FLAG;
        if (UNLIKELY(seen >> (*word - LETTER_FIRST) & 1))
            return STATUS_DUPLICATE_FLAG;
        if (row->token != TOKEN_FLAG &&
            !apply_flag(row, slice_of(word, (size_t)(at - word)), is_used, out, mode))
            return row->bad;
        seen |= 1ull << (*word - LETTER_FIRST);
        out->does |= is_used ? row->does : 0;
        ++*n_words;
    }
    return STATUS_NONE;
}

/* Malformed words and their number are judged before any single flag is, wherever they stand. */
NEVER_INLINE enum status gravest(struct line flags, unsigned n_words, uint8_t who,
                                 enum status found)
{
    for (struct slice word = line_word(&flags); word.n > 0; word = line_word(&flags)) {
        if (!is_alphanumeric(word.p[0]))
            return STATUS_BAD_FORMAT;
        n_words++;
    }
    if (who == MA)
        return STATUS_INVALID_OR_DUPLICATE_FLAG;
    return n_words > META_WORDS_MAX ? STATUS_BAD_META_FLAGS : found;
}

MUST_USE NEVER_INLINE bool decode_key(struct request *out)
{
    size_t n;
    if (!base64_decode(out->key, out->raw_key, &n))
        return false;
    out->key = slice_of(out->raw_key, n);
    return true;
}

/* What M and the flags together make of ms. False when there is no such mode. */
MUST_USE static bool choose_store(uint8_t mode, struct request *out)
{
    static const uint8_t verbs['S' + 1] = {
        ['S'] = VERB_SET,    ['E'] = VERB_ADD,     ['R'] = VERB_REPLACE,
        ['A'] = VERB_APPEND, ['P'] = VERB_PREPEND,
    };
    uint8_t verb = mode == MODE_DEFAULT ? VERB_SET : mode <= 'S' ? verbs[mode] : VERB_BAD;
    if (verb == VERB_BAD)
        return false;
    if (verb == VERB_ADD)
        out->does &= ~(uint32_t)DO_CAS;
    else if (verb == VERB_REPLACE && (out->does & DO_CAS))
        verb = VERB_SET;
    if (verb != VERB_APPEND && verb != VERB_PREPEND)
        out->does &= ~(uint32_t)DO_VIVIFY;
    if (!(out->does & DO_CAS))
        out->does &= ~(uint32_t)DO_INVALIDATE;
    out->verb = verb;
    return true;
}

MUST_USE static bool choose_arithmetic(uint8_t mode, struct request *out)
{
    if (mode == 'D' || mode == '-')
        out->verb = VERB_DECR;
    return mode == MODE_DEFAULT || mode == 'I' || mode == '+' || mode == 'D' || mode == '-';
}

/* mg, ms, md and ma, behind key and datalen. */
static void parse_flags(const struct meta_row *row, struct line line, struct request *out)
{
    uint8_t mode = MODE_DEFAULT;
    unsigned n_before = row->who == MS ? 3 : 2, n_words = n_before;
    line_skip_spaces(&line);
    out->meta = slice_of(line.at, (size_t)(line.end - line.at));
    enum status status = STATUS_BAD_FORMAT;
    if (LIKELY(out->key.n <= KEY_MAX))
        status = read_flags(line, row->who, out, &mode, &n_words);
    if (status == STATUS_NONE && (out->does & KEY_BASE64) && !decode_key(out))
        status = STATUS_BAD_KEY_CODING;
    if (UNLIKELY(status != STATUS_NONE || n_words > META_WORDS_MAX))
        request_refuse(out, gravest(line, n_before, row->who, status));
    else if (row->who == MS && !choose_store(mode, out))
        request_refuse(out, STATUS_BAD_MS_MODE);
    else if (row->who == MA && !choose_arithmetic(mode, out))
        request_refuse(out, STATUS_BAD_MA_MODE);
}

/* me knows b only and does not look at anything else. */
NEVER_INLINE void parse_debug(struct line line, struct request *out)
{
    for (struct slice word = line_word(&line); word.n > 0; word = line_word(&line))
        if (word.p[0] == 'b')
            out->does |= KEY_BASE64;
    if (out->key.n > KEY_MAX)
        request_refuse(out, STATUS_BAD_FORMAT);
    else if ((out->does & KEY_BASE64) && !decode_key(out))
        request_refuse(out, STATUS_BAD_KEY_CODING);
}

/* Where the flags end that begin behind at, a space or newline; NULL when they are no mere letters.
 */
ALWAYS_INLINE const uint8_t *take_letters(const uint8_t *at, const uint8_t *end,
                                          struct request *out)
{
    uint64_t seen = 0;
    uint32_t does = meta_rows['g'].does;
    for (; *at == ' '; at += 2) {
        if (UNLIKELY(end - at < 4))
            return NULL;
        const struct flag_row *row = &flag_rows[at[1]];
        uint64_t bit = 1ull << ((at[1] - LETTER_FIRST) & 63);
        if (row->token != TOKEN_FLAG || (seen & bit) != 0)
            return NULL;
        seen |= bit;
        does |= row->who & MG ? row->does : 0;
    }
    out->does = does;
    return at;
}

bool meta_parse_get(const uint8_t *p, size_t n, struct request *out, size_t *n_consumed_out)
{
    const uint8_t *key = p + 3, *end = p + n;
    if (n < 3 || memcmp(p, "mg ", 3) != 0)
        return false;
    const uint8_t *key_end = find_gap(key, end, KEY_MAX + 1);
    if (key_end == NULL || *key_end != ' ' || key_end == key || key_end - key > KEY_MAX)
        return false;
    request_clear(out);
    const uint8_t *at = take_letters(key_end, end, out);
    if (at == NULL || (out->does & KEY_BASE64))
        return false;
    const uint8_t *newline = at + (*at == '\r');
    if (*newline != '\n')
        return false;
    out->verb = VERB_GET;
    out->dialect = DIALECT_META;
    out->key = slice_of(key, (size_t)(key_end - key));
    out->command = slice_of(p, 2);
    out->meta = slice_of(key_end + 1, (size_t)(at - key_end - 1));
    *n_consumed_out = (size_t)(newline + 1 - p);
    return true;
}

bool meta_parse(struct line line, struct request *out)
{
    const uint8_t *word = line.at;
    if (line.end - word < 2 || word[0] != 'm' || (line.end - word > 2 && word[2] != ' '))
        return false;
    const struct meta_row *row = &meta_rows[word[1]];
    if (row->verb == VERB_BAD)
        return false;
    line.at += 2;
    out->command = slice_of(word, 2);
    out->dialect = DIALECT_META;
    out->verb = row->verb;
    out->does = row->does;
    if (row->verb == VERB_NOOP)
        return true;
    out->key = line_key(&line);
    out->delta = row->who == MA;
    if (UNLIKELY(out->key.n == 0 ||
                 (row->who == MS && !line_value_size(line_word(&line), &out->n_value)))) {
        request_refuse(out, STATUS_BAD_FORMAT);
        return true;
    }
    out->n_trailer = row->who == MS ? VALUE_TRAILER : 0;
    if (row->verb == VERB_META_DEBUG)
        parse_debug(line, out);
    else
        parse_flags(row, line, out);
    return true;
}
