#include "base/number.h"

/* So many digits cannot overflow. */
#define N_SAFE_DIGITS 19

bool number_parse_digits(struct slice text, uint64_t max, uint64_t *value_out)
{
    uint64_t value = 0;
    if (text.n == 0 || text.n > NUMBER_U64_MAX_DIGITS)
        return false;
    size_t n_safe = text.n < N_SAFE_DIGITS ? text.n : N_SAFE_DIGITS;
    for (size_t i = 0; i < n_safe; i++) {
        unsigned digit = (unsigned)text.p[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    if (UNLIKELY(text.n > N_SAFE_DIGITS)) {
        unsigned digit = (unsigned)text.p[N_SAFE_DIGITS] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *value_out = value;
    return true;
}

bool number_parse_s64(struct slice text, int64_t min, int64_t max, int64_t *value_out)
{
    uint64_t magnitude;
    bool is_negative = text.n > 0 && text.p[0] == '-';
    struct slice digits = is_negative ? slice_of(text.p + 1, text.n - 1) : text;
    if (!number_parse_u64(digits, (uint64_t)INT64_MAX, &magnitude))
        return false;
    int64_t value = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (value < min || value > max)
        return false;
    *value_out = value;
    return true;
}

bool number_parse_size(struct slice text, uint64_t max, uint64_t *value_out)
{
    static const char suffixes[] = "kmgt";
    unsigned shift = 0;
    uint64_t value;
    if (text.n == 0)
        return false;
    const char *suffix = NULL;
    if (text.p[text.n - 1] != '\0')
        suffix = strchr(suffixes, text.p[text.n - 1] | 0x20);
    if (suffix != NULL) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        text.n--;
    }
    if (!number_parse_u64(text, max >> shift, &value))
        return false;
    *value_out = value << shift;
    return true;
}

/* All two-digit numbers, so that a division yields two digits. */
static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static size_t count_digits(uint64_t value)
{
    static const uint64_t powers[NUMBER_U64_MAX_DIGITS] = {
        1u,
        10u,
        100u,
        1000u,
        10000u,
        100000u,
        1000000u,
        10000000u,
        100000000u,
        1000000000u,
        10000000000u,
        100000000000u,
        1000000000000u,
        10000000000000u,
        100000000000000u,
        1000000000000000u,
        10000000000000000u,
        100000000000000000u,
        1000000000000000000u,
        10000000000000000000u,
    };
    /* 1233 / 4096 is log10(2): exact or one too low for every count of bits. */
    unsigned n_bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = n_bits * 1233 >> 12;
    return guess + (value >= powers[guess] || guess == 0);
}

/* Below 10,000: lengths and flags are, nearly all. */
static size_t render_small(uint8_t *out, unsigned value)
{
    unsigned high = value / 100;
    const char *low = digit_pairs + 2 * (value % 100);
    if (value >= 1000) {
        memcpy(out, digit_pairs + 2 * high, 2);
        memcpy(out + 2, low, 2);
        return 4;
    }
    if (value >= 100) {
        out[0] = (uint8_t)('0' + high);
        memcpy(out + 1, low, 2);
        return 3;
    }
    if (value >= 10) {
        memcpy(out, low, 2);
        return 2;
    }
    out[0] = (uint8_t)('0' + value);
    return 1;
}

size_t number_render_u64(uint8_t *out, uint64_t value)
{
    if (LIKELY(value < 10000))
        return render_small(out, (unsigned)value);
    size_t n_digits = count_digits(value), at = n_digits;
    while (value >= 100) {
        at -= 2;
        memcpy(out + at, digit_pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(out, digit_pairs + 2 * value, 2);
    else
        out[0] = (uint8_t)('0' + value);
    return n_digits;
}

size_t number_render_s64(uint8_t *out, int64_t value)
{
    if (value >= 0)
        return number_render_u64(out, (uint64_t)value);
    *out = '-';
    return 1 + number_render_u64(out + 1, 0 - (uint64_t)value);
}
