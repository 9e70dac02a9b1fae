/* unit.h - the frame of a unit test program: one Check suite, results as TAP on stdout. */
#ifndef T_UNIT_UNIT_H
#define T_UNIT_UNIT_H

#include <check.h>
#include <stdlib.h>

#define N_ROWS(rows) ((int)(sizeof(rows) / sizeof *(rows))) /* for loop tests */

/* Only a hang takes so long: neither a slow machine nor one with other work does. */
#define UNIT_TIMEOUT_S "1800"

/* Before a case is made; Check's own default is four seconds. */
__attribute__((constructor)) static void unit_be_patient(void)
{
    (void)setenv("CK_DEFAULT_TIMEOUT", UNIT_TIMEOUT_S, 0);
}

static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
