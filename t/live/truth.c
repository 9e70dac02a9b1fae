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
#include "t/live/truth.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t client_random(struct client *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random >> 16);
}

bool client_goes_on(struct client *c)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < c->end.tv_sec;
}

void client_count(struct client *c, unsigned n)
{
    atomic_fetch_add_explicit(&c->run->n_requests, n, memory_order_relaxed);
}

void client_tell(struct client *c, uint64_t number)
{
    if (c->n_told == c->told_capacity) {
        c->told_capacity = 2 * c->told_capacity + 1024;
        c->told = realloc(c->told, c->told_capacity * sizeof *c->told);
        if (c->told == NULL)
            surprise("out of memory");
    }
    c->told[c->n_told++] = number;
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
    start_updates(run);
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

static bool take_number(struct run *run, int letter, unsigned number)
{
    switch (letter) {
    case 'p':
        run->peer.port = (int)number;
        return true;
    case 's':
        run->seconds = number;
        return true;
    case 'c':
        run->n_clients = number;
        return true;
    case 'k':
        run->n_keys = number;
        return true;
    case 'z':
        run->size_max = number;
        return true;
    case 'T':
        run->tls_port = (int)number;
        return true;
    default:
        return false;
    }
}

static bool take_word(struct run *run, int letter, const char *word)
{
    switch (letter) {
    case 'u':
        run->peer.user = word;
        return true;
    case 'w':
        run->peer.password = word;
        return true;
    default:
        return false;
    }
}

static bool take_flag(struct run *run, int letter)
{
    switch (letter) {
    case 't':
        run->peer.is_tls = true;
        return true;
    case 'm':
        run->may_miss = true;
        return true;
    case 'f':
        run->flushes = run->may_miss = true;
        return true;
    case 'l':
        run->changes_limits = true;
        return true;
    case 'e':
        run->has_ttls = true;
        return true;
    case 'L':
        run->may_lose = run->may_miss = run->peer.is_patient = true;
        return true;
    default:
        return false;
    }
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
        if (!take_number(&run, letter, number) && !take_word(&run, letter, optarg) &&
            !take_flag(&run, letter))
            exit(64);
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
