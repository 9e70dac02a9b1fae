#include "server/sight.h"

#include "server/address.h"
#include "server/conn.h"
#include "server/listener.h"
#include "server/tenants.h"
#include "server/udp.h"
#include "server/worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void sight_worker_totals(struct server *server, struct worker_totals *out)
{
    *out = (struct worker_totals){0};
    for (unsigned i = 0; i < server->n_workers; i++)
        worker_counters_add(out, server->workers[i]->counters);
}

static void add_latency(void *arg, struct tenant *tenant)
{
    struct latency_totals one;
    tenant_latency_read(tenant, &one);
    latency_totals_add(arg, &one);
}

void sight_latency(struct server *server, struct latency_totals *out)
{
    memset(out, 0, sizeof *out);
    tenants_each(server->tenants, add_latency, out);
}

void sight_buffers(struct server *server, struct sight_buffers *out)
{
    out->n_conn_bytes = (uint64_t)atomic_load(&server->n_structures) * sizeof(struct conn);
    out->n_input_bytes = server->n_workers * (uint64_t)(WORKER_INPUT + sizeof(struct batch));
}

static void tell(int fd, const char *what, const char *value, sight_visit *visit, void *arg)
{
    char name[48];
    snprintf(name, sizeof name, "%d:%s", fd, what);
    visit(arg, name, value);
}

static void tell_idle(int fd, uint32_t idle_s, sight_visit *visit, void *arg)
{
    char text[16];
    snprintf(text, sizeof text, "%u", idle_s);
    tell(fd, "secs_since_last_cmd", text, visit, arg);
}

static void tell_conn(const struct conn *conn, uint32_t now, sight_visit *visit, void *arg)
{
    char text[ADDRESS_TEXT_MAX];
    uint32_t active =
        atomic_load_explicit(&((struct conn *)conn)->last_active, memory_order_relaxed);
    address_render(&conn->peer, text, sizeof text);
    tell(conn->fd, "addr", text, visit, arg);
    tell(conn->fd, "listen_addr", listener_name(conn->listener), visit, arg);
    tell(conn->fd, "state", conn_state_name(state_now(conn)), visit, arg);
    tell_idle(conn->fd, now > active ? now - active : 0, visit, arg);
}

/* A datagram socket serves one request after the other, without connections: it is listed alone. */
static void tell_udp(int fd, uint32_t idle_s, sight_visit *visit, void *arg)
{
    union address address = {.family = AF_UNSPEC};
    socklen_t n = sizeof address;
    char text[ADDRESS_TEXT_MAX] = "udp";
    if (getsockname(fd, &address.any, &n) == 0 && address.family != AF_UNSPEC) {
        address_render(&address, text, sizeof text);
        memcpy(text, "udp", 3); /* in the place of tcp */
    }
    tell(fd, "UDP", "UDP", visit, arg);
    tell(fd, "addr", text, visit, arg);
    tell(fd, "state", "conn_read", visit, arg);
    tell_idle(fd, idle_s, visit, arg);
}

static void tell_sockets(struct server *server, uint32_t now, sight_visit *visit, void *arg)
{
    const struct listener *listener;
    int fd;
    for (size_t i = 0; (listener = listener_at(server->listeners, i)) != NULL; i++) {
        fd = listener_fd(listener);
        if (fd < 0)
            continue;
        tell(fd, "addr", listener_name(listener), visit, arg);
        tell(fd, "state", "conn_listening", visit, arg);
        tell_idle(fd, now - server->started, visit, arg);
    }
    for (size_t i = 0; (fd = udp_set_fd(server->udp, i)) >= 0; i++) {
        uint32_t active = udp_set_last_active(server->udp, i);
        tell_udp(fd, now > active ? now - active : 0, visit, arg);
    }
}

void sight_conns(struct server *server, const struct tenant *tenant, uint32_t now,
                 sight_visit *visit, void *arg)
{
    if (tenant == NULL)
        tell_sockets(server, now, visit, arg);
    for (unsigned i = 0; i < server->n_workers; i++) {
        struct worker *worker = server->workers[i];
        pthread_mutex_lock(&worker->conns_lock);
        for (const struct conn *conn = worker->conns; conn != NULL; conn = conn->next) {
            const struct tenant *its =
                atomic_load_explicit(&((struct conn *)conn)->shown_tenant, memory_order_relaxed);
            if (tenant == NULL || its == tenant)
                tell_conn(conn, now, visit, arg);
        }
        pthread_mutex_unlock(&worker->conns_lock);
    }
}
