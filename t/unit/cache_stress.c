/* Several threads against a model: every get is a miss or the value that was written last, counters
 * add up, cas never loses an update, add has one winner, append is atomic, while the index grows,
 * items are evicted and flushed, and the memory limit changes.
 * KEEPD_STRESS_OPS in the environment sets the operations per thread. */
#include "t/unit/cache_frame.h"

#include <pthread.h>
#include <stdatomic.h>

#define N_THREADS  4u
#define N_KEYS     30000u
#define N_COUNTERS 5u
#define N_ADDS     3000u
#define VALUE_MAX  60000u

/* Each key has one writer; everybody reads. started and done bracket the writer's version. */
struct model {
    _Atomic uint32_t started;
    _Atomic uint32_t done;
};

struct head {
    uint32_t key, version, n;
};

struct worker {
    struct frame frame;
    unsigned number;
    unsigned n_ops;
    uint64_t random;
    unsigned n_wrong;
    unsigned n_hits;
    unsigned n_no_memory;
    bool may_abort;
    const char *what;
    pthread_t thread;
};

static struct model *models;
static _Atomic uint32_t second;
static _Atomic unsigned n_running;

static unsigned ops_per_thread(unsigned usual)
{
    const char *text = getenv("KEEPD_STRESS_OPS");
    return text == NULL ? usual : (unsigned)strtoul(text, NULL, 10);
}

static uint32_t random_below(struct worker *w, uint32_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 32) % n;
}

static void wrong(struct worker *w, const char *what)
{
    w->n_wrong++;
    w->what = what;
}

static uint8_t pattern(const struct head *head, uint32_t i)
{
    return (uint8_t)(head->key * 31 + head->version * 7 + i);
}

static void make_value(uint8_t *out, uint32_t key, uint32_t version, uint32_t n)
{
    struct head head = {key, version, n};
    memcpy(out, &head, sizeof head);
    for (uint32_t i = sizeof head; i < n; i++)
        out[i] = pattern(&head, i);
}

static uint32_t value_size(struct worker *w)
{
    uint32_t dice = random_below(w, 400);
    if (dice == 0)
        return (uint32_t)sizeof(struct head) + random_below(w, VALUE_MAX - 100);
    if (dice < 20)
        return (uint32_t)sizeof(struct head) + random_below(w, 6000);
    return (uint32_t)sizeof(struct head) + random_below(w, 300);
}

static struct cache_key key_of(const struct worker *w, char *text, const char *kind, uint32_t key)
{
    snprintf(text, 32, "%s%u", kind, key);
    struct cache_key k = frame_key(&w->frame, text);
    if (key % 4 != 0) /* what the hint says may be out of date when the key is used */
        k.hint = cache_prefetch_item(w->frame.cache, k.hash);
    return k;
}

/* ---- values ---- */

static void check_value(struct worker *w, const struct cache_item *item, uint32_t key,
                        uint32_t version_least)
{
    static _Thread_local uint8_t value[VALUE_MAX];
    struct head head;
    if (item->n_value < sizeof head || item->n_value > VALUE_MAX) {
        wrong(w, "length");
        return;
    }
    frame_value(&w->frame, item, value);
    memcpy(&head, value, sizeof head);
    if (head.key != key || head.n != item->n_value)
        wrong(w, "another item's value");
    if (head.version < version_least || head.version > atomic_load(&models[key].started))
        wrong(w, "an old value");
    for (uint32_t i = sizeof head; i < head.n; i += 1 + i / 16)
        if (value[i] != pattern(&head, i)) {
            wrong(w, "torn value");
            return;
        }
}

/* Every third access sets an expiry, be the key's writer who it may. */
static void do_get(struct worker *w, uint32_t key, uint32_t now)
{
    char text[32];
    struct cache_item item;
    struct cache_key k = key_of(w, text, "v", key);
    struct cache_access access = {.does_touch = random_below(w, 3) == 0,
                                  .exptime = random_below(w, 4) ? now + 1 + random_below(w, 5)
                                                                : CACHE_NEVER};
    bool is_described = w->n_hits % 3 != 0; /* a plain get does not tell the exptime */
    uint32_t done = atomic_load(&models[key].done);
    enum cache_result result;
    k.hint = w->n_hits % 2 == 0 ? cache_prefetch_item(w->frame.cache, k.hash) : 0;
    if (!is_described)
        result = cache_get(w->frame.thread, w->frame.tenant, &k, now, &item);
    else if (w->n_hits % 3 == 1)
        result = cache_access(w->frame.thread, w->frame.tenant, &k, now, &access, &item);
    else
        result = cache_look(w->frame.thread, w->frame.tenant, &k, now, &item);
    if (result != CACHE_OK)
        return;
    w->n_hits++;
    if (is_described && item.exptime != CACHE_NEVER && item.exptime <= now)
        wrong(w, "expired");
    check_value(w, &item, key, done);
}

static enum cache_result upload(struct worker *w, const struct cache_key *k, struct slice value,
                                uint32_t now, const struct cache_store *store)
{
    struct cache_thread *thread = w->frame.thread;
    struct cache_upload *upload;
    struct cache_stored stored;
    enum cache_result result =
        cache_upload_create(thread, w->frame.tenant, k, (uint32_t)value.n, 0, &upload);
    if (result != CACHE_OK)
        return result;
    for (size_t at = 0; at < value.n;) {
        uint8_t *p;
        size_t n;
        if (cache_upload_space(thread, upload, &p, &n) != CACHE_OK ||
            (w->may_abort && random_below(w, 100) == 0)) {
            cache_upload_abort(thread, &upload);
            return CACHE_NO_MEMORY;
        }
        if (n > 5000)
            n = 5000;
        memcpy(p, value.p + at, n);
        cache_upload_advance(upload, n);
        at += n;
        frame_turn(&w->frame);
    }
    return cache_upload_commit(thread, &upload, now, store, &stored);
}

static void do_set(struct worker *w, uint32_t key, uint32_t now)
{
    static _Thread_local uint8_t value[VALUE_MAX];
    char text[32];
    struct cache_key k = key_of(w, text, "v", key);
    uint32_t version = atomic_load(&models[key].started) + 1, n = value_size(w);
    struct cache_store store = {.exptime = random_below(w, 3) ? 0 : now + random_below(w, 5),
                                .value = {value, n}};
    struct cache_stored stored;
    make_value(value, key, version, n);
    atomic_store(&models[key].started, version);
    enum cache_result result =
        n > 3000 && random_below(w, 2)
            ? upload(w, &k, store.value, now, &store)
            : cache_store(w->frame.thread, w->frame.tenant, &k, now, &store, &stored);
    if (result == CACHE_OK)
        atomic_store(&models[key].done, version);
    else if (result == CACHE_NO_MEMORY)
        w->n_no_memory++;
    else
        wrong(w, "set refused");
}

/* Small values of several keys of this writer in one call, those that it leaves one by one. */
static void do_set_many(struct worker *w, uint32_t key, uint32_t now)
{
    enum { N = CACHE_SETS_MAX, SIZE_MAX_HERE = 256 };
    static _Thread_local uint8_t values[N][SIZE_MAX_HERE];
    char texts[N][32];
    struct cache_key keys[N];
    struct cache_set sets[N];
    uint32_t numbers[N], versions[N];
    uint64_t cas[N];
    size_t n = 1 + random_below(w, N);
    for (size_t i = 0; i < n; i++) {
        uint32_t n_value = (uint32_t)sizeof(struct head) + random_below(w, SIZE_MAX_HERE - 20);
        numbers[i] = (key + random_below(w, 40) * N_THREADS) % N_KEYS;
        keys[i] = key_of(w, texts[i], "v", numbers[i]);
        versions[i] = atomic_load(&models[numbers[i]].started) + 1;
        make_value(values[i], numbers[i], versions[i], n_value);
        sets[i] = (struct cache_set){.value = {values[i], n_value},
                                     .exptime = random_below(w, 3) ? 0 : now + random_below(w, 5)};
        atomic_store(&models[numbers[i]].started, versions[i]);
    }
    cache_prefetch(w->frame.cache, w->frame.tenant, keys, n);
    for (size_t i = 0; i < n; i++) {
        size_t n_done =
            cache_set_many(w->frame.thread, w->frame.tenant, &keys[i], &sets[i], n - i, now, cas);
        for (; n_done > 0; n_done--, i++)
            atomic_store(&models[numbers[i]].done, versions[i]);
        if (i == n)
            break;
        struct cache_store store = {.exptime = sets[i].exptime, .value = sets[i].value};
        struct cache_stored stored;
        enum cache_result result =
            cache_store(w->frame.thread, w->frame.tenant, &keys[i], now, &store, &stored);
        if (result == CACHE_OK)
            atomic_store(&models[numbers[i]].done, versions[i]);
        else if (result == CACHE_NO_MEMORY)
            w->n_no_memory++;
        else
            wrong(w, "set refused");
    }
}

static void do_remove(struct worker *w, uint32_t key, uint32_t now)
{
    char text[32];
    struct cache_key k = key_of(w, text, "v", key);
    struct cache_remove remove = {0};
    uint32_t version = atomic_load(&models[key].started) + 1;
    (void)!cache_remove(w->frame.thread, w->frame.tenant, &k, now, &remove);
    atomic_store(&models[key].started, version);
    atomic_store(&models[key].done, version);
}

static void *work_on_values(void *arg)
{
    struct worker *w = arg;
    w->may_abort = true;
    cache_thread_online(w->frame.thread);
    for (unsigned i = 0; i < w->n_ops; i++) {
        uint32_t now = atomic_load(&second), dice = random_below(w, 100);
        uint32_t key = random_below(w, N_KEYS / N_THREADS) * N_THREADS + w->number;
        if (i % 32 == 0)
            frame_turn(&w->frame);
        if (dice < 60)
            do_get(w, random_below(w, N_KEYS), now);
        else if (dice < 85)
            do_set(w, key, now);
        else if (dice < 95)
            do_set_many(w, key, now);
        else
            do_remove(w, key, now);
    }
    cache_thread_offline(w->frame.thread);
    atomic_fetch_sub(&n_running, 1);
    return NULL;
}

static void start_all(struct frame *f, struct worker *workers, void *(*work)(void *),
                      unsigned n_ops)
{
    atomic_store(&n_running, N_THREADS);
    for (unsigned i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker){
            .frame = *f, .number = i, .n_ops = n_ops, .random = 88172645463325252ull + i * 7919};
        workers[i].frame.thread = cache_thread_create(f->cache);
        ck_assert(workers[i].frame.thread != NULL);
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void join_all(struct worker *workers)
{
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < N_THREADS; i++) {
        ck_assert_msg(workers[i].n_wrong == 0, "%u wrong: %s", workers[i].n_wrong, workers[i].what);
        cache_thread_destroy(&workers[i].frame.thread);
    }
}

/* After everything has come to rest no memory is missing. */
static void check_books(struct frame *f)
{
    struct cache_stats stats;
    cache_thread_offline(f->thread);
    for (unsigned i = 0; i < 8; i++)
        cache_maintain(f->cache, atomic_load(&second));
    cache_stats_read(f->cache, NULL, &stats);
    ck_assert_uint_eq(stats.segments_held + stats.segments_free, stats.segments_total);
    ck_assert_uint_eq(stats.bytes_pinned, 0);
    cache_thread_online(f->thread);
}

struct walked {
    struct worker *worker;
    uint64_t n;
};

static void check_visit(void *arg, struct slice key, const struct cache_item *item)
{
    struct walked *walked = arg;
    char text[32] = "";
    memcpy(text, key.p, key.n);
    uint32_t number = (uint32_t)strtoul(text + 1, NULL, 10);
    check_value(walked->worker, item, number, atomic_load(&models[number].done));
    walked->n++;
}

START_TEST(values_under_everything)
{
    static const size_t sizes[] = {8 << 20, 4 << 20, 6 << 20, 12 << 20};
    struct cache_config config = frame_config(8 << 20);
    struct worker workers[N_THREADS];
    struct frame f;
    models = calloc(N_KEYS, sizeof *models);
    frame_open(&f, &config);
    atomic_store(&second, NOW);
    if (_i == 1)
        ck_assert(cache_start(f.cache));
    start_all(&f, workers, work_on_values, ops_per_thread(150000));
    for (unsigned i = 0; atomic_load(&n_running) > 0; i++) {
        static const struct timespec nap = {.tv_nsec = 3000000};
        nanosleep(&nap, NULL);
        cache_tick(f.cache, atomic_fetch_add(&second, 1) + 1);
        if (i % 16 == 7)
            cache_flush(f.tenant, 0);
        if (i % 5 == 4)
            ck_assert(cache_set_memory(f.cache, sizes[i / 5 % 4]));
        frame_turn(&f);
    }
    struct worker checker = {.frame = f};
    struct walked walked = {&checker, 0};
    struct cache_cursor cursor = {0};
    struct cache_stats stats;
    join_all(workers);
    cache_stop(f.cache);
    check_books(&f);
    while (cache_walk(f.thread, f.tenant, &cursor, 100, atomic_load(&second), check_visit, &walked))
        continue;
    ck_assert_msg(checker.n_wrong == 0, "%s", checker.what);
    cache_stats_read(f.cache, NULL, &stats);
    ck_assert_uint_ge(stats.curr_items, walked.n);
    frame_close(&f);
    free(models);
}
END_TEST

/* ---- stores that all find room, whoever takes what another has evicted ---- */

#define LARGE_MAX 600000u

static void *work_on_stores(void *arg)
{
    struct worker *w = arg;
    uint8_t *value = calloc(1, LARGE_MAX);
    ck_assert_ptr_nonnull(value);
    cache_thread_online(w->frame.thread);
    for (unsigned i = 0; i < w->n_ops; i++) {
        char text[32];
        struct cache_key k = key_of(w, text, "s", i);
        uint32_t n = 1u << random_below(w, 19);
        struct cache_store store = {.value = {value, n + random_below(w, n / 8 + 1)}};
        struct cache_stored stored;
        frame_turn(&w->frame); /* nothing that it has been shown holds memory back */
        enum cache_result result =
            i % 2 == 0 ? upload(w, &k, store.value, NOW, &store)
                       : cache_store(w->frame.thread, w->frame.tenant, &k, NOW, &store, &stored);
        if (result != CACHE_OK)
            wrong(w, "set refused");
    }
    cache_thread_offline(w->frame.thread);
    free(value);
    return NULL;
}

START_TEST(stores_find_room)
{
    struct cache_config config = frame_config(10 << 20);
    struct worker workers[N_THREADS];
    struct frame f;
    frame_open(&f, &config);
    cache_thread_offline(f.thread);
    if (_i == 1)
        ck_assert(cache_start(f.cache));
    start_all(&f, workers, work_on_stores, ops_per_thread(4000));
    join_all(workers);
    cache_stop(f.cache);
    cache_thread_online(f.thread);
    check_books(&f);
    frame_close(&f);
}
END_TEST

/* ---- what must add up: nothing is evicted here ---- */

static _Atomic uint32_t n_add_wins[N_ADDS];
static _Atomic uint64_t n_cas_wins;

static void do_incr(struct worker *w)
{
    char text[32];
    struct cache_key k = key_of(w, text, "n", random_below(w, N_COUNTERS));
    struct cache_arith arith = {.creates = true,
                                .initial = 1,
                                .delta = 1,
                                .does_touch = random_below(w, 8) == 0,
                                .exptime = NOW + 1000};
    struct cache_item item;
    uint64_t number;
    bool was_created;
    if (cache_arith(w->frame.thread, w->frame.tenant, &k, NOW, &arith, &number, &was_created,
                    &item) != CACHE_OK)
        wrong(w, "incr");
}

static void do_cas(struct worker *w)
{
    struct cache_key k = frame_key(&w->frame, "register");
    struct cache_item item;
    struct cache_stored stored;
    uint64_t number = 0;
    if (cache_get(w->frame.thread, w->frame.tenant, &k, NOW, &item) != CACHE_OK ||
        item.n_value != sizeof number) {
        wrong(w, "the register is gone");
        return;
    }
    memcpy(&number, item.value, sizeof number);
    number++;
    struct cache_store store = {
        .compares_cas = true, .cas = item.cas, .value = slice_of(&number, sizeof number)};
    enum cache_result result =
        cache_store(w->frame.thread, w->frame.tenant, &k, NOW, &store, &stored);
    if (result == CACHE_OK)
        atomic_fetch_add(&n_cas_wins, 1);
    else if (result != CACHE_EXISTS)
        wrong(w, "cas");
}

static void do_add(struct worker *w)
{
    char text[32];
    uint32_t key = random_below(w, N_ADDS);
    struct cache_key k = key_of(w, text, "a", key);
    struct cache_store store = {.mode = CACHE_ADD, .value = slice_of(&w->number, 4)};
    struct cache_stored stored;
    enum cache_result result =
        cache_store(w->frame.thread, w->frame.tenant, &k, NOW, &store, &stored);
    if (result == CACHE_OK)
        atomic_fetch_add(&n_add_wins[key], 1);
    else if (result != CACHE_NOT_STORED)
        wrong(w, "add");
}

static void do_append(struct worker *w, uint32_t record)
{
    struct cache_key k = frame_key(&w->frame, "log");
    uint32_t bytes[2] = {w->number, record};
    struct cache_store store = {.mode = CACHE_APPEND, .value = slice_of(bytes, sizeof bytes)};
    struct cache_stored stored;
    if (cache_store(w->frame.thread, w->frame.tenant, &k, NOW, &store, &stored) != CACHE_OK)
        wrong(w, "append");
}

/* What it touches is there, and stays; a counter is also touched by what counts. */
static void do_touch(struct worker *w)
{
    static const char *const names[] = {"register", "log"};
    struct cache_key k = frame_key(&w->frame, names[random_below(w, 2)]);
    struct cache_access access = {.does_touch = true,
                                  .exptime = random_below(w, 2) ? NOW + 1000 : CACHE_NEVER};
    struct cache_item item;
    if (cache_access(w->frame.thread, w->frame.tenant, &k, NOW, &access, &item) != CACHE_OK)
        wrong(w, "touch");
}

static void *work_on_sums(void *arg)
{
    struct worker *w = arg;
    uint32_t n_records = 0;
    cache_thread_online(w->frame.thread);
    for (unsigned i = 0; i < w->n_ops; i++) {
        frame_turn(&w->frame);
        do_incr(w);
        do_cas(w);
        do_add(w);
        do_touch(w);
        if (i % 16 == 0)
            do_append(w, n_records++);
    }
    w->n_hits = n_records;
    cache_thread_offline(w->frame.thread);
    atomic_fetch_sub(&n_running, 1);
    return NULL;
}

static uint64_t sum_counters(struct frame *f)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < N_COUNTERS; i++) {
        char text[32];
        struct cache_item item;
        snprintf(text, sizeof text, "n%u", i);
        ck_assert_int_eq(frame_get(f, text, &item), CACHE_OK);
        snprintf(text, sizeof text, "%.*s", (int)item.n_value, (const char *)item.value);
        sum += strtoull(text, NULL, 10);
    }
    return sum;
}

static void check_log(struct frame *f, const struct worker *workers)
{
    static uint8_t bytes[1 << 20];
    uint32_t next[N_THREADS] = {0}, n_all = 0;
    struct cache_item item;
    ck_assert_int_eq(frame_get(f, "log", &item), CACHE_OK);
    frame_value(f, &item, bytes);
    for (size_t at = 0; at < item.n_value; at += 8) {
        uint32_t record[2];
        memcpy(record, bytes + at, sizeof record);
        ck_assert_uint_lt(record[0], N_THREADS);
        ck_assert_uint_eq(record[1], next[record[0]]);
        next[record[0]]++;
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        ck_assert_uint_eq(next[i], workers[i].n_hits);
        n_all += next[i];
    }
    ck_assert_uint_eq(item.n_value, n_all * 8);
}

START_TEST(sums_add_up)
{
    struct cache_config config = frame_config(64 << 20);
    struct worker workers[N_THREADS];
    struct cache_item item;
    struct cache_stored stored;
    struct frame f;
    uint64_t number = 0;
    unsigned n_ops = ops_per_thread(6000);
    frame_open(&f, &config);
    atomic_store(&second, NOW);
    struct cache_key k = frame_key(&f, "register");
    struct cache_store store = {.value = slice_of(&number, sizeof number)};
    ck_assert_int_eq(cache_store(f.thread, f.tenant, &k, NOW, &store, &stored), CACHE_OK);
    ck_assert_int_eq(frame_set(&f, "log", ""), CACHE_OK);
    cache_thread_offline(f.thread);
    ck_assert(cache_start(f.cache));
    start_all(&f, workers, work_on_sums, n_ops);
    join_all(workers);
    cache_stop(f.cache);
    cache_thread_online(f.thread);
    ck_assert_uint_eq(sum_counters(&f), (uint64_t)n_ops * N_THREADS);
    ck_assert_int_eq(frame_get(&f, "register", &item), CACHE_OK);
    memcpy(&number, item.value, sizeof number);
    ck_assert_uint_eq(number, atomic_load(&n_cas_wins));
    for (unsigned i = 0; i < N_ADDS; i++)
        ck_assert_uint_le(atomic_load(&n_add_wins[i]), 1);
    check_log(&f, workers);
    frame_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache_stress");
    TCase *tc = tcase_create("stress");
    tcase_add_loop_test(tc, values_under_everything, 0, 2);
    tcase_add_loop_test(tc, stores_find_room, 0, 2);
    tcase_add_test(tc, sums_add_up);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
