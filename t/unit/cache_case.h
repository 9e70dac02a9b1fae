/* cache_case.h - for tests that want a new cache each, one thread, nothing evicted.
 * Owns: the cache of the test that runs.   Thread: one.
 * Never: outlives a test. */
#ifndef T_UNIT_CACHE_CASE_H
#define T_UNIT_CACHE_CASE_H

#include "t/unit/cache_frame.h"

static struct frame f;

static inline void case_setup(void)
{
    struct cache_config config = frame_config(8 << 20);
    frame_open(&f, &config);
}

static inline void case_teardown(void)
{
    frame_close(&f);
}

static inline uint64_t cas_of(const char *key)
{
    struct cache_item item;
    ck_assert_int_eq(frame_get(&f, key, &item), CACHE_OK);
    return item.cas;
}

/* A suite whose tests have such a cache; they are to be added to *tcase_out. */
static inline Suite *case_suite(const char *name, TCase **tcase_out)
{
    Suite *suite = suite_create(name);
    *tcase_out = tcase_create("ops");
    tcase_add_checked_fixture(*tcase_out, case_setup, case_teardown);
    suite_add_tcase(suite, *tcase_out);
    return suite;
}

#endif
