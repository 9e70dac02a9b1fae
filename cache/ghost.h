/* ghost.h - which keys left probation lately: 12-bit fingerprints with an age of four bits.
 * Owns: its table.   Thread: entries are single atomic words and any thread may read and write
 *       them; ghost_resize runs under the tenant's lock while readers go on.
 * Never: knows a key for certain; one key in some hundreds is recognised wrongly. */
#ifndef CACHE_GHOST_H
#define CACHE_GHOST_H

#include "base/bytes.h"
#include "base/must.h"

#include <stdatomic.h>

#define GHOST_SETS_MAX 26 /* log2: 2^26 sets of 16 are 2 GiB */

struct ghost_set {
    _Atomic uint16_t entries[16];
};

/* The table is one piece of address space; growing uses more of it, nothing is moved. */
struct ghost {
    struct ghost_set *sets;
    size_t n_reserved;       /* bytes */
    _Atomic uint32_t n_sets; /* a power of two; 0: no table */
    _Atomic uint32_t n_inserted;
    _Atomic uint32_t age;
};

/* Reserves address space for up to n_entries. A ghost without a table remembers nothing. */
void ghost_init(struct ghost *ghost, size_t n_entries);
void ghost_fini(struct ghost *ghost);

/* Grows, in powers of two, to at most n_entries; keeps what is found at its place still. */
void ghost_resize(struct ghost *ghost, size_t n_entries);

void ghost_insert(struct ghost *ghost, uint64_t hash);
/* Is it there? Takes it out. */
MUST_USE bool ghost_take(struct ghost *ghost, uint64_t hash);
size_t ghost_n_bytes(const struct ghost *ghost);

#endif
