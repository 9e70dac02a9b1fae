#include "server/key_text.h"

size_t key_text_uri(uint8_t *out, struct slice key)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < key.n; i++) {
        uint8_t b = key.p[i];
        bool is_plain = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
                        (b >= '0' && b <= '9') || b == '-' || b == '.' || b == '_' || b == '~';
        if (is_plain) {
            out[n++] = b;
            continue;
        }
        out[n++] = '%';
        out[n++] = (uint8_t)digits[b >> 4];
        out[n++] = (uint8_t)digits[b & 15];
    }
    return n;
}

size_t key_text_base64(uint8_t *out, struct slice key)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < key.n; i += 3) {
        size_t left = key.n - i;
        uint32_t bits = (uint32_t)key.p[i] << 16;
        if (left > 1)
            bits |= (uint32_t)key.p[i + 1] << 8;
        if (left > 2)
            bits |= key.p[i + 2];
        out[n++] = (uint8_t)letters[bits >> 18];
        out[n++] = (uint8_t)letters[bits >> 12 & 63];
        out[n++] = left > 1 ? (uint8_t)letters[bits >> 6 & 63] : '=';
        out[n++] = left > 2 ? (uint8_t)letters[bits & 63] : '=';
    }
    return n;
}
