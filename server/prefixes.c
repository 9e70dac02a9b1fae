#include "server/prefixes.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 4096

struct prefix {
    struct prefix *next;
    uint64_t n_get, n_hit, n_set, n_delete;
    size_t n;
    uint8_t name[];
};

struct prefixes {
    struct prefixes_switch turned;
    char delimiter;
    struct hash_key hash_key;
    pthread_mutex_t lock; /* covers what follows */
    size_t n_prefixes;
    size_t n_name_bytes;
    struct prefix **buckets; /* NULL until the first prefix: most tenants never count */
};

struct prefixes *prefixes_create(char delimiter, bool is_on)
{
    struct prefixes *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->delimiter = delimiter;
    atomic_init(&p->turned.is_on, is_on);
    hash_key_init(&p->hash_key, 0);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void drop_all(struct prefixes *p)
{
    for (size_t i = 0; p->buckets != NULL && i < BUCKETS; i++) {
        while (p->buckets[i] != NULL) {
            struct prefix *gone = p->buckets[i];
            p->buckets[i] = gone->next;
            free(gone);
        }
    }
    p->n_prefixes = 0;
    p->n_name_bytes = 0;
}

void prefixes_destroy(struct prefixes **prefixes)
{
    struct prefixes *p = *prefixes;
    if (p == NULL)
        return;
    *prefixes = NULL;
    drop_all(p);
    free(p->buckets);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void prefixes_turn(struct prefixes *prefixes, bool is_on)
{
    atomic_store(&prefixes->turned.is_on, is_on);
}

void prefixes_reset(struct prefixes *prefixes)
{
    pthread_mutex_lock(&prefixes->lock);
    drop_all(prefixes);
    pthread_mutex_unlock(&prefixes->lock);
}

/* The entry of a name, made when it is new; NULL beyond the bound or without memory. */
static struct prefix *entry_of(struct prefixes *p, struct slice name)
{
    if (p->buckets == NULL)
        p->buckets = calloc(BUCKETS, sizeof *p->buckets);
    if (p->buckets == NULL)
        return NULL;
    struct prefix **at = &p->buckets[hash_bytes(&p->hash_key, name, 0) % BUCKETS];
    for (struct prefix *e = *at; e != NULL; e = e->next) {
        if (slice_equal(slice_of(e->name, e->n), name))
            return e;
    }
    if (p->n_prefixes == PREFIXES_MAX)
        return NULL;
    struct prefix *e = calloc(1, sizeof *e + name.n);
    if (e == NULL)
        return NULL;
    e->n = name.n;
    memcpy(e->name, name.p, name.n);
    e->next = *at;
    *at = e;
    p->n_prefixes++;
    p->n_name_bytes += name.n;
    return e;
}

/* Locks and finds the entry of the key's prefix; NULL (and not locked) when there is none. */
static struct prefix *begin(struct prefixes *p, struct slice key)
{
    if (!prefixes_are_on(p) || key.n == 0)
        return NULL;
    const uint8_t *end = memchr(key.p, p->delimiter, key.n);
    if (end == NULL || end == key.p)
        return NULL;
    pthread_mutex_lock(&p->lock);
    struct prefix *e = entry_of(p, slice_of(key.p, (size_t)(end - key.p)));
    if (e == NULL)
        pthread_mutex_unlock(&p->lock);
    return e;
}

void prefixes_count_get(struct prefixes *prefixes, struct slice key, bool is_hit)
{
    struct prefix *e = begin(prefixes, key);
    if (e == NULL)
        return;
    e->n_get++;
    e->n_hit += is_hit;
    pthread_mutex_unlock(&prefixes->lock);
}

void prefixes_count_set(struct prefixes *prefixes, struct slice key)
{
    struct prefix *e = begin(prefixes, key);
    if (e == NULL)
        return;
    e->n_set++;
    pthread_mutex_unlock(&prefixes->lock);
}

void prefixes_count_delete(struct prefixes *prefixes, struct slice key)
{
    struct prefix *e = begin(prefixes, key);
    if (e == NULL)
        return;
    e->n_delete++;
    pthread_mutex_unlock(&prefixes->lock);
}

static size_t render(const struct prefix *e, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "PREFIX ");
    memcpy(out + n, e->name, e->n);
    n += e->n;
    n += (size_t)snprintf(out + n, room - n, " get %llu hit %llu set %llu del %llu\r\n",
                          (unsigned long long)e->n_get, (unsigned long long)e->n_hit,
                          (unsigned long long)e->n_set, (unsigned long long)e->n_delete);
    return n;
}

char *prefixes_dump(struct prefixes *prefixes, size_t *n_out)
{
    pthread_mutex_lock(&prefixes->lock);
    size_t room = prefixes->n_name_bytes + prefixes->n_prefixes * 128 + 8, n = 0;
    bool has_any = prefixes->buckets != NULL;
    char *text = malloc(room);
    for (size_t i = 0; text != NULL && has_any && i < BUCKETS; i++) {
        for (const struct prefix *e = prefixes->buckets[i]; e != NULL; e = e->next)
            n += render(e, text + n, room - n);
    }
    pthread_mutex_unlock(&prefixes->lock);
    if (text == NULL)
        return NULL;
    memcpy(text + n, "END\r\n", 6);
    *n_out = n + 5;
    return text;
}
