/* text_line.h - private: words and numbers of a text line, for classic and meta commands.
 * Owns: nothing; words are slices of the input.   Thread: any.
 * Never: reads at or behind line.end. */
#ifndef PROTOCOL_TEXT_LINE_H
#define PROTOCOL_TEXT_LINE_H

#include "base/must.h"
#include "base/number.h"
#include "protocol/find_gap.h"
#include "protocol/request.h"

#include <stddef.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Largest value that text and meta can announce: 2^31 - 1 with its CR LF (as in
 * memcached, where larger numbers are malformed, not too large). */
#define TEXT_VALUE_MAX        2147483645u
#define TEXT_VALUE_MAX_DIGITS 11
#define VALUE_TRAILER         2 /* CR LF */

struct line {
    const uint8_t *at;  /* first byte that is not read yet */
    const uint8_t *end; /* behind the last byte, without CR LF */
};

static inline const uint8_t *skip_spaces(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at == ' ')
        at++;
    return at;
}

/* Behind a word that is usually short. */
static inline const uint8_t *word_end(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != ' ')
        at++;
    return at;
}

static inline void line_skip_spaces(struct line *line)
{
    line->at = skip_spaces(line->at, line->end);
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
    line->at = word_end(start, line->end);
    return slice_of(start, (size_t)(line->at - start));
}

/* A bit in each byte of word that is a space; the lowest one set is exact, those above it may not
 * be. */
static inline uint64_t spaces_in(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    word ^= ones * ' ';
    return (word - ones) & ~word & (ones << 7);
}

/* The first space at or behind at, or end: eight bytes at a time, the last eight overlapping. Keys
 * of some tens of bytes are too short for a call of memchr to pay. */
static inline const uint8_t *find_space_narrow(const uint8_t *at, const uint8_t *end)
{
    uint64_t word, spaces;
    if (end - at < (ptrdiff_t)sizeof word) {
        while (at < end && *at != ' ')
            at++;
        return at;
    }
    for (;;) {
        memcpy(&word, at, sizeof word);
        spaces = spaces_in(word);
        if (spaces != 0)
            return at + __builtin_ctzll(spaces) / 8;
        at += sizeof word;
        if (at >= end)
            return end;
        if (end - at < (ptrdiff_t)sizeof word)
            at = end - sizeof word;
    }
}

#ifdef __SSE2__
/* The spaces among sixteen bytes, as bits. */
static inline unsigned spaces_in_16(const uint8_t *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')));
}

/* The same by sixteen bytes where there are as many. */
static inline const uint8_t *find_space(const uint8_t *at, const uint8_t *end)
{
    unsigned found;
    if (end - at < 16)
        return find_space_narrow(at, end);
    for (;;) {
        found = spaces_in_16(at);
        if (found != 0)
            return at + __builtin_ctz(found);
        at += 16;
        if (at >= end)
            return end;
        if (end - at < 16)
            at = end - 16;
    }
}
#else
#define find_space find_space_narrow
#endif

/* The same for keys. */
static inline struct slice line_key(struct line *line)
{
    line_skip_spaces(line);
    const uint8_t *start = line->at;
    line->at = find_space(start, line->end);
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

/* What was read so far stays, so that a value can be swallowed and a quiet request be silent. */
static inline void request_refuse(struct request *request, enum status status)
{
    request->verb = VERB_BAD;
    request->status = (uint8_t)status;
}

/* Parses a line of mg whose flags have no tokens, as most are, without a search for its end;
 * arguments are those of text_parse. False: it may be any line, also one that is not complete. */
MUST_USE bool meta_parse_get(const uint8_t *p, size_t n, struct request *out,
                             size_t *n_consumed_out);

/* Parses a line that does not begin with a space. False when its first word is no meta command. */
MUST_USE bool meta_parse(struct line line, struct request *out);

#endif
