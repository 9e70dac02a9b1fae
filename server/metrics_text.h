/* metrics_text.h - what the pages of --metrics say: Prometheus text, and JSON for the status page.
 * Owns: nothing.   Thread: any.
 * Never: tells a key, a user, an address or a secret. Names of tenants are all it tells of them. */
#ifndef SERVER_METRICS_TEXT_H
#define SERVER_METRICS_TEXT_H

#include "server/latency.h"
#include "server/server.h"

#include "auth/auth.h"
#include "tls/tls.h"

#include <sys/resource.h>

struct evbuffer;

/* The server at one moment. */
struct seen {
    struct server *server;
    uint32_t now;
    struct rusage usage;
    struct tenant_totals tenant; /* sum of all */
    struct worker_totals worker;
    struct cache_stats cache;
    struct auth_counters auth;
    struct tls_counters tls;
    struct tls_info certificate;
    struct latency_totals latency;
};

/* Sums all workers and tenants. */
void metrics_see(struct server *server, struct seen *out);

/* False when memory was short. */
MUST_USE bool metrics_text(const struct seen *f, struct evbuffer *out);
MUST_USE bool status_json(const struct seen *f, struct evbuffer *out);

#endif
