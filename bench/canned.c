/* canned - the floor: counts bytes and answers with replies made beforehand, parsing nothing.
 * What it reaches is what sockets, kernel and load program allow; no server can do better. */
#include "bench/peer.h"
#include "bench/script.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define INBOX_SIZE (1U << 20)
#define EVENTS_MAX 512

struct conn {
    struct peer peer;
    uint64_t window;
    uint64_t n_seen;     /* bytes of the current window's request */
    struct slice unsent; /* of the last reply */
    bool is_handshaken;
};

struct responder {
    struct script script;
    struct ssl_ctx_st *tls;
    uint8_t *inbox;
    int listener, epoll;
};

static void watch(const struct responder *r, struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    MUST(epoll_ctl(r->epoll, operation, conn->peer.fd, &event) == 0);
}

static void accept_all(struct responder *r)
{
    for (;;) {
        struct conn *conn = calloc(1, sizeof *conn);
        MUST(conn != NULL);
        if (!peer_accept(&conn->peer, r->listener, r->tls)) {
            free(conn);
            return;
        }
        watch(r, conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void drop(struct conn *conn)
{
    peer_close(&conn->peer, true);
    free(conn);
}

static bool send_unsent(const struct responder *r, struct conn *conn)
{
    while (conn->unsent.n > 0) {
        struct iovec iov = {(void *)(uintptr_t)conn->unsent.p, conn->unsent.n};
        size_t n = 0;
        enum peer_result result = peer_write(&conn->peer, &iov, 1, &n);
        if (result == PEER_AGAIN) {
            watch(r, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return true;
        }
        if (result != PEER_OK)
            return false;
        conn->unsent = slice_of(conn->unsent.p + n, conn->unsent.n - n);
    }
    return true;
}

/* Counts n bytes; every complete window is answered. The load sends one window at a time, so at
 * most one reply is under way. */
static bool count_bytes(const struct responder *r, struct conn *conn, size_t n)
{
    const struct script *script = &r->script;
    conn->n_seen += n;
    while (conn->n_seen >= script->n_request[conn->window]) {
        conn->n_seen -= script->n_request[conn->window];
        conn->unsent = script->reply[conn->window];
        conn->window = (conn->window + 1) % script->n_windows;
        if (!send_unsent(r, conn))
            return false;
    }
    return true;
}

static bool serve(const struct responder *r, struct conn *conn, uint32_t events)
{
    if (!conn->is_handshaken) {
        enum peer_result result = peer_handshake(&conn->peer);
        if (result != PEER_OK)
            return result == PEER_AGAIN;
        conn->is_handshaken = true;
    }
    if ((events & EPOLLOUT) != 0 && conn->unsent.n > 0) {
        if (!send_unsent(r, conn))
            return false;
        if (conn->unsent.n == 0)
            watch(r, conn, EPOLL_CTL_MOD, EPOLLIN);
    }
    for (;;) {
        size_t n = 0;
        enum peer_result result = peer_read(&conn->peer, r->inbox, INBOX_SIZE, &n);
        if (result != PEER_OK)
            return result == PEER_AGAIN;
        if (!count_bytes(r, conn, n))
            return false;
        if (conn->peer.ssl == NULL)
            return true;
    }
}

static void loop(struct responder *r)
{
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event incoming = {.events = EPOLLIN, .data.ptr = NULL};
    MUST(epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &incoming) == 0);
    for (;;) {
        int n = epoll_wait(r->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn == NULL)
                accept_all(r);
            else if (!serve(r, conn, events[i].events))
                drop(conn);
        }
    }
}

int main(int argc, char **argv)
{
    struct responder r = {0};
    struct rlimit limit;
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: canned ADDRESS SCRIPT [CERTIFICATE KEY]\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc == 5)
        r.tls = peer_server_tls_create(argv[3], argv[4]);
    r.listener = peer_listen(argv[1]);
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    r.inbox = malloc(INBOX_SIZE);
    if (!script_read(&r.script, argv[2]) || r.listener < 0 || r.epoll < 0 || r.inbox == NULL) {
        fprintf(stderr, "canned: %s or %s: %s\n", argv[1], argv[2], strerror(errno));
        return 1;
    }
    loop(&r);
    return 0;
}
