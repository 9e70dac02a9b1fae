/* log_repeat.h - private to the log: equal lines within a minute become one line and a number.
 * Owns: copies of the lines of the last minute, a bounded number of them.
 * Thread: the log's.
 * Never: forgets a count: a line that has to make room is handed out first. */
#ifndef SERVER_LOG_REPEAT_H
#define SERVER_LOG_REPEAT_H

#include "server/log_line.h"

#define LOG_REPEAT_SLOTS 64
#define LOG_REPEAT_MS    60000

struct log_repeat {
    struct log_repeat_slot {
        int64_t first_ms;
        uint64_t n_repeated;
        size_t n; /* 0: free */
        char line[LOG_LINE_MAX];
    } slots[LOG_REPEAT_SLOTS];
};

/* Is this line (of n bytes, LOG_TIME_SIZE of them the time) to be written now? Otherwise it has
 * been counted. When another line has to make room and was counted, its summary is in summary_out
 * (LOG_LINE_MAX bytes) and *n_summary_out is not 0: write it too. */
MUST_USE bool log_repeat_admit(struct log_repeat *repeat, const char *line, size_t n,
                               int64_t wall_ms, char *summary_out, size_t *n_summary_out);

/* Hands out one summary whose minute is over (or any, if is_last), and its length; 0: none. */
size_t log_repeat_take(struct log_repeat *repeat, int64_t wall_ms, bool is_last, char *summary_out);

/* Are there counts that wait for the end of their minute? */
bool log_repeat_is_waiting(const struct log_repeat *repeat);

#endif
