#include "bench/flow.h"

#include "bench/peer.h"
#include "bench/window.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define INBOX_SIZE    (256U << 10)
#define EVENTS_MAX    512
#define PATIENCE_MS   10000 /* on a busy machine nothing may move for seconds */
#define IN_PLACE_MIN  32768U
#define PRELOAD_BURST (64U << 10)
/* memcached reads 16 KiB at a time and forgets what OpenSSL still holds beyond that. */
#define PRELOAD_BURST_TLS   8192U
#define PRELOAD_PATIENCE_MS 20000
/* Holds the refusal of every set of a burst. */
#define REFUSALS_MAX (256U << 10)

struct conn {
    struct peer peer;
    struct unit *units;
    size_t at_unit;
    uint64_t n_sent;
    uint64_t sent_ns;
    uint8_t *in; /* bytes of a reply that is not whole yet */
    size_t n_in, n_in_max;
    uint8_t *rest; /* requests that the socket did not take; NULL when all are sent */
    size_t n_rest, at_rest;
};

struct flow {
    const struct plan *plan;
    const struct kind *kind;
    struct keyspace *ks;
    struct tally *tally;
    struct conn *conns;
    size_t n_units;
    struct outbox out;
    uint8_t *inbox;
    int epoll;
    bool is_done;
};

_Noreturn void flow_fail(const char *what, const uint8_t *reply, size_t n)
{
    fprintf(stderr, "load: %s: \"", what);
    for (size_t i = 0; i < n && i < 160; i++)
        fprintf(stderr, isprint(reply[i]) && reply[i] != '\\' ? "%c" : "\\x%02x", reply[i]);
    fprintf(stderr, "\"\n");
    exit(1);
}

static _Noreturn void fail_errno(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(struct flow *flow, struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(flow->epoll, operation, conn->peer.fd, &event) != 0)
        fail_errno("epoll_ctl");
}

/* Keeps what the socket did not take and waits until it does. */
static void keep_rest(struct flow *flow, struct conn *conn, size_t n_taken)
{
    const struct outbox *out = &flow->out;
    conn->n_rest = out->n_bytes - n_taken;
    conn->at_rest = 0;
    conn->rest = malloc(conn->n_rest);
    MUST(conn->rest != NULL);
    size_t at = 0;
    for (int i = 0; i < out->n_iov; i++) {
        size_t n = out->iov[i].iov_len;
        size_t n_skip = n_taken < n ? n_taken : n;
        n_taken -= n_skip;
        memcpy(conn->rest + at, (uint8_t *)out->iov[i].iov_base + n_skip, n - n_skip);
        at += n - n_skip;
    }
    watch(flow, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void send_window(struct flow *flow, struct conn *conn, uint64_t now_ns)
{
    struct outbox *out = &flow->out;
    size_t n = 0;
    outbox_clear(out);
    window_fill(flow->plan, flow->kind, flow->ks, &conn->n_sent, conn->units);
    for (size_t i = 0; i < flow->n_units; i++)
        op_request(flow->ks, conn->units[i], out);
    conn->at_unit = 0;
    conn->sent_ns = now_ns;
    enum peer_result result = peer_write(&conn->peer, out->iov, out->n_iov, &n);
    if (result == PEER_FAILED || result == PEER_CLOSED)
        fail_errno("the server closed the connection");
    if (n < out->n_bytes)
        keep_rest(flow, conn, n);
}

static void send_rest(struct flow *flow, struct conn *conn)
{
    struct iovec iov = {conn->rest + conn->at_rest, conn->n_rest - conn->at_rest};
    size_t n = 0;
    enum peer_result result = peer_write(&conn->peer, &iov, 1, &n);
    if (result == PEER_FAILED || result == PEER_CLOSED)
        fail_errno("the server closed the connection");
    conn->at_rest += n;
    if (conn->at_rest < conn->n_rest)
        return;
    free(conn->rest);
    conn->rest = NULL;
    watch(flow, conn, EPOLL_CTL_MOD, EPOLLIN);
}

static void count(struct flow *flow, uint64_t n_ops, uint64_t n_misses, uint64_t latency_ns)
{
    struct tally *tally = flow->tally;
    if (n_misses > 0 && !flow->plan->allow_miss)
        flow_fail("a stored key is missing", NULL, 0);
    if (!tally->is_measuring || n_ops == 0)
        return;
    tally->n_ops += n_ops;
    tally->n_misses += n_misses;
    histogram_add(&tally->latency, latency_ns, n_ops);
}

/* Checks the replies in p; returns how many bytes were whole replies. */
static size_t check_replies(struct flow *flow, struct conn *conn, const uint8_t *p, size_t n,
                            uint64_t now_ns)
{
    size_t at = 0;
    uint64_t n_ops = 0, n_misses = 0;
    for (; conn->at_unit < flow->n_units; conn->at_unit++) {
        struct unit unit = conn->units[conn->at_unit];
        size_t n_used = 0;
        enum verdict verdict = op_check(flow->ks, unit, p + at, n - at, &n_used);
        if (verdict == VERDICT_MORE)
            break;
        if (verdict == VERDICT_BAD)
            flow_fail(op_name(unit.op), p + at, n - at);
        at += n_used;
        n_ops += op_counts(unit.op);
        n_misses += verdict == VERDICT_MISS;
    }
    if (conn->at_unit == flow->n_units && at < n)
        flow_fail("more than was asked for", p + at, n - at);
    count(flow, n_ops, n_misses, now_ns - conn->sent_ns);
    return at;
}

/* Moves the bytes p..p+n, the start of a reply, to the front of the connection's own buffer. */
static void keep_partial(struct conn *conn, const uint8_t *p, size_t n, size_t n_room)
{
    if (conn->n_in_max < n + n_room) {
        uint8_t *in = malloc(n + n_room);
        MUST(in != NULL);
        if (n > 0)
            memcpy(in, p, n);
        free(conn->in);
        conn->in = in;
        conn->n_in_max = n + n_room;
    } else if (n > 0) {
        memmove(conn->in, p, n);
    }
    conn->n_in = n;
}

/* One read, its replies checked. False when there is nothing to read now. */
static bool receive_once(struct flow *flow, struct conn *conn)
{
    size_t n_room = op_size_max(flow->ks) + flow->ks->n_value + 16384;
    bool is_in_place = conn->n_in > 0 || flow->ks->n_value >= IN_PLACE_MIN;
    if (is_in_place && conn->n_in_max - conn->n_in < n_room)
        keep_partial(conn, conn->in, conn->n_in, 2 * n_room);
    uint8_t *to = is_in_place ? conn->in + conn->n_in : flow->inbox;
    size_t n_to = is_in_place ? conn->n_in_max - conn->n_in : INBOX_SIZE;
    size_t n = 0;
    enum peer_result result = peer_read(&conn->peer, to, n_to, &n);
    if (result == PEER_AGAIN)
        return false;
    if (result != PEER_OK)
        flow_fail("the server closed the connection", conn->in, conn->n_in);
    uint64_t now_ns = cpu_clock_ns();
    if (flow->tally->is_measuring)
        flow->tally->n_bytes_in += n;
    const uint8_t *p = is_in_place ? conn->in : flow->inbox;
    size_t n_all = is_in_place ? conn->n_in + n : n;
    size_t n_used = check_replies(flow, conn, p, n_all, now_ns);
    conn->n_in = n_all;
    if (n_used > 0 || !is_in_place)
        keep_partial(conn, p + n_used, n_all - n_used, n_all > n_used ? n_room : 0);
    if (conn->at_unit == flow->n_units && conn->rest == NULL && !flow->is_done)
        send_window(flow, conn, now_ns);
    return true;
}

/* TLS may hold bytes that the descriptor no longer shows, so it is read until it is empty. */
static void receive(struct flow *flow, struct conn *conn)
{
    bool is_more = receive_once(flow, conn);
    while (is_more && conn->peer.ssl != NULL)
        is_more = receive_once(flow, conn);
}

/* Moves between warm-up, measurement and end. */
static void advance(struct flow *flow, uint64_t end_of_warmup_ns, uint64_t end_ns)
{
    const struct plan *plan = flow->plan;
    struct tally *tally = flow->tally;
    uint64_t now_ns = cpu_clock_ns();
    if (!tally->is_measuring && now_ns >= end_of_warmup_ns)
        tally_begin(tally, plan->server_pid);
    if (!tally->is_measuring)
        return;
    bool is_over = plan->requests > 0 ? tally->n_ops >= plan->requests : now_ns >= end_ns;
    if (!is_over)
        return;
    tally_end(tally, plan->server_pid);
    flow->is_done = true;
}

static void loop(struct flow *flow)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t warm_ns = cpu_clock_ns() + (uint64_t)(flow->plan->warmup * 1e9);
    uint64_t end_ns = warm_ns + (uint64_t)(flow->plan->seconds * 1e9);
    advance(flow, warm_ns, end_ns);
    while (!flow->is_done) {
        int n = epoll_wait(flow->epoll, events, EVENTS_MAX, PATIENCE_MS);
        if (n < 0 && errno != EINTR)
            fail_errno("epoll_wait");
        if (n == 0)
            flow_fail("no reply within ten seconds", NULL, 0);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0 && conn->rest != NULL)
                send_rest(flow, conn);
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                receive(flow, conn);
        }
        advance(flow, warm_ns, end_ns);
    }
}

/* As text clients do: the first set is "user password". */
static void log_in(const struct plan *plan, struct peer *peer)
{
    char text[600], reply[64];
    size_t n = 0, n_reply = 0;
    struct iovec iov = {text, (size_t)snprintf(text, sizeof text, "set auth 0 0 %zu\r\n%s %s\r\n",
                                               strlen(plan->user) + 1 + strlen(plan->password),
                                               plan->user, plan->password)};
    if (iov.iov_len >= sizeof text || peer_write(peer, &iov, 1, &n) != PEER_OK || n != iov.iov_len)
        flow_fail("the login cannot be sent", NULL, 0);
    while (n_reply < 8) {
        enum peer_result result =
            peer_read(peer, (uint8_t *)reply + n_reply, sizeof reply - n_reply, &n);
        if (result == PEER_AGAIN) {
            usleep(50);
            continue;
        }
        if (result != PEER_OK)
            flow_fail("the login failed", NULL, 0);
        n_reply += n;
    }
    if (memcmp(reply, "STORED\r\n", 8) != 0)
        flow_fail("login", (const uint8_t *)reply, n_reply);
}

/* Completes a handshake, and the login, on a stream that nothing else happens on yet. */
static void shake_hands(const struct plan *plan, struct peer *peer)
{
    enum peer_result result;
    while ((result = peer_handshake(peer)) == PEER_AGAIN)
        usleep(50);
    if (result != PEER_OK)
        flow_fail("the TLS handshake failed", NULL, 0);
    if (plan->log_in)
        log_in(plan, peer);
}

static void conn_open(struct flow *flow, struct conn *conn, struct ssl_ctx_st *tls)
{
    *conn = (struct conn){0};
    if (!peer_open(&conn->peer, flow->plan->address, tls))
        fail_errno("cannot connect");
    shake_hands(flow->plan, &conn->peer);
    conn->units = malloc(flow->n_units * sizeof *conn->units);
    MUST(conn->units != NULL);
    watch(flow, conn, EPOLL_CTL_ADD, EPOLLIN);
}

static void conn_close(struct conn *conn)
{
    peer_close(&conn->peer, true);
    free(conn->units);
    free(conn->in);
    free(conn->rest);
}

void flow_run(const struct plan *plan, const struct kind *kind, struct keyspace *ks,
              struct ssl_ctx_st *tls, struct tally *tally)
{
    struct flow flow = {.plan = plan, .kind = kind, .ks = ks, .tally = tally};
    flow.n_units = window_n_units(plan, kind);
    flow.epoll = epoll_create1(EPOLL_CLOEXEC);
    flow.conns = calloc(plan->connections, sizeof *flow.conns);
    flow.inbox = malloc(INBOX_SIZE);
    MUST(flow.epoll >= 0 && flow.conns != NULL && flow.inbox != NULL);
    outbox_init(&flow.out, window_n_scratch(plan, kind, ks));
    for (uint64_t i = 0; i < plan->connections; i++)
        conn_open(&flow, &flow.conns[i], tls);
    for (uint64_t i = 0; i < plan->connections; i++)
        send_window(&flow, &flow.conns[i], cpu_clock_ns());
    loop(&flow);
    for (uint64_t i = 0; i < plan->connections; i++)
        conn_close(&flow.conns[i]);
    outbox_fini(&flow.out);
    free(flow.conns);
    free(flow.inbox);
    close(flow.epoll);
}

/* Waits until the one stream of the preload moves again. */
static void wait_for(const struct peer *peer, short events)
{
    struct pollfd one = {.fd = peer->fd, .events = events};
    if (poll(&one, 1, PRELOAD_PATIENCE_MS) == 0)
        flow_fail("the server does not take the keys", NULL, 0);
}

/* Sends all of out. */
static void send_all(struct peer *peer, const struct outbox *out)
{
    for (int i = 0; i < out->n_iov; i++) {
        struct iovec iov = out->iov[i];
        while (iov.iov_len > 0) {
            size_t n = 0;
            enum peer_result result = peer_write(peer, &iov, 1, &n);
            if (result == PEER_AGAIN)
                wait_for(peer, POLLOUT);
            else if (result != PEER_OK)
                fail_errno("storing the keys");
            iov = (struct iovec){(uint8_t *)iov.iov_base + n, iov.iov_len - n};
        }
    }
}

/* Waits for the answer to "mn", before which a quiet set says nothing unless it is refused. Returns
 * how many were; refusals end the run unless allow_refused. */
static uint64_t expect_mn(const struct plan *plan, struct peer *peer, uint8_t *reply)
{
    size_t n_all = 0;
    uint64_t n_lines = 0;
    while (n_all < 4 || memcmp(reply + n_all - 4, "MN\r\n", 4) != 0) {
        size_t n = 0;
        enum peer_result result = peer_read(peer, reply + n_all, REFUSALS_MAX - n_all, &n);
        if (result == PEER_AGAIN)
            wait_for(peer, POLLIN);
        else if (result != PEER_OK)
            fail_errno("storing the keys");
        for (size_t i = n_all; i < n_all + n; i++)
            n_lines += reply[i] == '\n';
        n_all += n;
        if (n_lines > 0 && n_all > 4 && !plan->allow_refused)
            flow_fail("storing the keys", reply, n_all);
    }
    return n_lines - 1;
}

/* "ms KEY LENGTH q": silent when stored. */
static void quiet_set(const struct keyspace *ks, uint32_t key, struct outbox *out)
{
    char length[32];
    outbox_copy(out, "ms ", 3);
    keyspace_key(ks, key, outbox_add(out, ks->n_key));
    outbox_copy(out, length, (size_t)snprintf(length, sizeof length, " %zu q\r\n", ks->n_value));
    outbox_value(out, keyspace_value(ks, key), ks->n_value);
    outbox_copy(out, "\r\n", 2);
}

uint64_t flow_preload(const struct plan *plan, struct keyspace *ks, struct ssl_ctx_st *tls)
{
    uint64_t n_refused = 0;
    uint8_t *reply = malloc(REFUSALS_MAX);
    MUST(reply != NULL);
    struct peer peer;
    struct outbox out;
    size_t n_burst_bytes = tls == NULL ? PRELOAD_BURST : PRELOAD_BURST_TLS;
    uint64_t n_burst = 1 + n_burst_bytes / (ks->n_value + ks->n_key + 16);
    outbox_init(&out, n_burst * op_size_max(ks) + 64);
    if (!peer_open(&peer, plan->address, tls))
        fail_errno("cannot connect");
    shake_hands(plan, &peer);
    uint64_t end = plan->first_key + ks->n_keys;
    for (uint64_t key = plan->first_key; key < end;) {
        outbox_clear(&out);
        for (uint64_t i = 0; i < n_burst && key < end; i++)
            quiet_set(ks, (uint32_t)key++, &out);
        outbox_copy(&out, "mn\r\n", 4);
        send_all(&peer, &out);
        n_refused += expect_mn(plan, &peer, reply);
    }
    peer_close(&peer, true);
    outbox_fini(&out);
    free(reply);
    return n_refused;
}
