/* traffic.h - a tenant's limits on traffic, applied to the requests of its connections.
 * Owns: nothing; what is booked stands in struct tenant.   Thread: the connection's worker.
 * Never: refuses what old clients do not survive: logins, stats, and whatever names no key. */
#ifndef SERVER_TRAFFIC_H
#define SERVER_TRAFFIC_H

#include "server/execute.h"

/* execute(), for a tenant with limits. A request of n_bytes is booked, and so is its answer. While
 * the debt is more than TENANT_DELAY_MS can cover, a request for a key is refused instead, and
 * counted. What is refused is not booked: going on asking does not lengthen the debt. */
MUST_USE enum execute_result traffic_execute(struct conn *conn, struct request *request,
                                             const struct cache_key *key, size_t n_bytes);

/* Books what a long answer has just put into the worker's output. */
void traffic_book_part(struct conn *conn);

/* Milliseconds that the connection is to be held back for before it reads: what its tenant owes, at
 * most TENANT_DELAY_MS. */
unsigned traffic_pause_ms(const struct conn *conn);

#endif
