/* Any bytes on a connection: what comes back does not depend on how they arrive, nor on how the
 * answers leave. The first byte is the seed of the splitting; FF n stands for n * 256 bytes, so
 * that small inputs hold large values. */
#include "protocol/parse.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/instance.h"

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

static bool holds_word(struct slice bytes, const char *word)
{
    return memmem(bytes.p, bytes.n, word, strlen(word)) != NULL;
}

/* Counters of reads, times and addresses differ from one connection to another. */
static bool tells_of_itself(struct slice bytes)
{
    return holds_word(bytes, "stat") || holds_word(bytes, "watch") || holds_word(bytes, "\x80\x10");
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
    if (!tells_of_itself(bytes) && !has_long_line(bytes)) {
        HOLDS((lines[0].conn == NULL) == (lines[1].conn == NULL));
        HOLDS(lines[0].n_out == lines[1].n_out);
        HOLDS(lines[0].n_out == 0 || memcmp(lines[0].out, lines[1].out, lines[0].n_out) == 0);
    }
    line_close(&lines[0]);
    line_close(&lines[1]);
    return 0;
}
