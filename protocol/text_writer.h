/* text_writer.h - private: appending to a reply line. Every function returns where to go on.
 * Owns: nothing.   Thread: any.
 * Never: checks room; the maxima of encode.h are sums over what the encoders write. */
#ifndef PROTOCOL_TEXT_WRITER_H
#define PROTOCOL_TEXT_WRITER_H

#include "base/number.h"
#include "protocol/encode.h"

/* A literal without its NUL; the copy is a few stores. */
#define PUT_LITERAL(at, literal) \
    ((uint8_t *)memcpy(at, literal, sizeof(literal) - 1) + sizeof(literal) - 1)

static inline uint8_t *put_byte(uint8_t *at, char byte)
{
    *at = (uint8_t)byte;
    return at + 1;
}

static inline uint8_t *put_slice(uint8_t *at, struct slice bytes)
{
    if (bytes.n > 0)
        memcpy(at, bytes.p, bytes.n);
    return at + bytes.n;
}

/* One digit, the common case for client flags, costs no call. */
static inline uint8_t *put_u64(uint8_t *at, uint64_t number)
{
    if (number < 10)
        return put_byte(at, (char)('0' + number));
    return at + number_render_u64(at, number);
}

/* A key, in two pieces that overlap: a call of memcpy costs more than the copy. */
static inline uint8_t *put_short(uint8_t *at, struct slice key)
{
    uint8_t pieces[2][16];
    if (UNLIKELY(key.n < sizeof pieces[0] || key.n > sizeof pieces))
        return put_slice(at, key);
    memcpy(pieces[0], key.p, sizeof pieces[0]);
    memcpy(pieces[1], key.p + key.n - sizeof pieces[1], sizeof pieces[1]);
    memcpy(at, pieces[0], sizeof pieces[0]);
    memcpy(at + key.n - sizeof pieces[1], pieces[1], sizeof pieces[1]);
    return at + key.n;
}

/* A value's length; of most values it has two or three digits. */
static inline uint8_t *put_length(uint8_t *at, size_t n)
{
    if (UNLIKELY(n < 10 || n >= 1000))
        return put_u64(at, n);
    unsigned hundreds = (unsigned)n / 100, rest = (unsigned)n % 100;
    if (n >= 100)
        at = put_byte(at, (char)('0' + hundreds));
    at = put_byte(at, (char)('0' + rest / 10));
    return put_byte(at, (char)('0' + rest % 10));
}

static inline uint8_t *put_s64(uint8_t *at, int64_t number)
{
    return at + number_render_s64(at, number);
}

static inline uint8_t *put_end(uint8_t *at)
{
    return PUT_LITERAL(at, "\r\n");
}

/* The line of a status, also of those whose line is in the reply. Nothing when it has none. */
uint8_t *put_status_line(uint8_t *at, const struct reply *reply);

size_t text_stat(const struct request *request, struct slice name, struct slice value,
                 uint8_t *out);
size_t text_stat_end(const struct request *request, uint8_t *out);

#endif
