/* log_line.h - private to the log and to watch: one event to one line of name=value words.
 * Owns: nothing.   Thread: any.
 * Never: lets a byte of a peer end a line, a quote or a value. */
#ifndef SERVER_LOG_LINE_H
#define SERVER_LOG_LINE_H

#include "server/log.h"

#define LOG_LINE_MAX  1024 /* with its newline; longer lines are cut */
#define LOG_VALUE_MAX 300  /* bytes of one value that are shown, before escaping */
#define LOG_TIME_SIZE 30   /* "time=2026-11-22T07:53:17.123Z " */

/* Renders into out (LOG_LINE_MAX bytes) and returns the length, newline included. The first
 * LOG_TIME_SIZE bytes are the time (UTC), so equal events are equal behind them. */
size_t log_line_render(enum log_level level, const char *event, const struct log_field *fields,
                       int64_t wall_ms, char *out);

/* The event and its fields behind the n bytes that out (LOG_LINE_MAX bytes) has; returns the
 * length, newline included. */
size_t log_line_words(char *out, size_t n, const char *event, const struct log_field *fields);

/* Writes the time only. */
void log_line_stamp(int64_t wall_ms, char out[LOG_TIME_SIZE]);

#endif
