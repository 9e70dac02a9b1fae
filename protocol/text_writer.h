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
