/* victim.h - which segment of a tenant is emptied next.
 * Owns: nothing.   Thread: with the tenant's lock.
 * Never: changes an item. */
#ifndef CACHE_VICTIM_H
#define CACHE_VICTIM_H

#include "cache/engine.h"

struct tenant_totals {
    double n_items, mean_size;
    double group_mean[N_GROUPS];
};

/* Sums over all threads; takes the registry lock, so no other may be held. */
void tenant_totals_read(struct cache_tenant *tenant, struct tenant_totals *out);

/* A segment, of this size group or a larger one, with much that is dead, expired or flushed; at
 * least `least` of its bytes (0..1). Looks at n_scan segments, going on where it stopped. Takes it
 * out of its queue. */
uint32_t victim_take_garbage(struct cache_tenant *tenant, double least, unsigned group_least,
                             uint32_t n_scan, uint32_t now);
/* Makes open segments of a flushed generation takeable. */
void victim_seal_flushed(struct cache_tenant *tenant);
/* The one whose items are worth least by S3-FIFO's order. Takes it out of its queue. */
uint32_t victim_take_oldest(struct cache_tenant *tenant, const struct tenant_totals *totals);

#endif
