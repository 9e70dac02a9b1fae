#include "server/ghost_list.h"
#include "t/unit/unit.h"

#include <math.h>
#include <stdio.h>

#define N_KEYS 200000u
#define N_GETS 3000000u
#define NONE   UINT32_MAX

/* An exact cache that evicts the least recently used, to compare with. */
struct lru {
    uint64_t capacity;
    uint64_t n_bytes;
    uint64_t n_hits;
    uint32_t first; /* the most recently used */
    uint32_t last;
    bool is_in[N_KEYS];
    uint32_t newer[N_KEYS];
    uint32_t older[N_KEYS];
};

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint32_t size_of_key(uint32_t key)
{
    return 50 + (uint32_t)(mix(key + 1000000007ull) % 1000);
}

static void take_out(struct lru *lru, uint32_t key)
{
    uint32_t newer = lru->newer[key], older = lru->older[key];
    *(newer != NONE ? &lru->older[newer] : &lru->first) = older;
    *(older != NONE ? &lru->newer[older] : &lru->last) = newer;
    lru->is_in[key] = false;
    lru->n_bytes -= size_of_key(key);
}

static void put_first(struct lru *lru, uint32_t key)
{
    lru->newer[key] = NONE;
    lru->older[key] = lru->first;
    *(lru->first != NONE ? &lru->newer[lru->first] : &lru->last) = key;
    lru->first = key;
    lru->is_in[key] = true;
    lru->n_bytes += size_of_key(key);
}

static bool lru_get(struct lru *lru, uint32_t key)
{
    bool is_hit = lru->is_in[key];
    lru->n_hits += is_hit;
    if (is_hit)
        take_out(lru, key);
    put_first(lru, key);
    while (lru->n_bytes > lru->capacity)
        take_out(lru, lru->last);
    return is_hit;
}

static struct lru *lru_create(uint64_t capacity)
{
    struct lru *lru = calloc(1, sizeof *lru);
    ck_assert_ptr_nonnull(lru);
    lru->capacity = capacity;
    lru->first = lru->last = NONE;
    return lru;
}

/* ---- streams of keys ---- */

/* Popularity about 1/rank: the exponential of a uniform number. */
static uint32_t draw_skewed(uint64_t i)
{
    double uniform = (double)(mix(i) >> 11) / 9007199254740992.0;
    uint32_t rank = (uint32_t)exp(uniform * log(N_KEYS));
    return rank < N_KEYS ? rank : N_KEYS - 1;
}

static uint32_t draw_uniform(uint64_t i)
{
    return (uint32_t)(mix(i) % N_KEYS);
}

/* Half skewed, half a walk over all keys again and again. */
static uint32_t draw_mixed(uint64_t i)
{
    return i % 2 == 0 ? draw_skewed(i) : (uint32_t)(i / 2 % N_KEYS);
}

struct stream_row {
    const char *name;
    uint32_t (*draw)(uint64_t i);
    uint64_t capacity;
    double error_max;
};

static const struct stream_row streams[] = {
    {"skewed, small", draw_skewed, 2 << 20, 0.04},
    {"skewed, large", draw_skewed, 20 << 20, 0.04},
    {"uniform", draw_uniform, 40 << 20, 0.04},
    {"mixed", draw_mixed, 30 << 20, 0.04},
};

START_TEST(estimates_are_near_an_exact_simulation)
{
    const struct stream_row *row = &streams[_i];
    struct ghost_list *list = ghost_list_create();
    struct lru *caches[3] = {lru_create(row->capacity / 2), lru_create(row->capacity),
                             lru_create(row->capacity * 2)};
    for (uint64_t i = 0; i < N_GETS; i++) {
        uint32_t key = row->draw(i);
        uint64_t hash = mix(key);
        lru_get(caches[0], key);
        lru_get(caches[2], key);
        bool is_hit = lru_get(caches[1], key); /* the cache that is really there */
        if (hash > ghost_list_limit(list))
            continue;
        ghost_list_get(list, hash, is_hit ? size_of_key(key) : 0);
        if (!is_hit)
            ghost_list_set(list, hash, size_of_key(key));
    }
    for (unsigned i = 0; i < 3; i++) {
        double exact = (double)caches[i]->n_hits / N_GETS;
        double estimate = ghost_list_hit_ratio(list, caches[i]->capacity, N_GETS);
        printf("# %s, %llu bytes: exact %.4f, estimated %.4f\n", row->name,
               (unsigned long long)caches[i]->capacity, exact, estimate);
        ck_assert_msg(fabs(exact - estimate) <= row->error_max, "%s: %f, not %f", row->name,
                      estimate, exact);
        free(caches[i]);
    }
    ghost_list_destroy(&list);
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(the_number_of_keys_is_bounded)
{
    struct ghost_list *list = ghost_list_create();
    uint64_t before = ghost_list_limit(list);
    for (uint64_t i = 0; i < 5000000; i++) {
        if (mix(i) <= ghost_list_limit(list))
            ghost_list_set(list, mix(i), 100);
        ck_assert(ghost_list_limit(list) <= before);
        before = ghost_list_limit(list);
    }
    ck_assert(ghost_list_rate(list) * 5000000 <= GHOST_KEYS);
    ck_assert(ghost_list_rate(list) * 5000000 >= GHOST_KEYS / 2.0);
    ghost_list_destroy(&list);
}
END_TEST

START_TEST(dropped_keys_do_not_hit)
{
    struct ghost_list *list = ghost_list_create();
    for (uint64_t round = 0; round < 50; round++) {
        for (uint64_t hash = 1; hash <= 500; hash++) {
            ghost_list_get(list, hash << 20, 0);
            ghost_list_set(list, hash << 20, 100);
            ghost_list_drop(list, hash << 20);
        }
    }
    ck_assert(ghost_list_hit_ratio(list, UINT64_MAX, 25000 * 64ull) < 0.001);
    ck_assert_uint_eq(ghost_list_samples(list), 25000);
    ghost_list_destroy(&list);
}
END_TEST

START_TEST(an_empty_list_knows_nothing)
{
    struct ghost_list *list = ghost_list_create();
    uint64_t n_gets = 4 * 64;
    ck_assert(ghost_list_hit_ratio(list, 1 << 20, 0) <= 0);
    ghost_list_get(list, 0, 1);          /* the hash that is not followed */
    ghost_list_get(list, UINT64_MAX, 1); /* above the limit */
    ghost_list_drop(list, 5);
    ck_assert_uint_eq(ghost_list_samples(list), 0);
    for (unsigned i = 0; i < 4; i++)
        ghost_list_get(list, 5, 100);
    ck_assert(ghost_list_hit_ratio(list, 1ull << 40, n_gets) > 0.7);
    ghost_list_reset(list);
    ck_assert(ghost_list_hit_ratio(list, 1ull << 40, n_gets) <= 0);
    ghost_list_get(list, 5, 0);
    n_gets = 64;
    ck_assert(ghost_list_hit_ratio(list, 1ull << 40, n_gets) > 0.99);
    ghost_list_destroy(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ghost_list");
    TCase *tc = tcase_create("list");
    tcase_add_loop_test(tc, estimates_are_near_an_exact_simulation, 0, 4);
    tcase_add_test(tc, the_number_of_keys_is_bounded);
    tcase_add_test(tc, dropped_keys_do_not_hit);
    tcase_add_test(tc, an_empty_list_knows_nothing);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
