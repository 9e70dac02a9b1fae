#include "t/fuzz/arrival.h"

#include "protocol/parse.h"

#include <string.h>

size_t arrival_expand(struct slice input, uint8_t *out)
{
    size_t at = 0;
    for (size_t i = 0; i < input.n && at < EXPANDED_MAX; i++) {
        if (input.p[i] != 0xff || i + 1 == input.n) {
            out[at++] = input.p[i];
            continue;
        }
        size_t n_run = (size_t)input.p[++i] * 256;
        size_t n_room = EXPANDED_MAX - at;
        size_t end = at + (n_run < n_room ? n_run : n_room);
        memset(out + at, 'x', end - at);
        for (size_t line = (at + 255) / 256 * 256; line < end; line += 256)
            out[line] = '\n';
        at = end;
    }
    return at;
}

/* Counters of reads, times and addresses differ from one connection to another, and a dump is
 * refused behind another command that came with it. */
static bool has_counters(struct slice bytes)
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

bool arrival_matters(struct slice bytes)
{
    return has_counters(bytes) || has_long_line(bytes);
}
