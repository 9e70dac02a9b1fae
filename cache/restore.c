#include "cache/restore.h"

#include "cache/commit.h"
#include "cache/crew.h"
#include "cache/horizon.h"
#include "cache/pool.h"

#include <stdlib.h>

#define STATE_MAX ((size_t)1 << 30)
#define AHEAD     16u /* items whose buckets are prefetched */
#define LAYOUT_BITS                                                                 \
    (ITEM_HAS_FLAGS | ITEM_HAS_WIDE_LENGTH | ITEM_HAS_EXPTIME | ITEM_HAS_WIDE_CAS | \
     ITEM_IS_BASE64 | ITEM_IS_COUNTER)
#define SPLITS_MAX 64u /* of the index, for one item that finds no room */

static const uint8_t no_mark[ARENA_MARK_SIZE];

/* ---- taking the state ---- */

static const char *examine(struct restore *restore, struct arena_file *file, size_t n)
{
    uint8_t mark[ARENA_MARK_SIZE];
    const char *wrong = saved_parse(slice_of(restore->state, n), &restore->saved);
    if (wrong != NULL)
        return wrong;
    if (!arena_file_read_mark(file, mark) || memcmp(mark, no_mark, sizeof mark) == 0 ||
        memcmp(mark, restore->saved.head->mark, sizeof mark) != 0)
        return "the saved state is of another memory file";
    return NULL;
}

void restore_take(struct restore *restore, struct arena_file *file)
{
    size_t n;
    *restore = (struct restore){.state = NULL};
    if (!arena_file_take_state(file, STATE_MAX, &restore->state, &n))
        restore->reason = "the saved state cannot be read, or not be removed";
    if (restore->state != NULL)
        restore->reason = examine(restore, file, n);
    if (!arena_file_write_mark(file, no_mark) && restore->state != NULL)
        restore->reason = "the memory file cannot be written";
    if (restore->reason != NULL)
        restore_fini(restore);
}

void restore_fini(struct restore *restore)
{
    free(restore->state);
    restore->state = NULL;
}

uint32_t restore_n_buckets(const struct restore *restore)
{
    return restore->state != NULL ? restore->saved.head->n_buckets : 0;
}

/* ---- the work ---- */

struct restoring {
    struct cache *cache;
    const struct saved *saved;
    struct cache_tenant **tenants; /* by their number in the state */
    uint32_t *firsts;              /* records that are no links */
    size_t n_firsts;
    uint32_t now;
    int64_t shift; /* seconds from the saved clock to today's */
    _Atomic uint64_t n_items;
    _Atomic uint64_t n_expired;
};

/* The wall clock may have been set while the cache lived by its own; and when it was set back
 * since, what was left of each life is left still. */
static int64_t choose_shift(const struct saved_head *head, uint32_t now)
{
    int64_t shift = (int64_t)head->wall - head->now;
    return now < head->wall ? shift - ((int64_t)head->wall - now) : shift;
}

static uint32_t shifted(const struct restoring *r, uint32_t second)
{
    int64_t sum = second + r->shift;
    return sum < 1 ? 1 : sum > (int64_t)UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static uint32_t shifted_exptime(const struct restoring *r, uint32_t exptime)
{
    return exptime <= CACHE_PAST ? exptime : shifted(r, exptime);
}

static bool add_tenants(struct restoring *r)
{
    const struct saved_head *head = r->saved->head;
    r->tenants = calloc(head->n_tenants + 1, sizeof *r->tenants);
    if (r->tenants == NULL)
        return false;
    for (uint32_t i = 0; i < head->n_tenants; i++) {
        const struct saved_tenant *saved = &r->saved->tenants[i];
        struct cache_tenant *tenant = cache_default_tenant(r->cache);
        struct cache_tenant_config config = {.name = saved->name};
        if (strcmp(saved->name, tenant->name) != 0) {
            tenant = cache_tenant_create(r->cache, &config);
            if (tenant == NULL)
                return false;
            tenant->is_unclaimed = true;
        }
        atomic_store(&tenant->flush_at, shifted_exptime(r, saved->flush_at));
        tenant->sequence = saved->sequence;
        r->tenants[i] = tenant;
    }
    return true;
}

/* ---- segments: first the table, by one thread ---- */

static void add_shared(struct cache_tenant *tenant, const struct saved_segment *saved)
{
    struct segment *segment = &tenant->cache->segments[saved->number];
    _Atomic uint32_t *open = &tenant->open[atomic_load(&segment->queue)][segment->group];
    bool is_open = saved->kind == SAVED_OPEN && atomic_load(open) == SEGMENT_NONE;
    atomic_store(&segment->state, is_open ? SEGMENT_OPEN : SEGMENT_SEALED);
    atomic_store(&segment->room, saved->n_bytes | (is_open ? 0 : ROOM_SEALED));
    if (is_open)
        atomic_store(open, saved->number);
}

static void add_segment(struct restoring *r, const struct saved_segment *saved)
{
    struct cache_tenant *tenant = r->tenants[saved->tenant];
    struct cache *cache = r->cache;
    struct segment *segment = &cache->segments[saved->number];
    bool is_chain = saved->kind == SAVED_CHAIN || saved->kind == SAVED_LINK;
    segment->chain_next = SEGMENT_NONE;
    segment->n_chain = saved->kind == SAVED_CHAIN ? saved->n_chain : 1;
    segment->is_chain = is_chain;
    segment->opened_at = shifted(r, saved->opened_at);
    segment->opened_seq = saved->opened_seq;
    segment->group = is_chain ? N_GROUPS - 1 : saved->place & 15;
    atomic_store(&segment->queue, saved->place >> 4);
    atomic_store(&segment->state, saved->kind == SAVED_CHAIN ? SEGMENT_CHAIN : SEGMENT_PRIVATE);
    atomic_store(&cache->owners[saved->number], tenant_word(tenant));
    atomic_fetch_add(&tenant->n_held, 1);
    if (!is_chain)
        add_shared(tenant, saved);
    if (saved->kind == SAVED_LINK)
        cache->segments[saved[-1].number].chain_next = saved->number;
    else
        queue_append(tenant, saved->number);
}

static bool add_segments(struct restoring *r)
{
    const struct saved_head *head = r->saved->head;
    r->firsts = calloc((size_t)head->n_segments + 1, sizeof *r->firsts);
    if (r->firsts == NULL)
        return false;
    for (uint32_t i = 0; i < head->n_segments; i++) {
        const struct saved_segment *saved = &r->saved->segments[i];
        add_segment(r, saved);
        if (saved->kind != SAVED_LINK)
            r->firsts[r->n_firsts++] = i;
    }
    return true;
}

/* ---- items: every thread takes a segment at a time ---- */

static bool is_sum_right(const struct cache *cache, const struct saved_segment *saved)
{
    struct slice bytes = slice_of(segment_bytes(cache, saved->number), saved->n_bytes);
    return hash_checksum(bytes) == saved->checksum;
}

/* Header, key and optional words lie within n bytes. */
static bool is_head_fine(const struct item *item, size_t n)
{
    return n > ITEM_HEADER && item->n_key >= 1 && item->n_key <= CACHE_KEY_MAX &&
           (item->layout & ~LAYOUT_BITS) == 0 && item_value_at(item) <= n &&
           (item->layout & ITEM_HAS_EXPTIME || item_n_value(item) < ITEM_EXPTIME_FROM);
}

static bool are_items_fine(const struct cache *cache, const struct saved_segment *saved)
{
    for (size_t at = 0; at < saved->n_bytes;) {
        const struct item *item = location_item(cache, segment_location(cache, saved->number, at));
        size_t n_left = saved->n_bytes - at;
        if (!is_head_fine(item, n_left) || item_size(cache, item) > n_left ||
            item_size(cache, item) > shared_size_max(cache))
            return false;
        at += item_size(cache, item);
    }
    return true;
}

static bool is_chain_fine(const struct cache *cache, const struct saved_segment *saved)
{
    const struct item *item = location_item(cache, segment_location(cache, saved->number, 0));
    size_t n = 0;
    for (uint32_t i = 0; i < saved->n_chain; i++) {
        if (!is_sum_right(cache, &saved[i]))
            return false;
        n += saved[i].n_bytes;
    }
    return is_head_fine(item, saved->n_bytes) && item_n_bytes(item) == n;
}

static bool publish(struct cache_thread *thread, struct cache_tenant *tenant,
                    const struct cache_key *key, uint32_t location, bool *is_double_out)
{
    for (unsigned i = 0; i < SPLITS_MAX; i++) {
        struct place place;
        place_open(thread->cache, tenant, key, &place);
        *is_double_out = place.found.item != NULL;
        bool is_published = !*is_double_out && place_publish(thread, &place, key->hash, location);
        place_close(&place);
        if (is_published || *is_double_out)
            return is_published;
        lookup_grow(thread);
    }
    return false;
}

static void drop(struct restoring *r, struct item *item, uint32_t location)
{
    item_store_state(item, item_load_state(item) | ITEM_DEAD);
    log_add_dead(r->cache, location_segment(r->cache, location), item_size(r->cache, item));
}

struct met {
    uint32_t location;
    struct cache_key key;
};

/* An item whose bucket was prefetched. False: its key is there already. */
static bool link_item(struct restoring *r, struct cache_thread *thread, struct cache_tenant *tenant,
                      const struct met *met)
{
    struct cache *cache = r->cache;
    struct item *item = location_item(cache, met->location);
    uint32_t number = location_segment(cache, met->location);
    const struct segment *segment = &cache->segments[number];
    size_t size = item_size(cache, item);
    bool is_double;
    if (!publish(thread, tenant, &met->key, met->location, &is_double)) {
        drop(r, item, met->location);
        return !is_double;
    }
    count_items(thread_counters(thread, tenant),
                &thread_counters(thread, tenant)->groups[size_group(size)],
                atomic_load(&segment->queue) == QUEUE_PROBATION, 1, (int64_t)size);
    if (!segment->is_chain)
        horizon_add(cache, number, item_load_exptime(item), (int32_t)size);
    return true;
}

/* Its times by today's clock. False: it is over, or was dead before. */
static bool revive(struct restoring *r, struct item *item, uint64_t *n_expired)
{
    if (item_load_state(item) & ITEM_DEAD)
        return false;
    uint32_t exptime = shifted_exptime(r, item_load_exptime(item));
    uint32_t last_access = shifted(r, atomic_load(&item->last_access));
    item_store_exptime(item, exptime);
    atomic_store_explicit(&item->last_access, last_access, memory_order_relaxed);
    bool is_over = exptime_is_over(exptime, r->now);
    *n_expired += is_over;
    return !is_over;
}

static struct met meet(const struct cache *cache, const struct cache_tenant *tenant,
                       uint32_t location)
{
    struct met met = {.location = location,
                      .key = {.bytes = item_key(location_item(cache, location))}};
    met.key.hash = cache_hash(cache, tenant, met.key.bytes);
    cache_prefetch_bucket(cache, met.key.hash);
    return met;
}

static bool link_shared(struct restoring *r, struct cache_thread *thread,
                        struct cache_tenant *tenant, const struct saved_segment *saved)
{
    struct cache *cache = r->cache;
    struct met ring[AHEAD];
    unsigned n_met = 0, n_linked = 0;
    uint64_t n_expired = 0;
    bool is_fine = true;
    for (size_t at = 0; at < saved->n_bytes && is_fine;) {
        uint32_t location = segment_location(cache, saved->number, at);
        struct item *item = location_item(cache, location);
        at += item_size(cache, item);
        if (!revive(r, item, &n_expired)) {
            drop(r, item, location);
            continue;
        }
        if (n_met - n_linked == AHEAD)
            is_fine = link_item(r, thread, tenant, &ring[n_linked++ % AHEAD]);
        ring[n_met++ % AHEAD] = meet(cache, tenant, location);
    }
    while (n_linked < n_met && is_fine)
        is_fine = link_item(r, thread, tenant, &ring[n_linked++ % AHEAD]);
    atomic_fetch_add(&r->n_items, n_met);
    atomic_fetch_add(&r->n_expired, n_expired);
    log_retire_if_spent(tenant, saved->number);
    return is_fine;
}

static bool link_chain(struct restoring *r, struct cache_thread *thread,
                       struct cache_tenant *tenant, const struct saved_segment *saved)
{
    uint32_t location = segment_location(r->cache, saved->number, 0);
    struct item *item = location_item(r->cache, location);
    uint64_t n_expired = 0;
    if (!revive(r, item, &n_expired)) {
        log_chain_retire(tenant, saved->number);
        atomic_fetch_add(&r->n_expired, n_expired);
        return true;
    }
    struct met met = meet(r->cache, tenant, location);
    atomic_fetch_add(&r->n_items, 1);
    return link_item(r, thread, tenant, &met);
}

static bool link_segment(struct cache_thread *thread, void *arg, size_t piece)
{
    struct restoring *r = arg;
    const struct saved_segment *saved = &r->saved->segments[r->firsts[piece]];
    struct cache_tenant *tenant = r->tenants[saved->tenant];
    thread->now = r->now;
    bool is_done;
    if (saved->kind == SAVED_CHAIN)
        is_done = is_chain_fine(r->cache, saved) && link_chain(r, thread, tenant, saved);
    else
        is_done = is_sum_right(r->cache, saved) && are_items_fine(r->cache, saved) &&
                  link_shared(r, thread, tenant, saved);
    lookup_grow(thread);
    thread_refresh(thread);
    return is_done;
}

/* ---- the whole ---- */

static const char *apply(struct restoring *r)
{
    if (!add_tenants(r) || !add_segments(r))
        return "out of memory";
    pool_adopt(r->cache);
    if (!crew_run(r->cache, r->n_firsts, link_segment, r))
        return "the memory file is not as it was when it was saved";
    return NULL;
}

static void conclude(struct restoring *r)
{
    struct cache *cache = r->cache;
    const struct saved_head *head = r->saved->head;
    uint32_t started = shifted(r, head->started);
    if (head->cas > atomic_load(&cache->cas))
        atomic_store(&cache->cas, head->cas);
    atomic_store(&cache->now, r->now);
    pool_update_target(cache);
    cache->restored = (struct cache_restored){.what = CACHE_RESTORED,
                                              .n_items = r->n_items,
                                              .n_expired = r->n_expired,
                                              .started = started < r->now ? started : r->now};
}

bool restore_apply(struct restore *restore, struct cache *cache, uint32_t now)
{
    struct restoring r = {.cache = cache, .saved = &restore->saved, .now = now};
    restore->reason = saved_check(&restore->saved, cache);
    if (restore->reason == NULL) {
        r.shift = choose_shift(restore->saved.head, now);
        restore->reason = apply(&r);
    }
    if (restore->reason == NULL)
        conclude(&r);
    free(r.tenants);
    free(r.firsts);
    return restore->reason == NULL;
}
