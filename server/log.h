/* log.h - one line per event, written by a thread of its own.
 * Owns: the queue of lines, the thread, the file or socket they go to.
 * Thread: any; log_create, log_destroy and log_reopen belong to main.
 * Never: blocks or fails its caller: what cannot be written is dropped and counted. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "base/bytes.h"
#include "base/must.h"

struct log;

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING, /* and everything about logins: always written */
    LOG_LEVEL_NOTICE,  /* -v: what happens to the process */
    LOG_LEVEL_DEBUG,   /* -vv: connections and requests */
    LOG_LEVEL_TRACE,   /* -vvv: inner states */
};

/* One word name=value behind the event. Names are ours; texts may come from a peer. */
struct log_field {
    const char *name; /* NULL ends the list */
    struct slice text;
    uint64_t number;
    bool is_number;
};

#define LOG_TEXT(name, slice)    ((struct log_field){(name), (slice), 0, false})
#define LOG_STR(name, string)    LOG_TEXT(name, slice_str(string))
#define LOG_NUMBER(name, number) ((struct log_field){(name), {NULL, 0}, (uint64_t)(number), true})
#define LOG_END                  ((struct log_field){NULL, {NULL, 0}, 0, false})

struct log_config {
    uint64_t verbosity;         /* how many -v: 0 shows errors and warnings */
    int fd;                     /* where lines go when path is NULL and is_syslog false */
    const char *path;           /* --log-file; appended to, opened again by log_reopen */
    bool is_syslog;             /* --syslog */
    int64_t (*wall_ms)(void *); /* the clock, Unix milliseconds; NULL is the real one */
    void *clock;
};

/* Starts the thread, with every signal blocked in it: after daemon(), before privileges are
 * dropped. NULL with errno when the file cannot be opened or memory is short. */
MUST_USE struct log *log_create(const struct log_config *config);

/* Writes what can be written within a quarter of a second, then stops. Accepts NULL, clears. */
void log_destroy(struct log **log);

/* Opens --log-file again, for rotation; on failure the old one stays in use. */
void log_reopen(struct log *log);

/* The command verbosity. */
void log_set_verbosity(struct log *log, uint64_t verbosity);

/* Is it worth collecting the fields? False for a NULL log. */
bool log_is_on(const struct log *log, enum log_level level);

/* Lines dropped since the start because nobody took them fast enough, or writing failed. */
uint64_t log_n_dropped(const struct log *log);

/* fields end with LOG_END. All is copied before it returns; log may be NULL. */
void log_write(struct log *log, enum log_level level, const char *event,
               const struct log_field *fields);

/* The same for events of security, which a peer can cause as often as it likes: the first is
 * written, with or without -v; equal ones within a minute are counted and written once with
 * repeated=N. */
void log_write_summed(struct log *log, enum log_level level, const char *event,
                      const struct log_field *fields);

/* log_event(log, LOG_LEVEL_NOTICE, "started", LOG_NUMBER("port", port), LOG_END); */
#define log_event(log, level, event, ...) \
    log_write(log, level, event, (const struct log_field[]){__VA_ARGS__})
#define log_security(log, event, ...) \
    log_write_summed(log, LOG_LEVEL_WARNING, event, (const struct log_field[]){__VA_ARGS__})

#endif
