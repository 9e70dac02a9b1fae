/* number.h - strict decimal numbers: from text and to text, without locale or printf.
 * Owns: nothing.   Thread: any.
 * Never: accepts what it was not asked for; writes an output when it fails. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/bytes.h"
#include "base/must.h"

#define NUMBER_U64_MAX_DIGITS 20

/* number_parse_u64 for any number of digits. */
MUST_USE bool number_parse_digits(struct slice text, uint64_t max, uint64_t *value_out);

/* Digits only, 1 to 20 of them, at most max. False leaves *value_out alone. Flags, times and tokens
 * are 0 most of the time: one digit costs no call. */
MUST_USE static inline bool number_parse_u64(struct slice text, uint64_t max, uint64_t *value_out)
{
    if (text.n == 1 && (unsigned)text.p[0] - '0' <= 9 && (unsigned)text.p[0] - '0' <= max) {
        *value_out = (unsigned)text.p[0] - '0';
        return true;
    }
    return number_parse_digits(text, max, value_out);
}

/* An optional '-', then digits; must lie in min..max. */
MUST_USE bool number_parse_s64(struct slice text, int64_t min, int64_t max, int64_t *value_out);

/* Bytes with an optional suffix k, m, g or t (powers of 1024, either case): "64m". */
MUST_USE bool number_parse_size(struct slice text, uint64_t max, uint64_t *value_out);

/* Writes the digits of value at out (at most 20 bytes, no NUL); returns how many. */
size_t number_render_u64(uint8_t *out, uint64_t value);

/* The same with a '-' before negative values (at most 20 bytes). */
size_t number_render_s64(uint8_t *out, int64_t value);

#endif
