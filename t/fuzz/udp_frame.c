/* Any datagrams at the UDP socket: each answer is a whole series that bears its request's number,
 * no more bytes come back than the limit allows, and nothing of one datagram is left for the next.
 * Each datagram is two bytes of length (little-endian), and so many bytes; the first byte of all
 * chooses the limit. */
#include "server/settings.h"
#include "server/udp.h"
#include "server/udp_frame.h"
#include "server/worker.h"
#include "t/fuzz/arrival.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAMS_MAX 16
#define SOCKET_ROOM   (4 << 20)

struct peer {
    struct instance *instance;
    struct udp_set *set;
    int fd; /* connected to the server's socket */
};

static int bind_loopback(union address *out)
{
    socklen_t n = sizeof out->v4;
    *out =
        (union address){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    HOLDS(fd >= 0 && bind(fd, &out->any, n) == 0 && getsockname(fd, &out->any, &n) == 0);
    return fd;
}

static struct peer *open_peer(void)
{
    static struct peer peer;
    char error[256];
    static const int room = SOCKET_ROOM;
    union address there, here;
    if (peer.instance != NULL)
        return &peer;
    peer.instance = instance_create(true);
    struct server *server = instance_server(peer.instance);
    server->handed.first = bind_loopback(&there);
    server->handed.n = 1;
    HOLDS(udp_set_create(server, &peer.set, error, sizeof error) && peer.set != NULL);
    HOLDS(udp_set_start(peer.set));
    peer.fd = bind_loopback(&here);
    HOLDS(setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
    HOLDS(connect(peer.fd, &there.any, sizeof there.v4) == 0);
    return &peer;
}

static unsigned number_at(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

struct answers {
    size_t n_bytes;  /* with the frames */
    unsigned n_done; /* of the series that is being received */
    unsigned n_series;
};

static void check_datagram(const uint8_t *p, size_t n, const uint8_t *id, struct answers *answers)
{
    HOLDS(n > UDP_FRAME_SIZE && n <= UDP_DATAGRAM_MAX);
    HOLDS(memcmp(p, id, 2) == 0 && number_at(p + 6) == 0);
    if (answers->n_done == answers->n_series)
        *answers = (struct answers){answers->n_bytes, 0, number_at(p + 4)};
    HOLDS(number_at(p + 2) == answers->n_done && number_at(p + 4) == answers->n_series);
    answers->n_done++;
    HOLDS(n == UDP_DATAGRAM_MAX || answers->n_done == answers->n_series);
    answers->n_bytes += n;
}

static void exchange(const struct peer *peer, struct slice request, uint64_t limit)
{
    uint8_t bytes[UDP_DATAGRAM_MAX + 1];
    struct answers answers = {0};
    const struct worker *worker = instance_server(peer->instance)->workers[0];
    HOLDS(send(peer->fd, request.p, request.n, 0) == (ssize_t)request.n);
    instance_turn(peer->instance);
    HOLDS(worker->in.n == 0 && output_is_empty(&worker->out));
    for (;;) {
        ssize_t n = recv(peer->fd, bytes, sizeof bytes, 0);
        if (n < 0)
            break;
        HOLDS(request.n > UDP_FRAME_SIZE && number_at(request.p + 4) == 1);
        check_datagram(bytes, (size_t)n, request.p, &answers);
    }
    /* The kernel drops what finds no room; an answer is far from filling it. */
    HOLDS(limit == 0 || answers.n_done == answers.n_series);
    HOLDS(limit == 0 || answers.n_bytes <= request.n * limit);
}

/* What was sent before has no part in the answer to this. */
static void check_it_serves(const struct peer *peer)
{
    static const uint8_t request[] = "\xab\xcd\0\0\0\1\0\0mn\r\n";
    static const uint8_t wanted[] = "\xab\xcd\0\0\0\1\0\0MN\r\n";
    uint8_t bytes[sizeof wanted];
    size_t n = sizeof wanted - 1;
    HOLDS(send(peer->fd, request, sizeof request - 1, 0) == (ssize_t)sizeof request - 1);
    instance_turn(peer->instance);
    HOLDS(recv(peer->fd, bytes, sizeof bytes, 0) == (ssize_t)n && memcmp(bytes, wanted, n) == 0);
    while (recv(peer->fd, bytes, sizeof bytes, 0) >= 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint64_t limits[] = {20, 1, 2, 100, 1000, 0};
    static uint8_t expanded[EXPANDED_MAX];
    if (n < 1)
        return 0;
    struct peer *peer = open_peer();
    instance_reset(peer->instance);
    uint64_t limit = limits[data[0] % (sizeof limits / sizeof *limits)];
    instance_server(peer->instance)->settings->udp_reply_limit = limit;
    size_t at = 1;
    for (unsigned i = 0; i < DATAGRAMS_MAX && n - at >= 2; i++) {
        size_t n_asked = data[at] | (size_t)data[at + 1] << 8, n_left = n - at - 2;
        size_t n_here = n_asked < n_left ? n_asked : n_left;
        struct slice input = slice_of(data + at + 2, n_here);
        size_t n_sent = arrival_expand(input, expanded);
        n_sent = n_sent < 65507 ? n_sent : 65507; /* the most that UDP carries */
        exchange(peer, slice_of(expanded, n_sent), limit);
        at += 2 + n_here;
    }
    check_it_serves(peer);
    return 0;
}
