/* Values that arrive in parts. */
#include "t/unit/cache_case.h"

static const uint32_t upload_rows[] = {1, 100, 5000, 8000, 16000, 16384, 50000, 700000};
#define N_UPLOADS ((int)(sizeof upload_rows / sizeof *upload_rows))

static uint8_t byte_of(uint32_t i)
{
    return (uint8_t)(i * 13 + i / 251);
}

/* Sends bytes up to n_end; false when the engine refuses. */
static bool send_until(struct cache_upload *upload, uint32_t *at, uint32_t n_end)
{
    while (*at < n_end) {
        uint8_t *p;
        size_t n;
        if (cache_upload_space(f.thread, upload, &p, &n) != CACHE_OK)
            return false;
        ck_assert(n > 0);
        if (n > n_end - *at)
            n = n_end - *at;
        if (n > 3000)
            n = 3000;
        for (size_t i = 0; i < n; i++)
            p[i] = byte_of(*at + (uint32_t)i);
        cache_upload_advance(upload, n);
        *at += (uint32_t)n;
        frame_turn(&f);
    }
    return true;
}

START_TEST(upload_commits)
{
    static uint8_t back[1 << 20];
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {.exptime = NOW + 9, .key_is_base64 = true};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i], at = 0;
    ck_assert_int_eq(frame_set(&f, "u", "before"), CACHE_OK);
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 5, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n / 2));
    assert_value(&f, "u", "before");
    ck_assert(send_until(upload, &at, n));
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert(upload == NULL);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    ck_assert_uint_eq(item.n_value, n);
    ck_assert_uint_eq(item.client_flags, 5);
    ck_assert_uint_eq(item.exptime, NOW + 9);
    ck_assert(item.key_is_base64);
    frame_value(&f, &item, back);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(back[i], byte_of(i));
}
END_TEST

START_TEST(upload_lives_through_a_flush)
{
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {0};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i], at = 0;
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n));
    cache_flush(f.tenant, 0);
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    ck_assert_uint_eq(item.n_value, n);
}
END_TEST

START_TEST(upload_appends)
{
    static uint8_t back[1 << 20];
    struct cache_key k = frame_key(&f, "u");
    struct cache_store store = {.mode = _i % 2 ? CACHE_APPEND : CACHE_PREPEND};
    struct cache_stored stored;
    struct cache_upload *upload;
    struct cache_item item;
    uint32_t n = upload_rows[_i / 2], at = 0;
    ck_assert_int_eq(frame_set(&f, "u", "0123456789"), CACHE_OK);
    ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
    ck_assert(send_until(upload, &at, n));
    ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &store, &stored), CACHE_OK);
    ck_assert_uint_eq(stored.n_value, n + 10);
    ck_assert_int_eq(frame_get(&f, "u", &item), CACHE_OK);
    frame_value(&f, &item, back);
    ck_assert_uint_eq(back[_i % 2 ? 0 : n], '0');
    ck_assert_uint_eq(back[_i % 2 ? 10 : 0], byte_of(0));
}
END_TEST

START_TEST(upload_refused_and_aborted_gives_memory_back)
{
    struct cache_key k = frame_key(&f, "u");
    struct cache_store add = {.mode = CACHE_ADD};
    struct cache_stored stored;
    struct cache_stats stats;
    ck_assert_int_eq(frame_set(&f, "u", "kept"), CACHE_OK);
    for (unsigned round = 0; round < 60; round++)
        for (int row = 0; row < N_UPLOADS; row++) {
            struct cache_upload *upload;
            uint32_t at = 0, n = upload_rows[row];
            ck_assert_int_eq(cache_upload_create(f.thread, f.tenant, &k, n, 0, &upload), CACHE_OK);
            ck_assert(send_until(upload, &at, round % 4 == 3 ? n : n * (round % 4) / 4));
            if (round % 4 == 3)
                ck_assert_int_eq(cache_upload_commit(f.thread, &upload, NOW, &add, &stored),
                                 CACHE_NOT_STORED);
            else
                cache_upload_abort(f.thread, &upload);
            ck_assert(upload == NULL);
        }
    assert_value(&f, "u", "kept");
    cache_thread_offline(f.thread);
    for (unsigned i = 0; i < 4; i++)
        cache_maintain(f.cache, NOW);
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_eq(stats.curr_items, 1);
    ck_assert_uint_ge(stats.segments_free + 40, stats.segments_total);
}
END_TEST

int main(void)
{
    TCase *tc;
    Suite *suite = case_suite("cache_upload", &tc);
    tcase_add_loop_test(tc, upload_commits, 0, N_UPLOADS);
    tcase_add_loop_test(tc, upload_lives_through_a_flush, 0, N_UPLOADS);
    tcase_add_loop_test(tc, upload_appends, 0, 2 * N_UPLOADS);
    tcase_add_test(tc, upload_refused_and_aborted_gives_memory_back);
    return unit_run(suite);
}
