#include "server/sysevent.h"

#include "server/watch.h"

#define CALM_S 10 /* evictions come in bursts: a pause of this length ends them */

void sysevent_show(struct server *server, const char *event, const struct log_field *fields)
{
    if (watch_is_on(server->watch, WATCH_SYSEVENTS))
        watch_event(server->watch, event, fields);
}

void sysevent_write(struct server *server, enum log_level level, const char *event,
                    const struct log_field *fields)
{
    log_write(server->log, level, event, fields);
    sysevent_show(server, event, fields);
}

void sysevent_tell_pressure(struct server *server, struct pressure *pressure)
{
    struct cache_stats stats;
    if (!watch_is_on(server->watch, WATCH_SYSEVENTS)) {
        pressure->has_seen = pressure->is_on = false;
        return;
    }
    cache_stats_read(server->cache, NULL, &stats);
    uint64_t n = stats.evictions;
    bool is_evicting = pressure->has_seen && n > pressure->n_evicted;
    pressure->n_calm_s = is_evicting ? 0 : pressure->n_calm_s + 1;
    if (is_evicting && !pressure->is_on) {
        pressure->is_on = true;
        sysevent_shown(server, "evictions_begin", LOG_NUMBER("evictions", n),
                       LOG_NUMBER("in_this_second", n - pressure->n_evicted), LOG_END);
    } else if (pressure->is_on && pressure->n_calm_s >= CALM_S) {
        pressure->is_on = false;
        sysevent_shown(server, "evictions_end", LOG_NUMBER("evictions", n), LOG_END);
    }
    pressure->n_evicted = n;
    pressure->has_seen = true;
}
