#include "server/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "server/log_line.h"
#include "server/log_repeat.h"
#include "server/log_sink.h"

#define QUEUE_BYTES 262144 /* lines that wait for the thread; as many again are being written */
#define PATIENCE_MS 250    /* of log_destroy, with a reader that does not read */
#define WAIT_MS     50     /* between two looks at a full sink */
#define REST_MS     50     /* between two looks at lines that only repeat others */

/* What stands before each line in a queue. */
struct record {
    uint16_t n;
    uint8_t level;
    bool is_summed;
};

struct queue {
    size_t n;
    uint8_t bytes[QUEUE_BYTES];
};

struct log {
    pthread_mutex_t lock;  /* covers the fields down to is_wanted */
    pthread_cond_t filled; /* there is something for the thread */
    struct queue *filling;
    bool is_resting; /* the thread comes by itself: what is summed need not wake it */
    bool is_wanted;  /* there is something that need not wait for that */

    _Atomic uint64_t verbosity;
    _Atomic uint64_t n_dropped;
    _Atomic bool is_stopping;
    _Atomic bool wants_reopen;

    struct log_config config; /* constant after log_create, path is our copy */
    char *path;
    pthread_t thread;

    struct queue *draining; /* from here on: the thread's own */
    struct log_sink sink;
    struct log_repeat repeat;
    uint64_t n_reported;   /* of n_dropped */
    int64_t give_up_at_ms; /* monotonic; 0 until is_stopping is seen */
    bool is_line_torn;     /* the last line was lost behind its beginning */
    bool has_written;      /* a line of the records taken last */
};

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t wall_ms(const struct log *log)
{
    return log->config.wall_ms ? log->config.wall_ms(log->config.clock) : clock_ms(CLOCK_REALTIME);
}

static struct timespec monotonic_after(int64_t ms)
{
    int64_t at = clock_ms(CLOCK_MONOTONIC) + ms;
    return (struct timespec){.tv_sec = at / 1000, .tv_nsec = (at % 1000) * 1000000};
}

/* The thread. */

static void lose(struct log *log, size_t n_written)
{
    log->is_line_torn = log->is_line_torn || n_written > 0;
    atomic_fetch_add_explicit(&log->n_dropped, 1, memory_order_relaxed);
}

/* True once the process has waited long enough for a reader that does not read. */
static bool has_given_up(struct log *log)
{
    if (!atomic_load_explicit(&log->is_stopping, memory_order_relaxed))
        return false;
    int64_t now = clock_ms(CLOCK_MONOTONIC);
    if (log->give_up_at_ms == 0)
        log->give_up_at_ms = now + PATIENCE_MS;
    return now >= log->give_up_at_ms;
}

/* Writes all of it, or loses it. */
static void write_bytes(struct log *log, enum log_level level, const char *p, size_t n)
{
    size_t at = 0, n_written;
    for (;;) {
        enum log_sink_result result = log_sink_write(&log->sink, level, p + at, n - at, &n_written);
        at += n_written;
        if (result == LOG_SINK_OK)
            return;
        if (result == LOG_SINK_LOST || has_given_up(log)) {
            lose(log, at);
            return;
        }
        if (n_written == 0)
            log_sink_wait(&log->sink, WAIT_MS);
    }
}

static void write_line(struct log *log, enum log_level level, const char *line, size_t n)
{
    log->has_written = true;
    if (log->is_line_torn && !log->sink.is_syslog) {
        log->is_line_torn = false;
        write_bytes(log, level, "\n", 1);
    }
    write_bytes(log, level, line, n);
}

static void write_summed(struct log *log, const char *line, size_t n)
{
    char summary[LOG_LINE_MAX];
    size_t n_summary;
    bool is_new = log_repeat_admit(&log->repeat, line, n, wall_ms(log), summary, &n_summary);
    if (n_summary > 0)
        write_line(log, LOG_LEVEL_WARNING, summary, n_summary);
    if (is_new)
        write_line(log, LOG_LEVEL_WARNING, line, n);
}

static void write_summaries(struct log *log, bool is_last)
{
    char summary[LOG_LINE_MAX];
    size_t n;
    while ((n = log_repeat_take(&log->repeat, wall_ms(log), is_last, summary)) > 0)
        write_line(log, LOG_LEVEL_WARNING, summary, n);
}

static void report_dropped(struct log *log)
{
    uint64_t n_dropped = log_n_dropped(log);
    if (n_dropped == log->n_reported)
        return;
    const struct log_field fields[] = {LOG_NUMBER("lines", n_dropped - log->n_reported), LOG_END};
    char line[LOG_LINE_MAX];
    size_t n = log_line_render(LOG_LEVEL_WARNING, "log_lines_dropped", fields, wall_ms(log), line);
    write_line(log, LOG_LEVEL_WARNING, line, n);
    log->n_reported = log_n_dropped(log);
}

static void reopen(struct log *log)
{
    struct log_sink fresh;
    if (!atomic_exchange(&log->wants_reopen, false) || !log_sink_open(&fresh, &log->config))
        return;
    log_sink_close(&log->sink);
    log->sink = fresh;
}

static void drain(struct log *log)
{
    struct queue *queue = log->draining;
    for (size_t at = 0; at < queue->n;) {
        struct record record;
        memcpy(&record, queue->bytes + at, sizeof record);
        const char *line = (const char *)queue->bytes + at + sizeof record;
        at += sizeof record + record.n;
        if (record.is_summed)
            write_summed(log, line, record.n);
        else
            write_line(log, record.level, line, record.n);
    }
    queue->n = 0;
}

/* Waits for records; returns after a second at most while summaries are due. */
static void wait_for_records(struct log *log)
{
    struct timespec until = monotonic_after(log->is_resting ? REST_MS : 1000);
    bool is_timed = log->is_resting || log_repeat_is_waiting(&log->repeat);
    int error = 0;
    while ((log->filling->n == 0 || (log->is_resting && !log->is_wanted)) &&
           !atomic_load(&log->is_stopping) && !atomic_load(&log->wants_reopen) &&
           error != ETIMEDOUT)
        error = is_timed ? pthread_cond_timedwait(&log->filled, &log->lock, &until)
                         : pthread_cond_wait(&log->filled, &log->lock);
    log->is_resting = log->is_wanted = false;
}

static void *run(void *arg)
{
    struct log *log = arg;
    bool is_last = false;
    while (!is_last) {
        pthread_mutex_lock(&log->lock);
        wait_for_records(log);
        struct queue *queue = log->filling;
        log->filling = log->draining;
        log->draining = queue;
        bool has_lines = queue->n > 0;
        is_last = atomic_load(&log->is_stopping);
        pthread_mutex_unlock(&log->lock);

        log->has_written = false;
        reopen(log);
        drain(log);
        write_summaries(log, is_last);
        report_dropped(log);

        pthread_mutex_lock(&log->lock);
        log->is_resting = has_lines && !log->has_written;
        pthread_mutex_unlock(&log->lock);
    }
    return NULL;
}

/* The door. */

static void enqueue(struct log *log, struct record record, const char *line)
{
    bool has_room, is_urgent, must_wake;
    pthread_mutex_lock(&log->lock);
    struct queue *queue = log->filling;
    is_urgent = !record.is_summed || queue->n > QUEUE_BYTES / 2;
    must_wake = log->is_resting ? is_urgent : queue->n == 0;
    log->is_wanted |= is_urgent;
    has_room = sizeof record + record.n <= QUEUE_BYTES - queue->n;
    if (has_room) {
        memcpy(queue->bytes + queue->n, &record, sizeof record);
        memcpy(queue->bytes + queue->n + sizeof record, line, record.n);
        queue->n += sizeof record + record.n;
    }
    pthread_mutex_unlock(&log->lock);
    if (must_wake)
        pthread_cond_signal(&log->filled);
    if (!has_room)
        atomic_fetch_add_explicit(&log->n_dropped, 1, memory_order_relaxed);
}

static void write_record(struct log *log, enum log_level level, bool is_summed, const char *event,
                         const struct log_field *fields)
{
    char line[LOG_LINE_MAX];
    size_t n = log_line_render(level, event, fields, wall_ms(log), line);
    enqueue(log, (struct record){(uint16_t)n, (uint8_t)level, is_summed}, line);
}

void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields)
{
    if (log_is_on(log, level))
        write_record(log, level, false, event, fields);
}

void log_write_summed(struct log *log, enum log_level level, const char *event,
                      const struct log_field *fields)
{
    if (log)
        write_record(log, level, true, event, fields);
}

bool log_is_on(const struct log *log, enum log_level level)
{
    return log && (uint64_t)level <= LOG_LEVEL_WARNING + atomic_load_explicit(&log->verbosity,
                                                                              memory_order_relaxed);
}

void log_set_verbosity(struct log *log, uint64_t verbosity)
{
    if (log)
        atomic_store_explicit(&log->verbosity, verbosity, memory_order_relaxed);
}

uint64_t log_n_dropped(const struct log *log)
{
    return log ? atomic_load_explicit(&log->n_dropped, memory_order_relaxed) : 0;
}

void log_reopen(struct log *log)
{
    if (!log)
        return;
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->wants_reopen, true);
    pthread_cond_signal(&log->filled);
    pthread_mutex_unlock(&log->lock);
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    MUST(pthread_condattr_init(&attributes) == 0);
    MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

/* Signals belong to main; the thread must not take one, nor die of SIGPIPE. */
static int start_thread(struct log *log)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&log->thread, NULL, run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void free_log(struct log *log)
{
    free(log->filling);
    free(log->draining);
    free(log->path);
    free(log);
}

static bool copy_config(struct log *log, const struct log_config *config)
{
    log->config = *config;
    if (!config->path)
        return true;
    log->path = strdup(config->path);
    log->config.path = log->path;
    return log->path != NULL;
}

struct log *log_create(const struct log_config *config)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return NULL;
    log->filling = calloc(1, sizeof *log->filling);
    log->draining = calloc(1, sizeof *log->draining);
    atomic_init(&log->verbosity, config->verbosity);
    if (!log->filling || !log->draining || !copy_config(log, config) ||
        !log_sink_open(&log->sink, &log->config)) {
        free_log(log);
        return NULL;
    }
    MUST(pthread_mutex_init(&log->lock, NULL) == 0);
    init_condition(&log->filled);
    int error = start_thread(log);
    if (error == 0)
        return log;
    log_sink_close(&log->sink);
    free_log(log);
    errno = error;
    return NULL;
}

void log_destroy(struct log **log_inout)
{
    struct log *log = *log_inout;
    if (!log)
        return;
    *log_inout = NULL;
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->is_stopping, true);
    pthread_cond_signal(&log->filled);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    log_sink_close(&log->sink);
    pthread_cond_destroy(&log->filled);
    pthread_mutex_destroy(&log->lock);
    free_log(log);
}
