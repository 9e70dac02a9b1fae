#include "protocol/base64.h"
#include "protocol/dialects.h"
#include "protocol/text_line.h"
#include "protocol/text_writer.h"

/* q hides what the sender expects: the miss of mg, the success of the others. Never an error. */
static bool meta_is_hidden(const struct request *request, const struct reply *reply)
{
    if (LIKELY(!request->is_quiet) || request->verb == VERB_BAD)
        return false;
    if (request->verb == VERB_GET)
        return reply->status == STATUS_MISS;
    return reply->status != STATUS_NONE && status_is_success(reply->status);
}

/* A key whose bytes need not be printable goes out as it may come in. */
static bool is_key_encoded(const struct request *request, const struct reply *reply)
{
    return (request->does & KEY_BASE64) != 0 || reply->key_is_base64;
}

static uint8_t *put_key(uint8_t *at, const struct request *request, const struct reply *reply)
{
    if (!is_key_encoded(request, reply))
        return put_slice(at, request->key);
    return at + base64_encode(request->key, at);
}

/* The flags that come back, as bits. */
#define LETTER(letter) (1ull << ((letter) - 'A'))
#define ALWAYS         (LETTER('O') | LETTER('k'))
#define OF_STORE       (ALWAYS | LETTER('c') | LETTER('s'))
#define OF_NUMBER      (ALWAYS | LETTER('c') | LETTER('t'))
#define OF_HIT         (OF_STORE | OF_NUMBER | LETTER('f') | LETTER('h') | LETTER('l'))

static bool is_store(const struct request *request)
{
    return request->verb >= VERB_SET && request->verb <= VERB_PREPEND;
}

static uint64_t returned_flags(const struct request *request, const struct reply *reply)
{
    if (is_store(request))
        return OF_STORE;
    if (reply->status == STATUS_HIT)
        return OF_HIT;
    return reply->status == STATUS_NUMBER ? OF_NUMBER : ALWAYS;
}

static uint8_t *put_key_flag(uint8_t *at, const struct request *request, const struct reply *reply)
{
    at = put_key(PUT_LITERAL(at, " k"), request, reply);
    return is_key_encoded(request, reply) ? PUT_LITERAL(at, " b") : at;
}

/* A failed store gives back c0 and the size of what was sent. */
static bool is_failed_store(const struct request *request, const struct reply *reply)
{
    return is_store(request) && reply->status != STATUS_STORED;
}

/* One returned flag, in front of it a space. */
static uint8_t *put_flag(uint8_t *at, struct slice word, const struct request *request,
                         const struct reply *reply, int64_t ttl)
{
    switch (word.p[0]) {
    case 'O':
        return put_slice(put_byte(at, ' '), word);
    case 'k':
        return put_key_flag(at, request, reply);
    case 'c':
        return put_u64(PUT_LITERAL(at, " c"), is_failed_store(request, reply) ? 0 : reply->cas);
    case 's':
        return put_u64(PUT_LITERAL(at, " s"),
                       is_failed_store(request, reply) ? request->n_value : reply->n_value);
    case 't':
        return put_s64(PUT_LITERAL(at, " t"), ttl);
    case 'f':
        return put_u64(PUT_LITERAL(at, " f"), reply->client_flags);
    case 'h':
        return put_byte(PUT_LITERAL(at, " h"), reply->was_fetched ? '1' : '0');
    case 'l':
        return put_u64(PUT_LITERAL(at, " l"), reply->last_access);
    default:
        return at;
    }
}

/* The flags in the order of the request: t shows the time to live as it was at its place. */
static uint8_t *put_flags(uint8_t *at, const struct request *request, const struct reply *reply)
{
    const uint8_t *p = request->meta.p, *end = p + request->meta.n;
    const uint64_t returned = returned_flags(request, reply);
    int64_t ttl = reply->ttl_before;
    for (; p < end; p++) {
        const uint8_t *start = p;
        p = word_end(start, end);
        if (returned >> ((*start - 'A') & 63) & 1)
            at = put_flag(at, slice_of(start, (size_t)(p - start)), request, reply, ttl);
        else if (*start == 'T' || (*start == 'N' && !(request->does & DO_TOUCH)))
            ttl = reply->ttl_after;
    }
    return at;
}

ALWAYS_INLINE uint8_t *put_state(uint8_t *at, const struct reply *reply)
{
    if (reply->is_already_won)
        at = PUT_LITERAL(at, " Z");
    if (reply->is_stale)
        at = PUT_LITERAL(at, " X");
    if (reply->is_won)
        at = PUT_LITERAL(at, " W");
    return at;
}

/* ME <key> exp=<s> la=<s> cas=<n> fetch=<yes|no> cls=<n> size=<n> */
static size_t put_debug_line(const struct request *request, const struct reply *reply, uint8_t *out)
{
    uint8_t *at = put_key(PUT_LITERAL(out, "ME "), request, reply);
    at = put_s64(PUT_LITERAL(at, " exp="), reply->ttl_before);
    at = put_u64(PUT_LITERAL(at, " la="), reply->last_access);
    at = put_u64(PUT_LITERAL(at, " cas="), reply->cas);
    at = PUT_LITERAL(at, " fetch=");
    at = reply->was_fetched ? PUT_LITERAL(at, "yes") : PUT_LITERAL(at, "no");
    at = put_u64(PUT_LITERAL(at, " cls="), reply->item_class);
    at = put_u64(PUT_LITERAL(at, " size="), reply->item_size);
    return (size_t)(put_end(at) - out);
}

/* VA <digits> <flags>, and the number as the value. */
static size_t put_number_value(const struct request *request, const struct reply *reply,
                               uint8_t *out)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    size_t n_digits = number_render_u64(digits, reply->number);
    uint8_t *at = put_u64(PUT_LITERAL(out, "VA "), n_digits);
    at = put_end(put_flags(at, request, reply));
    at = put_end(put_slice(at, slice_of(digits, n_digits)));
    return (size_t)(at - out);
}

static size_t meta_head(const struct request *request, const struct reply *reply, uint8_t *out)
{
    uint8_t *at = out;
    if (UNLIKELY(meta_is_hidden(request, reply)))
        return 0;
    if (LIKELY(reply->has_value && request->verb == VERB_GET)) {
        at = put_u64(PUT_LITERAL(at, "VA "), reply->n_value);
    } else {
        const char *code = status_row(reply->status)->meta;
        if (UNLIKELY(code == NULL || request->verb == VERB_BAD))
            return (size_t)(put_status_line(out, reply) - out);
        if (request->verb == VERB_META_DEBUG && reply->status == STATUS_HIT)
            return put_debug_line(request, reply, out);
        if (reply->status == STATUS_NUMBER && (request->does & WANT_VALUE))
            return put_number_value(request, reply, out);
        memcpy(at, code, 2);
        at += 2;
    }
    if (request->meta.n > 0)
        at = put_flags(at, request, reply);
    if (request->does & WANT_STATE)
        at = put_state(at, reply);
    return (size_t)(put_end(at) - out);
}

static size_t meta_tail(const struct request *request, const struct reply *reply, uint8_t *out)
{
    if (!reply->has_value || meta_is_hidden(request, reply))
        return 0;
    return (size_t)(put_end(out) - out);
}

/* A hit of mg with its value. */
static size_t put_value(const struct request *request, const struct reply *reply,
                        struct slice value, uint8_t *out)
{
    uint8_t *at = put_u64(PUT_LITERAL(out, "VA "), reply->n_value);
    at = put_state(put_flags(at, request, reply), reply);
    return (size_t)(put_end(put_slice(put_end(at), value)) - out);
}

static size_t meta_whole(const struct request *request, const struct reply *reply,
                         struct slice value, uint8_t *out)
{
    if (LIKELY(reply->has_value && request->verb == VERB_GET))
        return put_value(request, reply, value, out);
    return put_whole(meta_head, meta_tail, request, reply, value, out);
}

const struct dialect_encoder meta_encoder = {
    .head = meta_head,
    .tail = meta_tail,
    .whole = meta_whole,
    .is_hidden = meta_is_hidden,
    .stat = text_stat,
    .stat_end = text_stat_end,
};
