#include "config.h"

/* Every reply that bench/canned would send is what bench/load expects, and nothing else is. */
#include "bench/histogram.h"
#include "bench/ops.h"
#include "t/unit/unit.h"

#define N_VALUE 37

static struct keyspace ks;
static struct outbox box;

static void set_up(void)
{
    keyspace_init(&ks, 1000, 20, N_VALUE, 0);
    outbox_init(&box, 4096);
}

static void tear_down(void)
{
    outbox_fini(&box);
    keyspace_fini(&ks);
}

static struct slice reply_of(struct unit unit)
{
    outbox_clear(&box);
    op_reply(&ks, unit, &box);
    return slice_of(box.scratch, box.n_bytes);
}

START_TEST(a_whole_reply_is_good)
{
    for (uint32_t op = OP_NONE + 1; op < OP_N; op++) {
        struct unit unit = {123, op};
        struct slice reply = reply_of(unit);
        size_t n_used = SIZE_MAX;
        ck_assert_int_eq(op_check(&ks, unit, reply.p, reply.n, &n_used), VERDICT_GOOD);
        ck_assert_uint_eq(n_used, reply.n);
    }
}
END_TEST

START_TEST(a_cut_reply_needs_more)
{
    for (uint32_t op = OP_NONE + 1; op < OP_N; op++) {
        struct unit unit = {123, op};
        struct slice reply = reply_of(unit);
        size_t n_used;
        for (size_t n = 0; n < reply.n; n++)
            ck_assert_int_eq(op_check(&ks, unit, reply.p, n, &n_used), VERDICT_MORE);
    }
}
END_TEST

/* A changed byte is never taken for the right reply; in a key it may look like a miss, in the parts
 * of a binary header that nobody reads it may pass. */
START_TEST(a_changed_value_is_bad)
{
    static const uint32_t with_value[] = {OP_GET, OP_MGET_KEY, OP_META_GET, OP_BIN_GET,
                                          OP_BIN_GETKQ};
    for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++) {
        struct unit unit = {123, with_value[i]};
        struct slice reply = reply_of(unit);
        uint8_t *value = memmem(box.scratch, reply.n, keyspace_value(&ks, 123), N_VALUE);
        ck_assert_ptr_nonnull(value);
        for (size_t at = 0; at < N_VALUE; at++) {
            size_t n_used;
            value[at] ^= 1;
            ck_assert_int_eq(op_check(&ks, unit, reply.p, reply.n, &n_used), VERDICT_BAD);
            value[at] ^= 1;
        }
    }
}
END_TEST

START_TEST(misses_are_told_from_errors)
{
    static const struct {
        uint32_t op;
        const char *reply;
        enum verdict verdict;
    } rows[] = {
        {OP_GET, "END\r\n", VERDICT_MISS},
        {OP_GET, "ERROR\r\n", VERDICT_BAD},
        {OP_GET, "SERVER_ERROR x\r\n", VERDICT_BAD},
        {OP_MGET_KEY, "END\r\n", VERDICT_MISS},
        {OP_MGET_KEY, "E", VERDICT_MISS},
        {OP_MGET_KEY, "ERROR\r\n", VERDICT_BAD},
        {OP_MGET_KEY, "VALUE keepd-ben000000000124 0 37\r\n", VERDICT_MISS},
        {OP_MGET_KEY, "VALUE ", VERDICT_MORE},
        {OP_META_GET, "EN\r\n", VERDICT_MISS},
        {OP_META_GET, "HD\r\n", VERDICT_BAD},
        {OP_META_GET, "ERROR\r\n", VERDICT_BAD},
        {OP_TOUCH, "NOT_FOUND\r\n", VERDICT_MISS},
        {OP_SET, "NOT_STORED\r\n", VERDICT_BAD},
        {OP_META_SET, "NS\r\n", VERDICT_BAD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n_used = 0;
        struct unit unit = {123, rows[i].op};
        enum verdict verdict =
            op_check(&ks, unit, (const uint8_t *)rows[i].reply, strlen(rows[i].reply), &n_used);
        ck_assert_msg(verdict == rows[i].verdict, "row %zu: %d", i, verdict);
    }
}
END_TEST

START_TEST(percentiles_are_close)
{
    static struct histogram h;
    for (uint64_t ns = 1; ns <= 100000; ns++)
        histogram_add(&h, ns, 1);
    ck_assert_uint_eq(h.max, 100000);
    ck_assert_double_eq_tol((double)histogram_at(&h, 0.5), 50000, 1000);
    ck_assert_double_eq_tol((double)histogram_at(&h, 0.99), 99000, 2000);
    ck_assert_uint_eq(histogram_at(&h, 1), 100000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_ops");
    TCase *tcase = tcase_create("bench_ops");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_whole_reply_is_good);
    tcase_add_test(tcase, a_cut_reply_needs_more);
    tcase_add_test(tcase, a_changed_value_is_bad);
    tcase_add_test(tcase, misses_are_told_from_errors);
    tcase_add_test(tcase, percentiles_are_close);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
