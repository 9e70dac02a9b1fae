/* Clients that set and get values: whose it is, which key, which version, and whether it is whole.
 */
#include "t/live/truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

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
    return c->run->has_ttls ? ttls[client_random(c) % (sizeof ttls / sizeof *ttls)] : 0;
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
        unsigned n = client_random(c) % c->run->n_keys, ttl = choose_ttl(c);
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
        keys[i] = client_random(c) % c->run->n_keys;
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
    unsigned owner = client_random(c) % c->run->n_clients, n = client_random(c) % c->run->n_keys;
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
    unsigned n = client_random(c) % c->run->n_keys;
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

void *run_values(void *arg)
{
    struct client *c = arg;
    while (client_goes_on(c)) {
        set_some(c);
        get_own(c);
        get_others(c);
        if (client_random(c) % 8 == 0)
            delete_one(c);
        client_count(c, 2 * N_BATCH + 1);
    }
    return NULL;
}
