/* udp_frame.h - the eight bytes in front of every datagram, both ways, all big-endian:
 *   0-1 request id, chosen by the client   2-3 number of this datagram in its series, from 0
 *   4-5 datagrams in the series            6-7 reserved, 0
 * (memcached's protocol.txt, "UDP protocol")
 * Owns: nothing.   Thread: any.
 * Never: joins a request out of several datagrams. */
#ifndef SERVER_UDP_FRAME_H
#define SERVER_UDP_FRAME_H

#include "server/address.h"

#include <stdint.h>

#define UDP_FRAME_SIZE   8
#define UDP_DATAGRAM_MAX 1400 /* sent; the frame is inside */
#define UDP_SERIES_MAX   65535

struct udp_frame {
    uint8_t id[2];
};

/* False: to be dropped without an answer; it holds nothing, or is one of several. */
bool udp_frame_parse(const uint8_t *p, size_t n, struct udp_frame *out);

/* Bytes on the wire of an answer of n bytes; SIZE_MAX when no series can hold it. */
size_t udp_frame_size(size_t n);

/* Sends an answer as a series; the kernel may drop some when its buffer is full. Returns the bytes
 * that went. */
size_t udp_frame_send(int fd, const union address *peer, const struct udp_frame *frame,
                      const uint8_t *p, size_t n);

#endif
