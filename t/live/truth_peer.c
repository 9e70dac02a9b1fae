#include "t/live/truth_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/buffer.h"

#define N_ASKED_MAX 64
#define N_PACKET    24

struct peer {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    const char *failed; /* step of the last try to connect */
    enum dialect dialect;
    uint32_t next_opaque; /* of the next ask */
    uint32_t due_opaque;  /* of the next answer */
    struct buffer out;
    struct buffer in;
    size_t at; /* in `in`: what was not looked at yet */
    jmp_buf *loss;
};

_Noreturn void surprise(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "truth: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    exit(1);
}

/* ---- bytes ---- */

static _Noreturn void lose(struct peer *peer, const char *how)
{
    if (peer->loss == NULL)
        surprise("%s", how);
    longjmp(*peer->loss, 1);
}

static void send_all(struct peer *peer)
{
    for (size_t at = 0; at < peer->out.n;) {
        size_t n_left = peer->out.n - at;
        ssize_t n = peer->ssl != NULL ? SSL_write(peer->ssl, peer->out.p + at, (int)n_left)
                                      : send(peer->fd, peer->out.p + at, n_left, MSG_NOSIGNAL);
        if (n <= 0)
            lose(peer, "the server took no more bytes");
        at += (size_t)n;
    }
    peer->out.n = 0;
}

/* At least n bytes are there; what was asked is sent first. */
static const char *have(struct peer *peer, size_t n)
{
    if (peer->out.n > 0)
        send_all(peer);
    if (peer->in.n - peer->at < n && peer->at > 0) {
        memmove(peer->in.p, peer->in.p + peer->at, peer->in.n - peer->at);
        peer->in.n -= peer->at;
        peer->at = 0;
    }
    while (peer->in.n - peer->at < n) {
        buffer_reserve(&peer->in, 65536);
        size_t n_room = peer->in.capacity - peer->in.n;
        ssize_t n_now = peer->ssl != NULL
                            ? SSL_read(peer->ssl, peer->in.p + peer->in.n, (int)n_room)
                            : recv(peer->fd, peer->in.p + peer->in.n, n_room, 0);
        if (n_now <= 0)
            lose(peer, "the server closed or is silent");
        peer->in.n += (size_t)n_now;
    }
    return (char *)peer->in.p + peer->at;
}

/* The next line, ended by a NUL in place of CR LF. */
static char *line(struct peer *peer)
{
    for (size_t n = 1;;) {
        have(peer, n);
        char *start = (char *)peer->in.p + peer->at;
        char *end = memchr(start, '\n', peer->in.n - peer->at);
        if (end != NULL) {
            if (end == start || end[-1] != '\r')
                surprise("a line without CR");
            end[-1] = '\0';
            peer->at += (size_t)(end + 1 - start);
            return start;
        }
        n = peer->in.n - peer->at + 1;
        if (n > 4096)
            surprise("a line without end");
    }
}

/* ---- binary packets ---- */

static void put_be(uint8_t *p, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const char *p, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | (uint8_t)p[i];
    return value;
}

static void put_packet(struct peer *peer, uint8_t opcode, const char *key, size_t n_extras,
                       const void *extras, const char *value, size_t n, uint64_t cas)
{
    uint8_t head[N_PACKET] = {0x80, opcode, 0, (uint8_t)strlen(key), (uint8_t)n_extras};
    put_be(head + 8, strlen(key) + n_extras + n, 4);
    put_be(head + 12, peer->next_opaque++, 4);
    put_be(head + 16, cas, 8);
    buffer_put(&peer->out, head, sizeof head);
    buffer_put(&peer->out, extras, n_extras);
    buffer_put(&peer->out, key, strlen(key));
    buffer_put(&peer->out, value, n);
}

struct packet {
    unsigned opcode;
    unsigned status;
    uint64_t cas;
    size_t n_extras;
    const char *body;
    size_t n_body;
};

static struct packet packet(struct peer *peer, unsigned opcode)
{
    const char *p = have(peer, N_PACKET);
    size_t n_body = (size_t)get_be(p + 8, 4);
    p = have(peer, N_PACKET + n_body);
    struct packet got = {(uint8_t)p[1],     (unsigned)get_be(p + 6, 2),
                         get_be(p + 16, 8), (uint8_t)p[4],
                         p + N_PACKET,      n_body};
    if ((uint8_t)p[0] != 0x81 || got.opcode != opcode || get_be(p + 12, 4) != peer->due_opaque)
        surprise("packet %02x %02x opaque %u instead of %02x %u", (uint8_t)p[0], got.opcode,
                 (unsigned)get_be(p + 12, 4), opcode, peer->due_opaque);
    peer->due_opaque++;
    peer->at += N_PACKET + n_body;
    return got;
}

/* ---- life ---- */

static void login(struct peer *peer, const struct peer_config *config)
{
    char text[256];
    size_t n_user = strlen(config->user), n_password = strlen(config->password);
    if (peer->dialect == IN_BINARY) {
        memcpy(text + 1, config->user, n_user + 1);
        memcpy(text + n_user + 2, config->password, n_password);
        text[0] = '\0';
        put_packet(peer, 0x21, "PLAIN", 0, "", text, n_user + n_password + 2, 0);
        if (packet(peer, 0x21).status != 0)
            surprise("login refused");
        return;
    }
    buffer_print(&peer->out, "set login 0 0 %zu\r\n%s %s\r\n", n_user + n_password + 1,
                 config->user, config->password);
    const char *answer = line(peer);
    if (strcmp(answer, "STORED") != 0)
        surprise("login refused: %s", answer);
}

static bool try_connect(struct peer *peer, const struct peer_config *config)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)config->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 60};
    int yes = 1;
    peer->failed = "connection";
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return false;
    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!config->is_tls)
        return true;
    peer->context = SSL_CTX_new(TLS_client_method());
    peer->ssl = peer->context != NULL ? SSL_new(peer->context) : NULL;
    if (peer->ssl == NULL || SSL_set_fd(peer->ssl, peer->fd) != 1)
        surprise("no TLS");
    peer->failed = "handshake";
    return SSL_connect(peer->ssl) == 1;
}

static void hang_up(struct peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    if (peer->fd >= 0)
        close(peer->fd);
    peer->ssl = NULL;
    peer->context = NULL;
}

/* A server that stops may take the connection and end it before the login is answered. */
static bool try_begin(struct peer *peer, const struct peer_config *config)
{
    jmp_buf loss;
    if (!try_connect(peer, config))
        return false;
    peer->failed = "login";
    peer->loss = &loss;
    if (setjmp(loss) != 0) {
        peer->loss = NULL;
        return false;
    }
    if (config->user != NULL)
        login(peer, config);
    peer->loss = NULL;
    return true;
}

struct peer *peer_create(const struct peer_config *config, enum dialect dialect)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        surprise("out of memory");
    peer->dialect = dialect;
    for (unsigned n_tries = 0; !try_begin(peer, config); n_tries++) {
        if (n_tries == (config->is_patient ? 6000 : 0))
            surprise("no %s in %u tries: %s", peer->failed, n_tries + 1, strerror(errno));
        hang_up(peer);
        peer->in.n = peer->at = peer->out.n = 0;
        peer->next_opaque = peer->due_opaque = 0;
        usleep(10000);
    }
    return peer;
}

void peer_destroy(struct peer **peer)
{
    struct peer *p = *peer;
    *peer = NULL;
    hang_up(p);
    free(p->in.p);
    free(p->out.p);
    free(p);
}

void peer_expect_loss(struct peer *peer, jmp_buf *loss)
{
    peer->loss = loss;
}

/* ---- requests ---- */

struct stored {
    enum store_mode mode;
    const char *value;
    size_t n;
    uint64_t cas;
    unsigned ttl;
};

static void put_store(struct peer *peer, const char *key, const struct stored *stored)
{
    static const char *const verbs[] = {"set", "add", "append"};
    static const uint8_t opcodes[] = {0x01, 0x02, 0x0e};
    uint8_t extras[8] = {0};
    size_t n = stored->n;
    if (peer->dialect == IN_BINARY) {
        put_be(extras + 4, stored->ttl, 4);
        put_packet(peer, opcodes[stored->mode], key, stored->mode == MODE_APPEND ? 0 : 8, extras,
                   stored->value, n, stored->cas);
        return;
    }
    if (peer->dialect == IN_META)
        buffer_print(&peer->out, "ms %s %zu O%u M%c", key, n, peer->next_opaque++,
                     "SEA"[stored->mode]);
    else
        buffer_print(&peer->out, "%s %s 0 %u %zu", stored->cas != 0 ? "cas" : verbs[stored->mode],
                     key, stored->ttl, n);
    if (stored->cas != 0)
        buffer_print(&peer->out, peer->dialect == IN_META ? " C%llu" : " %llu",
                     (unsigned long long)stored->cas);
    if (stored->ttl != 0 && peer->dialect == IN_META)
        buffer_print(&peer->out, " T%u", stored->ttl);
    buffer_put(&peer->out, "\r\n", 2);
    buffer_put(&peer->out, stored->value, n);
    buffer_put(&peer->out, "\r\n", 2);
}

void ask_store(struct peer *peer, enum store_mode mode, const char *key, const char *value,
               size_t n, uint64_t cas)
{
    put_store(peer, key, &(struct stored){.mode = mode, .value = value, .n = n, .cas = cas});
}

void ask_set(struct peer *peer, const char *key, const char *value, size_t n, unsigned ttl)
{
    put_store(peer, key, &(struct stored){.mode = MODE_SET, .value = value, .n = n, .ttl = ttl});
}

/* The opaque of a meta answer is the one that is due. */
static void check_opaque(struct peer *peer, const char *answer)
{
    const char *mark = strstr(answer, " O");
    if (mark == NULL || strtoul(mark + 2, NULL, 10) != peer->due_opaque)
        surprise("'%s' instead of the answer %u", answer, peer->due_opaque);
    peer->due_opaque++;
}

static enum outcome outcome_of_text(struct peer *peer, const char *answer)
{
    static const struct {
        const char *text, *meta;
        enum outcome outcome;
    } rows[] = {
        {"STORED", "HD", STORED},  {"NOT_STORED", "NS", NOT_STORED},
        {"EXISTS", "EX", EXISTS},  {"NOT_FOUND", "NF", NOT_FOUND},
        {"DELETED", "HD", STORED}, {"SERVER_ERROR out of memory storing object", "", NO_ROOM},
    };
    bool is_meta = peer->dialect == IN_META && strncmp(answer, "SERVER_ERROR", 12) != 0;
    if (is_meta)
        check_opaque(peer, answer);
    else if (peer->dialect == IN_META)
        peer->due_opaque++;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is_meta ? strncmp(answer, rows[i].meta, 2) == 0 && rows[i].meta[0] != '\0'
                    : strcmp(answer, rows[i].text) == 0)
            return rows[i].outcome;
    surprise("'%s' is the answer to a store", answer);
}

static enum outcome outcome_of_packet(const struct packet *got)
{
    switch (got->status) {
    case 0x00:
        return STORED;
    case 0x01:
        return NOT_FOUND;
    case 0x02:
        return got->opcode == 2 ? NOT_STORED : EXISTS;
    case 0x05:
        return NOT_STORED;
    case 0x82:
        return NO_ROOM;
    default:
        surprise("status %02x", got->status);
    }
}

enum outcome answer_store(struct peer *peer)
{
    if (peer->dialect != IN_BINARY)
        return outcome_of_text(peer, line(peer));
    uint8_t opcode = (uint8_t)have(peer, N_PACKET)[1];
    struct packet got = packet(peer, opcode);
    return outcome_of_packet(&got);
}

void ask_get(struct peer *peer, const char *key)
{
    if (peer->dialect == IN_BINARY)
        put_packet(peer, 0, key, 0, "", "", 0, 0);
    else if (peer->dialect == IN_META)
        buffer_print(&peer->out, "mg %s c v O%u\r\n", key, peer->next_opaque++);
    else
        buffer_print(&peer->out, "gets %s\r\n", key);
}

static bool text_value(struct peer *peer, const char *key, struct value *out)
{
    char name[256];
    unsigned flags;
    size_t n;
    unsigned long long cas;
    const char *first = line(peer);
    if (strcmp(first, "END") == 0)
        return false;
    if (sscanf(first, "VALUE %255s %u %zu %llu", name, &flags, &n, &cas) != 4 ||
        strcmp(name, key) != 0)
        surprise("'%s' is the answer to gets %s", first, key);
    const char *p = have(peer, n + 7);
    if (memcmp(p + n, "\r\nEND\r\n", 7) != 0)
        surprise("no END behind the value of %s", key);
    peer->at += n + 7;
    *out = (struct value){p, n, cas};
    return true;
}

static bool meta_value(struct peer *peer, struct value *out)
{
    size_t n;
    unsigned long long cas;
    const char *first = line(peer);
    check_opaque(peer, first);
    if (strncmp(first, "EN", 2) == 0)
        return false;
    if (sscanf(first, "VA %zu c%llu", &n, &cas) != 2)
        surprise("'%s' is the answer to mg", first);
    const char *p = have(peer, n + 2);
    peer->at += n + 2;
    *out = (struct value){p, n, cas};
    return true;
}

bool answer_get(struct peer *peer, const char *key, struct value *value_out)
{
    if (peer->dialect == IN_TEXT)
        return text_value(peer, key, value_out);
    if (peer->dialect == IN_META)
        return meta_value(peer, value_out);
    struct packet got = packet(peer, 0);
    if (got.status == 1)
        return false;
    if (got.status != 0 || got.n_extras != 4)
        surprise("status %02x to a get", got.status);
    *value_out = (struct value){got.body + 4, got.n_body - 4, got.cas};
    return true;
}

void ask_delete(struct peer *peer, const char *key)
{
    if (peer->dialect == IN_BINARY)
        put_packet(peer, 4, key, 0, "", "", 0, 0);
    else if (peer->dialect == IN_META)
        buffer_print(&peer->out, "md %s O%u\r\n", key, peer->next_opaque++);
    else
        buffer_print(&peer->out, "delete %s\r\n", key);
}

enum outcome answer_delete(struct peer *peer)
{
    return answer_store(peer);
}

void ask_incr(struct peer *peer, const char *key)
{
    static const uint8_t extras[20] = {[7] = 1, [16] = 0xff, 0xff, 0xff, 0xff};
    if (peer->dialect == IN_BINARY)
        put_packet(peer, 5, key, 20, extras, "", 0, 0);
    else if (peer->dialect == IN_META)
        buffer_print(&peer->out, "ma %s v O%u\r\n", key, peer->next_opaque++);
    else
        buffer_print(&peer->out, "incr %s 1\r\n", key);
}

bool answer_incr(struct peer *peer, uint64_t *number_out)
{
    if (peer->dialect == IN_BINARY) {
        struct packet got = packet(peer, 5);
        if (got.status == 0)
            *number_out = get_be(got.body, 8);
        else if (got.status != 1)
            surprise("status %02x to an increment", got.status);
        return got.status == 0;
    }
    const char *first = line(peer);
    if (peer->dialect == IN_META) {
        check_opaque(peer, first);
        if (strncmp(first, "NF", 2) == 0)
            return false;
        first = line(peer);
    }
    if (strcmp(first, "NOT_FOUND") == 0)
        return false;
    char *end;
    *number_out = strtoull(first, &end, 10);
    if (end == first || *end != '\0')
        surprise("'%s' is the answer to incr", first);
    return true;
}

void command(struct peer *peer, const char *text)
{
    buffer_print(&peer->out, "%s\r\n", text);
    (void)line(peer);
}
