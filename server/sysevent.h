/* sysevent.h - what happens to the server: a line in the log, and one for those who watch
 * sysevents.
 * Owns: nothing.   Thread: any, while the workers run.
 * Never: tells of one tenant's keys, or a secret. */
#ifndef SERVER_SYSEVENT_H
#define SERVER_SYSEVENT_H

#include "server/log.h"
#include "server/server.h"

void sysevent_write(struct server *server, enum log_level level, const char *event,
                    const struct log_field *fields);
/* Not logged: what clients can cause as often as they like. */
void sysevent_show(struct server *server, const char *event, const struct log_field *fields);

#define sysevent(server, level, event, ...) \
    sysevent_write(server, level, event, (const struct log_field[]){__VA_ARGS__})
#define sysevent_shown(server, event, ...) \
    sysevent_show(server, event, (const struct log_field[]){__VA_ARGS__})

/* Once a second: tells that live items have begun to be evicted, or that this is over. */
struct pressure {
    uint64_t n_evicted;   /* up to the last look */
    unsigned n_calm_s;    /* seconds without an eviction */
    bool is_on, has_seen; /* a first look only notes the figure */
};
void sysevent_tell_pressure(struct server *server, struct pressure *pressure);

#endif
