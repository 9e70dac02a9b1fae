/* binary.h - private: the layout of a binary header, for its parser and its encoder.
 * Owns: nothing.   Thread: any.
 * Never: included outside protocol.
 * Source: memcached, BinaryProtocolRevamped.
 *
 *    0      1       2..3   4         5  6..7    8..11   12..15  16..23
 *   +------+-------+------+---------+--+-------+-------+-------+------+-------+----+------+
 *   |magic |opcode |n key |n extras |0 |status |n body |opaque |cas   |extras |key |value |
 *   +------+-------+------+---------+--+-------+-------+-------+------+-------+----+------+
 *
 * n body = extras + key + value. In a request the status field is reserved and ignored. */
#ifndef PROTOCOL_BINARY_H
#define PROTOCOL_BINARY_H

enum {
    BINARY_REQUEST = 0x80,
    BINARY_REPLY = 0x81,
    BINARY_AT_OPCODE = 1,
    BINARY_AT_N_KEY = 2,
    BINARY_AT_N_EXTRAS = 4,
    BINARY_AT_STATUS = 6,
    BINARY_AT_N_BODY = 8,
    BINARY_AT_OPAQUE = 12,
    BINARY_AT_CAS = 16,
};

#endif
