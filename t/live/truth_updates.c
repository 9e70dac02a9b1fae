/* Clients whose updates must neither be lost nor done twice: incr, cas, add, append. */
#include "t/live/truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void *run_counters(void *arg)
{
    struct client *c = arg;
    char key[64];
    while (client_goes_on(c)) {
        unsigned n = client_random(c) % N_COUNTERS, n_missed = 0;
        sprintf(key, "counter-%u", n);
        for (unsigned i = 0; i < N_BATCH; i++)
            ask_incr(c->peer, key);
        for (unsigned i = 0; i < N_BATCH; i++) {
            uint64_t number;
            if (answer_incr(c->peer, &number))
                client_tell(c, number * N_COUNTERS + n);
            else
                n_missed++;
        }
        client_count(c, N_BATCH);
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

uint64_t *collect_role(struct run *run, unsigned role, size_t *n_out)
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
void check_counters(struct run *run)
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
void *run_cas(void *arg)
{
    struct client *c = arg;
    char key[64], text[32];
    struct value value;
    while (client_goes_on(c)) {
        unsigned n = client_random(c) % N_REGISTERS;
        sprintf(key, "register-%u", n);
        ask_get(c->peer, key);
        client_count(c, 2);
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
            client_tell(c, number * N_REGISTERS + n);
        else if (outcome != EXISTS && (outcome != NOT_FOUND || !c->run->may_miss) &&
                 (outcome != NO_ROOM || !c->run->may_miss))
            surprise("a cas was answered with %d", outcome);
    }
    return NULL;
}

/* No old value has two successors; without flushes a register is the number of its successes. */
void check_cas(struct run *run)
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

void *run_add(void *arg)
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
                client_tell(c, j);
            else if (outcome != NOT_STORED)
                surprise("an add was answered with %d", outcome);
        }
        client_count(c, N_BATCH);
    }
    return NULL;
}

void check_add(struct run *run)
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

void *run_append(void *arg)
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
        client_count(c, 2);
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

void check_append(struct run *run)
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

/* ---- before the run ---- */

void start_updates(struct run *run)
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
