#include "server/watch.h"

#include "server/answer.h"
#include "server/key_text.h"
#include "server/log_line.h"
#include "server/login.h"
#include "server/tenant.h"
#include "server/trace.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_MAX_BYTES (3 * CACHE_KEY_MAX + 512)
#define REASON_MAX     300
#define TAKE_MAX       (64u << 10) /* bytes moved to the output at once */

struct watcher {
    struct watch *watch;
    struct conn *conn;
    const struct cache_tenant *tenant; /* NULL: sees all */
    uint32_t types;
    struct message message; /* there are lines; under the lock of struct watch */
    bool is_posted;
    uint64_t n_skipped; /* since the last line that fit */
    size_t n_first;     /* ring: the oldest byte */
    size_t n_bytes;
    size_t capacity;
    uint8_t ring[];
};

struct watch {
    struct watch_types wanted;
    size_t n_buffer;
    _Atomic uint64_t next_gid;
    _Atomic uint64_t n_sent;
    _Atomic uint64_t n_skipped;
    pthread_mutex_t lock; /* covers the list and every watcher's ring */
    unsigned n_watchers;
    struct watcher *watchers[WATCHERS_MAX];
};

struct watch *watch_create(size_t n_buffer)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->n_buffer = n_buffer;
    pthread_mutex_init(&watch->lock, NULL);
    return watch;
}

void watch_destroy(struct watch **watch)
{
    struct watch *w = *watch;
    if (w == NULL)
        return;
    *watch = NULL;
    MUST(w->n_watchers == 0);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void watch_counts_read(const struct watch *watch, struct watch_counts *out)
{
    struct watch *w = (struct watch *)watch;
    out->n_sent = atomic_load(&w->n_sent);
    out->n_skipped = atomic_load(&w->n_skipped);
    pthread_mutex_lock(&w->lock);
    out->n_watchers = w->n_watchers;
    pthread_mutex_unlock(&w->lock);
}

/* ---- watchers ---- */

static void collect_types(struct watch *watch, struct server *server)
{
    uint32_t types = 0;
    for (unsigned i = 0; i < watch->n_watchers; i++)
        types |= watch->watchers[i]->types;
    atomic_store(&watch->wanted.types, types);
    trace_turn(server, TRACE_WATCHED, (types >> WATCH_RAWCMDS & 1) != 0);
}

static void run_message(struct worker *worker, struct message *message)
{
    struct watcher *watcher =
        (struct watcher *)((char *)message - offsetof(struct watcher, message));
    struct watch *watch = watcher->watch;
    struct conn *conn = watcher->conn;
    (void)worker;
    pthread_mutex_lock(&watch->lock);
    watcher->is_posted = false;
    pthread_mutex_unlock(&watch->lock);
    if (conn == NULL)
        free(watcher); /* it ended while this was on its way */
    else if (state_now(conn) == CONN_WATCH)
        conn_run(conn);
}

/* Its connection has ended, or will when the worker's connections are freed. */
static void drop_message(struct message *message)
{
    struct watcher *watcher =
        (struct watcher *)((char *)message - offsetof(struct watcher, message));
    watcher->is_posted = false;
    if (watcher->conn == NULL)
        free(watcher);
}

enum watch_begin watch_begin(struct watch *watch, struct conn *conn, uint32_t types,
                             const struct tenant *tenant)
{
    struct watcher *watcher = calloc(1, sizeof *watcher + watch->n_buffer);
    if (watcher == NULL)
        return WATCH_FAILED;
    watcher->watch = watch;
    watcher->conn = conn;
    watcher->tenant = tenant != NULL ? tenant->cache : NULL;
    watcher->types = types;
    watcher->capacity = watch->n_buffer;
    watcher->message.run = run_message;
    watcher->message.drop = drop_message;
    pthread_mutex_lock(&watch->lock);
    bool has_room = watch->n_watchers < WATCHERS_MAX;
    if (has_room) {
        watch->watchers[watch->n_watchers++] = watcher;
        collect_types(watch, conn->worker->server);
    }
    pthread_mutex_unlock(&watch->lock);
    if (!has_room) {
        free(watcher);
        return WATCH_TOO_MANY;
    }
    conn->watcher = watcher;
    return WATCH_BEGUN;
}

void watch_end(struct conn *conn)
{
    struct watcher *watcher = conn->watcher;
    if (watcher == NULL)
        return;
    struct watch *watch = watcher->watch;
    conn->watcher = NULL;
    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n_watchers; i++) {
        if (watch->watchers[i] == watcher)
            watch->watchers[i] = watch->watchers[--watch->n_watchers];
    }
    collect_types(watch, conn->worker->server);
    watcher->conn = NULL;
    bool is_posted = watcher->is_posted;
    pthread_mutex_unlock(&watch->lock);
    if (!is_posted)
        free(watcher);
}

bool watch_take(struct conn *conn)
{
    struct watcher *watcher = conn->watcher;
    struct output *out = &conn->worker->out;
    if (!output_reserve(out, TAKE_MAX))
        return false;
    pthread_mutex_lock(&watcher->watch->lock);
    size_t n = watcher->n_bytes < TAKE_MAX ? watcher->n_bytes : TAKE_MAX;
    size_t n_to_end = watcher->capacity - watcher->n_first;
    size_t n_head = n < n_to_end ? n : n_to_end;
    memcpy(out->p + out->n, watcher->ring + watcher->n_first, n_head);
    memcpy(out->p + out->n + n_head, watcher->ring, n - n_head);
    watcher->n_first = (watcher->n_first + n) % watcher->capacity;
    watcher->n_bytes -= n;
    pthread_mutex_unlock(&watcher->watch->lock);
    out->n += n;
    return n > 0;
}

/* ---- lines ---- */

static void put(struct watcher *watcher, const char *bytes, size_t n)
{
    size_t at = (watcher->n_first + watcher->n_bytes) % watcher->capacity;
    size_t n_to_end = watcher->capacity - at;
    size_t n_head = n < n_to_end ? n : n_to_end;
    memcpy(watcher->ring + at, bytes, n_head);
    memcpy(watcher->ring, bytes + n_head, n - n_head);
    watcher->n_bytes += n;
}

/* Adds a line to one watcher, before it how many were lost. False: lost too. */
static bool add_line(struct watcher *watcher, const char *line, size_t n)
{
    char note[40];
    size_t n_note = 0;
    if (watcher->n_skipped > 0)
        n_note = (size_t)snprintf(note, sizeof note, "skipped=%llu\n",
                                  (unsigned long long)watcher->n_skipped);
    if (n_note + n > watcher->capacity - watcher->n_bytes) {
        watcher->n_skipped++;
        return false;
    }
    put(watcher, note, n_note);
    put(watcher, line, n);
    watcher->n_skipped = 0;
    return true;
}

/* tenant NULL: about no tenant's keys. */
static void publish(struct watch *watch, enum watch_type type, const struct cache_tenant *tenant,
                    const char *line, size_t n)
{
    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < watch->n_watchers; i++) {
        struct watcher *watcher = watch->watchers[i];
        bool is_meant = watcher->types >> type & 1;
        if (!is_meant || (watcher->tenant != NULL && watcher->tenant != tenant))
            continue;
        atomic_fetch_add(add_line(watcher, line, n) ? &watch->n_sent : &watch->n_skipped, 1);
        if (watcher->is_posted)
            continue;
        watcher->is_posted = true;
        worker_tell(watcher->conn->worker, &watcher->message);
    }
    pthread_mutex_unlock(&watch->lock);
}

/* The words that every line begins with. */
static size_t begin_line(struct watch *watch, char *line, size_t room, const char *type)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t gid = atomic_fetch_add(&watch->next_gid, 1) + 1;
    return (size_t)snprintf(line, room, "ts=%lld.%06ld gid=%llu type=%s", (long long)now.tv_sec,
                            now.tv_nsec / 1000, (unsigned long long)gid, type);
}

static size_t put_key(char *line, size_t n, struct slice key)
{
    memcpy(line + n, " key=", 5);
    return n + 5 + key_text_uri((uint8_t *)line + n + 5, key);
}

static struct watch *watch_of(const struct conn *conn)
{
    return conn->worker->server->watch;
}

static const char *word_of_result(enum cache_result result)
{
    switch (result) {
    case CACHE_OK:
        return "found";
    case CACHE_EXPIRED:
        return "expired";
    case CACHE_FLUSHED:
        return "flushed";
    default:
        return "not_found";
    }
}

void watch_get(struct conn *conn, struct slice key, enum cache_result result, uint8_t item_class,
               uint32_t size)
{
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "item_get");
    n = put_key(line, n, key);
    n += (size_t)snprintf(line + n, sizeof line - n, " status=%s clsid=%u cfd=%d size=%u\n",
                          word_of_result(result), item_class, conn->fd, size);
    publish(watch_of(conn), WATCH_FETCHERS, conn->session.cache, line, n);
}

void watch_store(struct conn *conn, struct slice key, const char *command, const char *status,
                 int64_t ttl, uint8_t item_class, uint32_t size)
{
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "item_store");
    n = put_key(line, n, key);
    n += (size_t)snprintf(line + n, sizeof line - n,
                          " status=%s cmd=%s ttl=%lld clsid=%u cfd=%d size=%u\n", status, command,
                          (long long)ttl, item_class, conn->fd, size);
    publish(watch_of(conn), WATCH_MUTATIONS, conn->session.cache, line, n);
}

void watch_delete(struct conn *conn, struct slice key, const char *command, uint8_t item_class,
                  uint32_t size)
{
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "deleted");
    n = put_key(line, n, key);
    n += (size_t)snprintf(line + n, sizeof line - n, " cmd=%s clsid=%u size=%u\n", command,
                          item_class, size);
    publish(watch_of(conn), WATCH_DELETIONS, conn->session.cache, line, n);
}

static bool wants_evictions(void *watch)
{
    return watch_is_on(watch, WATCH_EVICTIONS);
}

static void tell_eviction(void *watch, const struct cache_tenant *tenant, struct slice key,
                          const struct cache_item *item, uint32_t now)
{
    char line[LINE_MAX_BYTES];
    long long ttl = item->exptime == CACHE_NEVER ? -1 : (long long)item->exptime - now;
    size_t n = begin_line(watch, line, sizeof line, "eviction");
    n = put_key(line, n, key);
    n += (size_t)snprintf(line + n, sizeof line - n, " fetch=%s ttl=%lld la=%u clsid=%u size=%u\n",
                          item->was_fetched ? "yes" : "no", ttl,
                          now > item->last_access ? now - item->last_access : 0, item->item_class,
                          item->n_value);
    publish(watch, WATCH_EVICTIONS, tenant, line, n);
}

struct cache_eviction_listener watch_eviction_listener(struct watch *watch)
{
    return (struct cache_eviction_listener){wants_evictions, tell_eviction, watch};
}

static size_t put_peer(char *line, size_t n, size_t room, const struct conn *conn)
{
    char host[ADDRESS_TEXT_MAX];
    const union address *peer = &conn->peer;
    bool is_ip = peer->family == AF_INET || peer->family == AF_INET6;
    unsigned port = peer->family == AF_INET    ? ntohs(peer->v4.sin_port)
                    : peer->family == AF_INET6 ? ntohs(peer->v6.sin6_port)
                                               : 0;
    address_render_host(peer, host, sizeof host);
    return n + (size_t)snprintf(line + n, room - n, " rip=%s rport=%u transport=%s", host, port,
                                is_ip ? "tcp" : "local");
}

void watch_open(struct conn *conn)
{
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "conn_new");
    n = put_peer(line, n, sizeof line, conn);
    n += (size_t)snprintf(line + n, sizeof line - n, " cfd=%d\n", conn->fd);
    publish(watch_of(conn), WATCH_CONNEVENTS, conn->session.cache, line, n);
}

void watch_close(struct conn *conn)
{
    static const char *const reasons[] = {
        [CLOSE_NORMAL] = "normal",
        [CLOSE_ERROR] = "error",
        [CLOSE_IDLE] = "idle_timeout",
        [CLOSE_SHUTDOWN] = "shutdown",
    };
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "conn_close");
    n = put_peer(line, n, sizeof line, conn);
    n += (size_t)snprintf(line + n, sizeof line - n, " reason=%s cfd=%d\n",
                          reasons[conn->close_reason], conn->fd);
    publish(watch_of(conn), WATCH_CONNEVENTS, conn->session.cache, line, n);
}

void watch_tls_error(struct conn *conn, const char *reason)
{
    char line[LINE_MAX_BYTES];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "conntlserr");
    n += (size_t)snprintf(line + n, sizeof line - n, " fd=%d msg=", conn->fd);
    for (size_t i = 0; i < REASON_MAX && reason[i] != '\0'; i++)
        line[n++] = (unsigned char)reason[i] < ' ' ? ' ' : reason[i];
    line[n++] = '\n';
    publish(watch_of(conn), WATCH_CONNEVENTS, conn->session.cache, line, n);
}

/* As clients spell it: get, meta_debug. */
static const char *name_verb(enum verb verb, char *out, size_t room)
{
    const char *name = verb_name(verb);
    size_t n = 0;
    for (; n < room - 1 && name[n] != '\0'; n++)
        out[n] = (char)(name[n] | (name[n] >= 'A' && name[n] <= 'Z' ? 0x20 : 0));
    out[n] = '\0';
    return out;
}

void watch_request(struct conn *conn, const struct request *request)
{
    static const char *const dialects[] = {
        [DIALECT_TEXT] = "text", [DIALECT_META] = "meta", [DIALECT_BINARY] = "binary"};
    char line[LINE_MAX_BYTES];
    char verb[24];
    size_t n = begin_line(watch_of(conn), line, sizeof line, "rawcmd");
    n += (size_t)snprintf(line + n, sizeof line - n, " cfd=%d proto=%s cmd=%s", conn->fd,
                          dialects[request->dialect], name_verb(request->verb, verb, sizeof verb));
    if (request->verb != VERB_BAD && request->key.n > 0)
        n = put_key(line, n, request->key);
    n += (size_t)snprintf(line + n, sizeof line - n, " size=%u\n", (unsigned)request->n_value);
    /* Who has not logged in yet belongs to no tenant. */
    publish(watch_of(conn), WATCH_RAWCMDS, login_is_due(conn) ? NULL : conn->session.cache, line,
            n);
}

void watch_event(struct watch *watch, const char *event, const struct log_field *fields)
{
    char line[LOG_LINE_MAX];
    size_t n = begin_line(watch, line, sizeof line, "sysevent");
    n = log_line_words(line, n, event, fields);
    publish(watch, WATCH_SYSEVENTS, NULL, line, n);
}
