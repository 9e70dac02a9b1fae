/* watch.h - the command watch: lines about what happens, sent to the connections that asked.
 * Owns: the list of watchers and the lines that they have not read yet.
 * Thread: watch_is_on and the watch_ events any; the rest the watcher's worker.
 * Never: waits for a watcher: a slow one loses lines and is told how many; shows a tenant the keys
 *        of another. */
#ifndef SERVER_WATCH_H
#define SERVER_WATCH_H

#include "cache/cache.h"
#include "server/conn.h"

#define WATCHERS_MAX 20

enum watch_type {
#define WATCH(name, word, is_for_operators) WATCH_##name,
#include "server/watch.def"
#undef WATCH
    N_WATCH_TYPES
};

struct log_field;
struct watch;
struct watcher;

/* n_buffer: bytes of lines that a watcher may be behind. NULL when memory is short. */
MUST_USE struct watch *watch_create(size_t n_buffer);
void watch_destroy(struct watch **watch);

/* The first member of struct watch, so that the hot path asks without a call. */
struct watch_types {
    atomic_uint types; /* bits by enum watch_type, of all watchers together */
};

/* Does anybody watch this? The one test that unwatched events cost. */
static inline bool watch_is_on(const struct watch *watch, enum watch_type type)
{
    struct watch_types *wanted = (struct watch_types *)watch;
    return atomic_load_explicit(&wanted->types, memory_order_relaxed) >> type & 1;
}

/* Makes the connection a watcher of these types (bits by enum watch_type); tenant NULL sees all.
 * FAILED: memory is short. */
enum watch_begin { WATCH_BEGUN, WATCH_TOO_MANY, WATCH_FAILED };
MUST_USE enum watch_begin watch_begin(struct watch *watch, struct conn *conn, uint32_t types,
                                      const struct tenant *tenant);
/* Also for a connection that is no watcher. */
void watch_end(struct conn *conn);

/* Moves lines to the worker's output; false when there are none. */
bool watch_take(struct conn *conn);

/* ---- events; each only after watch_is_on ---- */

void watch_get(struct conn *conn, struct slice key, enum cache_result result, uint8_t item_class,
               uint32_t size);
void watch_store(struct conn *conn, struct slice key, const char *command, const char *status,
                 int64_t ttl, uint8_t item_class, uint32_t size);
void watch_delete(struct conn *conn, struct slice key, const char *command, uint8_t item_class,
                  uint32_t size);
void watch_open(struct conn *conn);
void watch_close(struct conn *conn);
void watch_tls_error(struct conn *conn, const char *reason);
/* What was asked for, without values and without what a login says. */
void watch_request(struct conn *conn, const struct request *request);
/* What happened to the server; see sysevent.h. */
void watch_event(struct watch *watch, const char *event, const struct log_field *fields);

/* For cache_config: by it the cache tells of evictions. */
struct cache_eviction_listener watch_eviction_listener(struct watch *watch);

struct watch_counts {
    uint64_t n_sent;    /* lines given to watchers */
    uint64_t n_skipped; /* lines that a slow watcher lost */
    unsigned n_watchers;
};
void watch_counts_read(const struct watch *watch, struct watch_counts *out);

#endif
