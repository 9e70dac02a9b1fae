/* Any bytes on a connection that speaks text or meta: each request keeps its promises, and however
 * the bytes arrive, the same requests come of them. */
#include "t/fuzz/requests.h"

/* What a run has come to: equal runs give equal marks. */
struct run {
    struct parser parser;
    size_t n_gone; /* bytes consumed or skipped as values */
    bool is_over;
    uint64_t mark;
};

static void mix(struct run *run, uint64_t number)
{
    run->mark = (run->mark ^ number) * 0x9e3779b97f4a7c15u;
    run->mark ^= run->mark >> 29;
}

static void mix_slice(struct run *run, struct slice slice)
{
    mix(run, slice.n);
    for (size_t i = 0; i < slice.n; i++)
        mix(run, slice.p[i]);
}

/* A key is one word of the line, or what a base64 word stands for. */
static void check_key(const struct request *request)
{
    bool is_keyed = request->verb >= VERB_GET && request->verb <= VERB_META_DEBUG;
    if (request->verb == VERB_BAD)
        return;
    HOLDS(is_keyed ? request->key.n >= 1 && request->key.n <= KEY_MAX : request->key.n == 0);
    if (request->does & KEY_BASE64)
        HOLDS(request->key.p == request->raw_key);
    else if (is_keyed)
        HOLDS(memchr(request->key.p, ' ', request->key.n) == NULL &&
              memchr(request->key.p, '\n', request->key.n) == NULL);
    HOLDS(!verb_takes_value(request->verb) || request->n_trailer == 2);
}

static void mix_request(struct run *run, const struct request *request)
{
    mix(run, (uint64_t)request->verb << 32 | request->dialect << 16 | request->status);
    mix(run, (uint64_t)request->is_quiet << 3 | (uint64_t)request->is_first << 2 |
                 (uint64_t)request->is_last << 1 | request->closes);
    mix(run, request->does);
    if (request->verb != VERB_BAD)
        mix_slice(run, request->key);
    mix_slice(run, request->args);
    mix_slice(run, request->meta);
    mix(run, request->client_flags);
    mix(run, (uint64_t)request->exptime);
    mix(run, (uint64_t)request->vivify_exptime);
    mix(run, (uint64_t)request->recache_ttl);
    mix(run, request->cas);
    mix(run, request->new_cas);
    mix(run, request->delta);
    mix(run, request->initial);
    mix(run, request->n_value);
    mix(run, request->n_trailer);
}

/* Parses what there is of the first n bytes. The copy has the exact size, so that a sanitizer sees
 * a byte read too many. */
static void advance(struct run *run, const uint8_t *bytes, size_t n)
{
    while (!run->is_over && run->n_gone < n) {
        struct request request;
        size_t n_left = n - run->n_gone, n_consumed = SIZE_MAX;
        uint8_t *copy = malloc(n_left);
        HOLDS(copy != NULL);
        memcpy(copy, bytes + run->n_gone, n_left);
        enum parse_result result = parse_request(&run->parser, copy, n_left, &request, &n_consumed);
        if (result == PARSE_OK) {
            HOLDS(n_consumed >= 1 && n_consumed <= n_left);
            check_key(&request);
            mix_request(run, &request);
            run->n_gone += n_consumed + request.n_value + request.n_trailer;
        } else {
            HOLDS(n_consumed == SIZE_MAX || result == PARSE_BAD);
            run->is_over = result == PARSE_BAD;
        }
        free(copy);
        if (result != PARSE_OK)
            return;
    }
}

static struct run run_in_steps(const uint8_t *bytes, size_t n, size_t n_step)
{
    struct run run = {.n_gone = 0};
    parser_init(&run.parser, PROTOCOL_TEXT);
    for (size_t n_seen = 0; n_seen < n;) {
        n_seen = n_step < n - n_seen ? n_seen + n_step : n;
        advance(&run, bytes, n_seen);
    }
    return run;
}

/* Lines above TEXT_LINE_MAX are refused only while their newline is missing, so pieces may differ
 * from the whole there. */
static bool has_long_line(const uint8_t *bytes, size_t n)
{
    return n > TEXT_LINE_MAX && memchr(bytes, '\n', n) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check_requests(PROTOCOL_TEXT, bytes, n);
    struct run whole = run_in_steps(bytes, n, n);
    if (has_long_line(bytes, n))
        return 0;
    size_t n_step = n < 64 ? 1 : n / 48;
    struct run pieces = run_in_steps(bytes, n, n_step);
    HOLDS(whole.mark == pieces.mark && whole.is_over == pieces.is_over);
    return 0;
}
