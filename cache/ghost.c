#include "cache/ghost.h"

#include <sys/mman.h>

#define N_ENTRIES 16u
#define AGES      16u
#define AGES_KEPT 12u /* older entries do not count; at most AGES - 2 */

void ghost_init(struct ghost *ghost, size_t n_entries)
{
    size_t n_sets = 1;
    while (n_sets * N_ENTRIES < n_entries && n_sets < (size_t)1 << GHOST_SETS_MAX)
        n_sets *= 2;
    ghost->n_reserved = n_sets * sizeof(struct ghost_set);
    void *at = mmap(NULL, ghost->n_reserved, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ghost->sets = at == MAP_FAILED ? NULL : at;
    atomic_store(&ghost->n_sets, 0);
    atomic_store(&ghost->n_inserted, 0);
    atomic_store(&ghost->age, 1);
}

void ghost_fini(struct ghost *ghost)
{
    if (ghost->sets != NULL)
        munmap(ghost->sets, ghost->n_reserved);
    ghost->sets = NULL;
}

void ghost_resize(struct ghost *ghost, size_t n_entries)
{
    uint32_t n = atomic_load(&ghost->n_sets);
    if (ghost->sets == NULL)
        return;
    uint32_t wanted = n == 0 ? 1 : n;
    while (2 * wanted * (size_t)N_ENTRIES <= n_entries &&
           2 * (size_t)wanted * sizeof(struct ghost_set) <= ghost->n_reserved)
        wanted *= 2;
    if (wanted != n)
        atomic_store(&ghost->n_sets, wanted);
}

static struct ghost_set *set_of(const struct ghost *ghost, uint64_t hash)
{
    uint32_t n = atomic_load_explicit(&ghost->n_sets, memory_order_acquire);
    return n == 0 ? NULL : &ghost->sets[(hash >> 12) & (n - 1)];
}

static unsigned fingerprint(uint64_t hash)
{
    return (unsigned)(hash >> 44) & 0xfff0u;
}

static unsigned entry_age(unsigned entry, unsigned now)
{
    return (now - entry) % AGES;
}

/* An empty entry is 0: ages run 1..15 and wrap past 0, so that no entry written is 0. */
static unsigned age_now(const struct ghost *ghost)
{
    return atomic_load_explicit(&ghost->age, memory_order_relaxed) % AGES;
}

static void count_insert(struct ghost *ghost)
{
    uint32_t n = 1 + atomic_fetch_add_explicit(&ghost->n_inserted, 1, memory_order_relaxed);
    uint32_t per_age =
        atomic_load_explicit(&ghost->n_sets, memory_order_relaxed) * N_ENTRIES / AGES_KEPT;
    if (n > per_age) {
        atomic_store_explicit(&ghost->n_inserted, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&ghost->age, 1, memory_order_relaxed);
    }
}

void ghost_insert(struct ghost *ghost, uint64_t hash)
{
    struct ghost_set *set = set_of(ghost, hash);
    if (set == NULL)
        return;
    unsigned now = age_now(ghost), victim = 0, oldest = 0;
    for (unsigned i = 0; i < N_ENTRIES; i++) {
        unsigned entry = atomic_load_explicit(&set->entries[i], memory_order_relaxed);
        unsigned age = entry == 0 ? AGES : entry_age(entry, now) + 1;
        if (age > oldest) {
            oldest = age;
            victim = i;
        }
    }
    unsigned entry = fingerprint(hash) | now;
    atomic_store_explicit(&set->entries[victim], (uint16_t)(entry == 0 ? 0x10 : entry),
                          memory_order_relaxed);
    count_insert(ghost);
}

bool ghost_take(struct ghost *ghost, uint64_t hash)
{
    struct ghost_set *set = set_of(ghost, hash);
    if (set == NULL)
        return false;
    unsigned print = fingerprint(hash), now = age_now(ghost);
    for (unsigned i = 0; i < N_ENTRIES; i++) {
        unsigned entry = atomic_load_explicit(&set->entries[i], memory_order_relaxed);
        if (entry != 0 && (entry & 0xfff0u) == print) {
            atomic_store_explicit(&set->entries[i], 0, memory_order_relaxed);
            if (entry_age(entry, now) <= AGES_KEPT)
                return true;
        }
    }
    return false;
}

size_t ghost_n_bytes(const struct ghost *ghost)
{
    return atomic_load(&ghost->n_sets) * sizeof(struct ghost_set);
}
