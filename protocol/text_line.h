/* text_line.h - private: words and numbers of a text line, for classic and meta commands.
 * Owns: nothing; words are slices of the input.   Thread: any.
 * Never: reads at or behind line.end. */
#ifndef PROTOCOL_TEXT_LINE_H
#define PROTOCOL_TEXT_LINE_H

#include "base/must.h"
#include "base/number.h"
#include "protocol/request.h"

/* Largest value that text and meta can announce: 2^31 - 1 with its CR LF (protocol inventory of
 * memcached: larger numbers are malformed, not too large). */
#define TEXT_VALUE_MAX        2147483645u
#define TEXT_VALUE_MAX_DIGITS 11
#define VALUE_TRAILER         2 /* CR LF */

struct line {
    const uint8_t *at;  /* first byte that is not read yet */
    const uint8_t *end; /* behind the last byte, without CR LF */
};

static inline void line_skip_spaces(struct line *line)
{
    while (line->at < line->end && *line->at == ' ')
        line->at++;
}

static inline bool line_is_empty(const struct line *line)
{
    return line->at == line->end;
}

/* The next word, for words that are usually short. Empty at the end of the line. */
static inline struct slice line_word(struct line *line)
{
    line_skip_spaces(line);
    const uint8_t *start = line->at;
    while (line->at < line->end && *line->at != ' ')
        line->at++;
    return slice_of(start, (size_t)(line->at - start));
}

/* The same for keys: some tens of bytes are searched faster by memchr than by a loop. */
static inline struct slice line_key(struct line *line)
{
    line_skip_spaces(line);
    const uint8_t *start = line->at;
    size_t n_left = (size_t)(line->end - start);
    const uint8_t *space = n_left == 0 ? NULL : memchr(start, ' ', n_left);
    line->at = space == NULL ? line->end : space;
    return slice_of(start, (size_t)(line->at - start));
}

/* <bytes> of a storage command, datalen of ms. */
MUST_USE static inline bool line_value_size(struct slice word, uint32_t *n_value_out)
{
    uint64_t n_value;
    if (word.n > TEXT_VALUE_MAX_DIGITS || !number_parse_u64(word, TEXT_VALUE_MAX, &n_value))
        return false;
    *n_value_out = (uint32_t)n_value;
    return true;
}

/* All fields but raw_key, which is written before it is read. */
static inline void request_clear(struct request *request)
{
    memset(request, 0, offsetof(struct request, raw_key));
}

/* What was read so far stays, so that a value can be swallowed and a quiet request be silent. */
static inline void request_refuse(struct request *request, enum status status)
{
    request->verb = VERB_BAD;
    request->status = (uint8_t)status;
}

/* Parses a line whose first word is `command`; line is behind it. False when that is no meta
 * command. */
MUST_USE bool meta_parse(struct slice command, struct line line, struct request *out);

#endif
