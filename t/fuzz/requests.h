/* requests.h - walks a stream of requests as a connection would and checks what parse.h and
 * encode.h promise of each.
 * Owns: nothing.   Thread: one.
 * Never: used outside t/fuzz. */
#ifndef T_FUZZ_REQUESTS_H
#define T_FUZZ_REQUESTS_H

#include "protocol/encode.h"
#include "protocol/parse.h"
#include "t/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>

static inline bool lies_in(struct slice inner, const void *base, size_t n)
{
    const uint8_t *start = base;
    return inner.n == 0 || (inner.p >= start && inner.n <= n && inner.p <= start + (n - inner.n));
}

static inline void check_slices(const struct request *request, const uint8_t *p, size_t n)
{
    const struct slice slices[] = {request->key, request->args, request->meta};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        HOLDS(lies_in(slices[i], p, n) ||
              lies_in(slices[i], request->raw_key, sizeof request->raw_key));
    HOLDS(request->verb == VERB_BAD || request->key.n <= KEY_MAX);
}

/* Every status must be sayable to every request. */
static inline void check_encoding(const struct request *request)
{
    static uint8_t out[ENCODE_HEAD_MAX + 64];
    for (unsigned status = 0; status < N_STATUSES; status++) {
        struct reply reply = {
            .status = (uint8_t)status,
            .has_value = status == STATUS_HIT && (request->does & WANT_VALUE),
            .client_flags = UINT32_MAX,
            .n_value = 1u << 20,
            .cas = UINT64_MAX,
            .number = UINT64_MAX,
            .ttl_before = INT32_MIN,
            .ttl_after = INT32_MAX,
            .last_access = UINT32_MAX,
            .item_class = UINT32_MAX,
            .item_size = UINT32_MAX,
            .is_won = true,
            .is_stale = true,
            .is_already_won = true,
            .text = SLICE("some text"),
        };
        size_t n = encode_head(request, &reply, out);
        HOLDS(n <= ENCODE_HEAD_MAX + reply.text.n);
        HOLDS(encode_tail(request, &reply, out) <= ENCODE_TAIL_MAX);
        if (encode_is_hidden(request, &reply))
            HOLDS(n == 0);
    }
    HOLDS(encode_stat(request, SLICE("name"), SLICE("value"), out) <= ENCODE_STAT_MAX + 9);
    HOLDS(encode_stat_end(request, out) <= ENCODE_STAT_MAX);
}

/* Less than all bytes must lead to the same request or to MORE. */
static inline void check_split(const struct parser *before, const uint8_t *p, size_t n,
                               const struct request *whole, size_t n_consumed)
{
    struct parser parser = *before;
    struct request part;
    size_t n_part;
    enum parse_result result = parse_request(&parser, p, n, &part, &n_part);
    if (result == PARSE_OK)
        HOLDS(n_part == n_consumed && part.verb == whole->verb && part.key.n == whole->key.n &&
              part.n_value == whole->n_value && part.status == whole->status);
    HOLDS(result != PARSE_BAD || n >= TEXT_LINE_MAX);
}

static inline void check_requests(enum protocol protocol, const uint8_t *p, size_t n)
{
    struct parser parser;
    parser_init(&parser, protocol);
    while (n > 0) {
        struct parser before = parser;
        struct request request;
        size_t n_consumed = SIZE_MAX;
        enum parse_result result = parse_request(&parser, p, n, &request, &n_consumed);
        if (result == PARSE_MORE) {
            HOLDS(n_consumed == SIZE_MAX);
            return;
        }
        HOLDS(result != PARSE_BAD || request.status < N_STATUSES);
        if (result == PARSE_BAD)
            return;
        HOLDS(n_consumed > 0 && n_consumed <= n);
        HOLDS(request.verb < N_VERBS && request.status < N_STATUSES);
        HOLDS((request.verb == VERB_BAD) == (request.status != STATUS_NONE));
        check_slices(&request, p, n);
        check_split(&before, p, n_consumed, &request, n_consumed);
        check_split(&before, p, n_consumed - 1, &request, n_consumed);
        check_split(&before, p, n_consumed / 2, &request, n_consumed);
        check_encoding(&request);
        p += n_consumed;
        n -= n_consumed;
        uint64_t n_body = (uint64_t)request.n_value + request.n_trailer;
        if (n_body > n)
            return;
        p += n_body;
        n -= n_body;
    }
}

#endif
