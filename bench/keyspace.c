#include "bench/keyspace.h"

#include "base/must.h"

#include <math.h>
#include <stdlib.h>

#define N_DRAWN           (1U << 22)
#define WHOLE_COMPARE_MAX 4096U
#define END_COMPARE       64U

uint8_t *keyspace_pattern_create(size_t n)
{
    uint64_t random = 0x6b65657064ULL;
    size_t n_all = (n + KEYSPACE_PATTERN_SPAN + 7) & ~(size_t)7;
    uint8_t *pattern = malloc(n_all);
    MUST(pattern != NULL);
    for (size_t i = 0; i < n_all; i += 8) {
        uint64_t bits = random_next(&random);
        memcpy(pattern + i, &bits, 8);
    }
    return pattern;
}

/* Rejection-inversion sampling (Hoermann and Derflinger, 1996): no table, any exponent. */
static double integral(const struct zipf *z, double x)
{
    double log_x = log(x);
    double t = (1 - z->exponent) * log_x;
    double factor = fabs(t) > 1e-8 ? expm1(t) / t : 1 + t / 2;
    return factor * log_x;
}

static double integral_inverse(const struct zipf *z, double y)
{
    double t = y * (1 - z->exponent);
    if (t < -1)
        t = -1;
    double factor = fabs(t) > 1e-8 ? log1p(t) / t : 1 - t / 2;
    return exp(factor * y);
}

void zipf_init(struct zipf *z, uint64_t n, double exponent)
{
    z->exponent = exponent;
    z->n = n;
    z->at_first = integral(z, 1.5) - 1;
    z->at_last = integral(z, (double)n + 0.5);
    z->accept = 2 - integral_inverse(z, integral(z, 2.5) - pow(2, -exponent));
}

uint64_t zipf_draw(const struct zipf *z, uint64_t *random)
{
    for (;;) {
        double even = (double)(random_next(random) >> 11) * 0x1p-53;
        double u = z->at_last + even * (z->at_first - z->at_last);
        double x = integral_inverse(z, u);
        double k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)z->n ? (double)z->n : k;
        if (k - x <= z->accept || u >= integral(z, k + 0.5) - pow(k, -z->exponent))
            return (uint64_t)k;
    }
}

/* Ranks are spread over the key numbers, so that popular keys are not neighbours. */
static uint32_t key_of_rank(uint64_t rank, uint64_t n_keys)
{
    return (uint32_t)((rank - 1) * 2654435761ULL % n_keys);
}

void keyspace_init(struct keyspace *ks, uint64_t n_keys, size_t n_key, size_t n_value, double zipf)
{
    static const char word[] = "keepd-bench-key-";
    *ks = (struct keyspace){.n_keys = n_keys, .n_key = n_key, .n_value = n_value, .random = 1};
    for (size_t i = 0; i < sizeof ks->filler; i++)
        ks->filler[i] = (uint8_t)word[i % (sizeof word - 1)];
    for (size_t i = 0; i < 100; i++) {
        ks->pairs[i][0] = (uint8_t)('0' + i / 10);
        ks->pairs[i][1] = (uint8_t)('0' + i % 10);
    }
    ks->pattern = keyspace_pattern_create(n_value);
    if (zipf <= 0)
        return;
    struct zipf z;
    zipf_init(&z, n_keys, zipf);
    ks->drawn = malloc(N_DRAWN * sizeof *ks->drawn);
    MUST(ks->drawn != NULL);
    for (size_t i = 0; i < N_DRAWN; i++)
        ks->drawn[i] = key_of_rank(zipf_draw(&z, &ks->random), n_keys);
}

void keyspace_fini(struct keyspace *ks)
{
    free(ks->pattern);
    free(ks->drawn);
    *ks = (struct keyspace){0};
}

uint32_t keyspace_draw(struct keyspace *ks)
{
    if (ks->drawn != NULL)
        return ks->drawn[ks->at_drawn++ & (N_DRAWN - 1)];
    uint64_t high = random_next(&ks->random) >> 32;
    return (uint32_t)(high * ks->n_keys >> 32);
}

void keyspace_key(const struct keyspace *ks, uint64_t key, uint8_t *out)
{
    size_t n_filler = ks->n_key - KEYSPACE_KEY_DIGITS;
    memcpy(out, ks->filler, n_filler);
    uint32_t high = (uint32_t)(key / 1000000), low = (uint32_t)(key % 1000000);
    uint8_t *digits = out + n_filler;
    memcpy(digits, ks->pairs[high / 10000], 2);
    memcpy(digits + 2, ks->pairs[high / 100 % 100], 2);
    memcpy(digits + 4, ks->pairs[high % 100], 2);
    memcpy(digits + 6, ks->pairs[low / 10000], 2);
    memcpy(digits + 8, ks->pairs[low / 100 % 100], 2);
    memcpy(digits + 10, ks->pairs[low % 100], 2);
}

bool keyspace_value_matches(const struct keyspace *ks, uint64_t key, const uint8_t *p)
{
    const uint8_t *value = keyspace_value(ks, key);
    size_t n = ks->n_value;
    if (n <= WHOLE_COMPARE_MAX || (keyspace_mix(key) & 15) == 0)
        return memcmp(value, p, n) == 0;
    return memcmp(value, p, END_COMPARE) == 0 &&
           memcmp(value + n - END_COMPARE, p + n - END_COMPARE, END_COMPARE) == 0;
}
