#include "protocol/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of one character, above 63 when it has none. */
static uint32_t digit_of(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)c - 'A';
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 64;
}

/* Four characters, the last n_pad of which are padding and count as 0. */
static bool decode_group(const uint8_t *p, size_t n_pad, uint32_t *bits_out)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t digit = i < 4 - n_pad ? digit_of(p[i]) : 0;
        if (digit > 63)
            return false;
        bits = bits << 6 | digit;
    }
    *bits_out = bits;
    return true;
}

static size_t count_padding(struct slice text)
{
    if (text.p[text.n - 1] != '=')
        return 0;
    return text.p[text.n - 2] == '=' ? 2 : 1;
}

bool base64_decode(struct slice text, uint8_t *out, size_t *n_out)
{
    if (text.n == 0 || text.n % 4 != 0)
        return false;
    size_t n_pad = count_padding(text), n = text.n / 4 * 3 - n_pad;
    for (size_t group = 0; group < text.n / 4; group++) {
        bool is_last = group == text.n / 4 - 1;
        size_t n_bytes = is_last ? 3 - n_pad : 3;
        uint32_t bits;
        if (!decode_group(text.p + 4 * group, 3 - n_bytes, &bits))
            return false;
        for (size_t i = 0; i < 3; i++) {
            uint8_t byte = (uint8_t)(bits >> (16 - 8 * i));
            if (i < n_bytes)
                out[3 * group + i] = byte;
            else if (byte != 0)
                return false;
        }
    }
    *n_out = n;
    return true;
}

size_t base64_encode(struct slice bytes, uint8_t *out)
{
    size_t at = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t n_left = bytes.n - i;
        uint32_t bits = (uint32_t)bytes.p[i] << 16;
        bits |= n_left > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0;
        bits |= n_left > 2 ? bytes.p[i + 2] : 0;
        out[at++] = (uint8_t)alphabet[bits >> 18];
        out[at++] = (uint8_t)alphabet[bits >> 12 & 63];
        out[at++] = n_left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        out[at++] = n_left > 2 ? (uint8_t)alphabet[bits & 63] : '=';
    }
    return at;
}
