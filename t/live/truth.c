/* truth CASE OPTIONS...: many clients at once, each knowing what it must be told.
 *
 * CASE: values counters cas add append everything (values, counters and cas at once)
 * OPTIONS: --port N  --seconds N  --clients N  --keys N (of each client)  --size BYTES (largest)
 *          --tls  --user NAME --password WORD  --may-miss (items may go)
 *          --flush (a client calls flush_all)  --limits (a client changes limits)
 *          --ttl (some values have one)  --tls-port N (every other client is there, inside TLS)
 *          --losses (connections end, and the server may be away for a while)
 *
 * A value says whose it is, which key, which version, and holds bytes that follow from these; so
 * whoever reads it knows whether it is whole. Ends with status 0 and a line of figures, or tells
 * the first wrong answer and ends with status 1. */
#include "t/live/truth_peer.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define N_CLIENTS_MAX 256
#define N_BATCH       8 /* requests sent together */
#define VALUE_HEAD    40

struct run {
    struct peer_config peer;
    unsigned seconds;
    unsigned n_clients;
    unsigned n_keys;
    unsigned size_max;
    bool may_miss;
    bool flushes;
    bool changes_limits;
    bool has_ttls;
    bool may_lose;
    int tls_port; /* 0: none */
    atomic_bool is_over;
    _Atomic uint64_t n_requests;
    _Atomic uint64_t n_misses;
    _Atomic uint64_t n_successes;
    _Atomic uint64_t n_losses;
    _Atomic uint64_t generation;
    struct client *clients;
};

struct client {
    struct run *run;
    pthread_t thread;
    unsigned id;
    unsigned role; /* everything: index of what it does */
    uint64_t random;
    void *(*work)(void *);
    struct peer *peer;
    uint32_t *stored;   /* values: version of each own key, 0 none */
    uint32_t *oldest;   /* values: after a loss, any version from this one to stored may be there */
    uint64_t *lives_to; /* values: milliseconds; a miss before is wrong */
    uint64_t *ends_at;  /* values: milliseconds; a hit after is wrong; 0 never */
    uint32_t *versions; /* values: the last one given to it */
    uint32_t *seen;     /* values: of each key of each client, the newest that was read */
    uint64_t *told;     /* counters, cas: numbers that an answer told */
    size_t n_told;
    size_t told_capacity;
    char *room;
    jmp_buf loss;
    struct peer_config config;
    struct timespec end;
};

static uint32_t next_random(struct client *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random >> 16);
}

static bool goes_on(struct client *c)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < c->end.tv_sec;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void count(struct client *c, unsigned n)
{
    atomic_fetch_add_explicit(&c->run->n_requests, n, memory_order_relaxed);
}

static void tell(struct client *c, uint64_t number)
{
    if (c->n_told == c->told_capacity) {
        c->told_capacity = 2 * c->told_capacity + 1024;
        c->told = realloc(c->told, c->told_capacity * sizeof *c->told);
        if (c->told == NULL)
            surprise("out of memory");
    }
    c->told[c->n_told++] = number;
}

/* ---- values ---- */

static void name_key(char *key, unsigned owner, unsigned n)
{
    sprintf(key, "truth-%u-%u", owner, n);
}

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Most are small, some large. */
static size_t size_of(const struct run *run, unsigned owner, unsigned n, uint32_t version)
{
    uint32_t x = mix(owner * 131071 + n * 8191 + version);
    size_t n_most = x % 64 == 0 ? run->size_max : x % 8 == 0 ? run->size_max / 16 : 200;
    return VALUE_HEAD + (x >> 8) % (n_most < 64 ? 64 : n_most);
}

static size_t write_value(const struct run *run, char *out, unsigned owner, unsigned n,
                          uint32_t version)
{
    size_t size = size_of(run, owner, n, version);
    memset(out, ' ', VALUE_HEAD);
    int n_head = sprintf(out, "%u %u %u", owner, n, version);
    out[n_head] = ' ';
    uint32_t x = mix(owner ^ n << 8 ^ version << 16);
    for (size_t i = VALUE_HEAD; i < size; i++) {
        if (i % 4 == 0)
            x = x * 1664525u + 1013904223u;
        out[i] = (char)(x >> (8 * (i % 4)));
    }
    return size;
}

/* Is the value whole? Returns its version. */
static uint32_t read_value(struct client *c, const char *key, const struct value *value)
{
    unsigned owner, n;
    uint32_t version;
    char expected_key[64], head[VALUE_HEAD + 1] = "";
    if (value->n < VALUE_HEAD)
        surprise("a value of %zu bytes for %s", value->n, key);
    memcpy(head, value->p, VALUE_HEAD);
    if (sscanf(head, "%u %u %u", &owner, &n, &version) != 3)
        surprise("a value without head for %s", key);
    name_key(expected_key, owner, n);
    size_t size = write_value(c->run, c->room, owner, n, version);
    if (strcmp(expected_key, key) != 0 || size != value->n || memcmp(c->room, value->p, size) != 0)
        surprise("%s has the value of %s version %u, or a damaged one", key, expected_key, version);
    return version;
}

/* The server counts whole seconds, and both sides may be late. */
#define TTL_EARLY_MS 3000
#define TTL_LATE_MS  8000

static unsigned choose_ttl(struct client *c)
{
    static const unsigned ttls[] = {0, 0, 0, 0, 0, 1, 6, 1000};
    return c->run->has_ttls ? ttls[next_random(c) % (sizeof ttls / sizeof *ttls)] : 0;
}

/* It begins somewhere between the request and its answer. */
static void begin_life(struct client *c, unsigned n, unsigned ttl)
{
    uint64_t length = (uint64_t)ttl * 1000;
    c->lives_to[n] = UINT64_MAX;
    if (ttl != 0)
        c->lives_to[n] = length > TTL_EARLY_MS ? now_ms() + length - TTL_EARLY_MS : 0;
}

static void bound_life(struct client *c, unsigned n, unsigned ttl)
{
    c->ends_at[n] = ttl == 0 ? 0 : now_ms() + (uint64_t)ttl * 1000 + TTL_LATE_MS;
}

static void set_some(struct client *c)
{
    struct {
        unsigned n, ttl;
        uint32_t version;
    } asked[N_BATCH];
    char key[64];
    for (unsigned i = 0; i < N_BATCH; i++) {
        unsigned n = next_random(c) % c->run->n_keys, ttl = choose_ttl(c);
        name_key(key, c->id, n);
        asked[i].n = n;
        asked[i].ttl = ttl;
        asked[i].version = c->stored[n] = ++c->versions[n];
        begin_life(c, n, ttl);
        size_t size = write_value(c->run, c->room, c->id, n, c->versions[n]);
        ask_set(c->peer, key, c->room, size, ttl);
    }
    for (unsigned i = 0; i < N_BATCH; i++) {
        enum outcome outcome = answer_store(c->peer);
        if (outcome != STORED && (outcome != NO_ROOM || !c->run->may_miss))
            surprise("a set was answered with %d", outcome);
        /* Where there was no room, the old value may not come back. */
        c->stored[asked[i].n] = outcome == STORED ? asked[i].version : 0;
        bound_life(c, asked[i].n, asked[i].ttl);
    }
    for (unsigned i = 0; i < N_BATCH; i++)
        c->oldest[asked[i].n] = c->stored[asked[i].n];
}

static void take_miss(struct client *c, unsigned n, const char *key)
{
    if (c->stored[n] != 0 && !c->run->may_miss && now_ms() < c->lives_to[n])
        surprise("%s is gone", key);
    atomic_fetch_add(&c->run->n_misses, c->stored[n] != 0);
    c->stored[n] = c->oldest[n] = 0;
}

/* After a loss the oldest and the newest version that were under way are possible, and all between;
 * which one it is, is known from here on. */
static void take_hit(struct client *c, unsigned n, const char *key, uint32_t version,
                     uint64_t asked_ms)
{
    bool is_sure = c->oldest[n] == c->stored[n];
    if (version > c->stored[n] || version < c->oldest[n])
        surprise("%s has version %u instead of %u to %u", key, version, c->oldest[n], c->stored[n]);
    if (is_sure && c->ends_at[n] != 0 && asked_ms > c->ends_at[n])
        surprise("%s lives %llu ms too long", key, (unsigned long long)(asked_ms - c->ends_at[n]));
    if (!is_sure) {
        c->ends_at[n] = c->lives_to[n] = 0;
        c->oldest[n] = c->stored[n] = version;
    }
}

static void get_own(struct client *c)
{
    unsigned keys[N_BATCH];
    char key[64];
    struct value value;
    uint64_t asked_ms = now_ms();
    for (unsigned i = 0; i < N_BATCH; i++) {
        keys[i] = next_random(c) % c->run->n_keys;
        name_key(key, c->id, keys[i]);
        ask_get(c->peer, key);
    }
    for (unsigned i = 0; i < N_BATCH; i++) {
        name_key(key, c->id, keys[i]);
        if (answer_get(c->peer, key, &value))
            take_hit(c, keys[i], key, read_value(c, key, &value), asked_ms);
        else
            take_miss(c, keys[i], key);
    }
}

/* Versions of others never go back. */
static void get_others(struct client *c)
{
    unsigned owner = next_random(c) % c->run->n_clients, n = next_random(c) % c->run->n_keys;
    uint32_t *seen = &c->seen[owner * c->run->n_keys + n];
    char key[64];
    struct value value;
    name_key(key, owner, n);
    ask_get(c->peer, key);
    if (!answer_get(c->peer, key, &value))
        return;
    uint32_t version = read_value(c, key, &value);
    if (version < *seen)
        surprise("%s goes back from version %u to %u", key, *seen, version);
    *seen = version;
}

static void delete_one(struct client *c)
{
    unsigned n = next_random(c) % c->run->n_keys;
    char key[64];
    name_key(key, c->id, n);
    c->oldest[n] = 0; /* until it is answered */
    ask_delete(c->peer, key);
    enum outcome outcome = answer_delete(c->peer);
    if (outcome != STORED && outcome != NOT_FOUND)
        surprise("a delete was answered with %d", outcome);
    if (!c->run->may_miss && !c->run->has_ttls && (outcome == STORED) != (c->stored[n] != 0))
        surprise("delete of %s: %d", key, outcome);
    c->stored[n] = c->oldest[n] = 0;
}

static void *run_values(void *arg)
{
    struct client *c = arg;
    while (goes_on(c)) {
        set_some(c);
        get_own(c);
        get_others(c);
        if (next_random(c) % 8 == 0)
            delete_one(c);
        count(c, 2 * N_BATCH + 1);
    }
    return NULL;
}

/* ---- counters ---- */

#define N_COUNTERS 8
#define GENERATION 1000000000000ull /* a counter that is made anew begins at a multiple of it */

static void make_counter(struct client *c, const char *key)
{
    char text[32];
    uint64_t start = atomic_fetch_add(&c->run->generation, 1) * GENERATION;
    ask_store(c->peer, MODE_ADD, key, text,
              (size_t)sprintf(text, "%llu", (unsigned long long)start), 0);
    (void)answer_store(c->peer);
}

static void *run_counters(void *arg)
{
    struct client *c = arg;
    char key[64];
    while (goes_on(c)) {
        unsigned n = next_random(c) % N_COUNTERS, n_missed = 0;
        sprintf(key, "counter-%u", n);
        for (unsigned i = 0; i < N_BATCH; i++)
            ask_incr(c->peer, key);
        for (unsigned i = 0; i < N_BATCH; i++) {
            uint64_t number;
            if (answer_incr(c->peer, &number))
                tell(c, number * N_COUNTERS + n);
            else
                n_missed++;
        }
        count(c, N_BATCH);
        if (n_missed > 0 && !c->run->may_miss)
            surprise("%s is gone", key);
        if (n_missed > 0)
            make_counter(c, key);
    }
    return NULL;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* All that was told to the clients of a role, in order; none twice. */
static uint64_t *collect_role(struct run *run, unsigned role, size_t *n_out)
{
    size_t n = 0;
    for (unsigned i = 0; i < run->n_clients; i++)
        n += run->clients[i].n_told;
    uint64_t *all = malloc((n + 1) * sizeof *all);
    if (all == NULL)
        surprise("out of memory");
    n = 0;
    for (unsigned i = 0; i < run->n_clients; i++) {
        struct client *c = &run->clients[i];
        if (c->role != role || c->n_told == 0)
            continue;
        memcpy(all + n, c->told, c->n_told * sizeof *all);
        n += c->n_told;
    }
    qsort(all, n, sizeof *all, compare_numbers);
    for (size_t i = 1; i < n; i++)
        if (all[i] == all[i - 1])
            surprise("%llu was told twice", (unsigned long long)all[i]);
    *n_out = n;
    return all;
}

static uint64_t *collect(struct run *run, size_t *n_out)
{
    return collect_role(run, 0, n_out);
}

/* Without flushes there is one generation of each counter: its numbers have no gap. */
static void check_counters(struct run *run)
{
    size_t n;
    uint64_t *all = collect(run, &n);
    uint64_t last[N_COUNTERS] = {0};
    for (size_t i = 0; i < n && !run->flushes; i++) {
        uint64_t *before = &last[all[i] % N_COUNTERS], number = all[i] / N_COUNTERS;
        if (*before != 0 && number != *before + 1)
            surprise("after %llu comes %llu", (unsigned long long)*before,
                     (unsigned long long)number);
        if (*before == 0 && number % GENERATION != 1)
            surprise("%llu is the first number", (unsigned long long)number);
        *before = number;
    }
    run->n_successes = n;
    free(all);
}

/* ---- cas ---- */

#define N_REGISTERS 4

/* A register holds its number of changes; after a flush it begins with a new generation. */
static void *run_cas(void *arg)
{
    struct client *c = arg;
    char key[64], text[32];
    struct value value;
    while (goes_on(c)) {
        unsigned n = next_random(c) % N_REGISTERS;
        sprintf(key, "register-%u", n);
        ask_get(c->peer, key);
        count(c, 2);
        if (!answer_get(c->peer, key, &value)) {
            if (!c->run->may_miss)
                surprise("%s is gone", key);
            make_counter(c, key);
            continue;
        }
        snprintf(text, sizeof text, "%.*s", (int)value.n, value.p);
        uint64_t number = strtoull(text, NULL, 10);
        size_t size = (size_t)sprintf(text, "%llu", (unsigned long long)number + 1);
        ask_store(c->peer, MODE_SET, key, text, size, value.cas);
        enum outcome outcome = answer_store(c->peer);
        if (outcome == STORED)
            tell(c, number * N_REGISTERS + n);
        else if (outcome != EXISTS && (outcome != NOT_FOUND || !c->run->may_miss) &&
                 (outcome != NO_ROOM || !c->run->may_miss))
            surprise("a cas was answered with %d", outcome);
    }
    return NULL;
}

/* No old value has two successors; without flushes a register is the number of its successes. */
static void check_cas(struct run *run)
{
    struct peer *peer = peer_create(&run->peer, IN_BINARY);
    struct value value;
    size_t n, n_of[N_REGISTERS] = {0};
    uint64_t *all = collect(run, &n);
    for (size_t i = 0; i < n; i++)
        n_of[all[i] % N_REGISTERS]++;
    for (unsigned i = 0; i < N_REGISTERS && !run->flushes; i++) {
        char key[64], text[32];
        sprintf(key, "register-%u", i);
        ask_get(peer, key);
        if (!answer_get(peer, key, &value))
            surprise("%s is gone", key);
        snprintf(text, sizeof text, "%.*s", (int)value.n, value.p);
        if (strtoull(text, NULL, 10) % GENERATION != n_of[i])
            surprise("%s is %s after %zu successes", key, text, n_of[i]);
    }
    peer_destroy(&peer);
    run->n_successes = n;
    free(all);
}

/* ---- add ---- */

#define N_ADDED 6000

static void *run_add(void *arg)
{
    struct client *c = arg;
    char key[64], text[32];
    size_t n_text = (size_t)sprintf(text, "of client %u", c->id);
    for (unsigned i = 0; i < N_ADDED; i += N_BATCH) {
        for (unsigned j = i; j < i + N_BATCH; j++) {
            sprintf(key, "added-%u", j);
            ask_store(c->peer, MODE_ADD, key, text, n_text, 0);
        }
        for (unsigned j = i; j < i + N_BATCH; j++) {
            enum outcome outcome = answer_store(c->peer);
            if (outcome == STORED)
                tell(c, j);
            else if (outcome != NOT_STORED)
                surprise("an add was answered with %d", outcome);
        }
        count(c, N_BATCH);
    }
    return NULL;
}

static void check_add(struct run *run)
{
    struct peer *peer = peer_create(&run->peer, IN_TEXT);
    struct value value;
    size_t n;
    free(collect(run, &n));
    if (n != N_ADDED)
        surprise("%zu winners of %d keys", n, N_ADDED);
    for (unsigned i = 0; i < run->n_clients; i++) {
        struct client *c = &run->clients[i];
        for (size_t j = 0; j < c->n_told; j++) {
            char key[64], text[32];
            sprintf(key, "added-%u", (unsigned)c->told[j]);
            size_t n_text = (size_t)sprintf(text, "of client %u", c->id);
            ask_get(peer, key);
            if (!answer_get(peer, key, &value) || value.n != n_text ||
                memcmp(value.p, text, n_text) != 0)
                surprise("%s is not its winner's", key);
        }
    }
    peer_destroy(&peer);
    run->n_successes = n;
}

/* ---- append ---- */

#define N_RECORDS 1500 /* of each client on each of two keys: below the largest item */

static void *run_append(void *arg)
{
    struct client *c = arg;
    char text[32];
    for (unsigned i = 0; i < N_RECORDS; i++) {
        size_t n = (size_t)sprintf(text, "%u:%u;", c->id, i);
        for (unsigned k = 0; k < 2; k++)
            ask_store(c->peer, MODE_APPEND, k == 0 ? "list-0" : "list-1", text, n, 0);
        for (unsigned k = 0; k < 2; k++)
            if (answer_store(c->peer) != STORED)
                surprise("an append was not stored");
        count(c, 2);
    }
    return NULL;
}

static void check_list(struct run *run, const char *at, size_t n)
{
    unsigned next[N_CLIENTS_MAX] = {0}, id, record;
    size_t n_records = 0;
    const char *end = at + n;
    while (at < end) {
        char text[32];
        size_t n_text = 0;
        while (n_text < sizeof text - 1 && at + n_text < end && at[n_text] != ';')
            n_text++;
        memcpy(text, at, n_text);
        text[n_text] = '\0';
        if (sscanf(text, "%u:%u", &id, &record) != 2 || id >= run->n_clients ||
            record != next[id]++)
            surprise("record '%s' is out of order", text);
        at += n_text + 1;
        n_records++;
    }
    if (n_records != (size_t)run->n_clients * N_RECORDS)
        surprise("%zu records", n_records);
    run->n_successes += n_records;
}

static void check_append(struct run *run)
{
    struct peer *peer = peer_create(&run->peer, IN_META);
    struct value value;
    for (unsigned k = 0; k < 2; k++) {
        const char *key = k == 0 ? "list-0" : "list-1";
        ask_get(peer, key);
        if (!answer_get(peer, key, &value))
            surprise("%s is gone", key);
        check_list(run, value.p, value.n);
    }
    peer_destroy(&peer);
}

/* ---- everything ---- */

enum { COUNTING, CHANGING, N_ROLES = 6 }; /* the others set and get values */

static void *run_everything(void *arg)
{
    struct client *c = arg;
    if (c->role == COUNTING)
        return run_counters(c);
    return c->role == CHANGING ? run_cas(c) : run_values(c);
}

static void check_everything(struct run *run)
{
    for (unsigned role = COUNTING; role <= CHANGING; role++) {
        size_t n;
        free(collect_role(run, role, &n));
        run->n_successes += n;
    }
}

/* ---- the run ---- */

static void start_counters(struct run *run)
{
    struct peer *peer = peer_create(&run->peer, IN_TEXT);
    char key[64];
    for (unsigned i = 0; i < N_COUNTERS; i++) {
        sprintf(key, "counter-%u", i);
        ask_store(peer, MODE_SET, key, "0", 1, 0);
        sprintf(key, "register-%u", i);
        ask_store(peer, MODE_SET, key, "0", 1, 0);
    }
    ask_store(peer, MODE_SET, "list-0", "", 0, 0);
    ask_store(peer, MODE_SET, "list-1", "", 0, 0);
    for (unsigned i = 0; i < 2 * N_COUNTERS + 2; i++)
        if (answer_store(peer) != STORED)
            surprise("the start was not stored");
    peer_destroy(&peer);
}

/* What an operator may do meanwhile. */
static void *disturb(void *arg)
{
    static const char *const limits[] = {
        "cache_memlimit 48",      "slabs automove 1",      "slabs reassign 1 2",
        "cache_memlimit 64",      "lru_crawler crawl all", "slabs reassign -1 3",
        "lru tune 20 40 0.2 2.0", "cache_memlimit 56",     "slabs automove 0",
    };
    struct client *c = arg; /* one that has no role */
    struct run *run = c->run;
    for (; !run->is_over; c->n_told++) {
        if (run->flushes && (!run->may_lose || c->n_told % 16 == 0))
            command(c->peer, "flush_all");
        if (run->changes_limits)
            command(c->peer, limits[c->n_told % (sizeof limits / sizeof *limits)]);
        usleep(20000);
    }
    return NULL;
}

static const struct {
    const char *name;
    void *(*run)(void *);
    void (*check)(struct run *);
} cases[] = {
    {"values", run_values, NULL},         {"counters", run_counters, check_counters},
    {"cas", run_cas, check_cas},          {"add", run_add, check_add},
    {"append", run_append, check_append}, {"everything", run_everything, check_everything},
};

/* What was under way when the connection ended, is unknown. */
static void forget_pending(struct client *c)
{
    for (unsigned n = 0; n < c->run->n_keys; n++)
        if (c->oldest[n] != c->stored[n])
            c->stored[n] = c->versions[n];
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    if (!c->run->may_lose)
        return c->work(c);
    if (setjmp(c->loss) != 0) {
        atomic_fetch_add(&c->run->n_losses, 1);
        forget_pending(c);
        peer_destroy(&c->peer);
        c->peer = peer_create(&c->config, (enum dialect)(c->id % 3));
    }
    peer_expect_loss(c->peer, &c->loss);
    return c->work(c);
}

static void prepare(struct client *c)
{
    struct run *run = c->run;
    size_t n_all = (size_t)run->n_clients * run->n_keys;
    c->random = 88172645463325252ull + c->id * 7919;
    c->stored = calloc(run->n_keys, sizeof *c->stored);
    c->oldest = calloc(run->n_keys, sizeof *c->oldest);
    c->lives_to = calloc(run->n_keys, sizeof *c->lives_to);
    c->ends_at = calloc(run->n_keys, sizeof *c->ends_at);
    c->versions = calloc(run->n_keys, sizeof *c->versions);
    c->seen = calloc(n_all, sizeof *c->seen);
    c->room = malloc(VALUE_HEAD + run->size_max + 256);
    if (c->stored == NULL || c->versions == NULL || c->seen == NULL || c->room == NULL ||
        c->oldest == NULL || c->lives_to == NULL || c->ends_at == NULL)
        surprise("out of memory");
    c->config = run->peer;
    if (run->tls_port != 0 && c->id % 2 == 1) {
        c->config.is_tls = true;
        c->config.port = run->tls_port;
    }
    c->role = c->id / 3 % N_ROLES;
    c->peer = peer_create(&c->config, (enum dialect)(c->id % 3));
}

static void finish(struct client *c)
{
    peer_destroy(&c->peer);
    free(c->stored);
    free(c->oldest);
    free(c->lives_to);
    free(c->ends_at);
    free(c->versions);
    free(c->seen);
    free(c->told);
    free(c->room);
}

static void start(struct client *c, unsigned seconds)
{
    clock_gettime(CLOCK_MONOTONIC, &c->end);
    c->end.tv_sec += seconds;
    if (pthread_create(&c->thread, NULL, run_client, c) != 0)
        surprise("no thread");
}

static void run_case(struct run *run, size_t which)
{
    /* Speaks text: its number is of that dialect, and of nobody else. */
    struct client disturber = {.run = run, .id = 3 * N_CLIENTS_MAX, .work = disturb};
    bool is_disturbed = run->flushes || run->changes_limits;
    run->clients = calloc(run->n_clients, sizeof *run->clients);
    if (run->clients == NULL)
        surprise("out of memory");
    start_counters(run);
    for (unsigned i = 0; i < run->n_clients; i++) {
        run->clients[i] = (struct client){.run = run, .id = i, .work = cases[which].run};
        prepare(&run->clients[i]);
        if (cases[which].run != run_everything)
            run->clients[i].role = 0;
    }
    if (is_disturbed) {
        prepare(&disturber);
        start(&disturber, run->seconds);
    }
    for (unsigned i = 0; i < run->n_clients; i++)
        start(&run->clients[i], run->seconds);
    for (unsigned i = 0; i < run->n_clients; i++)
        (void)pthread_join(run->clients[i].thread, NULL);
    run->is_over = true;
    if (is_disturbed)
        (void)pthread_join(disturber.thread, NULL);
    if (cases[which].check != NULL)
        cases[which].check(run);
    if (is_disturbed)
        finish(&disturber);
    for (unsigned i = 0; i < run->n_clients; i++)
        finish(&run->clients[i]);
    free(run->clients);
    printf("%s: %u clients, %llu requests, %llu misses, %llu proved, %llu connections ended\n",
           cases[which].name, run->n_clients, (unsigned long long)run->n_requests,
           (unsigned long long)run->n_misses, (unsigned long long)run->n_successes,
           (unsigned long long)run->n_losses);
}

static struct run run_of(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},     {"seconds", 1, NULL, 's'},  {"clients", 1, NULL, 'c'},
        {"keys", 1, NULL, 'k'},     {"size", 1, NULL, 'z'},     {"tls", 0, NULL, 't'},
        {"user", 1, NULL, 'u'},     {"password", 1, NULL, 'w'}, {"may-miss", 0, NULL, 'm'},
        {"flush", 0, NULL, 'f'},    {"limits", 0, NULL, 'l'},   {"ttl", 0, NULL, 'e'},
        {"tls-port", 1, NULL, 'T'}, {"losses", 0, NULL, 'L'},   {NULL, 0, NULL, 0}};
    struct run run = {
        .seconds = 2, .n_clients = 12, .n_keys = 100, .size_max = 20000, .generation = 1};
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned number = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (letter) {
        case 'p':
            run.peer.port = (int)number;
            break;
        case 's':
            run.seconds = number;
            break;
        case 'c':
            run.n_clients = number;
            break;
        case 'k':
            run.n_keys = number;
            break;
        case 'z':
            run.size_max = number;
            break;
        case 't':
            run.peer.is_tls = true;
            break;
        case 'u':
            run.peer.user = optarg;
            break;
        case 'w':
            run.peer.password = optarg;
            break;
        case 'm':
            run.may_miss = true;
            break;
        case 'f':
            run.flushes = run.may_miss = true;
            break;
        case 'l':
            run.changes_limits = true;
            break;
        case 'e':
            run.has_ttls = true;
            break;
        case 'T':
            run.tls_port = (int)number;
            break;
        case 'L':
            run.may_lose = run.may_miss = run.peer.is_patient = true;
            break;
        default:
            exit(64);
        }
    }
    return run;
}

int main(int argc, char **argv)
{
    struct run run = run_of(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    const char *name = optind < argc ? argv[optind] : "";
    if (run.n_clients < 1 || run.n_clients > N_CLIENTS_MAX || run.n_keys < 1 || run.size_max < 64)
        exit(64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(name, cases[i].name) != 0)
            continue;
        run_case(&run, i);
        return 0;
    }
    fprintf(stderr, "truth: no case '%s'\n", name);
    return 64;
}
