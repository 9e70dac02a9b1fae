/* encode.h - struct reply to bytes; the mirror of parse.h.
 * Owns: nothing.   Thread: any.
 * Never: allocates; writes more than the maxima below. */
#ifndef PROTOCOL_ENCODE_H
#define PROTOCOL_ENCODE_H

#include "protocol/parse.h"
#include "protocol/reply.h"
#include "protocol/request.h"

/* Bytes. */
#define ENCODE_HEAD_MAX 1024 /* plus reply.text.n */
#define ENCODE_TAIL_MAX 16
#define ENCODE_STAT_MAX 64 /* plus name.n and value.n */

/* A get line of text is refused as a whole: a server that answers an error to its first key answers
 * the same to all of them (one line goes out and no END). What fails later for one key is a miss.
 *
 * What each answer reads like is memcached's doc/protocol.txt (text and meta), and its
 * BinaryProtocolRevamped (binary); the texts are rows of status.def. Each function returns the
 * bytes that it wrote at out, which has room for the maximum of its kind. */

/* All bytes before the value (for a reply without a value: all of the reply but the tail).
 * 0 when the request is quiet and this outcome is one it hides. */
size_t encode_head(const struct request *request, const struct reply *reply, uint8_t *out);

/* The bytes behind the value: CR LF, and END after the last key of a get line. */
size_t encode_tail(const struct request *request, const struct reply *reply, uint8_t *out);

/* Head, value and tail in one go, for a value that is at hand (reply->n_value bytes; empty when
 * reply has none): a hidden reply leaves it out. */
size_t encode_whole(const struct request *request, const struct reply *reply, struct slice value,
                    uint8_t *out);

/* encode_whole for the hit of a bare get; is_last: of its line, whose END follows. */
size_t encode_bare_hit(struct slice key, uint32_t client_flags, struct slice value, bool is_last,
                       uint8_t *out);

/* encode_whole for a bare set that was stored: at most ENCODE_STORED_MAX bytes. */
#define ENCODE_STORED_MAX 24
#define ENCODE_STORED     "STORED\r\n" /* the text of STATUS_STORED, in line */
size_t binary_encode_stored(const struct bare_set *set, uint64_t cas, uint8_t *out);
static inline size_t encode_bare_stored(const struct bare_set *set, uint64_t cas, uint8_t *out)
{
    if (set->is_quiet)
        return 0;
    if (set->dialect == DIALECT_BINARY)
        return binary_encode_stored(set, cas, out);
    memcpy(out, ENCODE_STORED, sizeof ENCODE_STORED - 1);
    return sizeof ENCODE_STORED - 1;
}

/* True when quietness hides this reply; its value must not be sent either. */
bool encode_is_hidden(const struct request *request, const struct reply *reply);

/* One statistic, and the end of a list of them, in the request's dialect. */
size_t encode_stat(const struct request *request, struct slice name, struct slice value,
                   uint8_t *out);
size_t encode_stat_end(const struct request *request, uint8_t *out);

#endif
