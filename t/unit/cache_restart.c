/* A cache in a file: what was saved comes back, what is over does not, and nothing comes back from
 * a file that is torn, foreign or in use. */
#include "t/unit/cache_frame.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY ((size_t)4 << 20)

static char folder[64];
static char path[96];
static char state_path[128];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/keepd-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/memory", folder);
    snprintf(state_path, sizeof state_path, "%s.meta", path);
}

static void remove_folder(void)
{
    (void)unlink(state_path);
    (void)unlink(path);
    (void)rmdir(folder);
}

static struct cache_config config_at(uint32_t now)
{
    struct cache_config config = frame_config(MEMORY);
    config.hash_seed = 0; /* another one each time, as in the server */
    config.memory_file = path;
    config.now = now;
    return config;
}

static void open_at(struct frame *f, uint32_t now)
{
    struct cache_config config = config_at(now);
    frame_open(f, &config);
    f->now = now;
    cache_tick(f->cache, now);
}

static void close_saved_by(struct frame *f, uint32_t wall)
{
    char error[128];
    cache_thread_offline(f->thread);
    cache_thread_destroy(&f->thread);
    ck_assert_msg(cache_save(f->cache, NOW - 500, f->now, wall, error, sizeof error), "%s", error);
    cache_destroy(&f->cache);
}

static void close_saved(struct frame *f)
{
    close_saved_by(f, f->now);
}

static const struct cache_restored *restored(const struct frame *f)
{
    return cache_restored(f->cache);
}

static bool has(struct frame *f, const char *key, const char *value)
{
    struct cache_key k = frame_key(f, key);
    struct cache_item item;
    frame_turn(f);
    return cache_get(f->thread, f->tenant, &k, f->now, &item) == CACHE_OK &&
           slice_equal(slice_of(item.value, item.n_value), slice_str(value));
}

static uint64_t n_items(const struct frame *f)
{
    struct cache_stats stats;
    cache_stats_read(f->cache, NULL, &stats);
    return stats.curr_items;
}

START_TEST(first_start_is_empty)
{
    struct frame f;
    struct stat status;
    open_at(&f, NOW);
    ck_assert_int_eq(restored(&f)->what, CACHE_NEW);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert(!cache_set_memory(f.cache, 2 * MEMORY));
    frame_close(&f);
}
END_TEST

START_TEST(items_come_back)
{
    struct frame f;
    open_at(&f, NOW);
    frame_set(&f, "a", "one");
    frame_set(&f, "b", "two");
    frame_set(&f, "b", "three");
    frame_set(&f, "gone", "x");
    struct cache_key key = frame_key(&f, "gone");
    struct cache_remove remove = {.empties = false};
    ck_assert_int_eq(cache_remove(f.thread, f.tenant, &key, NOW, &remove), CACHE_OK);
    close_saved(&f);
    for (unsigned i = 1; i < 4; i++) {
        open_at(&f, NOW + i);
        ck_assert_msg(restored(&f)->what == CACHE_RESTORED, "%s", restored(&f)->reason);
        ck_assert_uint_eq(restored(&f)->n_items, 2);
        ck_assert_uint_eq(restored(&f)->started, NOW - 500);
        ck_assert_uint_eq(n_items(&f), 2);
        ck_assert(has(&f, "a", "one") && has(&f, "b", "three") && !has(&f, "gone", "x"));
        ck_assert_int_ne(access(state_path, F_OK), 0);
        close_saved(&f);
    }
}
END_TEST

START_TEST(a_full_cache_comes_back_whole)
{
    struct frame f;
    char key[32], value[512];
    open_at(&f, NOW);
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        snprintf(value, sizeof value, "%0*u", (int)(i * 7919 % 400) + 6, i);
        ck_assert_int_eq(frame_set(&f, key, value), CACHE_OK);
        frame_turn(&f);
    }
    uint64_t n = n_items(&f);
    ck_assert_uint_gt(n, 5000);
    close_saved(&f);
    open_at(&f, NOW);
    ck_assert_msg(restored(&f)->what == CACHE_RESTORED, "%s", restored(&f)->reason);
    ck_assert_uint_eq(restored(&f)->n_items, n);
    uint64_t n_found = 0;
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        snprintf(value, sizeof value, "%0*u", (int)(i * 7919 % 400) + 6, i);
        n_found += has(&f, key, value);
    }
    ck_assert_uint_eq(n_found, n);
    for (unsigned i = 40000; i < 80000; i++) { /* it lives on: eviction meets the restored ones */
        snprintf(key, sizeof key, "key-%u", i);
        ck_assert_int_eq(frame_set(&f, key, "new"), CACHE_OK);
        frame_turn(&f);
    }
    frame_close(&f);
}
END_TEST

START_TEST(large_items_come_back)
{
    static char value[600001];
    struct frame f;
    memset(value, 'v', sizeof value - 1);
    open_at(&f, NOW);
    ck_assert_int_eq(frame_set(&f, "large", value), CACHE_OK);
    ck_assert_int_eq(frame_set_until(&f, "short", value, NOW + 5), CACHE_OK);
    close_saved(&f);
    open_at(&f, NOW + 10);
    ck_assert_uint_eq(restored(&f)->n_items, 1);
    ck_assert_uint_eq(restored(&f)->n_expired, 1);
    struct cache_key key = frame_key(&f, "large");
    struct cache_item item;
    ck_assert_int_eq(cache_get(f.thread, f.tenant, &key, f.now, &item), CACHE_OK);
    ck_assert_uint_eq(item.n_value, sizeof value - 1);
    size_t n_right = 0;
    while (n_right < item.n_value) {
        struct slice part = cache_item_chunk(f.cache, &item, n_right);
        ck_assert(part.n > 0 && memcmp(part.p, value, part.n < 1000 ? part.n : 1000) == 0);
        n_right += part.n;
    }
    frame_close(&f);
}
END_TEST

static const struct {
    const char *what;
    int32_t now, wall; /* at the save, from NOW on */
    int32_t later;     /* the next start */
    int32_t exptime;   /* from NOW on */
    bool lives;
} clocks[] = {
    {"just before its end", 0, 0, 9, 10, true},
    {"at its end", 0, 0, 10, 10, false},
    {"long after", 0, 0, 100000, 10, false},
    {"the clock was set back: it has all of its life left", 0, 0, -1000, 10, true},
    {"the wall clock was set ahead while it lived", 0, 3600, 3605, 10, true},
    {"and its life went on meanwhile", 0, 3600, 3611, 10, false},
    {"the wall clock was set back while it lived", 0, -3600, -3595, 10, true},
    {"and its life went on", 0, -3600, -3589, 10, false},
};

START_TEST(time_goes_on)
{
    struct frame f;
    open_at(&f, NOW);
    frame_set_until(&f, "k", "v", NOW + (uint32_t)clocks[_i].exptime);
    frame_set(&f, "forever", "v");
    f.now = NOW + (uint32_t)clocks[_i].now;
    close_saved_by(&f, NOW + (uint32_t)clocks[_i].wall);
    open_at(&f, NOW + (uint32_t)clocks[_i].later);
    ck_assert_msg(has(&f, "k", "v") == clocks[_i].lives, "%s", clocks[_i].what);
    ck_assert(has(&f, "forever", "v"));
    ck_assert_uint_eq(restored(&f)->n_expired, !clocks[_i].lives);
    frame_close(&f);
}
END_TEST

START_TEST(flushes_hold)
{
    struct frame f;
    open_at(&f, NOW);
    frame_set(&f, "before", "x");
    cache_flush(f.tenant, 0);
    frame_set(&f, "after", "y");
    cache_flush(f.tenant, NOW + 50);
    close_saved(&f);
    open_at(&f, NOW + 10);
    ck_assert(!has(&f, "before", "x") && has(&f, "after", "y"));
    close_saved(&f);
    open_at(&f, NOW + 60);
    ck_assert(!has(&f, "after", "y"));
    frame_set(&f, "later", "z");
    cache_tick(f.cache, NOW + 61);
    ck_assert(has(&f, "later", "z"));
    frame_close(&f);
}
END_TEST

START_TEST(cas_goes_on)
{
    struct frame f;
    struct cache_item item;
    open_at(&f, NOW);
    frame_set(&f, "a", "1");
    struct cache_key key = frame_key(&f, "a");
    ck_assert_int_eq(cache_get(f.thread, f.tenant, &key, NOW, &item), CACHE_OK);
    uint64_t cas = item.cas;
    close_saved(&f);
    open_at(&f, NOW);
    key = frame_key(&f, "a");
    ck_assert_int_eq(cache_get(f.thread, f.tenant, &key, NOW, &item), CACHE_OK);
    ck_assert_uint_eq(item.cas, cas);
    frame_set(&f, "b", "2");
    key = frame_key(&f, "b");
    frame_turn(&f);
    ck_assert_int_eq(cache_get(f.thread, f.tenant, &key, NOW, &item), CACHE_OK);
    ck_assert_uint_gt(item.cas, cas);
    frame_close(&f);
}
END_TEST

static struct cache_tenant *add_tenant(struct frame *f, const char *name)
{
    struct cache_tenant_config config = {.name = name};
    struct cache_tenant *tenant = cache_tenant_create(f->cache, &config);
    ck_assert_ptr_nonnull(tenant);
    return tenant;
}

START_TEST(tenants_are_known_by_name)
{
    struct frame f;
    open_at(&f, NOW);
    struct cache_tenant *red = add_tenant(&f, "red"), *blue = add_tenant(&f, "blue");
    frame_set(&f, "k", "default");
    f.tenant = red;
    frame_set(&f, "k", "red");
    f.tenant = blue;
    frame_set(&f, "k", "blue");
    close_saved(&f);
    open_at(&f, NOW);
    struct cache_tenant *green = add_tenant(&f, "green");
    blue = add_tenant(&f, "blue");
    cache_forget_unclaimed(f.cache);
    ck_assert(has(&f, "k", "default"));
    f.tenant = blue;
    ck_assert(has(&f, "k", "blue"));
    f.tenant = green;
    ck_assert(!has(&f, "k", "red"));
    f.tenant = add_tenant(&f, "red"); /* too late */
    ck_assert(!has(&f, "k", "red"));
    close_saved(&f);
    open_at(&f, NOW);
    ck_assert_uint_eq(restored(&f)->n_items, 2);
    frame_close(&f);
}
END_TEST

/* ---- what is not restored ---- */

static void save_one(void)
{
    struct frame f;
    open_at(&f, NOW);
    frame_set(&f, "a", "one");
    close_saved(&f);
}

static void expect_refused(const struct cache_config *config, const char *reason)
{
    struct frame f;
    frame_open(&f, config);
    ck_assert_int_eq(restored(&f)->what, CACHE_REFUSED);
    ck_assert_msg(strstr(restored(&f)->reason, reason) != NULL, "%s", restored(&f)->reason);
    ck_assert_uint_eq(n_items(&f), 0);
    ck_assert(!has(&f, "a", "one"));
    ck_assert_int_eq(frame_set(&f, "a", "two"), CACHE_OK);
    ck_assert(has(&f, "a", "two"));
    frame_close(&f);
    struct cache_config again = config_at(NOW);
    frame_open(&f, &again); /* not closed in order: nothing is restored, and nothing is wrong */
    ck_assert_int_eq(restored(&f)->what, CACHE_NEW);
    frame_close(&f);
}

START_TEST(other_settings)
{
    struct cache_config config = config_at(NOW);
    save_one();
    config.memory = 2 * MEMORY;
    expect_refused(&config, "another -m");
    save_one();
    config = config_at(NOW);
    config.has_cas = false;
    expect_refused(&config, "another -C");
}
END_TEST

static void alter(const char *name, off_t at, bool cuts)
{
    int fd = open(name, O_RDWR);
    char byte;
    ck_assert_int_ge(fd, 0);
    if (cuts) {
        ck_assert_int_eq(ftruncate(fd, at), 0);
    } else {
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 0x40;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

START_TEST(damaged_files)
{
    struct cache_config config = config_at(NOW);
    struct stat status;
    save_one();
    ck_assert_int_eq(stat(state_path, &status), 0);
    for (off_t at = 0; at < status.st_size; at += at < 96 ? 1 : 37) {
        save_one();
        alter(state_path, at, false);
        expect_refused(&config, "");
    }
    for (off_t n = 0; n < status.st_size; n += 29) {
        save_one();
        alter(state_path, n, true);
        expect_refused(&config, "");
    }
    save_one();
    alter(path, (2 << 20) + 16, false); /* the key of the item */
    expect_refused(&config, "not as it was");
    save_one();
    alter(path, 18, false); /* in the mark */
    expect_refused(&config, "another memory file");
    save_one();
    alter(path, 1 << 20, true);
    expect_refused(&config, "");
}
END_TEST

START_TEST(foreign_files)
{
    struct cache_config config = config_at(NOW);
    char error[128];
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "somebody's letters", 18), 18);
    close(fd);
    ck_assert_ptr_null(cache_create(&config, error, sizeof error));
    ck_assert_msg(strstr(error, "left alone") != NULL, "%s", error);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/dev/null", path), 0);
    ck_assert_ptr_null(cache_create(&config, error, sizeof error));
    config.memory_file = folder;
    ck_assert_ptr_null(cache_create(&config, error, sizeof error));
}
END_TEST

START_TEST(one_process_at_a_time)
{
    struct frame f;
    struct cache_config config = config_at(NOW);
    char error[128];
    open_at(&f, NOW);
    ck_assert_ptr_null(cache_create(&config, error, sizeof error));
    ck_assert_msg(strstr(error, "in use") != NULL, "%s", error);
    frame_close(&f);
}
END_TEST

START_TEST(a_save_that_fails)
{
    struct frame f;
    char error[256] = "";
    open_at(&f, NOW);
    frame_set(&f, "a", "one");
    ck_assert_int_eq(mkdir(state_path, 0700), 0); /* where the state should go */
    cache_thread_offline(f.thread);
    cache_thread_destroy(&f.thread);
    ck_assert(!cache_save(f.cache, NOW, NOW, NOW, error, sizeof error));
    ck_assert(strstr(error, ".meta") != NULL);
    cache_destroy(&f.cache);
    ck_assert_int_eq(rmdir(state_path), 0);
    open_at(&f, NOW);
    ck_assert_int_eq(restored(&f)->what, CACHE_NEW);
    frame_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache_restart");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, make_folder, remove_folder);
    tcase_add_test(all, first_start_is_empty);
    tcase_add_test(all, items_come_back);
    tcase_add_test(all, a_full_cache_comes_back_whole);
    tcase_add_test(all, large_items_come_back);
    tcase_add_loop_test(all, time_goes_on, 0, sizeof clocks / sizeof *clocks);
    tcase_add_test(all, flushes_hold);
    tcase_add_test(all, cas_goes_on);
    tcase_add_test(all, tenants_are_known_by_name);
    tcase_add_test(all, other_settings);
    tcase_add_test(all, damaged_files);
    tcase_add_test(all, foreign_files);
    tcase_add_test(all, one_process_at_a_time);
    tcase_add_test(all, a_save_that_fails);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
