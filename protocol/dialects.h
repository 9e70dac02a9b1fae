/* dialects.h - private: what each dialect gives to parse.c and encode.c.
 * Owns: nothing.   Thread: any.
 * Never: included outside protocol. */
#ifndef PROTOCOL_DIALECTS_H
#define PROTOCOL_DIALECTS_H

#include "base/must.h"
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

/* As bare_set_request, of a set of the dialect. */
void text_set_request(const struct bare_set *set, struct request *out);
void binary_set_request(const struct bare_set *set, struct request *out);

typedef size_t encode_part(const struct request *, const struct reply *, uint8_t *out);

/* What a dialect's `whole` does; written once, and laid out in each. A head before a value is empty
 * only when the reply is hidden. */
ALWAYS_INLINE size_t put_whole(encode_part *head, encode_part *tail, const struct request *request,
                               const struct reply *reply, struct slice value, uint8_t *out)
{
    size_t n = head(request, reply, out);
    if (reply->has_value && n > 0) {
        memcpy(out + n, value.p, value.n);
        n += value.n;
    }
    return n + tail(request, reply, out + n);
}

/* One row per dialect, used by encode.c; same contracts as the encode_ functions. */
struct dialect_encoder {
    encode_part *head;
    encode_part *tail;
    size_t (*whole)(const struct request *, const struct reply *, struct slice value, uint8_t *out);
    bool (*is_hidden)(const struct request *, const struct reply *);
    size_t (*stat)(const struct request *, struct slice name, struct slice value, uint8_t *out);
    size_t (*stat_end)(const struct request *, uint8_t *out);
};

extern const struct dialect_encoder text_encoder;
extern const struct dialect_encoder meta_encoder;
extern const struct dialect_encoder binary_encoder;

#endif
