/* Any bytes on a connection: what comes back does not depend on how they arrive, nor on how the
 * answers leave. The first byte is the seed of the splitting; FF n stands for n * 256 bytes, so
 * that small inputs hold large values. */
#include "t/fuzz/arrival.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    /* One pair is for what may differ: its cas numbers do so ever after. */
    static struct instance *pairs[2][2];
    static uint8_t *expanded;
    struct line lines[2];
    if (n < 2)
        return 0;
    if (expanded == NULL) {
        expanded = malloc(EXPANDED_MAX);
        for (int i = 0; i < 4; i++)
            pairs[i / 2][i % 2] = instance_create(true);
        HOLDS(expanded != NULL);
    }
    struct slice bytes = slice_of(expanded, arrival_expand(slice_of(data + 1, n - 1), expanded));
    bool may_differ = arrival_matters(bytes);
    for (int i = 0; i < 2; i++) {
        struct instance *instance = pairs[may_differ][i];
        instance_reset(instance);
        line_open(&lines[i], instance, i == 0 ? 0 : 1 + data[0]);
        line_send(&lines[i], bytes);
    }
    if (getenv("KEEPD_FUZZ_SHOW") != NULL)
        fprintf(stderr, "---- sent\n%.*s\n---- whole\n%.*s\n---- split\n%.*s\n", (int)bytes.n,
                (const char *)bytes.p, (int)lines[0].out.n, (const char *)lines[0].out.p,
                (int)lines[1].out.n, (const char *)lines[1].out.p);
    if (!may_differ) {
        HOLDS((lines[0].conn == NULL) == (lines[1].conn == NULL));
        HOLDS(lines[0].out.n == lines[1].out.n);
        HOLDS(lines[0].out.n == 0 || memcmp(lines[0].out.p, lines[1].out.p, lines[0].out.n) == 0);
    }
    line_close(&lines[0]);
    line_close(&lines[1]);
    return 0;
}
