/* bare_get.h - the parsing of text gets about which there is no more to say than their key: nearly
 * all of a cache's traffic. It is laid out in its caller, one call less for each of them.
 * Owns: nothing; keys borrow from the input.   Thread: any, one at a time per parser.
 * Never: takes a request that parse_request would take for anything else. */
#ifndef PROTOCOL_BARE_GET_H
#define PROTOCOL_BARE_GET_H

#include "protocol/find_gap.h"
#include "protocol/parse.h"

struct bare_get {
    struct slice key;
    size_t n_consumed; /* bytes */
    bool is_first;     /* of its line; so is_last */
    bool is_last;
};

/* For a connection inside a get line: of parse_bare_get. */
MUST_USE bool text_parse_bare_key(struct parser *parser, const uint8_t *p, size_t n,
                                  struct bare_get *out);

/* A get line of one key, which most are: its end is found in one pass with the key's. */
MUST_USE ALWAYS_INLINE bool parse_lone_get(const uint8_t *p, size_t n, struct bare_get *out)
{
    enum { N_VERB = sizeof "get " - 1 };
    if (UNLIKELY(n < N_VERB || memcmp(p, "get ", N_VERB) != 0))
        return false;
    const uint8_t *key = p + N_VERB;
    const uint8_t *newline = find_gap(key, p + n, KEY_MAX + 2);
    if (UNLIKELY(newline == NULL || *newline != '\n'))
        return false;
    size_t n_key = (size_t)(newline - key);
    n_key -= n_key > 0 && newline[-1] == '\r';
    *out = (struct bare_get){slice_of(key, n_key), (size_t)(newline + 1 - p), true, true};
    return n_key > 0 && n_key <= KEY_MAX;
}

/* Parses one request if it is a bare get; p[0..n) is not empty. False: nothing is consumed, and the
 * request, which may be a get all the same, is parse_request's. */
MUST_USE ALWAYS_INLINE bool parse_bare_get(struct parser *parser, const uint8_t *p, size_t n,
                                           struct bare_get *out)
{
    if (UNLIKELY(parser->protocol != PROTOCOL_TEXT))
        return false;
    if (parser->multiget != 0)
        return text_parse_bare_key(parser, p, n, out);
    if (UNLIKELY(!parse_lone_get(p, n, out)))
        return false;
    parser->n_searched = 0;
    return true;
}

/* What parse_request would have made of it. */
void bare_get_request(const struct bare_get *get, struct request *out);

#endif
