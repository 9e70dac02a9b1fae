#include "protocol/dialects.h"
#include "protocol/text_writer.h"

uint8_t *put_status_line(uint8_t *at, const struct reply *reply)
{
    if (reply->status == STATUS_TEXT)
        return put_end(put_slice(at, reply->text));
    const char *text = status_row(reply->status)->text;
    return text == NULL ? at : put_end(put_slice(at, slice_str(text)));
}

static bool text_is_hidden(const struct request *request, const struct reply *reply)
{
    (void)reply;
    return request->is_quiet;
}

/* VALUE <key> <flags> <bytes> [<cas>] */
ALWAYS_INLINE size_t put_value_line(const struct request *request, const struct reply *reply,
                                    uint8_t *out)
{
    uint8_t *at = PUT_LITERAL(out, "VALUE ");
    at = put_slice(at, request->key);
    at = put_u64(put_byte(at, ' '), reply->client_flags);
    at = put_u64(put_byte(at, ' '), reply->n_value);
    if (request->does & WANT_CAS)
        at = put_u64(put_byte(at, ' '), reply->cas);
    return (size_t)(put_end(at) - out);
}

/* A get line has one error at most, in place of everything else: see encode.h. */
static bool is_repeated_error(const struct request *request)
{
    return request->verb == VERB_GET && !request->is_first;
}

ALWAYS_INLINE size_t text_head(const struct request *request, const struct reply *reply,
                               uint8_t *out)
{
    if (UNLIKELY(request->is_quiet))
        return 0;
    if (LIKELY(reply->status == STATUS_HIT))
        return reply->has_value ? put_value_line(request, reply, out) : 0;
    switch ((enum status)reply->status) {
    case STATUS_MISS:
        return 0;
    case STATUS_NUMBER:
        return (size_t)(put_end(put_u64(out, reply->number)) - out);
    case STATUS_STORED:
        return (size_t)(PUT_LITERAL(out, ENCODE_STORED) - out);
    default:
        return is_repeated_error(request) ? 0 : (size_t)(put_status_line(out, reply) - out);
    }
}

ALWAYS_INLINE size_t text_tail(const struct request *request, const struct reply *reply,
                               uint8_t *out)
{
    uint8_t *at = out;
    if (reply->has_value && !request->is_quiet)
        at = put_end(at);
    bool is_answered = reply->status == STATUS_HIT || reply->status == STATUS_MISS;
    if (request->verb == VERB_GET && request->is_last && is_answered)
        at = PUT_LITERAL(at, "END\r\n");
    return (size_t)(at - out);
}

/* A hit that is shown: nearly all of what a cache says. */
static size_t put_value(const struct request *request, const struct reply *reply,
                        struct slice value, uint8_t *out)
{
    uint8_t *at = out + put_value_line(request, reply, out);
    at = put_end(put_slice(at, value));
    if (request->is_last)
        at = PUT_LITERAL(at, "END\r\n");
    return (size_t)(at - out);
}

static size_t text_whole(const struct request *request, const struct reply *reply,
                         struct slice value, uint8_t *out)
{
    if (LIKELY(reply->status == STATUS_HIT && reply->has_value && !request->is_quiet))
        return put_value(request, reply, value, out);
    if (LIKELY(reply->status == STATUS_STORED))
        return request->is_quiet ? 0 : (size_t)(PUT_LITERAL(out, ENCODE_STORED) - out);
    return put_whole(text_head, text_tail, request, reply, value, out);
}

size_t encode_bare_hit(struct slice key, uint32_t client_flags, struct slice value, bool is_last,
                       uint8_t *out)
{
    uint8_t *at = put_short(PUT_LITERAL(out, "VALUE "), key);
    if (LIKELY(client_flags == 0))
        at = PUT_LITERAL(at, " 0 ");
    else
        at = put_byte(put_u64(put_byte(at, ' '), client_flags), ' ');
    at = put_end(put_length(at, value.n));
    at = put_end(put_slice(at, value));
    if (is_last)
        at = PUT_LITERAL(at, "END\r\n");
    return (size_t)(at - out);
}

size_t text_stat(const struct request *request, struct slice name, struct slice value, uint8_t *out)
{
    (void)request;
    uint8_t *at = put_slice(PUT_LITERAL(out, "STAT "), name);
    at = put_slice(put_byte(at, ' '), value);
    return (size_t)(put_end(at) - out);
}

size_t text_stat_end(const struct request *request, uint8_t *out)
{
    (void)request;
    return (size_t)(PUT_LITERAL(out, "END\r\n") - out);
}

const struct dialect_encoder text_encoder = {
    .head = text_head,
    .tail = text_tail,
    .whole = text_whole,
    .is_hidden = text_is_hidden,
    .stat = text_stat,
    .stat_end = text_stat_end,
};
