#include "auth/throttle.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define N_SETS 4096u
#define N_WAYS 4u

/* 0 as key means free. */
struct entry {
    uint64_t key;
    uint64_t booked_ms; /* bookings reach to this time */
    uint64_t last_ms;   /* last use: the oldest of a set is replaced */
    uint64_t known_ms;  /* pairs: last success, 0 never */
    uint32_t n_failures;
};

struct throttle {
    pthread_mutex_t lock;
    struct hash_key hash;
    struct entry entries[N_SETS][N_WAYS];
};

struct throttle *throttle_create(void)
{
    struct throttle *throttle = calloc(1, sizeof *throttle);
    if (throttle == NULL)
        return NULL;
    if (pthread_mutex_init(&throttle->lock, NULL) != 0) {
        free(throttle);
        return NULL;
    }
    hash_key_init(&throttle->hash, 0);
    return throttle;
}

void throttle_destroy(struct throttle **throttle)
{
    if (*throttle == NULL)
        return;
    pthread_mutex_destroy(&(*throttle)->lock);
    free(*throttle);
    *throttle = NULL;
}

/* The part of the address that counts as one guesser. */
static struct slice prefix_of(const struct auth_address *address)
{
    static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (address->family == AUTH_PEER_UNIX)
        return slice_of("unix", 4);
    if (address->family == AUTH_PEER_IPV4)
        return slice_of(address->ip, 4);
    if (memcmp(address->ip, v4_mapped, sizeof v4_mapped) == 0)
        return slice_of(address->ip + 12, 4);
    return slice_of(address->ip, 6);
}

static uint64_t key_of(const struct throttle *throttle, const struct auth_address *address,
                       struct slice user, bool is_pair)
{
    uint64_t key = hash_bytes(&throttle->hash, prefix_of(address), 1);
    if (is_pair)
        key = hash_bytes(&throttle->hash, user, key);
    return key != 0 ? key : 1;
}

static struct entry *find(struct throttle *throttle, uint64_t key)
{
    struct entry *set = throttle->entries[key % N_SETS];
    for (unsigned i = 0; i < N_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
    }
    return NULL;
}

static struct entry *find_or_make(struct throttle *throttle, uint64_t key, uint64_t now_ms)
{
    struct entry *entry = find(throttle, key);
    if (entry == NULL) {
        struct entry *set = throttle->entries[key % N_SETS];
        entry = &set[0];
        for (unsigned i = 1; i < N_WAYS; i++) {
            if (set[i].key == 0 || (entry->key != 0 && set[i].last_ms < entry->last_ms))
                entry = &set[i];
        }
        memset(entry, 0, sizeof *entry);
        entry->key = key;
    } else if (now_ms >= entry->last_ms + THROTTLE_FORGET_MS) {
        entry->n_failures = 0;
    }
    entry->last_ms = now_ms;
    return entry;
}

/* The pair when it has logged in lately, otherwise the address. NULL: nothing is known. */
static struct entry *bookings_of(struct throttle *throttle, const struct auth_address *address,
                                 struct slice user, uint64_t now_ms)
{
    struct entry *pair = find(throttle, key_of(throttle, address, user, true));
    if (pair != NULL && pair->known_ms != 0 && now_ms < pair->known_ms + THROTTLE_KNOWN_MS)
        return pair;
    return find(throttle, key_of(throttle, address, user, false));
}

static uint64_t booked_after(const struct entry *entry, uint64_t now_ms)
{
    return entry->booked_ms > now_ms ? entry->booked_ms - now_ms : 0;
}

static void book(struct entry *entry, uint64_t now_ms)
{
    if (entry->booked_ms < now_ms)
        entry->booked_ms = now_ms;
    entry->booked_ms += THROTTLE_SLOT_MS;
}

static enum throttle_admission admit(struct entry *entry, uint64_t now_ms, uint32_t *wait_ms_out)
{
    uint64_t booked = entry != NULL ? booked_after(entry, now_ms) : 0;
    if (booked <= THROTTLE_BURST_MS)
        return THROTTLE_NOW;
    uint64_t wait = booked - THROTTLE_BURST_MS;
    if (wait > THROTTLE_WAIT_MAX_MS)
        return THROTTLE_REFUSE;
    book(entry, now_ms);
    *wait_ms_out = (uint32_t)wait;
    return THROTTLE_LATER;
}

enum throttle_admission throttle_admit(struct throttle *throttle,
                                       const struct auth_address *address, struct slice user,
                                       uint64_t now_ms, uint32_t *wait_ms_out)
{
    *wait_ms_out = 0;
    pthread_mutex_lock(&throttle->lock);
    enum throttle_admission admission =
        admit(bookings_of(throttle, address, user, now_ms), now_ms, wait_ms_out);
    pthread_mutex_unlock(&throttle->lock);
    return admission;
}

bool throttle_is_free(struct throttle *throttle, const struct auth_address *address,
                      struct slice user, uint64_t now_ms)
{
    pthread_mutex_lock(&throttle->lock);
    const struct entry *entry = bookings_of(throttle, address, user, now_ms);
    bool is_free = entry == NULL || booked_after(entry, now_ms) <= THROTTLE_BURST_MS;
    pthread_mutex_unlock(&throttle->lock);
    return is_free;
}

static uint32_t delay_for(uint32_t n_failures)
{
    uint32_t shift = n_failures > 16 ? 16 : n_failures;
    uint32_t delay = (uint32_t)THROTTLE_DELAY_MIN_MS << shift;
    return delay < THROTTLE_DELAY_MAX_MS ? delay : THROTTLE_DELAY_MAX_MS;
}

uint32_t throttle_fail(struct throttle *throttle, const struct auth_address *address,
                       struct slice user, uint64_t now_ms, bool is_booked)
{
    pthread_mutex_lock(&throttle->lock);
    struct entry *of_address =
        find_or_make(throttle, key_of(throttle, address, user, false), now_ms);
    struct entry *bookings = bookings_of(throttle, address, user, now_ms);
    uint32_t delay = delay_for(of_address->n_failures);
    if (of_address->n_failures < UINT32_MAX)
        of_address->n_failures++;
    if (!is_booked)
        book(bookings, now_ms);
    /* Attempts that were let in together may book far ahead; nobody waits longer for that. */
    uint64_t latest = now_ms + THROTTLE_BURST_MS + THROTTLE_WAIT_MAX_MS;
    if (bookings->booked_ms > latest)
        bookings->booked_ms = latest;
    pthread_mutex_unlock(&throttle->lock);
    return delay;
}

void throttle_succeed(struct throttle *throttle, const struct auth_address *address,
                      struct slice user, uint64_t now_ms, bool is_booked)
{
    pthread_mutex_lock(&throttle->lock);
    struct entry *bookings = bookings_of(throttle, address, user, now_ms);
    if (is_booked && bookings != NULL && bookings->booked_ms >= THROTTLE_SLOT_MS)
        bookings->booked_ms -= THROTTLE_SLOT_MS;
    struct entry *pair = find_or_make(throttle, key_of(throttle, address, user, true), now_ms);
    pair->known_ms = now_ms != 0 ? now_ms : 1;
    pthread_mutex_unlock(&throttle->lock);
}
