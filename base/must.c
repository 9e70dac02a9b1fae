#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void must_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keepd: broken invariant at %s:%d: %s\n", file, line, condition);
    abort();
}
