#include "server/ghost_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE (GHOST_KEYS * 2) /* open addressing, at most half full */
#define N_TIMES    (GHOST_KEYS * 4) /* places on the time line until it is packed */
#define SUB_BITS   3                /* eight distances for each power of two */
#define N_STEPS    (56 << SUB_BITS)
#define NO_TIME    0u
#define SIZE_GUESS 256 /* of a key that was never seen stored, until sizes are known */

/* A followed key. hash 0 is an empty place: that key is not followed. */
struct ghost {
    uint64_t hash;
    uint32_t size;
    uint32_t time; /* its place on the time line, 1.. */
};

struct ghost_list {
    _Atomic uint64_t limit;
    unsigned n;
    unsigned now; /* the latest place taken */
    uint64_t n_bytes;
    double n_gets; /* weighed by 1 / rate at their time */
    uint64_t n_samples;
    double hits[N_STEPS]; /* by distance */
    struct ghost table[TABLE_SIZE];
    uint64_t sums[N_TIMES + 1]; /* Fenwick tree of sizes over the time line */
};

struct ghost_list *ghost_list_create(void)
{
    struct ghost_list *list = calloc(1, sizeof *list);
    if (list != NULL)
        atomic_store(&list->limit, GHOST_LIMIT);
    return list;
}

void ghost_list_destroy(struct ghost_list **list)
{
    free(*list);
    *list = NULL;
}

uint64_t ghost_list_limit(const struct ghost_list *list)
{
    return atomic_load_explicit(&((struct ghost_list *)list)->limit, memory_order_relaxed);
}

double ghost_list_rate(const struct ghost_list *list)
{
    return (double)ghost_list_limit(list) / (double)UINT64_MAX;
}

uint64_t ghost_list_samples(const struct ghost_list *list)
{
    return list->n_samples;
}

void ghost_list_reset(struct ghost_list *list)
{
    list->n_gets = 0;
    list->n_samples = 0;
    memset(list->hits, 0, sizeof list->hits);
}

/* ---- the time line: bytes used since a place was taken ---- */

static void weigh(struct ghost_list *list, unsigned time, uint64_t delta)
{
    for (; time <= N_TIMES; time += time & -time)
        list->sums[time] += delta; /* modulo 2^64: a negative delta works too */
}

static uint64_t bytes_until(const struct ghost_list *list, unsigned time)
{
    uint64_t sum = 0;
    for (; time > 0; time -= time & -time)
        sum += list->sums[time];
    return sum;
}

static int by_time(const void *a, const void *b)
{
    const struct ghost *const *x = a, *const *y = b;
    return (*x)->time < (*y)->time ? -1 : 1;
}

/* The keys keep their order and take the first places. */
static void pack(struct ghost_list *list)
{
    struct ghost *order[GHOST_KEYS];
    unsigned n = 0;
    for (unsigned i = 0; i < TABLE_SIZE; i++) {
        if (list->table[i].hash != 0)
            order[n++] = &list->table[i];
    }
    qsort(order, n, sizeof order[0], by_time);
    memset(list->sums, 0, sizeof list->sums);
    for (unsigned i = 0; i < n; i++) {
        order[i]->time = i + 1;
        weigh(list, i + 1, order[i]->size);
    }
    list->now = n;
}

/* ---- the table ---- */

/* Hashes that are followed are small: their upper bits are all alike. */
static unsigned home(uint64_t hash)
{
    return (unsigned)(hash * 0x9e3779b97f4a7c15ull >> 32) % TABLE_SIZE;
}

static struct ghost *find(struct ghost_list *list, uint64_t hash)
{
    unsigned at = home(hash);
    while (list->table[at].hash != 0 && list->table[at].hash != hash)
        at = (at + 1) % TABLE_SIZE;
    return &list->table[at];
}

/* Those behind it move up, so that every key is found from its home without marks. */
static void take_out(struct ghost_list *list, struct ghost *ghost)
{
    unsigned hole = (unsigned)(ghost - list->table), at = hole;
    weigh(list, ghost->time, -(uint64_t)ghost->size);
    list->n_bytes -= ghost->size;
    list->n--;
    for (;;) {
        at = (at + 1) % TABLE_SIZE;
        if (list->table[at].hash == 0)
            break;
        unsigned from_home = (at + TABLE_SIZE - home(list->table[at].hash)) % TABLE_SIZE;
        if (from_home < (at + TABLE_SIZE - hole) % TABLE_SIZE)
            continue;
        list->table[hole] = list->table[at];
        hole = at;
    }
    list->table[hole].hash = 0;
}

/* Too many keys: those with the largest hashes are not followed any more. */
static void lower_limit(struct ghost_list *list)
{
    uint64_t limit = ghost_list_limit(list);
    while (list->n > GHOST_KEYS * 7 / 8) {
        limit -= limit / 8;
        for (unsigned i = 0; i < TABLE_SIZE;) {
            if (list->table[i].hash > limit)
                take_out(list, &list->table[i]); /* another may have moved here */
            else
                i++;
        }
    }
    atomic_store_explicit(&list->limit, limit, memory_order_relaxed);
}

/* ---- uses ---- */

static uint32_t usual_size(const struct ghost_list *list)
{
    return list->n > 0 ? (uint32_t)(list->n_bytes / list->n) : SIZE_GUESS;
}

/* The key becomes the most recently used. */
static void use(struct ghost_list *list, uint64_t hash, uint32_t size)
{
    if (list->now == N_TIMES)
        pack(list);
    struct ghost *ghost = find(list, hash);
    if (ghost->hash == 0) {
        if (list->n >= GHOST_KEYS - 1)
            lower_limit(list);
        if (hash > ghost_list_limit(list))
            return;
        ghost = find(list, hash);
        *ghost = (struct ghost){.hash = hash, .size = size != 0 ? size : usual_size(list)};
        list->n++;
        list->n_bytes += ghost->size;
    } else {
        weigh(list, ghost->time, -(uint64_t)ghost->size);
        if (size != 0) {
            list->n_bytes += (uint64_t)size - ghost->size;
            ghost->size = size;
        }
    }
    ghost->time = ++list->now;
    weigh(list, ghost->time, ghost->size);
}

static unsigned step_of(double distance)
{
    int exponent;
    if (distance < 2)
        return 0;
    double fraction = frexp(distance, &exponent); /* [0.5, 1) */
    unsigned part = (unsigned)((fraction - 0.5) * 2 * (1 << SUB_BITS));
    unsigned step = ((unsigned)(exponent - 1) << SUB_BITS) + part;
    return step < N_STEPS ? step : N_STEPS - 1;
}

static double end_of(unsigned step)
{
    double part = 1 + (double)((step & ((1 << SUB_BITS) - 1)) + 1) / (1 << SUB_BITS);
    return ldexp(part, (int)(step >> SUB_BITS));
}

void ghost_list_get(struct ghost_list *list, uint64_t hash, uint32_t size)
{
    if (hash == 0 || hash > ghost_list_limit(list))
        return;
    double rate = ghost_list_rate(list);
    const struct ghost *ghost = find(list, hash);
    list->n_samples++;
    list->n_gets += 1 / rate;
    if (ghost->hash != 0) {
        /* Its own bytes have to be there too. */
        uint64_t n_since = list->n_bytes - bytes_until(list, ghost->time) + ghost->size;
        list->hits[step_of((double)n_since / rate)] += 1 / rate;
    }
    if (ghost->hash != 0 || size != 0) /* what is not there takes no room until it is stored */
        use(list, hash, size);
}

void ghost_list_set(struct ghost_list *list, uint64_t hash, uint32_t size)
{
    if (hash != 0 && hash <= ghost_list_limit(list))
        use(list, hash, size);
}

void ghost_list_drop(struct ghost_list *list, uint64_t hash)
{
    if (hash == 0 || hash > ghost_list_limit(list))
        return;
    struct ghost *ghost = find(list, hash);
    if (ghost->hash != 0)
        take_out(list, ghost);
}

double ghost_list_hit_ratio(const struct ghost_list *list, uint64_t n_bytes, uint64_t n_gets)
{
    double n_hits = (double)n_gets - list->n_gets, begin = 0;
    if (list->n_samples == 0 || n_gets == 0)
        return 0;
    for (unsigned i = 0; i < N_STEPS && begin < (double)n_bytes; i++) {
        double end = end_of(i);
        double share = end <= (double)n_bytes ? 1 : ((double)n_bytes - begin) / (end - begin);
        n_hits += list->hits[i] * share;
        begin = end;
    }
    double ratio = n_hits / (double)n_gets;
    return ratio < 0 ? 0 : ratio > 1 ? 1 : ratio;
}
