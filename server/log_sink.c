#include "server/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/log_line.h"

#define SYSLOG_PATH   "/dev/log"
#define SYSLOG_DAEMON (3 << 3) /* facility, RFC 5424 section 6.2.1 */

/* A pipe or terminal is opened once more, so that it can be made non-blocking for keepd alone.
 * A regular file is not: a second description would have an offset of its own. */
static void open_descriptor(struct log_sink *sink, int fd)
{
    struct stat status;
    char path[40];
    *sink = (struct log_sink){.fd = fd};
    if (fstat(fd, &status) != 0) {
        sink->fd = -1;
        return;
    }
    sink->is_socket = S_ISSOCK(status.st_mode);
    if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    sink->fd = own;
    sink->owns_fd = true;
}

static void open_syslog(struct log_sink *sink)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SYSLOG_PATH};
    *sink = (struct log_sink){.fd = -1, .is_socket = true, .is_syslog = true};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return;
    }
    sink->fd = fd;
    sink->owns_fd = true;
}

bool log_sink_open(struct log_sink *sink, const struct log_config *config)
{
    if (config->is_syslog) {
        open_syslog(sink);
    } else if (config->path) {
        *sink = (struct log_sink){.owns_fd = true};
        sink->fd = open(config->path,
                        O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
        return sink->fd >= 0;
    } else {
        open_descriptor(sink, config->fd);
    }
    return true;
}

void log_sink_close(struct log_sink *sink)
{
    if (sink->owns_fd && sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
}

/* Poll says what a blocking descriptor, that could not be opened again, would do. */
static bool has_room(const struct log_sink *sink)
{
    struct pollfd poll_fd = {.fd = sink->fd, .events = POLLOUT};
    return sink->owns_fd || poll(&poll_fd, 1, 0) != 0;
}

static enum log_sink_result write_some(struct log_sink *sink, const char *p, size_t n,
                                       size_t *n_written_out)
{
    *n_written_out = 0;
    if (sink->fd < 0)
        return LOG_SINK_LOST;
    if (!has_room(sink))
        return LOG_SINK_FULL;
    ssize_t written =
        sink->is_socket ? send(sink->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(sink->fd, p, n);
    if (written >= 0)
        *n_written_out = (size_t)written;
    if (written == (ssize_t)n)
        return LOG_SINK_OK;
    if (written >= 0 || errno == EAGAIN || errno == EINTR)
        return LOG_SINK_FULL;
    return LOG_SINK_LOST;
}

/* RFC 3164 section 4.1: <priority>time tag[pid]: text, one datagram per line. */
static enum log_sink_result write_syslog(struct log_sink *sink, enum log_level level,
                                         const char *line, size_t n)
{
    static const int severities[] = {
        [LOG_LEVEL_ERROR] = 3, [LOG_LEVEL_WARNING] = 4, [LOG_LEVEL_NOTICE] = 5,
        [LOG_LEVEL_DEBUG] = 7, [LOG_LEVEL_TRACE] = 7,
    };
    char packet[LOG_LINE_MAX + 64], stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &parts);
    int n_head =
        snprintf(packet, sizeof packet, "<%d>%s keepd[%d]: ", SYSLOG_DAEMON | severities[level],
                 stamp, (int)getpid());
    memcpy(packet + n_head, line + LOG_TIME_SIZE, n - LOG_TIME_SIZE - 1);
    size_t n_packet = (size_t)n_head + n - LOG_TIME_SIZE - 1, n_written;
    enum log_sink_result result = write_some(sink, packet, n_packet, &n_written);
    if (result != LOG_SINK_LOST)
        return result;
    log_sink_close(sink);
    open_syslog(sink);
    return write_some(sink, packet, n_packet, &n_written);
}

enum log_sink_result log_sink_write(struct log_sink *sink, enum log_level level, const char *line,
                                    size_t n, size_t *n_written_out)
{
    if (!sink->is_syslog)
        return write_some(sink, line, n, n_written_out);
    *n_written_out = 0;
    return write_syslog(sink, level, line, n);
}

void log_sink_wait(const struct log_sink *sink, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = sink->fd, .events = POLLOUT};
    (void)poll(&poll_fd, 1, timeout_ms);
}
