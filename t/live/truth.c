/* truth CASE OPTIONS...: many clients at once, each knowing what it must be told.
 *
 * CASE: values counters cas add append
 * OPTIONS: --port N  --seconds N  --clients N  --keys N (of each client)  --size BYTES (largest)
 *          --tls  --user NAME --password WORD  --may-miss (items may go)
 *          --flush (a client calls flush_all)  --limits (a client changes limits)
 *
 * A value says whose it is, which key, which version, and holds bytes that follow from these; so
 * whoever reads it knows whether it is whole. Ends with status 0 and a line of figures, or tells
 * the first wrong answer and ends with status 1. */
#include "t/live/truth_peer.h"

#include <getopt.h>
#include <pthread.h>
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
    atomic_bool is_over;
    _Atomic uint64_t n_requests;
    _Atomic uint64_t n_misses;
    _Atomic uint64_t n_successes;
    _Atomic uint64_t generation;
    struct client *clients;
};

struct client {
    struct run *run;
    pthread_t thread;
    unsigned id;
    uint64_t random;
    struct peer *peer;
    uint32_t *stored;   /* values: version of each own key, 0 none */
    uint32_t *versions; /* values: the last one given to it */
    uint32_t *seen;     /* values: of each key of each client, the newest that was read */
    uint64_t *told;     /* counters, cas: numbers that an answer told */
    size_t n_told;
    size_t told_capacity;
    char *room;
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

static void set_some(struct client *c)
{
    unsigned keys[N_BATCH];
    char key[64];
    for (unsigned i = 0; i < N_BATCH; i++) {
        unsigned n = keys[i] = next_random(c) % c->run->n_keys;
        name_key(key, c->id, n);
        size_t size = write_value(c->run, c->room, c->id, n, ++c->versions[n]);
        ask_store(c->peer, MODE_SET, key, c->room, size, 0);
        c->stored[n] = c->versions[n];
    }
    for (unsigned i = 0; i < N_BATCH; i++) {
        enum outcome outcome = answer_store(c->peer);
        if (outcome == STORED)
            continue;
        if (outcome != NO_ROOM || !c->run->may_miss)
            surprise("a set was answered with %d", outcome);
        c->stored[keys[i]] = 0; /* the old value may not come back; a later set repairs this */
    }
}

static void get_own(struct client *c)
{
    unsigned keys[N_BATCH];
    char key[64];
    struct value value;
    for (unsigned i = 0; i < N_BATCH; i++) {
        keys[i] = next_random(c) % c->run->n_keys;
        name_key(key, c->id, keys[i]);
        ask_get(c->peer, key);
    }
    for (unsigned i = 0; i < N_BATCH; i++) {
        unsigned n = keys[i];
        name_key(key, c->id, n);
        if (!answer_get(c->peer, key, &value)) {
            if (c->stored[n] != 0 && !c->run->may_miss)
                surprise("%s is gone", key);
            atomic_fetch_add(&c->run->n_misses, c->stored[n] != 0);
            c->stored[n] = 0;
            continue;
        }
        uint32_t version = read_value(c, key, &value);
        if (version != c->stored[n])
            surprise("%s has version %u instead of %u", key, version, c->stored[n]);
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
    ask_delete(c->peer, key);
    enum outcome outcome = answer_delete(c->peer);
    if (outcome != STORED && outcome != NOT_FOUND)
        surprise("a delete was answered with %d", outcome);
    if (!c->run->may_miss && (outcome == STORED) != (c->stored[n] != 0))
        surprise("delete of %s: %d", key, outcome);
    c->stored[n] = 0;
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
        if (n_missed > 0 && !c->run->flushes)
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

/* All that was told to all clients, in order; none twice. */
static uint64_t *collect(struct run *run, size_t *n_out)
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
        if (c->n_told > 0)
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
            if (!c->run->flushes)
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
        else if (outcome != EXISTS && (outcome != NOT_FOUND || !c->run->flushes))
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
    struct run *run = arg;
    struct peer *peer = peer_create(&run->peer, IN_TEXT);
    for (unsigned i = 0; !run->is_over; i++) {
        if (run->flushes)
            command(peer, "flush_all");
        if (run->changes_limits)
            command(peer, limits[i % (sizeof limits / sizeof *limits)]);
        usleep(20000);
    }
    peer_destroy(&peer);
    return NULL;
}

static const struct {
    const char *name;
    void *(*run)(void *);
    void (*check)(struct run *);
} cases[] = {
    {"values", run_values, NULL},         {"counters", run_counters, check_counters},
    {"cas", run_cas, check_cas},          {"add", run_add, check_add},
    {"append", run_append, check_append},
};

static void prepare(struct client *c)
{
    struct run *run = c->run;
    size_t n_all = (size_t)run->n_clients * run->n_keys;
    c->random = 88172645463325252ull + c->id * 7919;
    c->stored = calloc(run->n_keys, sizeof *c->stored);
    c->versions = calloc(run->n_keys, sizeof *c->versions);
    c->seen = calloc(n_all, sizeof *c->seen);
    c->room = malloc(VALUE_HEAD + run->size_max + 256);
    if (c->stored == NULL || c->versions == NULL || c->seen == NULL || c->room == NULL)
        surprise("out of memory");
    c->peer = peer_create(&run->peer, (enum dialect)(c->id % 3));
}

static void run_case(struct run *run, size_t which)
{
    pthread_t disturber;
    bool is_disturbed = run->flushes || run->changes_limits;
    run->clients = calloc(run->n_clients, sizeof *run->clients);
    if (run->clients == NULL)
        surprise("out of memory");
    start_counters(run);
    for (unsigned i = 0; i < run->n_clients; i++) {
        run->clients[i] = (struct client){.run = run, .id = i};
        prepare(&run->clients[i]);
    }
    if (is_disturbed && pthread_create(&disturber, NULL, disturb, run) != 0)
        surprise("no thread");
    for (unsigned i = 0; i < run->n_clients; i++) {
        struct client *c = &run->clients[i];
        clock_gettime(CLOCK_MONOTONIC, &c->end);
        c->end.tv_sec += run->seconds;
        if (pthread_create(&c->thread, NULL, cases[which].run, c) != 0)
            surprise("no thread");
    }
    for (unsigned i = 0; i < run->n_clients; i++)
        (void)pthread_join(run->clients[i].thread, NULL);
    run->is_over = true;
    if (is_disturbed)
        (void)pthread_join(disturber, NULL);
    if (cases[which].check != NULL)
        cases[which].check(run);
    printf("%s: %u clients, %llu requests, %llu misses, %llu proved\n", cases[which].name,
           run->n_clients, (unsigned long long)run->n_requests, (unsigned long long)run->n_misses,
           (unsigned long long)run->n_successes);
}

static struct run run_of(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},  {"seconds", 1, NULL, 's'},  {"clients", 1, NULL, 'c'},
        {"keys", 1, NULL, 'k'},  {"size", 1, NULL, 'z'},     {"tls", 0, NULL, 't'},
        {"user", 1, NULL, 'u'},  {"password", 1, NULL, 'w'}, {"may-miss", 0, NULL, 'm'},
        {"flush", 0, NULL, 'f'}, {"limits", 0, NULL, 'l'},   {NULL, 0, NULL, 0}};
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
        default:
            exit(64);
        }
    }
    return run;
}

int main(int argc, char **argv)
{
    struct run run = run_of(argc, argv);
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
