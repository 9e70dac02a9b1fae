#include "server/log_repeat.h"

#include <stdio.h>

/* "... repeated=N\n" in place of the newline, under the time of the summary. */
static size_t render_summary(struct log_repeat_slot *slot, int64_t wall_ms, char *out)
{
    char tail[40];
    int n_tail =
        snprintf(tail, sizeof tail, " repeated=%llu\n", (unsigned long long)slot->n_repeated);
    size_t n = slot->n - 1;
    if (n > LOG_LINE_MAX - (size_t)n_tail)
        n = LOG_LINE_MAX - (size_t)n_tail;
    memcpy(out, slot->line, n);
    memcpy(out + n, tail, (size_t)n_tail);
    log_line_stamp(wall_ms, out);
    slot->n = 0;
    slot->n_repeated = 0;
    return n + (size_t)n_tail;
}

static bool is_over(const struct log_repeat_slot *slot, int64_t wall_ms)
{
    return wall_ms - slot->first_ms >= LOG_REPEAT_MS || wall_ms < slot->first_ms;
}

static bool is_equal(const struct log_repeat_slot *slot, const char *line, size_t n)
{
    return slot->n == n &&
           memcmp(slot->line + LOG_TIME_SIZE, line + LOG_TIME_SIZE, n - LOG_TIME_SIZE) == 0;
}

/* The line's own slot, or a free one, or the oldest. */
static struct log_repeat_slot *find_slot(struct log_repeat *repeat, const char *line, size_t n)
{
    struct log_repeat_slot *best = &repeat->slots[0];
    for (size_t i = 0; i < LOG_REPEAT_SLOTS; i++) {
        struct log_repeat_slot *slot = &repeat->slots[i];
        if (slot->n > 0 && is_equal(slot, line, n))
            return slot;
        if (best->n > 0 && (slot->n == 0 || slot->first_ms < best->first_ms))
            best = slot;
    }
    return best;
}

bool log_repeat_admit(struct log_repeat *repeat, const char *line, size_t n, int64_t wall_ms,
                      char *summary_out, size_t *n_summary_out)
{
    struct log_repeat_slot *slot = find_slot(repeat, line, n);
    *n_summary_out = 0;
    if (slot->n > 0 && is_equal(slot, line, n) && !is_over(slot, wall_ms)) {
        slot->n_repeated++;
        return false;
    }
    if (slot->n > 0 && slot->n_repeated > 0)
        *n_summary_out = render_summary(slot, wall_ms, summary_out);
    memcpy(slot->line, line, n);
    slot->n = n;
    slot->n_repeated = 0;
    slot->first_ms = wall_ms;
    return true;
}

size_t log_repeat_take(struct log_repeat *repeat, int64_t wall_ms, bool is_last, char *summary_out)
{
    for (size_t i = 0; i < LOG_REPEAT_SLOTS; i++) {
        struct log_repeat_slot *slot = &repeat->slots[i];
        if (slot->n == 0 || (!is_last && !is_over(slot, wall_ms)))
            continue;
        if (slot->n_repeated > 0)
            return render_summary(slot, wall_ms, summary_out);
        slot->n = 0;
    }
    return 0;
}

bool log_repeat_is_waiting(const struct log_repeat *repeat)
{
    for (size_t i = 0; i < LOG_REPEAT_SLOTS; i++)
        if (repeat->slots[i].n_repeated > 0)
            return true;
    return false;
}
