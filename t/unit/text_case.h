/* text_case.h - requests as text, so that a table row is a line and what is to come of it.
 * Only what differs from an empty request is shown; bytes of values are skipped as a server would.
 */
#ifndef T_UNIT_TEXT_CASE_H
#define T_UNIT_TEXT_CASE_H

#include "protocol/encode.h"
#include "protocol/parse.h"
#include "t/unit/fence.h"
#include "t/unit/unit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text_row {
    const char *line;
    size_t n;
    const char *expected;
};

#define ROW(line, expected)              \
    {                                    \
        line, sizeof(line) - 1, expected \
    }

struct picture {
    char text[8192];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static inline void draw(struct picture *picture,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(picture->text + picture->n, sizeof picture->text - picture->n, format, args);
    va_end(args);
    ck_assert_int_ge(n, 0);
    picture->n += (size_t)n;
    ck_assert_uint_lt(picture->n, sizeof picture->text);
}

static inline void draw_bits(struct picture *picture, uint32_t does)
{
    static const char *const names[] = {"CAS",    "TOUCH",  "VIVIFY", "RECACHE", "INVALIDATE",
                                        "NEWCAS", "NOBUMP", "EMPTY",  "FLAGS",   "value",
                                        "cas",    "key",    "BASE64", "state"};
    for (unsigned bit = 0; bit < 32; bit++)
        if (does >> bit & 1)
            draw(picture, " %s", bit < sizeof names / sizeof *names ? names[bit] : "unknown");
}

static inline void draw_slice(struct picture *picture, const char *name, struct slice slice)
{
    if (slice.n == 0)
        return;
    draw(picture, " %s=", name);
    for (size_t i = 0; i < slice.n; i++) {
        if (slice.p[i] > ' ' && slice.p[i] < 127)
            draw(picture, "%c", slice.p[i]);
        else
            draw(picture, slice.p[i] == ' ' ? "_" : "<%02x>", slice.p[i]);
    }
}

static inline void draw_number(struct picture *picture, const char *name, int64_t number)
{
    if (number != 0)
        draw(picture, " %s=%" PRId64, name, number);
}

static inline void draw_unsigned(struct picture *picture, const char *name, uint64_t number)
{
    if (number != 0)
        draw(picture, " %s=%" PRIu64, name, number);
}

static inline void draw_refusal(struct picture *picture, const struct request *request)
{
    const char *text = status_row(request->status)->text;
    draw(picture, "%s", text == NULL ? "nothing" : text);
    if (request->is_quiet && request->dialect == DIALECT_TEXT)
        draw(picture, " quiet");
}

static inline void draw_request(struct picture *picture, const struct request *request)
{
    if (picture->n > 0)
        draw(picture, "; ");
    if (request->verb == VERB_BAD) {
        draw_refusal(picture, request);
    } else {
        draw(picture, "%s", verb_name(request->verb));
        draw_slice(picture, "key", request->key);
        draw_slice(picture, "args", request->args);
        draw_slice(picture, "meta", request->meta);
        draw_unsigned(picture, "flags", request->client_flags);
        draw_number(picture, "exptime", request->exptime);
        draw_number(picture, "vivify", request->vivify_exptime);
        draw_number(picture, "recache", request->recache_ttl);
        draw_unsigned(picture, "unique", request->cas);
        draw_unsigned(picture, "new", request->new_cas);
        draw_unsigned(picture, "delta", request->delta);
        draw_unsigned(picture, "initial", request->initial);
        draw_bits(picture, request->does);
        draw(picture, "%s%s%s%s", request->is_quiet ? " quiet" : "",
             request->is_first ? " first" : "", request->is_last ? " last" : "",
             request->closes ? " closes" : "");
    }
    if (request->n_trailer != 0 || request->n_value != 0)
        draw(picture, " size=%" PRIu32 "+%u", request->n_value, request->n_trailer);
}

static inline bool lies_inside(struct slice slice, const uint8_t *p, size_t n,
                               const struct request *request)
{
    if (slice.n == 0)
        return true;
    if (slice.p >= request->raw_key && slice.p < request->raw_key + sizeof request->raw_key)
        return slice.n <= (size_t)(request->raw_key + sizeof request->raw_key - slice.p);
    return slice.p >= p && slice.p < p + n && slice.n <= (size_t)(p + n - slice.p);
}

/* One call, its input at the fence; false at MORE and at BAD. *n_gone counts what is done with. */
static inline bool case_step(struct parser *parser, const struct fence *fence, const uint8_t *bytes,
                             size_t n, size_t *n_gone, struct picture *picture, bool *is_bad)
{
    struct request request;
    size_t n_consumed = SIZE_MAX;
    size_t n_left = n > *n_gone ? n - *n_gone : 0;
    if (n_left == 0)
        return false;
    memset(&request, 0xa5, sizeof request);
    uint8_t *p = fence_place(fence, bytes + *n_gone, n_left);
    switch (parse_request(parser, p, n_left, &request, &n_consumed)) {
    case PARSE_MORE:
        return false;
    case PARSE_BAD:
        draw_request(picture, &request);
        draw(picture, " BAD");
        *is_bad = true;
        return false;
    case PARSE_OK:
        break;
    }
    ck_assert_uint_ge(n_consumed, 1);
    ck_assert_uint_le(n_consumed, n_left);
    ck_assert(lies_inside(request.key, p, n_left, &request));
    ck_assert(lies_inside(request.args, p, n_left, &request));
    ck_assert(lies_inside(request.meta, p, n_left, &request));
    draw_request(picture, &request);
    *n_gone += n_consumed + request.n_value + request.n_trailer;
    return true;
}

/* The requests of these bytes, given in pieces that grow by n_step; "MORE" when some are left. */
static inline void case_run(const uint8_t *bytes, size_t n, size_t n_step, struct picture *picture)
{
    struct parser parser;
    struct fence fence = fence_create(n + 1);
    size_t n_gone = 0;
    bool is_bad = false;
    picture->n = 0;
    picture->text[0] = '\0';
    parser_init(&parser, PROTOCOL_AUTO);
    for (size_t n_seen = n_step < n ? n_step : n; !is_bad; n_seen += n_step) {
        n_seen = n_seen < n ? n_seen : n;
        while (case_step(&parser, &fence, bytes, n_seen, &n_gone, picture, &is_bad))
            ;
        if (n_seen == n)
            break;
    }
    if (!is_bad && n_gone < n)
        draw(picture, "%sMORE", picture->n > 0 ? "; " : "");
    fence_destroy(&fence);
}

/* encode_whole says the same as head, value and tail one by one. */
static inline void check_whole(const struct request *request, const struct reply *reply)
{
    uint8_t parts[ENCODE_HEAD_MAX + ENCODE_TAIL_MAX + 8], whole[sizeof parts];
    struct slice value = SLICE("<value>");
    size_t n = encode_head(request, reply, parts);
    if (reply->has_value && !encode_is_hidden(request, reply)) {
        memcpy(parts + n, value.p, value.n);
        n += value.n;
    }
    n += encode_tail(request, reply, parts + n);
    size_t n_whole = encode_whole(request, reply, value, whole);
    ck_assert(slice_equal(slice_of(whole, n_whole), slice_of(parts, n)));
}

static inline void case_check(const struct text_row *row)
{
    struct picture picture;
    case_run((const uint8_t *)row->line, row->n, row->n, &picture);
    ck_assert_str_eq(picture.text, row->expected);
    case_run((const uint8_t *)row->line, row->n, 1, &picture);
    ck_assert_str_eq(picture.text, row->expected);
}

#endif
