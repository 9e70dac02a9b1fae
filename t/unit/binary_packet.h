/* binary_packet.h - builds binary requests for tests, well-formed or not. */
#ifndef T_UNIT_BINARY_PACKET_H
#define T_UNIT_BINARY_PACKET_H

#include "base/bytes.h"

struct binary_packet {
    uint8_t opcode;
    uint16_t n_key;
    uint8_t n_extras;
    uint32_t n_body;
    uint32_t opaque;
    uint64_t cas;
};

/* Writes the 24 bytes of the header. */
static inline void binary_packet_header(const struct binary_packet *packet, uint8_t *out)
{
    memset(out, 0, 24);
    out[0] = 0x80;
    out[1] = packet->opcode;
    store_be16(out + 2, packet->n_key);
    out[4] = packet->n_extras;
    store_be32(out + 8, packet->n_body);
    store_be32(out + 12, packet->opaque);
    store_be64(out + 16, packet->cas);
}

/* Header, n_extras bytes 1, 2, 3..., n_key letters 'k'; returns the length. The value of n_value
 * bytes is announced, not written. */
static inline size_t binary_packet_build(uint8_t opcode, uint8_t n_extras, uint16_t n_key,
                                         uint32_t n_value, uint8_t *out)
{
    struct binary_packet packet = {
        .opcode = opcode,
        .n_key = n_key,
        .n_extras = n_extras,
        .n_body = n_extras + (uint32_t)n_key + n_value,
        .opaque = 0xdeadbeef,
    };
    binary_packet_header(&packet, out);
    for (unsigned i = 0; i < n_extras; i++)
        out[24 + i] = (uint8_t)(i + 1);
    memset(out + 24 + n_extras, 'k', n_key);
    return 24u + n_extras + n_key;
}

#endif
