/* replay - plays a trace against a server over one socket and counts the misses.
 * A get that misses is followed by a set, as a cache's client does it. */
#include "base/number.h"
#include "bench/cpu.h"
#include "bench/outbox.h"
#include "bench/peer.h"
#include "bench/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX    128U
#define SEEN_SLOTS   512U /* power of two above twice the batch */
#define INBOX_SIZE   (8U << 20)
#define PATIENCE_MS  20000
#define KEY_ID_BYTES 20U
#define ITEM_NOMINAL 50U /* what the footprint adds per item to key and value */

struct request {
    struct trace_record record;
    uint64_t id; /* key and copy in one number */
    uint8_t key[256];
    size_t n_key;
    size_t first; /* where the batch has this key for the first time */
    bool is_missing;
};

struct replay {
    struct peer peer;
    struct trace trace;
    uint64_t n_copies;
    uint64_t pace;
    bool uses_ttl;
    uint8_t *pattern;
    uint8_t *inbox;
    size_t n_in;
    struct outbox out;
    struct request batch[BATCH_MAX];
    size_t n_batch;
    uint16_t seen[SEEN_SLOTS]; /* places in batch, plus one, by hash of the key */
    struct request deferred[BATCH_MAX];
    size_t n_deferred;
    uint64_t n_gets, n_misses, n_sets, n_refused, n_requests;
};

static _Noreturn void fail(const char *what, const uint8_t *p, size_t n)
{
    fprintf(stderr, "replay: %s: \"", what);
    for (size_t i = 0; i < n && i < 160; i++)
        fprintf(stderr, isprint(p[i]) ? "%c" : "\\x%02x", p[i]);
    fprintf(stderr, "\"\n");
    exit(1);
}

static void wait_for(const struct replay *r, short events)
{
    struct pollfd one = {.fd = r->peer.fd, .events = events};
    if (poll(&one, 1, PATIENCE_MS) == 0)
        fail("no reply", r->inbox, r->n_in);
}

/* The key: 16 hexadecimal digits of the identity, 4 of the copy, filler up to the length. */
static void name_key(struct request *request, uint64_t copy)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t id = request->record.key;
    size_t n = request->record.n_key < KEY_ID_BYTES ? KEY_ID_BYTES : request->record.n_key;
    n = n > 250 ? 250 : n;
    for (size_t i = 0; i < 16; i++)
        request->key[i] = (uint8_t)hex[id >> (60 - 4 * i) & 15];
    for (size_t i = 0; i < 4; i++)
        request->key[16 + i] = (uint8_t)hex[copy >> (12 - 4 * i) & 15];
    memset(request->key + KEY_ID_BYTES, 'f', n - KEY_ID_BYTES);
    request->n_key = n;
    request->id = keyspace_mix(id + copy * 0x9e3779b97f4a7c15ULL) | 1;
}

/* Where the batch has the key already; the place after its end if it has not, then remembered. */
static size_t find_first(struct replay *r, uint64_t id)
{
    for (size_t i = id >> 32;; i++) {
        uint16_t *slot = &r->seen[i & (SEEN_SLOTS - 1)];
        if (*slot == 0) {
            *slot = (uint16_t)(r->n_batch + 1);
            return r->n_batch;
        }
        if (r->batch[*slot - 1].id == id)
            return *slot - 1U;
    }
}

static const uint8_t *value_of(const struct replay *r, const struct request *request)
{
    return r->pattern + (request->id >> 8 & (KEYSPACE_PATTERN_SPAN - 1));
}

static void add_text(struct outbox *out, const char *text)
{
    outbox_copy(out, text, strlen(text));
}

static void add_number(struct outbox *out, uint64_t number)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    outbox_copy(out, digits, number_render_u64(digits, number));
}

/* Quiet meta set: only a refusal is answered. */
static void add_set(struct replay *r, const struct request *request)
{
    struct outbox *out = &r->out;
    add_text(out, "ms ");
    outbox_copy(out, request->key, request->n_key);
    add_text(out, " ");
    add_number(out, request->record.n_value);
    add_text(out, request->record.has_flags ? " q F5" : " q");
    if (r->uses_ttl && request->record.ttl_s > 0) {
        add_text(out, " T");
        add_number(out, request->record.ttl_s);
    }
    add_text(out, "\r\n");
    outbox_value(out, value_of(r, request), request->record.n_value);
    add_text(out, "\r\n");
    r->n_sets++;
}

static bool is_read(const struct request *request)
{
    return request->record.op == TRACE_GET || request->record.op == TRACE_INCR;
}

/* The stores that the last batch's misses cause, before anything else happens. */
static void add_stores(struct replay *r)
{
    for (size_t i = 0; i < r->n_batch; i++) {
        const struct request *request = &r->batch[i];
        bool is_rewritten = request->record.op == TRACE_SET || request->record.op == TRACE_INCR;
        if (request->is_missing || is_rewritten)
            add_set(r, request);
    }
}

static void add_deletes(struct replay *r)
{
    for (size_t i = 0; i < r->n_batch; i++) {
        if (r->batch[i].record.op != TRACE_DELETE)
            continue;
        add_text(&r->out, "md ");
        outbox_copy(&r->out, r->batch[i].key, r->batch[i].n_key);
        add_text(&r->out, " q\r\n");
    }
}

static void add_gets(struct replay *r)
{
    for (size_t i = 0; i < r->n_batch; i++) {
        if (!is_read(&r->batch[i]))
            continue;
        add_text(&r->out, "mg ");
        outbox_copy(&r->out, r->batch[i].key, r->batch[i].n_key);
        add_text(&r->out, " v\r\n");
    }
    add_text(&r->out, "mn\r\n");
}

static void send_out(struct replay *r)
{
    for (int i = 0; i < r->out.n_iov; i++) {
        struct iovec iov = r->out.iov[i];
        while (iov.iov_len > 0) {
            size_t n = 0;
            enum peer_result result = peer_write(&r->peer, &iov, 1, &n);
            if (result == PEER_AGAIN)
                wait_for(r, POLLOUT);
            else if (result != PEER_OK)
                fail("sending", NULL, 0);
            iov = (struct iovec){(uint8_t *)iov.iov_base + n, iov.iov_len - n};
        }
    }
    outbox_clear(&r->out);
}

static void receive(struct replay *r)
{
    size_t n = 0;
    if (r->n_in == INBOX_SIZE)
        fail("reply too long", r->inbox, r->n_in);
    enum peer_result result = peer_read(&r->peer, r->inbox + r->n_in, INBOX_SIZE - r->n_in, &n);
    if (result == PEER_AGAIN)
        wait_for(r, POLLIN);
    else if (result != PEER_OK)
        fail("the server closed the connection", r->inbox, r->n_in);
    r->n_in += n;
}

/* The line at *at, waiting for all of it. Its length without the end. */
static size_t read_line(struct replay *r, size_t at)
{
    for (;;) {
        const uint8_t *end = memchr(r->inbox + at, '\n', r->n_in - at);
        if (end != NULL)
            return (size_t)(end - r->inbox) - at - 1;
        receive(r);
    }
}

/* The reply of one get at at: returns where the next one begins. */
static size_t read_get(struct replay *r, struct request *request, size_t at)
{
    uint64_t n_value = 0;
    size_t n_line = read_line(r, at);
    const uint8_t *line = r->inbox + at;
    r->n_gets++;
    if (n_line == 2 && memcmp(line, "EN", 2) == 0) {
        request->is_missing = true;
        r->n_misses++;
        return at + 4;
    }
    if (n_line < 4 || memcmp(line, "VA ", 3) != 0 ||
        !number_parse_u64(slice_of(line + 3, n_line - 3), UINT32_MAX, &n_value) ||
        n_value != request->record.n_value)
        fail("wrong reply to a get", line, r->n_in - at);
    size_t value_at = at + n_line + 2;
    while (r->n_in < value_at + n_value + 2)
        receive(r);
    if (memcmp(r->inbox + value_at, value_of(r, request), n_value) != 0)
        fail("wrong value", r->inbox + at, r->n_in - at);
    return value_at + n_value + 2;
}

/* Refused sets of the last batch come first: each is a line. */
static size_t read_refusals(struct replay *r)
{
    size_t at = 0;
    for (;;) {
        while (r->n_in < at + 2)
            receive(r);
        bool is_refusal =
            memcmp(r->inbox + at, "SE", 2) == 0 || memcmp(r->inbox + at, "NS", 2) == 0;
        if (!is_refusal)
            return at;
        at += read_line(r, at) + 2;
        r->n_refused++;
    }
}

static void read_replies(struct replay *r)
{
    size_t at = read_refusals(r);
    for (size_t i = 0; i < r->n_batch; i++)
        if (is_read(&r->batch[i]))
            at = read_get(r, &r->batch[i], at);
    size_t n_line = read_line(r, at);
    if (n_line != 2 || memcmp(r->inbox + at, "MN", 2) != 0 || at + 4 != r->n_in)
        fail("expected the end of a batch", r->inbox + at, r->n_in - at);
    r->n_in = 0;
}

/* A get that came while the store of an earlier miss was still owed is asked again after it. */
static void defer_early_gets(struct replay *r)
{
    r->n_deferred = 0;
    for (size_t i = 0; i < r->n_batch; i++) {
        struct request *request = &r->batch[i];
        if (!request->is_missing || request->first == i)
            continue;
        request->is_missing = false;
        r->n_gets--;
        r->n_misses--;
        r->deferred[r->n_deferred++] = *request;
    }
}

static void put(struct replay *r, const struct request *request)
{
    size_t first = find_first(r, request->id);
    r->batch[r->n_batch] = *request;
    r->batch[r->n_batch++].first = first;
}

/* Sends stores owed by the batch before (already in out), then this batch, and reads the answers.
 * What has to be asked again begins the next batch. */
static void run_batch(struct replay *r)
{
    add_deletes(r);
    add_gets(r);
    send_out(r);
    read_replies(r);
    defer_early_gets(r);
    add_stores(r);
    r->n_requests += r->n_batch - r->n_deferred;
    r->n_batch = 0;
    memset(r->seen, 0, sizeof r->seen);
    for (size_t i = 0; i < r->n_deferred; i++)
        put(r, &r->deferred[i]);
}

static void keep_pace(const struct replay *r, uint64_t began_ns)
{
    if (r->pace == 0)
        return;
    uint64_t due_ns = began_ns + r->n_requests * 1000000000ULL / r->pace;
    uint64_t now_ns = cpu_clock_ns();
    if (now_ns + 1000000 >= due_ns)
        return;
    struct timespec nap = {.tv_nsec = (long)(due_ns - now_ns) % 1000000000L};
    nanosleep(&nap, NULL);
}

/* May the request share a batch with what is in it? Only gets of the same key may. */
static bool fits_batch(struct replay *r, const struct request *request)
{
    if (r->n_batch == BATCH_MAX)
        return false;
    for (size_t i = request->id >> 32;; i++) {
        uint16_t place = r->seen[i & (SEEN_SLOTS - 1)];
        if (place == 0)
            return true;
        const struct request *first = &r->batch[place - 1];
        if (first->id == request->id)
            return first->record.op == TRACE_GET && request->record.op == TRACE_GET;
    }
}

static void add_request(struct replay *r, const struct trace_record *record, uint64_t copy)
{
    struct request request = {.record = *record};
    name_key(&request, copy);
    while (!fits_batch(r, &request))
        run_batch(r);
    put(r, &request);
}

static void play(struct replay *r)
{
    struct trace_record record;
    uint64_t began_ns = cpu_clock_ns();
    while (trace_next(&r->trace, &record)) {
        for (uint64_t copy = 0; copy < r->n_copies; copy++)
            add_request(r, &record, copy);
        keep_pace(r, began_ns);
    }
    while (r->n_batch > 0)
        run_batch(r);
    add_text(&r->out, "mn\r\n");
    send_out(r);
    size_t at = read_refusals(r);
    if (read_line(r, at) != 2)
        fail("expected the end", r->inbox + at, r->n_in - at);
}

/* Keys and bytes (key, value, a nominal 50 per item) of all different keys of the trace. */
static void measure_footprint(struct trace *trace, uint64_t *n_keys_out, uint64_t *n_bytes_out)
{
    size_t n_slots = 1024;
    while (n_slots < trace->n_records * 2)
        n_slots *= 2;
    uint64_t *slots = calloc(n_slots, sizeof *slots);
    MUST(slots != NULL);
    struct trace_record record;
    *n_keys_out = *n_bytes_out = 0;
    while (trace_next(trace, &record)) {
        uint64_t id = record.key | 1ULL << 63;
        size_t i = keyspace_mix(id) & (n_slots - 1);
        while (slots[i] != 0 && slots[i] != id)
            i = (i + 1) & (n_slots - 1);
        if (slots[i] == id)
            continue;
        slots[i] = id;
        (*n_keys_out)++;
        *n_bytes_out += record.n_key + record.n_value + ITEM_NOMINAL;
    }
    free(slots);
    trace_rewind(trace);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: replay ADDRESS|footprint TRACE COPIES REQUESTS PACE TTL\n"
                    "  TRACE: a file of records, or zipf:EXPONENT:KEYS\n"
                    "  REQUESTS: records at most; PACE: requests per second or 0; TTL: 0 or 1\n");
    exit(64);
}

static uint64_t number_or_usage(const char *text)
{
    uint64_t number;
    if (!number_parse_size(slice_str(text), 1ULL << 40, &number))
        usage();
    return number;
}

static void open_trace(struct replay *r, const char *name, uint64_t n_records)
{
    double exponent;
    uint64_t n_keys;
    if (sscanf(name, "zipf:%lf:%" SCNu64, &exponent, &n_keys) == 2 && n_keys > 1)
        trace_open_zipf(&r->trace, n_keys, exponent, n_records, r->uses_ttl);
    else if (!trace_open_file(&r->trace, name, n_records))
        fail(strerror(errno), (const uint8_t *)name, strlen(name));
}

int main(int argc, char **argv)
{
    static struct replay r;
    if (argc != 7)
        usage();
    signal(SIGPIPE, SIG_IGN);
    r.n_copies = number_or_usage(argv[3]);
    r.pace = number_or_usage(argv[5]);
    r.uses_ttl = number_or_usage(argv[6]) != 0;
    open_trace(&r, argv[2], number_or_usage(argv[4]));
    if (strcmp(argv[1], "footprint") == 0) {
        uint64_t n_keys, n_bytes;
        measure_footprint(&r.trace, &n_keys, &n_bytes);
        printf("{\"records\": %" PRIu64 ", \"keys\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n",
               r.trace.n_records, n_keys, n_bytes);
        return 0;
    }
    r.pattern = keyspace_pattern_create(1U << 20);
    r.inbox = malloc(INBOX_SIZE);
    MUST(r.inbox != NULL);
    outbox_init(&r.out, BATCH_MAX * (2 * 256 + 128 + OUTBOX_COPY_MAX) + 64);
    if (!peer_open(&r.peer, argv[1], NULL))
        fail(strerror(errno), (const uint8_t *)argv[1], strlen(argv[1]));
    uint64_t began_ns = cpu_clock_ns();
    play(&r);
    printf("{\"requests\": %" PRIu64 ", \"gets\": %" PRIu64 ", \"misses\": %" PRIu64
           ", \"sets\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"miss_ratio\": %.6f, "
           "\"seconds\": %.2f}\n",
           r.n_requests, r.n_gets, r.n_misses, r.n_sets, r.n_refused,
           r.n_gets > 0 ? (double)r.n_misses / (double)r.n_gets : 0,
           (double)(cpu_clock_ns() - began_ns) * 1e-9);
    peer_close(&r.peer, false);
    trace_close(&r.trace);
    outbox_fini(&r.out);
    free(r.pattern);
    free(r.inbox);
    return 0;
}
