/* parse.h - bytes to struct request.
 * Owns: nothing; requests borrow from the input.   Thread: any, one at a time per parser.
 * Never: allocates, logs, reads a clock, or consumes bytes when it answers PARSE_MORE. */
#ifndef PROTOCOL_PARSE_H
#define PROTOCOL_PARSE_H

#include "base/must.h"
#include "protocol/request.h"

#define TEXT_LINE_MAX     2048      /* bytes without a newline before a text line is refused */
#define MULTIGET_LINE_MAX (1 << 20) /* the same for get, gets, gat and gats: room for keys */
#define BINARY_HEADER     24
#define BINARY_BODY_MAX   (1u << 30)

enum parse_result {
    PARSE_OK,   /* *out is a request, *n_consumed_out bytes belong to its head */
    PARSE_MORE, /* nothing consumed: call again with the same bytes and more behind them */
    PARSE_BAD,  /* the stream cannot be followed: answer out->status unless it is STATUS_NONE,
                 * then close */
};

enum protocol {
    PROTOCOL_AUTO, /* the first byte decides: 0x80 is binary, anything else text */
    PROTOCOL_TEXT, /* classic and meta */
    PROTOCOL_BINARY,
};

/* What parsing remembers between calls of one connection. A copy taken before a request and put
 * back rewinds to that request. */
struct parser {
    uint8_t protocol;     /* enum protocol; AUTO until the first byte is seen */
    uint8_t multiget;     /* inside a get line: which command, 0 = not inside */
    uint32_t n_searched;  /* bytes known to hold no newline (a memo, never needed) */
    uint32_t n_line_left; /* inside a get line: bytes up to and with its newline */
    int32_t exptime;      /* of a gat line */
};

/* For a new connection, which may speak `allowed`. */
void parser_init(struct parser *parser, enum protocol allowed);

/* Parses the head of one request at p[0..n). A get line of many keys comes out as one request per
 * key, is_first and is_last marking the ends; the whole line is validated before its first key.
 * *out is written in each case, and tells something after OK and BAD only. Source: memcached's
 * doc/protocol.txt and BinaryProtocolRevamped. */
MUST_USE enum parse_result parse_request(struct parser *parser, const uint8_t *p, size_t n,
                                         struct request *out, size_t *n_consumed_out);

/* A set of text or binary that is there with its whole value, and about which there is no more to
 * say. */
struct bare_set {
    struct slice key;
    const uint8_t *value;
    uint32_t n_value;
    uint32_t client_flags;
    uint32_t exptime; /* as sent */
    uint32_t opaque;  /* binary */
    uint32_t n_head;  /* bytes before the value; behind it may be a trailer */
    uint8_t opcode;   /* binary */
    uint8_t dialect;  /* enum dialect */
    bool is_quiet;
};

/* For a connection that speaks text, or binary: of parse_bare_set. */
MUST_USE size_t text_parse_bare_set(struct parser *parser, const uint8_t *p, size_t n,
                                    struct bare_set *out);
MUST_USE size_t binary_parse_bare_set(const uint8_t *p, size_t n, struct bare_set *out);

/* Parses one request if it is a bare set, and its value with it; p[0..n) is not empty. Returns how
 * many bytes they are. 0: none, and the request, which may be a set all the same, is
 * parse_request's. */
MUST_USE static inline size_t parse_bare_set(struct parser *parser, const uint8_t *p, size_t n,
                                             struct bare_set *out)
{
    if (parser->protocol == PROTOCOL_TEXT)
        return p[0] == 's' && parser->multiget == 0 ? text_parse_bare_set(parser, p, n, out) : 0;
    return parser->protocol == PROTOCOL_BINARY ? binary_parse_bare_set(p, n, out) : 0;
}

/* What parse_request would have made of it, with its value. */
void bare_set_request(const struct bare_set *set, struct request *out);

#endif
