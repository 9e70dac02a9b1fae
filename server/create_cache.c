#include "server/create_cache.h"

#include "server/create_auth.h"
#include "server/log.h"
#include "server/options.h"
#include "server/process.h"
#include "server/tenants.h"
#include "server/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In memcached's words, which its users' tools know. */
static int refuse_file(const char *reason)
{
    fprintf(stderr, "failed to open file for mmap: %s\n", reason);
    return EXIT_BAD_VALUE;
}

int create_cache_try_file(const struct settings *settings)
{
    char reason[512];
    const char *path = settings->memory_file;
    if (path == NULL)
        return 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(reason, sizeof reason, "%s: %s", path, strerror(errno));
        return refuse_file(reason);
    }
    close(fd);
    return 0;
}

/* The uptime counts from the first start. */
static void tell_restored(struct server *server, const struct clock *clock)
{
    const struct cache_restored *restored = cache_restored(server->cache);
    const char *path = server->settings->memory_file;
    if (restored->what == CACHE_REFUSED)
        log_event(server->log, LOG_LEVEL_WARNING, "memory_file_refused", LOG_STR("file", path),
                  LOG_STR("reason", restored->reason), LOG_END);
    if (restored->what != CACHE_RESTORED)
        return;
    server->started = restored->started;
    log_event(server->log, LOG_LEVEL_WARNING, "memory_file_restored", LOG_STR("file", path),
              LOG_NUMBER("items", restored->n_items), LOG_NUMBER("expired", restored->n_expired),
              LOG_NUMBER("after_ms", clock_passed_ms(clock)), LOG_END);
}

static int create_engine(struct server *server, const struct clock *clock)
{
    const struct settings *settings = server->settings;
    char error[256];
    struct cache_config config = {
        .memory = settings->max_bytes,
        .item_max = settings->item_size_max,
        .is_evicting = settings->is_evicting,
        .has_cas = settings->is_cas_enabled,
        .has_huge_pages = true,
        .n_tenants = count_tenants(server),
        .hash_power = (unsigned)settings->hash_power,
        .memory_file = settings->memory_file,
        .now = clock_now_s(clock),
        .evictions = watch_eviction_listener(server->watch),
    };
    server->cache = cache_create(&config, error, sizeof error);
    if (server->cache != NULL)
        return 0;
    return settings->memory_file != NULL ? refuse_file(error)
                                         : process_refuse(EXIT_BAD_VALUE, error);
}

int create_cache(struct server *server, const struct clock *clock)
{
    const struct settings *settings = server->settings;
    server->watch = watch_create(settings->watcher_log_bytes);
    if (server->watch == NULL)
        return process_refuse(EXIT_BAD_VALUE, "out of memory");
    int failed = create_engine(server, clock);
    if (failed != 0)
        return failed;
    uint32_t now = clock_now_s(clock); /* restoring may have taken a while */
    cache_tick(server->cache, now);
    atomic_store(&server->now, now);
    server->started = now;
    tell_restored(server, clock);
    atomic_store(&server->memory_limit, settings->max_bytes);
    server->tenants = tenants_create(server->cache, server->n_workers, settings->prefix_delimiter,
                                     settings->is_detail_enabled);
    if (server->tenants == NULL)
        return process_refuse(EXIT_BAD_VALUE, "out of memory");
    if (server->auth != NULL && !tenants_sync(server->tenants, server->auth))
        return process_refuse(EXIT_BAD_VALUE, "out of memory for the tenants");
    cache_forget_unclaimed(server->cache);
    return 0;
}

bool create_cache_save(struct server *server, const struct clock *clock)
{
    char error[512];
    if (server->cache == NULL || server->settings->memory_file == NULL)
        return true;
    if (cache_save(server->cache, server->started, clock_now_s(clock), (uint32_t)time(NULL), error,
                   sizeof error))
        return true;
    log_event(server->log, LOG_LEVEL_ERROR, "memory_file_not_saved", LOG_STR("reason", error),
              LOG_END);
    return false;
}
