/* dialects.h - private: what each dialect gives to parse.c and encode.c.
 * Owns: nothing.   Thread: any.
 * Never: included outside protocol. */
#ifndef PROTOCOL_DIALECTS_H
#define PROTOCOL_DIALECTS_H

#include "protocol/encode.h"
#include "protocol/parse.h"

#include <stddef.h>

/* Zeroes all fields but raw_key, which is large, and written before it is read. In pieces: of the
 * whole the compiler makes a string instruction that costs more than the rest of the parsing. */
static inline void request_clear(struct request *request)
{
    enum { SIZE = offsetof(struct request, raw_key), PIECE = 64 };
    uint8_t *p = (uint8_t *)request;
    for (size_t at = 0; at + PIECE <= SIZE; at += PIECE)
        memset(p + at, 0, PIECE);
    memset(p + SIZE / PIECE * PIECE, 0, SIZE % PIECE);
}

/* As parse_request; p[0..n) is not empty. text_parse hands lines of meta commands to meta_parse. */
enum parse_result text_parse(struct parser *parser, const uint8_t *p, size_t n, struct request *out,
                             size_t *n_consumed_out);
enum parse_result binary_parse(struct parser *parser, const uint8_t *p, size_t n,
                               struct request *out, size_t *n_consumed_out);

/* One row per dialect, used by encode.c; same contracts as the encode_ functions. */
struct dialect_encoder {
    size_t (*head)(const struct request *, const struct reply *, uint8_t *out);
    size_t (*tail)(const struct request *, const struct reply *, uint8_t *out);
    bool (*is_hidden)(const struct request *, const struct reply *);
    size_t (*stat)(const struct request *, struct slice name, struct slice value, uint8_t *out);
    size_t (*stat_end)(const struct request *, uint8_t *out);
};

extern const struct dialect_encoder text_encoder;
extern const struct dialect_encoder meta_encoder;
extern const struct dialect_encoder binary_encoder;

#endif
