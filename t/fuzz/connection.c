/* Any bytes on a connection: what comes back does not depend on how they arrive, nor on how the
 * answers leave. The first byte is the seed of the splitting; FF n stands for n * 256 bytes, so
 * that small inputs hold large values. */
#include "protocol/parse.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPANDED_MAX (64u << 10)

static size_t expand(const uint8_t *data, size_t n, uint8_t *out)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at < EXPANDED_MAX; i++) {
        if (data[i] != 0xff || i + 1 == n) {
            out[at++] = data[i];
            continue;
        }
        size_t n_run = (size_t)data[++i] * 256;
        size_t n_room = EXPANDED_MAX - at;
        for (size_t end = at + (n_run < n_room ? n_run : n_room); at < end; at++)
            out[at] = at % 256 == 0 ? '\n' : 'x';
    }
    return at;
}

/* Counters of reads, times and addresses differ from one connection to another, and a dump is
 * refused behind another command that came with it. */
static bool depends_on_arrival(struct slice bytes)
{
    static const char *const words[] = {"stat", "watch", "dump", "\x80\x10"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (memmem(bytes.p, bytes.n, words[i], strlen(words[i])) != NULL)
            return true;
    return false;
}

/* Whether so long a line is still read depends on how much of it comes at once, as it does in
 * memcached. */
static bool has_long_line(struct slice bytes)
{
    size_t n_line = 0;
    if (bytes.n > 0 && bytes.p[0] == 0x80)
        return false;
    for (size_t i = 0; i < bytes.n && n_line < TEXT_LINE_MAX; i++)
        n_line = bytes.p[i] == '\n' ? 0 : n_line + 1;
    return n_line >= TEXT_LINE_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct instance *instances[2];
    static uint8_t *expanded;
    struct line lines[2];
    if (n < 2)
        return 0;
    if (expanded == NULL) {
        expanded = malloc(EXPANDED_MAX);
        instances[0] = instance_create();
        instances[1] = instance_create();
        HOLDS(expanded != NULL);
    }
    struct slice bytes = slice_of(expanded, expand(data + 1, n - 1, expanded));
    for (int i = 0; i < 2; i++) {
        instance_reset(instances[i]);
        line_open(&lines[i], instances[i], i == 0 ? 0 : 1 + data[0]);
        line_send(&lines[i], bytes);
    }
    if (getenv("KEEPD_FUZZ_SHOW") != NULL)
        fprintf(stderr, "---- sent\n%.*s\n---- whole\n%.*s\n---- split\n%.*s\n", (int)bytes.n,
                (const char *)bytes.p, (int)lines[0].n_out, (const char *)lines[0].out,
                (int)lines[1].n_out, (const char *)lines[1].out);
    if (!depends_on_arrival(bytes) && !has_long_line(bytes)) {
        HOLDS((lines[0].conn == NULL) == (lines[1].conn == NULL));
        HOLDS(lines[0].n_out == lines[1].n_out);
        HOLDS(lines[0].n_out == 0 || memcmp(lines[0].out, lines[1].out, lines[0].n_out) == 0);
    }
    line_close(&lines[0]);
    line_close(&lines[1]);
    return 0;
}
