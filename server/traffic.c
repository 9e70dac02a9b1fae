#include "server/traffic.h"

#include "server/login.h"
#include "server/tenant.h"

#include <time.h>

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* An operation is a request for a key; a name of statistics or of a mechanism is none. */
static bool is_operation(const struct request *request)
{
    switch (verb_class(request->verb)) {
    case CLASS_READ:
    case CLASS_WRITE:
    case CLASS_DELETE:
    case CLASS_INCR:
    case CLASS_TOUCH:
        return request->verb != VERB_BAD && request->key.n > 0;
    default:
        return false;
    }
}

/* A value that is still to come is paid for at once. */
static uint64_t size_of(const struct request *request, size_t n_bytes)
{
    bool is_whole = request->value.p != NULL;
    return n_bytes + (is_whole ? 0 : (uint64_t)request->n_value + request->n_trailer);
}

static size_t n_composed(const struct conn *conn)
{
    return conn->worker->out.n + conn->worker->out.n_ref;
}

enum execute_result traffic_execute(struct conn *conn, struct request *request,
                                    const struct cache_key *key, size_t n_bytes)
{
    struct tenant *tenant = conn->session.tenant; /* a login may change it */
    conn->owes_pause = true;
    int64_t now_ns = monotonic_ns();
    bool is_refused = is_operation(request) && request->status == STATUS_NONE &&
                      tenant_debt_ms(tenant, now_ns) > TENANT_DELAY_MS;
    if (is_refused) {
        request->status = (uint8_t)login_status_denied(request);
        atomic_fetch_add(&tenant->n_refused, 1);
        return execute(conn, request, key);
    }
    size_t n_before = n_composed(conn);
    uint64_t n_in = size_of(request, n_bytes);
    tenant_charge(tenant, is_operation(request), n_in, now_ns);
    enum execute_result result = execute(conn, request, key);
    size_t n_after = n_composed(conn);
    if (n_after > n_before)
        tenant_charge(tenant, 0, n_after - n_before, now_ns);
    return result;
}

void traffic_book_part(struct conn *conn)
{
    if (tenant_is_limited(conn->session.tenant))
        tenant_charge(conn->session.tenant, 0, n_composed(conn), monotonic_ns());
}

unsigned traffic_pause_ms(const struct conn *conn)
{
    if (LIKELY(!tenant_is_limited(conn->session.tenant)))
        return 0;
    unsigned ms = tenant_debt_ms(conn->session.tenant, monotonic_ns());
    return ms < TENANT_DELAY_MS ? ms : TENANT_DELAY_MS;
}
