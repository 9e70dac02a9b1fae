/* tenants.h - all tenants of the server, as the tenants file has them.
 * Owns: every struct tenant; they live until the server ends, so that counters and connections may
 *       point to them.
 * Thread: tenants_prepare, tenants_retire and tenants_sync one at a time, under the server's
 *         refresh_lock; tenants_get and tenants_each any.
 * Never: drops a tenant's cache while a connection may still use it: a tenant that left the file
 *        loses its items and its guarantee, and keeps its place. */
#ifndef SERVER_TENANTS_H
#define SERVER_TENANTS_H

#include "server/tenant.h"

struct auth;
struct auth_tenant;
struct tenants;

/* Makes the tenant "default" (id 0). NULL when memory is short. */
MUST_USE struct tenants *tenants_create(struct cache *cache, unsigned n_workers,
                                        char prefix_delimiter, bool is_detail_on);
void tenants_destroy(struct tenants **tenants);

/* Makes the tenant of a set that is about to be the current one, if it is new or had left, without
 * a guarantee yet. False when memory is short. */
MUST_USE bool tenants_prepare(struct tenants *tenants, const struct auth_tenant *tenant);

/* Those that auth does not know give their memory to the others: what was prepared for a set that
 * did not become the current one, and whoever left the file. */
void tenants_retire(struct tenants *tenants, struct auth *auth);

/* Takes over what auth knows now: new tenants, changed limits, tenants that left. False when
 * memory is short; what was taken over stays. */
MUST_USE bool tenants_sync(struct tenants *tenants, struct auth *auth);

/* By id; NULL for an unknown one. */
struct tenant *tenants_get(struct tenants *tenants, unsigned id);

/* All of them by ascending id, those that left the file included. No lock is held during visit. */
typedef void tenants_visit(void *arg, struct tenant *tenant);
void tenants_each(struct tenants *tenants, tenants_visit *visit, void *arg);

#endif
