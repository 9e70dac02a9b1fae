#include "tls/tls.h"

/* RFC 8446, 5.1: type 22, version 3.x, length, then handshake type 1. */
static bool is_client_hello(struct slice bytes)
{
    return bytes.p[0] == 0x16 && (bytes.n < 2 || bytes.p[1] == 0x03) &&
           (bytes.n < 3 || bytes.p[2] <= 0x04) && (bytes.n < 6 || bytes.p[5] == 0x01);
}

enum tls_opening tls_recognise(struct slice bytes)
{
    if (bytes.n == 0)
        return TLS_OPENING_NONE;
    if (is_client_hello(bytes))
        return TLS_OPENING_HELLO;
    uint8_t first = bytes.p[0];
    if (first == 0x80)
        return TLS_OPENING_BINARY;
    bool is_text = (first >= 0x20 && first < 0x7f) || first == '\r' || first == '\n';
    return is_text ? TLS_OPENING_TEXT : TLS_OPENING_OTHER;
}
