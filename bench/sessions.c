#include "bench/sessions.h"

#include "bench/flow.h"
#include "bench/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ASK_MAX    600U
#define REPLY_MAX  4096U
#define EVENTS_MAX 512

enum ask { ASK_NOTHING, ASK_SASL_PLAIN, ASK_TEXT_LOGIN };

static const struct row {
    const char *kind;
    enum ask ask;
    bool resumes;
} rows[] = {
    {"connect", ASK_NOTHING, false},       {"handshake", ASK_NOTHING, false},
    {"resume", ASK_NOTHING, true},         {"login", ASK_SASL_PLAIN, false},
    {"text-login", ASK_TEXT_LOGIN, false},
};

struct session {
    struct peer peer;
    uint64_t began_ns;
    bool is_asked;
    uint8_t reply[REPLY_MAX];
    size_t n_reply;
};

struct sessions {
    const struct plan *plan;
    const struct row *row;
    struct tally *tally;
    struct ssl_ctx_st *tls;
    struct ssl_session_st *resumable;
    uint8_t ask[ASK_MAX];
    size_t n_ask;
    struct slice expected; /* how the reply must begin */
    int epoll;
};

static const struct row *row_find(const char *kind)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].kind, kind) == 0)
            return &rows[i];
    return NULL;
}

bool sessions_knows(const char *kind)
{
    return row_find(kind) != NULL;
}

/* SASL_AUTH with mechanism PLAIN: NUL user NUL password. */
static void ask_sasl_plain(struct sessions *s)
{
    const struct plan *plan = s->plan;
    size_t n_user = strlen(plan->user), n_password = strlen(plan->password);
    size_t n_body = 5 + 1 + n_user + 1 + n_password;
    MUST(24 + n_body <= sizeof s->ask);
    s->ask[0] = 0x80;
    s->ask[1] = 0x21;
    store_be16(s->ask + 2, 5);
    store_be32(s->ask + 8, (uint32_t)n_body);
    memcpy(s->ask + 24, "PLAIN", 5);
    memcpy(s->ask + 30, plan->user, n_user);
    memcpy(s->ask + 31 + n_user, plan->password, n_password);
    s->n_ask = 24 + n_body;
    s->expected = SLICE("\x81\x21\0\0\0\0\0\0");
}

static void prepare(struct sessions *s)
{
    switch (s->row->ask) {
    case ASK_NOTHING:
        memcpy(s->ask, "mn\r\n", 4);
        s->n_ask = 4;
        s->expected = SLICE("MN\r\n");
        break;
    case ASK_SASL_PLAIN:
        ask_sasl_plain(s);
        break;
    case ASK_TEXT_LOGIN:
        s->n_ask = (size_t)snprintf((char *)s->ask, sizeof s->ask, "set auth 0 0 %zu\r\n%s %s\r\n",
                                    strlen(s->plan->user) + 1 + strlen(s->plan->password),
                                    s->plan->user, s->plan->password);
        MUST(s->n_ask < sizeof s->ask);
        s->expected = SLICE("STORED\r\n");
        break;
    }
}

static void open_one(struct sessions *s, struct session *one)
{
    *one = (struct session){.began_ns = cpu_clock_ns()};
    if (!peer_open(&one->peer, s->plan->address, s->tls))
        flow_fail(strerror(errno), NULL, 0);
    if (s->row->resumes && s->resumable != NULL)
        peer_resume(&one->peer, s->resumable);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = one};
    MUST(epoll_ctl(s->epoll, EPOLL_CTL_ADD, one->peer.fd, &event) == 0);
}

static void finish(struct sessions *s, struct session *one)
{
    struct tally *tally = s->tally;
    if (tally->is_measuring) {
        tally->n_ops++;
        tally->n_resumed += one->peer.ssl != NULL && peer_is_resumed(&one->peer);
        histogram_add(&tally->latency, cpu_clock_ns() - one->began_ns, 1);
    }
    if (s->row->resumes) {
        peer_session_drop(&s->resumable);
        s->resumable = peer_session_take(&one->peer);
    }
    peer_close(&one->peer, true);
}

static bool read_reply(struct sessions *s, struct session *one)
{
    while (one->n_reply < s->expected.n) {
        size_t n = 0;
        enum peer_result result =
            peer_read(&one->peer, one->reply + one->n_reply, REPLY_MAX - one->n_reply, &n);
        if (result == PEER_AGAIN)
            return false;
        if (result != PEER_OK)
            flow_fail("the server closed the connection", one->reply, one->n_reply);
        one->n_reply += n;
    }
    /* Bytes 2 to 5 of a binary reply are lengths: only magic, opcode and status are compared. */
    bool is_binary = s->row->ask == ASK_SASL_PLAIN;
    bool is_right =
        is_binary ? memcmp(one->reply, s->expected.p, 2) == 0 && load_be16(one->reply + 6) == 0
                  : memcmp(one->reply, s->expected.p, s->expected.n) == 0;
    if (!is_right)
        flow_fail(s->row->kind, one->reply, one->n_reply);
    return true;
}

/* Goes as far as the socket lets it. True when the session is over. */
static bool step(struct sessions *s, struct session *one)
{
    if (!one->is_asked) {
        size_t n = 0;
        struct iovec iov = {s->ask, s->n_ask};
        enum peer_result result = peer_handshake(&one->peer);
        if (result == PEER_AGAIN)
            return false;
        if (result != PEER_OK || peer_write(&one->peer, &iov, 1, &n) != PEER_OK || n != s->n_ask)
            flow_fail("the handshake failed", NULL, 0);
        one->is_asked = true;
    }
    return read_reply(s, one);
}

/* One session alone, so that the others have something to resume. */
static void warm_up(struct sessions *s, struct session *one)
{
    open_one(s, one);
    while (!step(s, one))
        usleep(50);
    finish(s, one);
}

static void loop(struct sessions *s)
{
    struct epoll_event events[EVENTS_MAX];
    const struct plan *plan = s->plan;
    uint64_t warm_ns = cpu_clock_ns() + (uint64_t)(plan->warmup * 1e9);
    uint64_t end_ns = warm_ns + (uint64_t)(plan->seconds * 1e9);
    for (;;) {
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, 5000);
        if (n == 0)
            flow_fail("no reply within five seconds", NULL, 0);
        for (int i = 0; i < n; i++) {
            struct session *one = events[i].data.ptr;
            if (!step(s, one))
                continue;
            finish(s, one);
            open_one(s, one);
        }
        uint64_t now_ns = cpu_clock_ns();
        if (!s->tally->is_measuring && now_ns >= warm_ns)
            tally_begin(s->tally, plan->server_pid);
        bool is_over = plan->requests > 0 ? s->tally->n_ops >= plan->requests : now_ns >= end_ns;
        if (s->tally->is_measuring && is_over)
            break;
    }
    tally_end(s->tally, plan->server_pid);
}

void sessions_run(const struct plan *plan, struct ssl_ctx_st *tls, struct tally *tally)
{
    struct sessions s = {.plan = plan, .row = row_find(plan->kind), .tally = tally, .tls = tls};
    if (s.row->resumes && tls == NULL)
        flow_fail("resume needs --tls", NULL, 0);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct session *all = calloc(plan->connections, sizeof *all);
    MUST(s.epoll >= 0 && all != NULL);
    prepare(&s);
    warm_up(&s, &all[0]);
    for (uint64_t i = 0; i < plan->connections; i++)
        open_one(&s, &all[i]);
    loop(&s);
    for (uint64_t i = 0; i < plan->connections; i++)
        peer_close(&all[i].peer, true);
    peer_session_drop(&s.resumable);
    free(all);
    close(s.epoll);
}
