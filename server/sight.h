/* sight.h - what is known of the server as a whole: sums over workers, the list of connections.
 * Owns: nothing.   Thread: any; takes each worker's conns_lock for a moment.
 * Never: touches a connection but for the fields that conn.h says others may read. */
#ifndef SERVER_SIGHT_H
#define SERVER_SIGHT_H

#include "server/counters.h"
#include "server/latency.h"
#include "server/server.h"

/* Sums of all workers since the start. */
void sight_worker_totals(struct server *server, struct worker_totals *out);

/* Service times of all tenants. */
void sight_latency(struct server *server, struct latency_totals *out);

/* Memory that connections take besides -m. */
struct sight_buffers {
    uint64_t n_conn_bytes;  /* connection structures */
    uint64_t n_input_bytes; /* the workers' buffers */
};
void sight_buffers(struct server *server, struct sight_buffers *out);

/* Name and value are valid during the call, which must not block: a lock is held. */
typedef void sight_visit(void *arg, const char *name, const char *value);

struct tenant;

/* The lines of `stats conns`: the connections of one tenant, or (NULL) listeners and all. */
void sight_conns(struct server *server, const struct tenant *tenant, uint32_t now,
                 sight_visit *visit, void *arg);

#endif
