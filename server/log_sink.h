/* log_sink.h - private to the log: the place lines go to, never waited for longer than asked.
 * Owns: its descriptor, unless it is the caller's own.
 * Thread: the log's, but log_sink_open.
 * Never: changes the manners of a descriptor that other processes share; raises SIGPIPE. */
#ifndef SERVER_LOG_SINK_H
#define SERVER_LOG_SINK_H

#include "server/log.h"

enum log_sink_result {
    LOG_SINK_OK,
    LOG_SINK_FULL, /* not now: *n_written_out bytes are out, come back with the rest */
    LOG_SINK_LOST, /* this line cannot be written: reader gone, disk full */
};

struct log_sink {
    int fd; /* -1: none */
    bool owns_fd;
    bool is_socket;
    bool is_syslog;
};

/* False with errno when the file cannot be opened; a missing syslog is tried again at each line. */
MUST_USE bool log_sink_open(struct log_sink *sink, const struct log_config *config);
void log_sink_close(struct log_sink *sink);

/* Writes a line (or the rest of one) without waiting. */
enum log_sink_result log_sink_write(struct log_sink *sink, enum log_level level, const char *line,
                                    size_t n, size_t *n_written_out);

/* Waits until there may be room, at most this long. */
void log_sink_wait(const struct log_sink *sink, int timeout_ms);

#endif
