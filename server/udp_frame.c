#include "server/udp_frame.h"

#include <sys/uio.h>

#define PAYLOAD_MAX (UDP_DATAGRAM_MAX - UDP_FRAME_SIZE)

bool udp_frame_parse(const uint8_t *p, size_t n, struct udp_frame *out)
{
    if (n <= UDP_FRAME_SIZE || p[4] != 0 || p[5] != 1)
        return false;
    out->id[0] = p[0];
    out->id[1] = p[1];
    return true;
}

static size_t series_of(size_t n)
{
    return n / PAYLOAD_MAX + (n % PAYLOAD_MAX != 0);
}

size_t udp_frame_size(size_t n)
{
    size_t n_datagrams = series_of(n);
    return n_datagrams > UDP_SERIES_MAX ? SIZE_MAX : n + n_datagrams * UDP_FRAME_SIZE;
}

size_t udp_frame_send(int fd, const union address *peer, const struct udp_frame *frame,
                      const uint8_t *p, size_t n)
{
    size_t n_series = series_of(n), n_gone = 0;
    socklen_t n_peer = peer->family == AF_INET ? sizeof peer->v4 : sizeof peer->v6;
    for (size_t i = 0; i < n_series; i++) {
        size_t n_left = n - i * PAYLOAD_MAX;
        uint8_t head[UDP_FRAME_SIZE] = {
            frame->id[0],
            frame->id[1],
            (uint8_t)(i >> 8),
            (uint8_t)i,
            (uint8_t)(n_series >> 8),
            (uint8_t)n_series,
            0,
            0,
        };
        struct iovec iov[2] = {
            {head, sizeof head},
            {(uint8_t *)p + i * PAYLOAD_MAX, n_left < PAYLOAD_MAX ? n_left : PAYLOAD_MAX},
        };
        struct msghdr message = {
            .msg_name = (void *)&peer->any, .msg_namelen = n_peer, .msg_iov = iov, .msg_iovlen = 2};
        ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            n_gone += (size_t)sent;
    }
    return n_gone;
}
