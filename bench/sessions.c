#include "bench/sessions.h"

#include "bench/flow.h"
#include "bench/peer.h"
#include "bench/scram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ASK_MAX    1024U
#define AUTH       0x21
#define STEP       0x22
#define REPLY_MAX  4096U
#define EVENTS_MAX 512

enum ask { ASK_NOTHING, ASK_SASL_PLAIN, ASK_SASL_SCRAM, ASK_TEXT_LOGIN };

static const struct row {
    const char *kind;
    enum ask ask;
    bool resumes;
} rows[] = {
    {"connect", ASK_NOTHING, false},        {"handshake", ASK_NOTHING, false},
    {"resume", ASK_NOTHING, true},          {"login", ASK_SASL_PLAIN, false},
    {"scram-login", ASK_SASL_SCRAM, false}, {"text-login", ASK_TEXT_LOGIN, false},
};

struct session {
    struct peer peer;
    uint64_t began_ns;
    bool is_asked;
    bool is_wrong; /* its password is */
    unsigned n_steps;
    struct scram scram;
    uint8_t ask[ASK_MAX];
    size_t n_ask;
    uint8_t reply[REPLY_MAX];
    size_t n_reply;
};

struct sessions {
    const struct plan *plan;
    const struct row *row;
    struct tally *tally;
    struct ssl_ctx_st *tls;
    struct ssl_session_st *resumable;
    char wrong_password[256];
    struct scram_key keys[2]; /* of the right password, and of the wrong one */
    struct slice expected;    /* how a reply in text must begin */
    uint64_t n_opened;
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

static bool is_sasl(const struct sessions *s)
{
    return s->row->ask == ASK_SASL_PLAIN || s->row->ask == ASK_SASL_SCRAM;
}

static const char *password_of(const struct sessions *s, const struct session *one)
{
    return one->is_wrong ? s->wrong_password : s->plan->password;
}

/* A SASL message; the body may lie anywhere but in the session. */
static void ask_sasl(struct session *one, uint8_t opcode, const char *mechanism, const void *body,
                     size_t n)
{
    size_t n_name = strlen(mechanism);
    MUST(24 + n_name + n <= sizeof one->ask);
    memset(one->ask, 0, 24);
    one->ask[0] = 0x80;
    one->ask[1] = opcode;
    store_be16(one->ask + 2, (uint16_t)n_name);
    store_be32(one->ask + 8, (uint32_t)(n_name + n));
    memcpy(one->ask + 24, mechanism, n_name);
    memcpy(one->ask + 24 + n_name, body, n);
    one->n_ask = 24 + n_name + n;
}

static void ask_scram(struct session *one, uint8_t opcode, const void *body, size_t n)
{
    ask_sasl(one, opcode, "SCRAM-SHA-256", body, n);
}

static void ask_first(struct sessions *s, struct session *one)
{
    const struct plan *plan = s->plan;
    uint8_t body[SCRAM_MESSAGE_MAX];
    size_t n_user = strlen(plan->user), n_password = strlen(password_of(s, one));
    MUST(n_user + n_password + 2 < sizeof body);
    switch (s->row->ask) {
    case ASK_NOTHING:
        memcpy(one->ask, "mn\r\n", 4);
        one->n_ask = 4;
        break;
    case ASK_SASL_PLAIN: /* NUL user NUL password */
        body[0] = '\0';
        memcpy(body + 1, plan->user, n_user + 1);
        memcpy(body + n_user + 2, password_of(s, one), n_password);
        ask_sasl(one, AUTH, "PLAIN", body, n_user + n_password + 2);
        break;
    case ASK_SASL_SCRAM:
        ask_scram(one, AUTH, body, scram_first(&one->scram, plan->user, s->n_opened, body));
        break;
    case ASK_TEXT_LOGIN:
        one->n_ask =
            (size_t)snprintf((char *)one->ask, sizeof one->ask, "set auth 0 0 %zu\r\n%s %s\r\n",
                             n_user + 1 + n_password, plan->user, plan->password);
        MUST(one->n_ask < sizeof one->ask);
        break;
    }
}

/* Sessions with wrong passwords come from many addresses: one alone would be slowed down. */
static uint32_t source_of(const struct sessions *s)
{
    uint64_t number = (s->n_opened + (uint64_t)getpid() * 4096) % (100u << 16);
    return s->plan->wrong_every > 0 ? (uint32_t)((1u << 16) + number) : 0;
}

static void open_one(struct sessions *s, struct session *one)
{
    *one = (struct session){.began_ns = cpu_clock_ns()};
    s->n_opened++;
    one->is_wrong = s->plan->wrong_every > 0 && s->n_opened % s->plan->wrong_every == 0;
    ask_first(s, one);
    if (!peer_open_from(&one->peer, s->plan->address, source_of(s), s->tls))
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

/* How many bytes the reply has; 24 while a binary one's header is not whole. */
static size_t n_wanted(const struct sessions *s, const struct session *one)
{
    if (!is_sasl(s))
        return s->expected.n;
    return 24 + (one->n_reply < 24 ? 0 : load_be32(one->reply + 8));
}

static bool read_reply(struct sessions *s, struct session *one)
{
    while (one->n_reply < n_wanted(s, one)) {
        size_t n = 0;
        enum peer_result result =
            peer_read(&one->peer, one->reply + one->n_reply, REPLY_MAX - one->n_reply, &n);
        if (result == PEER_AGAIN)
            return false;
        if (result != PEER_OK)
            flow_fail("the server closed the connection", one->reply, one->n_reply);
        one->n_reply += n;
    }
    return true;
}

static bool answer_challenge(struct sessions *s, struct session *one)
{
    uint8_t body[SCRAM_MESSAGE_MAX];
    struct slice challenge = slice_of(one->reply + 24, one->n_reply - 24);
    size_t n = 0;
    if (one->n_steps++ == 0) /* the second challenge is the server's proof, and has no answer */
        n = scram_final(&one->scram, &s->keys[one->is_wrong], password_of(s, one), challenge, body);
    if (n == 0 && one->n_steps != 2)
        return false;
    ask_scram(one, STEP, body, n);
    one->is_asked = false;
    one->n_reply = 0;
    return true;
}

/* True when the session is over; otherwise its next message is composed. */
static bool take_reply(struct sessions *s, struct session *one)
{
    bool is_right;
    if (!is_sasl(s)) {
        is_right = memcmp(one->reply, s->expected.p, s->expected.n) == 0;
    } else {
        uint16_t status = load_be16(one->reply + 6);
        if (one->reply[0] == 0x81 && status == 0x21 && answer_challenge(s, one))
            return false;
        is_right = one->reply[0] == 0x81 && status == (one->is_wrong ? 0x20 : 0);
    }
    if (!is_right)
        flow_fail(s->row->kind, one->reply, one->n_reply);
    return true;
}

static bool send_ask(struct session *one)
{
    size_t n = 0;
    struct iovec iov = {one->ask, one->n_ask};
    enum peer_result result = peer_handshake(&one->peer);
    if (result == PEER_AGAIN)
        return false;
    if (result != PEER_OK || peer_write(&one->peer, &iov, 1, &n) != PEER_OK || n != one->n_ask)
        flow_fail("the handshake failed", NULL, 0);
    one->is_asked = true;
    return true;
}

/* Goes as far as the socket lets it. True when the session is over. */
static bool step(struct sessions *s, struct session *one)
{
    for (;;) {
        if (!one->is_asked && !send_ask(one))
            return false;
        if (!read_reply(s, one))
            return false;
        if (take_reply(s, one))
            return true;
    }
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
    s.expected = s.row->ask == ASK_NOTHING ? SLICE("MN\r\n") : SLICE("STORED\r\n");
    snprintf(s.wrong_password, sizeof s.wrong_password, "%.200s-not", plan->password);
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
