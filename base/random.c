#include "base/random.h"

#include "base/must.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

void random_fill(void *out, size_t n)
{
    uint8_t *at = out;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        MUST(got > 0);
        at += got;
        n -= (size_t)got;
    }
}
