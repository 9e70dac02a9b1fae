/* Each thing the engine asks the system for fails once: what was asked of the engine is done or
 * refused, and everything that was stored before is there, whole. */
#include "t/unit/cache_frame.h"
#include "t/unit/shortage.h"

#include <unistd.h>

#define MEMORY     ((size_t)4 << 20)
#define LARGE      300000u
#define N_KEPT     200u
#define N_MANY     9000u /* more than the index has room for at first */
#define FILE_SPACE 8u    /* items of the memory file */

static struct frame frame;

/* ---- a cache with items that must not suffer ---- */

static struct cache_config config_small(void)
{
    struct cache_config config = frame_config(MEMORY);
    config.is_evicting = false;
    config.hash_power = 10;
    return config;
}

static void name_of(char *text, const char *what, unsigned i)
{
    snprintf(text, 32, "%s-%u", what, i);
}

static void open_filled(void)
{
    struct cache_config config = config_small();
    char key[32];
    frame_open(&frame, &config);
    for (unsigned i = 0; i < N_KEPT; i++) {
        name_of(key, "kept", i);
        ck_assert_int_eq(frame_set(&frame, key, key), CACHE_OK);
    }
    ck_assert_int_eq(frame_set(&frame, "old", "before"), CACHE_OK);
    ck_assert_int_eq(frame_set(&frame, "number", "41"), CACHE_OK);
}

/* All is there, and the cache goes on to work. */
static void close_filled(void)
{
    char key[32];
    frame_turn(&frame);
    for (unsigned i = 0; i < N_KEPT; i++) {
        name_of(key, "kept", i);
        assert_value(&frame, key, key);
    }
    ck_assert_int_eq(frame_set(&frame, "afterwards", "works"), CACHE_OK);
    assert_value(&frame, "afterwards", "works");
    frame_close(&frame);
}

/* The answer to a change of a key, and whether that is what is there now. */
static void assert_done_or_refused(enum cache_result result, const char *key, const char *before,
                                   const char *after)
{
    ck_assert_msg(result == CACHE_OK || result == CACHE_NO_MEMORY, "%s: %d", key, result);
    ck_assert(result == CACHE_OK || shortage_has_struck());
    const char *expected = result == CACHE_OK ? after : before;
    if (expected == NULL)
        assert_miss(&frame, key);
    else
        assert_value(&frame, key, expected);
}

static void creates(void)
{
    struct cache_config config = config_small();
    char error[128] = "";
    shortage_begin();
    struct cache *cache = cache_create(&config, error, sizeof error);
    shortage_end();
    ck_assert(cache != NULL || (shortage_has_struck() && error[0] != '\0'));
    cache_destroy(&cache);
}

static void starts(void)
{
    open_filled();
    shortage_begin();
    bool is_started = cache_start(frame.cache);
    shortage_end();
    ck_assert_int_eq(is_started, !shortage_has_struck());
    cache_stop(frame.cache);
    close_filled();
}

static void creates_threads_and_tenants(void)
{
    struct cache_tenant_config config = {.name = "another", .limit = MEMORY / 2};
    open_filled();
    shortage_begin();
    struct cache_thread *thread = cache_thread_create(frame.cache);
    struct cache_tenant *tenant = cache_tenant_create(frame.cache, &config);
    shortage_end();
    ck_assert(shortage_has_struck() || (thread != NULL && tenant != NULL));
    if (tenant != NULL) {
        struct frame other = frame;
        other.tenant = tenant;
        ck_assert_int_eq(frame_set(&other, "old", "another's"), CACHE_OK);
        assert_value(&other, "old", "another's");
        cache_tenant_destroy(&tenant);
    }
    assert_value(&frame, "old", "before");
    cache_thread_destroy(&thread);
    close_filled();
}

/* The index grows under way; a store may be refused, but none may be lost. */
static void stores_many(void)
{
    static bool is_stored[N_MANY];
    char key[32];
    unsigned n_refused = 0;
    open_filled();
    shortage_begin();
    for (unsigned i = 0; i < N_MANY; i++) {
        name_of(key, "many", i);
        is_stored[i] = frame_set(&frame, key, key) == CACHE_OK;
        n_refused += !is_stored[i];
        if (i % 1000 == 0) {
            frame_turn(&frame);
            cache_maintain(frame.cache, NOW);
        }
    }
    shortage_end();
    ck_assert(n_refused == 0 || shortage_has_struck());
    for (unsigned i = 0; i < N_MANY; i++) {
        name_of(key, "many", i);
        if (is_stored[i])
            assert_value(&frame, key, key);
        else
            assert_miss(&frame, key);
    }
    close_filled();
}

static enum cache_result change_number(void)
{
    struct cache_key key = frame_key(&frame, "number");
    struct cache_arith arith = {.delta = 1};
    struct cache_item item;
    uint64_t number;
    bool was_created;
    return cache_arith(frame.thread, frame.tenant, &key, NOW, &arith, &number, &was_created, &item);
}

static enum cache_result vivify(const char *name)
{
    struct cache_access access = {.has_state = true, .does_vivify = true};
    struct cache_item item;
    enum cache_result result = frame_access(&frame, name, &access, &item);
    return result != CACHE_OK && item.is_won ? CACHE_OK : result;
}

/* The engine's own memory is set aside at the start: these ask for nothing more, or are refused. */
static void changes_items(void)
{
    open_filled();
    shortage_begin();
    enum cache_result set = frame_set(&frame, "old", "after");
    enum cache_result added = frame_store(&frame, CACHE_ADD, "new", "value");
    enum cache_result appended = frame_store(&frame, CACHE_APPEND, "new", "s");
    enum cache_result number = change_number();
    enum cache_result vivified = vivify("empty");
    bool is_larger = cache_set_memory(frame.cache, 2 * MEMORY);
    bool is_smaller = cache_set_memory(frame.cache, MEMORY);
    cache_maintain(frame.cache, NOW);
    shortage_end();
    assert_done_or_refused(set, "old", "before", "after");
    ck_assert_int_eq(added, CACHE_OK);
    assert_done_or_refused(appended, "new", "value", "values");
    assert_done_or_refused(number, "number", "41", "42");
    assert_done_or_refused(vivified, "empty", NULL, "");
    ck_assert(is_larger || shortage_has_struck());
    ck_assert(is_smaller);
    close_filled();
}

/* ---- values that arrive in pieces ---- */

static enum cache_result upload(const char *name, uint32_t n_value)
{
    struct cache_key key = frame_key(&frame, name);
    struct cache_upload *upload = NULL;
    enum cache_result result =
        cache_upload_create(frame.thread, frame.tenant, &key, n_value, 0, &upload);
    for (uint32_t at = 0; result == CACHE_OK && at < n_value;) {
        uint8_t *p;
        size_t n;
        result = cache_upload_space(frame.thread, upload, &p, &n);
        if (result != CACHE_OK)
            break;
        n = n > 10000 ? 10000 : n;
        memset(p, 'x', n);
        cache_upload_advance(upload, n);
        at += (uint32_t)n;
        frame_turn(&frame);
    }
    if (result != CACHE_OK) {
        cache_upload_abort(frame.thread, &upload);
        return result;
    }
    struct cache_store store = {.mode = CACHE_SET};
    struct cache_stored stored;
    return cache_upload_commit(frame.thread, &upload, NOW, &store, &stored);
}

static void uploads(void)
{
    static const uint32_t sizes[] = {1, 3000, 30000, LARGE};
    open_filled();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct cache_item item;
        shortage_begin();
        enum cache_result result = upload("old", sizes[i]);
        shortage_end();
        ck_assert(result == CACHE_OK || (result == CACHE_NO_MEMORY && shortage_has_struck()));
        ck_assert_int_eq(frame_get(&frame, "old", &item), CACHE_OK);
        if (result == CACHE_OK)
            ck_assert_uint_eq(item.n_value, sizes[i]);
    }
    close_filled();
}

/* So many at once that some wait outside of the segments. */
static void uploads_many_at_once(void)
{
    enum { N = 64 };
    struct cache_upload *held[N] = {NULL};
    open_filled();
    shortage_begin();
    for (unsigned i = 0; i < N; i++) {
        char name[32];
        uint8_t *p;
        size_t n;
        name_of(name, "piece", i);
        struct cache_key key = frame_key(&frame, name);
        if (cache_upload_create(frame.thread, frame.tenant, &key, 12000, 0, &held[i]) == CACHE_OK &&
            cache_upload_space(frame.thread, held[i], &p, &n) != CACHE_OK)
            cache_upload_abort(frame.thread, &held[i]);
    }
    shortage_end();
    for (unsigned i = 0; i < N; i++)
        cache_upload_abort(frame.thread, &held[i]);
    close_filled();
}

/* ---- a memory file ---- */

static char path[64];
static char state_path[80];

static struct cache_config config_in_file(void)
{
    struct cache_config config = frame_config(MEMORY);
    config.memory_file = path;
    config.now = NOW;
    return config;
}

static void fill_file(void)
{
    char key[32];
    for (unsigned i = 0; i < FILE_SPACE; i++) {
        name_of(key, "saved", i);
        ck_assert_int_eq(frame_set(&frame, key, key), CACHE_OK);
    }
}

static bool save(void)
{
    char error[128] = "";
    cache_thread_offline(frame.thread);
    cache_thread_destroy(&frame.thread);
    shortage_begin();
    bool is_saved = cache_save(frame.cache, NOW - 5, NOW, NOW, error, sizeof error);
    shortage_end();
    ck_assert(is_saved || error[0] != '\0');
    cache_destroy(&frame.cache);
    return is_saved;
}

/* All that was saved, or nothing. */
static void check_restored(bool must_be_there)
{
    const struct cache_restored *restored = cache_restored(frame.cache);
    char key[32];
    ck_assert(!must_be_there || restored->what == CACHE_RESTORED);
    ck_assert(restored->what != CACHE_REFUSED || restored->reason[0] != '\0');
    for (unsigned i = 0; i < FILE_SPACE; i++) {
        name_of(key, "saved", i);
        if (restored->what == CACHE_RESTORED)
            assert_value(&frame, key, key);
        else
            assert_miss(&frame, key);
    }
}

static void saves(void)
{
    struct cache_config config = config_in_file();
    frame_open(&frame, &config);
    fill_file();
    bool is_saved = save();
    ck_assert(is_saved || shortage_has_struck());
    frame_open(&frame, &config);
    check_restored(is_saved);
    frame_close(&frame);
    (void)unlink(state_path);
    (void)unlink(path);
}

static void restores(void)
{
    struct cache_config config = config_in_file();
    char error[160] = "";
    frame_open(&frame, &config);
    fill_file();
    cache_thread_offline(frame.thread);
    cache_thread_destroy(&frame.thread);
    ck_assert(cache_save(frame.cache, NOW - 5, NOW, NOW, error, sizeof error));
    cache_destroy(&frame.cache);
    shortage_begin();
    frame.cache = cache_create(&config, error, sizeof error);
    shortage_end();
    ck_assert(frame.cache != NULL || (shortage_has_struck() && error[0] != '\0'));
    cache_destroy(&frame.cache);
    frame_open(&frame, &config);
    check_restored(false);
    frame_close(&frame);
    (void)unlink(state_path);
    (void)unlink(path);
}

static const struct scenario scenarios[] = {
    SCENARIO(creates),
    SCENARIO(starts),
    SCENARIO(creates_threads_and_tenants),
    SCENARIO(stores_many),
    SCENARIO(changes_items),
    SCENARIO(uploads),
    SCENARIO(uploads_many_at_once),
    SCENARIO(saves),
    SCENARIO(restores),
};

static void name_files(void)
{
    snprintf(path, sizeof path, "/tmp/keepd-torture-%d", (int)getpid());
    snprintf(state_path, sizeof state_path, "%s.meta", path);
}

int main(void)
{
    return unit_run(
        shortage_suite("torture_cache", scenarios, N_ROWS(scenarios), name_files, NULL));
}
