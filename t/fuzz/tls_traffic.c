/* A real client over TLS, whose requests, reads, key updates and ends come in any order, and whose
 * bytes cross in any pieces: it gets the bytes that a plain connection gets for the same requests,
 * as many as it waited for. A damaged byte, or a connection that is cut, costs the rest, and never
 * changes what came before.
 *
 * The first byte is how (see HOW_), the second the number of operations of two bytes each; the rest
 * are requests as in connection.c. */
#include "server/jobs.h"
#include "t/fuzz/arrival.h"
#include "t/fuzz/certificate.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOW_TLS_1_2 1u /* otherwise 1.3 */
#define HOW_RESUMED 2u /* with the session of the connection before */
#define HOW_NARROW  4u /* the server's socket holds little */
#define ROUNDS_MAX  20000

enum op {
    OP_SEND,      /* requests enter the client's TLS */
    OP_CARRY_IN,  /* bytes of the client reach the server's socket */
    OP_CARRY_OUT, /* bytes leave the server's socket */
    OP_TURN,      /* the server works */
    OP_READ,      /* the client takes answers */
    OP_UPDATE,    /* new keys, with or without asking for the server's */
    OP_DAMAGE,    /* the next byte that is carried in has another bit */
    OP_END,       /* close_notify of the client, or a cut */
};

struct client {
    SSL *ssl;
    BIO *in, *out; /* memory: the ends of the client's wire */
    int fd;        /* the other end of the server's socket */
    bool is_damaging;
    bool is_damaged;
    bool has_ended; /* said so, or was cut */
    bool is_cut;
    bool has_failed; /* its TLS ended with an error */
    bool saw_notify;
    struct slice left; /* requests that are not sent yet */
    size_t n_carried;
    size_t n_answers;
    uint8_t carried[65536]; /* taken from the client, not by the socket yet */
    uint8_t answers[1 << 20];
};

/* In place of the job threads: done at once, and told in the worker's next turn. */
void jobs_submit(struct jobs *jobs, struct job *job)
{
    (void)jobs;
    job->run(job);
}

static void settle(struct client *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        c->saw_notify = true;
    else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        c->has_failed = true;
    ERR_clear_error();
}

static bool may_talk(const struct client *c)
{
    return !c->has_failed && !c->is_cut;
}

static size_t send_requests(struct client *c, size_t n)
{
    size_t n_put = 0;
    n = n < c->left.n ? n : c->left.n;
    if (!may_talk(c) || c->has_ended)
        return 0;
    int result = n > 0 ? SSL_write_ex(c->ssl, c->left.p, n, &n_put) : SSL_do_handshake(c->ssl);
    if (result != 1)
        settle(c, result);
    c->left.p += n_put;
    c->left.n -= n_put;
    return n_put;
}

static size_t read_answers(struct client *c, size_t n)
{
    size_t n_got = 0, room = sizeof c->answers - c->n_answers;
    n = n < room ? n : room;
    if (!may_talk(c) || c->saw_notify || n == 0)
        return 0;
    int result = SSL_read_ex(c->ssl, c->answers + c->n_answers, n, &n_got);
    if (result != 1)
        settle(c, result);
    c->n_answers += n_got;
    return n_got;
}

/* One memory of the kernel's and one of ours: what the socket refuses waits. */
static size_t carry_in(struct client *c, size_t n)
{
    size_t room = sizeof c->carried - c->n_carried;
    n = n < room ? n : room;
    int got = n > 0 ? BIO_read(c->out, c->carried + c->n_carried, (int)n) : 0;
    if (got > 0 && c->is_damaging) {
        c->carried[c->n_carried] ^= 1;
        c->is_damaging = false;
        c->is_damaged = true;
    }
    c->n_carried += got > 0 ? (size_t)got : 0;
    if (c->is_cut || c->n_carried == 0)
        return 0;
    ssize_t sent = send(c->fd, c->carried, c->n_carried, MSG_NOSIGNAL);
    if (sent <= 0)
        return 0;
    c->n_carried -= (size_t)sent;
    memmove(c->carried, c->carried + sent, c->n_carried);
    return (size_t)sent;
}

static size_t carry_out(struct client *c, size_t n)
{
    uint8_t bytes[16384];
    ssize_t got = n > 0 ? recv(c->fd, bytes, n < sizeof bytes ? n : sizeof bytes, 0) : 0;
    if (got <= 0)
        return 0;
    HOLDS(BIO_write(c->in, bytes, (int)got) == got);
    return (size_t)got;
}

static void end(struct client *c, bool is_cut)
{
    if (is_cut) {
        c->is_cut = true;
        (void)shutdown(c->fd, SHUT_WR);
    } else if (!c->has_failed && SSL_is_init_finished(c->ssl)) {
        int result = SSL_shutdown(c->ssl);
        if (result < 0)
            settle(c, result);
    }
    c->has_ended = true;
}

static void update_keys(struct client *c, bool wants_answer)
{
    if (!may_talk(c) || c->has_ended || !SSL_is_init_finished(c->ssl))
        return;
    if (SSL_version(c->ssl) == TLS1_3_VERSION)
        (void)SSL_key_update(c->ssl, wants_answer ? SSL_KEY_UPDATE_REQUESTED
                                                  : SSL_KEY_UPDATE_NOT_REQUESTED);
    ERR_clear_error();
}

static void operate(struct client *c, struct line *line, uint8_t op, uint8_t size)
{
    size_t n = (size_t)size << (op >> 3 & 7);
    switch ((enum op)(op & 7)) {
    case OP_SEND:
        (void)send_requests(c, n);
        break;
    case OP_CARRY_IN:
        (void)carry_in(c, n);
        break;
    case OP_CARRY_OUT:
        (void)carry_out(c, n);
        break;
    case OP_TURN:
        line_turn(line);
        break;
    case OP_READ:
        (void)read_answers(c, n);
        break;
    case OP_UPDATE:
        update_keys(c, (size & 1) != 0);
        break;
    case OP_DAMAGE:
        c->is_damaging = true;
        break;
    case OP_END:
        end(c, (size & 1) != 0);
        break;
    }
}

/* Lets everything through until nothing moves any more. */
static void finish(struct client *c, struct line *line)
{
    unsigned n_still = 0;
    for (unsigned round = 0; n_still < 4; round++) {
        HOLDS(round < ROUNDS_MAX);
        size_t n = send_requests(c, SIZE_MAX) + carry_in(c, SIZE_MAX);
        line_turn(line);
        n += carry_out(c, SIZE_MAX) + read_answers(c, SIZE_MAX);
        n_still = n > 0 ? 0 : n_still + 1;
    }
}

static SSL_SESSION *last_session[2];

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **last = &last_session[SSL_version(ssl) == TLS1_3_VERSION];
    SSL_SESSION_free(*last);
    *last = session;
    return 1;
}

static SSL_CTX *create_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    HOLDS(context != NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    return context;
}

static void client_open(struct client *c, struct line *line, struct instance *instance, uint8_t how)
{
    static SSL_CTX *context;
    static struct tls *tls;
    static const int narrow = 1;
    int fds[2], version = (how & HOW_TLS_1_2) != 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (tls == NULL) {
        tls = certificate_tls();
        context = create_context();
    }
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    if ((how & HOW_NARROW) != 0)
        HOLDS(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &narrow, sizeof narrow) == 0);
    memset(c, 0, offsetof(struct client, carried));
    c->fd = fds[1];
    c->ssl = SSL_new(context);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    HOLDS(c->ssl != NULL && c->in != NULL && c->out != NULL);
    BIO_set_mem_eof_return(c->in, -1);
    BIO_set_mem_eof_return(c->out, -1);
    SSL_set_bio(c->ssl, c->in, c->out);
    HOLDS(SSL_set_min_proto_version(c->ssl, version) && SSL_set_max_proto_version(c->ssl, version));
    SSL_SESSION *last = last_session[version == TLS1_3_VERSION];
    if ((how & HOW_RESUMED) != 0 && last != NULL)
        HOLDS(SSL_set_session(c->ssl, last) == 1);
    SSL_set_connect_state(c->ssl);
    line_open_tls(line, instance, tls, fds[0]);
}

static void client_close(struct client *c, struct line *line)
{
    line_turn(line);
    line_close(line);
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    ERR_clear_error();
    close(c->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct instance *instances[2];
    static uint8_t *expanded;
    static struct client *c;
    struct line plain, line;
    if (n < 2)
        return 0;
    if (expanded == NULL) {
        expanded = malloc(EXPANDED_MAX);
        c = calloc(1, sizeof *c);
        instances[0] = instance_create(false);
        instances[1] = instance_create(false);
        HOLDS(expanded != NULL && c != NULL);
    }
    size_t n_ops = data[1] < (n - 2) / 2 ? data[1] : (n - 2) / 2;
    const uint8_t *ops = data + 2;
    struct slice input = slice_of(ops + 2 * n_ops, n - 2 - 2 * n_ops);
    struct slice bytes = slice_of(expanded, arrival_expand(input, expanded));
    if (arrival_matters(bytes))
        return 0;
    instance_reset(instances[0]);
    line_open(&plain, instances[0], 0);
    line_send(&plain, bytes);
    instance_reset(instances[1]);
    client_open(c, &line, instances[1], data[0]);
    c->left = bytes;
    for (size_t i = 0; i < n_ops; i++)
        operate(c, &line, ops[2 * i], ops[2 * i + 1]);
    finish(c, &line);
    size_t n_all = plain.out.n < sizeof c->answers ? plain.out.n : sizeof c->answers;
    HOLDS(c->n_answers <= n_all);
    HOLDS(c->n_answers == 0 || memcmp(c->answers, plain.out.p, c->n_answers) == 0);
    if (!c->is_damaged && !c->has_ended) {
        HOLDS(c->n_answers == n_all);
        HOLDS((line.conn == NULL) == (plain.conn == NULL));
        HOLDS(c->saw_notify == (line.conn == NULL));
    }
    HOLDS(!c->is_cut || line.conn == NULL);
    line_close(&plain);
    client_close(c, &line);
    return 0;
}
