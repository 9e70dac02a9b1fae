#include "server/command.h"

#include "base/number.h"
#include "config.h"
#include "server/create_auth.h"
#include "server/log.h"
#include "server/stream.h"
#include "server/sysevent.h"
#include "server/tenant.h"
#include "server/trace.h"

#include <stdlib.h>

#define MEMLIMIT_MIN_MIB 8
#define MEMLIMIT_MAX_MIB 1000000000
#define CLASS_MAX        63 /* memcached's highest slab class */

static enum execute_result say_status(const struct command *c, enum status status)
{
    return command_end(answer_status(c->conn, c->request, status));
}

static struct server *server_of(const struct command *c)
{
    return c->conn->worker->server;
}

enum execute_result command_noop(const struct command *c)
{
    return say_status(c, STATUS_NOOP);
}

enum execute_result command_version(const struct command *c)
{
    bool is_binary = c->request->dialect == DIALECT_BINARY;
    return command_say(c, is_binary ? COMPATIBLE_VERSION : "VERSION " COMPATIBLE_VERSION);
}

enum execute_result command_quit(const struct command *c)
{
    if (c->request->dialect != DIALECT_BINARY)
        return EXECUTE_CLOSE;
    return say_status(c, STATUS_OK); /* the request closes */
}

enum execute_result command_flush(const struct command *c)
{
    int64_t delay = c->request->exptime;
    counter_add(&c->conn->session.counters->cmd_flush, 1);
    if (!server_of(c)->settings->allows_flush)
        return say_status(c, STATUS_FLUSH_NOT_ALLOWED);
    if (delay <= 0)
        cache_flush(c->conn->session.cache, 0);
    else if (delay <= EXPTIME_RELATIVE_MAX)
        cache_flush(c->conn->session.cache, c->now + (uint32_t)delay);
    else if (delay > c->now && delay <= UINT32_MAX)
        cache_flush(c->conn->session.cache, (uint32_t)delay);
    sysevent_shown(server_of(c), "flush_all", LOG_STR("tenant", c->conn->session.tenant->name),
                   LOG_NUMBER("delay_s", delay > 0 ? delay : 0), LOG_END);
    return say_status(c, STATUS_OK);
}

enum execute_result command_verbosity(const struct command *c)
{
    uint64_t level;
    if (!number_parse_u64(request_arg(c->request, 0), UINT32_MAX, &level))
        return say_status(c, STATUS_BAD_FORMAT);
    level = level > 2 ? 2 : level;
    atomic_store(&server_of(c)->verbosity, (int)level);
    log_set_verbosity(server_of(c)->log, level);
    trace_turn(server_of(c), TRACE_LOGGED, level >= TRACE_VERBOSITY);
    sysevent_shown(server_of(c), "verbosity", LOG_NUMBER("level", level), LOG_END);
    return say_status(c, STATUS_OK);
}

enum execute_result command_shutdown(const struct command *c)
{
    struct slice mode = request_arg(c->request, 0);
    if (!server_of(c)->settings->allows_shutdown)
        return command_say(c, "SERVER_ERROR: shutdown not enabled");
    if (mode.n > 0 && !slice_is(mode, "graceful"))
        return command_say(c, "CLIENT_ERROR invalid shutdown mode");
    server_stop(server_of(c), mode.n > 0);
    return EXECUTE_CLOSE;
}

/* NULL: memory has the new size. What tenants are guaranteed is not taken from them. */
static const char *set_memory(struct server *server, uint64_t n_bytes)
{
    struct auth_error error;
    const char *fault = NULL;
    pthread_mutex_lock(&server->memory_lock);
    uint64_t before = atomic_load(&server->memory_limit);
    if (!promise_memory(server, n_bytes, &error)) {
        fault = "MEMLIMIT_ADJUST_FAILED below what the tenants are guaranteed";
    } else if (!cache_set_memory(server->cache, n_bytes)) {
        (void)!promise_memory(server, before, &error);
        fault = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust";
    } else {
        atomic_store(&server->memory_limit, n_bytes);
        sysevent(server, LOG_LEVEL_NOTICE, "memory_limit", LOG_NUMBER("before_bytes", before),
                 LOG_NUMBER("bytes", n_bytes), LOG_END);
    }
    pthread_mutex_unlock(&server->memory_lock);
    return fault;
}

enum execute_result command_memlimit(const struct command *c)
{
    uint64_t mib;
    if (!number_parse_u64(request_arg(c->request, 0), UINT32_MAX, &mib))
        return say_status(c, STATUS_ERROR);
    if (mib < MEMLIMIT_MIN_MIB)
        return command_say(c, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    if (mib > MEMLIMIT_MAX_MIB)
        return command_say(c, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    const char *fault = set_memory(server_of(c), mib << 20);
    return fault != NULL ? command_say(c, fault) : say_status(c, STATUS_OK);
}

/* ---- commands of memcached's engine: checked, and answered as one with nothing to do ---- */

static bool is_number(struct slice text, int64_t min, int64_t max)
{
    int64_t ignored;
    return number_parse_s64(text, min, max, &ignored);
}

/* A decimal fraction in a word of the line. */
static bool parse_fraction(struct slice text, double *value_out)
{
    char copy[32], *end;
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *value_out = strtod(copy, &end);
    return *end == '\0';
}

static enum execute_result slabs_reassign(const struct command *c)
{
    int64_t from, to;
    if (request_n_args(c->request) != 3)
        return say_status(c, STATUS_ERROR);
    if (!server_of(c)->settings->slab_reassign)
        return command_say(c, "CLIENT_ERROR slab reassignment disabled");
    if (!number_parse_s64(request_arg(c->request, 1), INT32_MIN, INT32_MAX, &from) ||
        !number_parse_s64(request_arg(c->request, 2), INT32_MIN, INT32_MAX, &to))
        return say_status(c, STATUS_BAD_FORMAT);
    if (from == to)
        return command_say(c, "SAME src and dst class are identical");
    if (from < -1 || from > CLASS_MAX || to < 0 || to > CLASS_MAX)
        return command_say(c, "BADCLASS invalid src or dst class id");
    return command_say(c, "NOSPARE source class has no spare pages");
}

static enum execute_result slabs_automove(const struct command *c)
{
    struct slice mode = request_arg(c->request, 1);
    struct slice value = request_arg(c->request, 2);
    double fraction;
    if (slice_is(mode, "ratio") || slice_is(mode, "freeratio"))
        return say_status(c, parse_fraction(value, &fraction) ? STATUS_OK : STATUS_ERROR);
    if (slice_is(mode, "window")) {
        if (!is_number(value, 0, UINT32_MAX))
            return say_status(c, STATUS_BAD_FORMAT);
        if (!is_number(value, 3, 1800))
            return command_say(c, "CLIENT_ERROR automove window too low or too high");
        return say_status(c, STATUS_OK);
    }
    if (mode.n == 0)
        return say_status(c, STATUS_ERROR);
    if (!is_number(mode, 0, UINT32_MAX))
        return say_status(c, STATUS_BAD_FORMAT);
    return say_status(c, is_number(mode, 0, 2) ? STATUS_OK : STATUS_ERROR);
}

enum execute_result command_slabs(const struct command *c)
{
    struct slice what = request_arg(c->request, 0);
    if (slice_is(what, "reassign"))
        return slabs_reassign(c);
    if (slice_is(what, "automove"))
        return slabs_automove(c);
    return say_status(c, STATUS_ERROR);
}

static enum execute_result lru_tune(const struct command *c)
{
    int64_t hot, warm;
    double hot_factor, warm_factor;
    if (request_n_args(c->request) < 5)
        return say_status(c, STATUS_ERROR);
    if (!number_parse_s64(request_arg(c->request, 1), 0, UINT32_MAX, &hot) ||
        !number_parse_s64(request_arg(c->request, 2), 0, UINT32_MAX, &warm) ||
        !parse_fraction(request_arg(c->request, 3), &hot_factor) ||
        !parse_fraction(request_arg(c->request, 4), &warm_factor))
        return say_status(c, STATUS_ERROR);
    if (hot + warm > 80)
        return command_say(c, "ERROR hot and warm pcts must not exceed 80");
    if (!(hot_factor > 0) || !(warm_factor > 0))
        return command_say(c, "ERROR hot/warm age factors must be greater than 0");
    return say_status(c, STATUS_OK);
}

enum execute_result command_lru(const struct command *c)
{
    struct slice what = request_arg(c->request, 0);
    struct slice value = request_arg(c->request, 1);
    if (slice_is(what, "tune"))
        return lru_tune(c);
    if (slice_is(what, "mode")) {
        bool is_known = slice_is(value, "flat") || slice_is(value, "segmented");
        return say_status(c, is_known ? STATUS_OK : STATUS_ERROR);
    }
    if (slice_is(what, "temp_ttl") && value.n > 0) {
        bool is_ok = is_number(value, INT32_MIN, INT32_MAX);
        return say_status(c, is_ok ? STATUS_OK : STATUS_ERROR);
    }
    return say_status(c, STATUS_ERROR);
}

enum execute_result command_extstore(const struct command *c)
{
    static const char *const names[] = {
        "item_size",  "item_age",  "low_ttl",  "recache_rate", "compact_under",
        "drop_under", "max_sleep", "max_frag", "drop_unread",  "free_memchunks"};
    struct slice name = request_arg(c->request, 0);
    struct slice value = request_arg(c->request, 1);
    double fraction;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!slice_is(name, names[i]))
            continue;
        bool is_ok = slice_is(name, "max_frag") ? parse_fraction(value, &fraction)
                                                : is_number(value, 0, UINT32_MAX);
        return say_status(c, is_ok ? STATUS_OK : STATUS_ERROR);
    }
    return say_status(c, STATUS_ERROR);
}

/* ---- lru_crawler: dumps are real, the rest is answered ---- */

enum classes { CLASSES_OK, CLASSES_BAD, CLASSES_HASH };

/* "all", "hash", or class numbers with commas between them, as bits. */
static enum classes parse_classes(struct slice text, uint64_t *mask_out)
{
    *mask_out = UINT64_MAX;
    if (slice_is(text, "hash"))
        return CLASSES_HASH;
    if (slice_is(text, "all"))
        return CLASSES_OK;
    uint64_t mask = 0;
    while (text.n > 0) {
        const uint8_t *comma = memchr(text.p, ',', text.n);
        size_t n = comma != NULL ? (size_t)(comma - text.p) : text.n;
        uint64_t id;
        if (!number_parse_u64(slice_of(text.p, n), CLASS_MAX, &id) || id == 0)
            return CLASSES_BAD;
        mask |= 1ull << id;
        n += comma != NULL;
        text = slice_of(text.p + n, text.n - n);
    }
    *mask_out = mask;
    return mask != 0 ? CLASSES_OK : CLASSES_BAD;
}

static enum execute_result dump(const struct command *c, enum stream_kind kind)
{
    struct server *server = server_of(c);
    uint64_t mask;
    if (!atomic_load(&server->is_crawler_on))
        return command_say(c, "CLIENT_ERROR lru crawler disabled");
    if (!server->settings->allows_dump)
        return command_say(c, kind == STREAM_METADUMP ? "ERROR metadump not allowed"
                                                      : "ERROR key dump not allowed");
    if (!output_is_empty(&c->conn->worker->out))
        return command_say(c, kind == STREAM_METADUMP
                                  ? "ERROR cannot pipeline other commands before metadump"
                                  : "ERROR cannot pipeline other commands before mgdump");
    if (parse_classes(request_arg(c->request, 1), &mask) == CLASSES_BAD)
        return command_say(c, "BADCLASS invalid class id");
    if (!answer_status(c->conn, c->request, STATUS_OK) || !stream_begin(c->conn, kind, mask, 0))
        return EXECUTE_CLOSE;
    return EXECUTE_MOVED;
}

static enum execute_result crawl(const struct command *c)
{
    uint64_t mask;
    if (!atomic_load(&server_of(c)->is_crawler_on))
        return command_say(c, "CLIENT_ERROR lru crawler disabled");
    switch (parse_classes(request_arg(c->request, 1), &mask)) {
    case CLASSES_OK:
        return say_status(c, STATUS_OK);
    case CLASSES_HASH:
        return command_say(c, "ERROR an unknown error happened");
    case CLASSES_BAD:
        break;
    }
    return command_say(c, "BADCLASS invalid class id");
}

static enum execute_result crawler_number(const struct command *c, struct slice what)
{
    struct slice value = request_arg(c->request, 1);
    if (!is_number(value, 0, UINT32_MAX))
        return say_status(c, STATUS_BAD_FORMAT);
    if (slice_is(what, "sleep") && !is_number(value, 0, 1000000))
        return command_say(c, "CLIENT_ERROR sleep must be one second or less");
    return say_status(c, STATUS_OK);
}

static enum execute_result crawler_switch(const struct command *c, struct slice what)
{
    atomic_bool *is_on = &server_of(c)->is_crawler_on;
    if (slice_is(what, "enable"))
        return atomic_exchange(is_on, true)
                   ? command_say(c, "ERROR failed to start lru crawler thread")
                   : say_status(c, STATUS_OK);
    if (!slice_is(what, "disable"))
        return say_status(c, STATUS_ERROR);
    atomic_store(is_on, false);
    return say_status(c, STATUS_OK);
}

enum execute_result command_crawler(const struct command *c)
{
    struct slice what = request_arg(c->request, 0);
    unsigned n_args = request_n_args(c->request);
    if (n_args == 1)
        return crawler_switch(c, what);
    if (n_args != 2)
        return say_status(c, STATUS_ERROR);
    if (slice_is(what, "metadump"))
        return dump(c, STREAM_METADUMP);
    if (slice_is(what, "mgdump"))
        return dump(c, STREAM_MGDUMP);
    if (slice_is(what, "crawl"))
        return crawl(c);
    if (slice_is(what, "sleep") || slice_is(what, "tocrawl"))
        return crawler_number(c, what);
    return say_status(c, STATUS_ERROR);
}
