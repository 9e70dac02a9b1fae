#include "cache/lookup.h"

#include "cache/pool.h"

#include <sched.h>

#define INDEX_DELTA    16 /* entries a thread counts before it adds them to the index's sum */
#define LOAD_NUM       8  /* buckets are split above 8/9 of their slots in use */
#define LOAD_DEN       9
#define MOVES_MAX      2u /* entries moved in a row to make room for one */
#define SPLITS_AT_ONCE 16u
#define TARGET_STEP    4096 /* bytes the index grows by before the pool is told */

/* Readers pass through here once or twice for each get, so it is laid out in them. */
#define INLINE static inline __attribute__((always_inline))

/* The slot of the key's entry; BUCKET_SLOTS when the bucket has none. */
INLINE unsigned find_in(const struct cache *cache, const struct cache_tenant *tenant,
                        const struct cache_key *key, const struct bucket *bucket,
                        struct found *found_out)
{
    unsigned match = bucket_match(bucket, hash_tag(key->hash));
    for (; match != 0; match &= match - 1) {
        unsigned slot = (unsigned)__builtin_ctz(match);
        if (location_is_of(cache, tenant, key->bytes, bucket_location(bucket, slot), found_out))
            return slot;
    }
    return BUCKET_SLOTS;
}

bool lookup_search(const struct cache *cache, const struct cache_tenant *tenant,
                   const struct cache_key *key, struct found *found_out)
{
    const struct index *index = &cache->index;
    uint64_t state = index_state(index), before;
    do {
        before = state;
        for (unsigned i = 0; i < 2; i++)
            if (find_in(cache, tenant, key, index_bucket(index, state, key->hash, i), found_out) <
                BUCKET_SLOTS)
                return true;
        state = index_state(index);
    } while (state != before);
    found_out->item = NULL;
    return false;
}

/* Two locks are taken in the order of their addresses. */
static void lock_pair(struct place *place, struct bucket *a, struct bucket *b)
{
    place->locked[0] = a < b ? a : b;
    place->locked[1] = a == b ? NULL : a < b ? b : a;
    bucket_lock(place->locked[0]);
    if (place->locked[1] != NULL)
        bucket_lock(place->locked[1]);
}

static void lock_buckets(struct cache *cache, uint64_t hash, struct place *place)
{
    const struct index *index = &cache->index;
    for (;;) {
        uint64_t state = index_state(index);
        struct bucket *a = index_bucket(index, state, hash, 0);
        struct bucket *b = index_bucket(index, state, hash, 1);
        lock_pair(place, a, b);
        uint64_t after = index_state(index);
        if (LIKELY(after == state || (a == index_bucket(index, after, hash, 0) &&
                                      b == index_bucket(index, after, hash, 1))))
            return;
        place_close(place); /* split in between */
    }
}

/* An entry that is in the bucket while its lock is held stays there, and the key can get no other:
 * who would move it, or store the key anew, needs this lock too. */
static bool lock_hinted(struct cache *cache, const struct cache_tenant *tenant,
                        const struct cache_key *key, struct place *place)
{
    struct bucket *bucket = hint_bucket(&cache->index, key->hint);
    if (key->hint == 0)
        return false;
    bucket_lock(bucket);
    if (UNLIKELY(!hint_finds(cache, tenant, key, &place->found))) {
        bucket_unlock(bucket);
        return false;
    }
    place->locked[0] = place->bucket = bucket;
    place->locked[1] = NULL;
    place->slot = hint_slot(key->hint);
    return true;
}

void place_open(struct cache *cache, const struct cache_tenant *tenant, const struct cache_key *key,
                struct place *place_out)
{
    if (LIKELY(lock_hinted(cache, tenant, key, place_out)))
        return;
    lock_buckets(cache, key->hash, place_out);
    place_out->found.item = NULL;
    for (unsigned i = 0; i < 2 && place_out->locked[i] != NULL; i++) {
        place_out->bucket = place_out->locked[i];
        place_out->slot = find_in(cache, tenant, key, place_out->bucket, &place_out->found);
        if (place_out->slot < BUCKET_SLOTS)
            return;
    }
}

void place_close(struct place *place)
{
    if (place->locked[1] != NULL)
        bucket_unlock(place->locked[1]);
    bucket_unlock(place->locked[0]);
}

static bool find_location(struct bucket *bucket, uint8_t tag, uint32_t location, unsigned *slot_out)
{
    for (unsigned match = bucket_match(bucket, tag); match != 0; match &= match - 1) {
        unsigned slot = (unsigned)__builtin_ctz(match);
        if (bucket_location(bucket, slot) == location) {
            *slot_out = slot;
            return true;
        }
    }
    return false;
}

/* Is this bucket still one of the key's, and does it point to the location? */
static bool lock_if_there(struct cache *cache, uint64_t hash, struct bucket *bucket,
                          uint32_t location, struct place *place)
{
    if (!find_location(bucket, hash_tag(hash), location, &place->slot))
        return false;
    bucket_lock(bucket);
    if (find_location(bucket, hash_tag(hash), location, &place->slot)) {
        place->locked[0] = place->bucket = bucket;
        place->locked[1] = NULL;
        place->found.item = location_item(cache, location);
        place->found.location = location;
        place->found.segment = location_segment(cache, location);
        place->found.owner = segment_owner(cache, place->found.segment);
        return true;
    }
    bucket_unlock(bucket);
    return false;
}

bool place_open_location(struct cache *cache, uint64_t hash, uint32_t location,
                         struct place *place_out)
{
    const struct index *index = &cache->index;
    uint64_t state = index_state(index), before;
    do {
        before = state;
        for (unsigned i = 0; i < 2; i++)
            if (lock_if_there(cache, hash, index_bucket(index, state, hash, i), location,
                              place_out))
                return true;
        state = index_state(index);
    } while (state != before);
    return false;
}

static uint64_t hash_of_item(const struct cache *cache, uint32_t location)
{
    const struct item *item = location_item(cache, location);
    uint64_t owner = segment_owner(cache, location_segment(cache, location));
    const struct cache_tenant *tenant = atomic_load(&cache->tenants[word_tenant(owner)]);
    return cache_hash(cache, tenant, item_key(item));
}

/* Looks for room by moving entries to their other bucket. */
struct move {
    struct cache *cache;
    bool is_walked; /* entries may go to higher buckets only */
};

static bool move_entry(const struct move *move, struct bucket *from, unsigned slot, unsigned depth);

/* Moves one of the entries of a full and locked bucket away. */
static bool make_slot(const struct move *move, struct bucket *bucket, unsigned depth,
                      unsigned *slot_out)
{
    for (unsigned slot = 0; slot < BUCKET_SLOTS; slot++)
        if (move_entry(move, bucket, slot, depth)) {
            *slot_out = slot;
            return true;
        }
    return false;
}

static bool is_bucket_of(const struct index *index, const struct bucket *bucket, uint64_t hash)
{
    uint64_t state = index_state(index);
    return bucket == index_bucket(index, state, hash, 0) ||
           bucket == index_bucket(index, state, hash, 1);
}

static struct bucket *other_bucket(const struct index *index, const struct bucket *bucket,
                                   uint64_t hash)
{
    uint64_t state = index_state(index);
    struct bucket *other = index_bucket(index, state, hash, 0);
    return other != bucket ? other : index_bucket(index, state, hash, 1);
}

/* Locks beyond the place's own are only tried: they may be out of order. */
static bool move_entry(const struct move *move, struct bucket *from, unsigned slot, unsigned depth)
{
    struct index *index = &move->cache->index;
    uint32_t location = bucket_location(from, slot);
    uint64_t hash = hash_of_item(move->cache, location);
    struct bucket *to = other_bucket(index, from, hash);
    if (to == from || (move->is_walked && to < from) || !bucket_try_lock(to))
        return false;
    unsigned empty = bucket_match(to, 0), to_slot = 0;
    bool has_slot = empty != 0 || (depth > 1 && make_slot(move, to, depth - 1, &to_slot));
    if (empty != 0)
        to_slot = (unsigned)__builtin_ctz(empty);
    /* A split of `to` that came in between may have sent the hash elsewhere. */
    bool can_move = has_slot && is_bucket_of(index, to, hash);
    if (can_move) {
        bucket_fill(to, to_slot, hash_tag(hash), location);
        index_announce_move(index);
        bucket_clear(from, slot);
    }
    bucket_unlock(to);
    return can_move;
}

static void prefetch_items(const struct cache *cache, const struct bucket *bucket)
{
    unsigned used = ~bucket_match(bucket, 0) & ((1u << BUCKET_SLOTS) - 1);
    for (; used != 0; used &= used - 1)
        __builtin_prefetch(
            location_item(cache, bucket_location(bucket, (unsigned)__builtin_ctz(used))));
}

static bool make_room(struct cache_thread *thread, struct place *place)
{
    struct cache *cache = thread->cache;
    for (unsigned i = 0; i < 2 && place->locked[i] != NULL; i++)
        prefetch_items(cache, place->locked[i]);
    struct move move = {cache, thread->now < atomic_load(&cache->walked_until)};
    for (unsigned depth = 1; depth <= MOVES_MAX; depth++)
        for (unsigned i = 0; i < 2 && place->locked[i] != NULL; i++)
            if (make_slot(&move, place->locked[i], depth, &place->slot)) {
                place->bucket = place->locked[i];
                return true;
            }
    return false;
}

static unsigned n_empty(unsigned empty)
{
    return (unsigned)__builtin_popcount(empty);
}

/* Was the bucket split already in this round of growth? Such ones have half of the load. */
static bool is_split(const struct index *index, const struct bucket *bucket)
{
    uint32_t n = index_n_buckets(index_state(index)), top = 1u << (31 - __builtin_clz(n));
    uint32_t at = (uint32_t)(bucket - index->buckets);
    return at < n - top || at >= top;
}

/* Split buckets first: keys that have none of these must find room in the others. */
static unsigned weight(const struct index *index, const struct bucket *bucket, unsigned empty)
{
    return empty == 0 ? 0 : n_empty(empty) + (is_split(index, bucket) ? BUCKET_SLOTS : 0);
}

static bool choose_slot(struct cache_thread *thread, struct place *place)
{
    const struct index *index = &thread->cache->index;
    unsigned empty = bucket_match(place->locked[0], 0);
    place->bucket = place->locked[0];
    if (place->locked[1] != NULL) {
        unsigned other = bucket_match(place->locked[1], 0);
        if (weight(index, place->locked[1], other) > weight(index, place->bucket, empty)) {
            empty = other;
            place->bucket = place->locked[1];
        }
    }
    if (empty == 0)
        return make_room(thread, place);
    place->slot = (unsigned)__builtin_ctz(empty);
    return true;
}

static void count_entries(struct cache_thread *thread, int n)
{
    thread->index_delta += n;
    if (thread->index_delta < INDEX_DELTA && thread->index_delta > -INDEX_DELTA)
        return;
    atomic_fetch_add_explicit(&thread->cache->index.n_items, thread->index_delta,
                              memory_order_relaxed);
    thread->may_grow_index |= thread->index_delta > 0;
    thread->index_delta = 0;
}

bool place_insert(struct cache_thread *thread, struct place *place, uint64_t hash,
                  uint32_t location)
{
    if (!choose_slot(thread, place)) {
        thread->met_full_index = thread->may_grow_index = true;
        return false;
    }
    bucket_fill(place->bucket, place->slot, hash_tag(hash), location);
    count_entries(thread, 1);
    return true;
}

void place_clear(struct cache_thread *thread, struct place *place)
{
    bucket_clear(place->bucket, place->slot);
    count_entries(thread, -1);
}

/* ---- growth ---- */

static bool is_moving(uint64_t hash, unsigned which, uint32_t from, uint32_t n_after)
{
    return index_address(hash_part(hash, which), n_after - 1) == from &&
           index_address(hash_part(hash, which), n_after) == n_after - 1;
}

static bool stays(uint64_t hash, uint32_t from, uint32_t n_after)
{
    return index_address(hash_part(hash, 0), n_after) == from ||
           index_address(hash_part(hash, 1), n_after) == from;
}

/* Copies what belongs to the new bucket; returns the slots it came from. An entry that may be in
 * either is moved when the new one is emptier. */
static unsigned copy_to_new(struct cache *cache, const struct index_split *split)
{
    uint32_t from = (uint32_t)(split->from - cache->index.buckets);
    unsigned moved = 0, n_to = 0, n_left;
    unsigned used = ~bucket_match(split->from, 0) & ((1u << BUCKET_SLOTS) - 1);
    n_left = (unsigned)__builtin_popcount(used);
    for (; used != 0; used &= used - 1) {
        unsigned slot = (unsigned)__builtin_ctz(used);
        uint32_t location = bucket_location(split->from, slot);
        uint64_t hash = hash_of_item(cache, location);
        if (!is_moving(hash, 0, from, split->n_after) && !is_moving(hash, 1, from, split->n_after))
            continue;
        if (stays(hash, from, split->n_after) && n_left <= n_to)
            continue;
        bucket_fill(split->to, n_to++, hash_tag(hash), location);
        moved |= 1u << slot;
        n_left--;
    }
    return moved;
}

static bool split_one(struct cache *cache)
{
    struct index_split split;
    if (!index_split_begin(&cache->index, &split))
        return false;
    prefetch_items(cache, split.from);
    unsigned moved = copy_to_new(cache, &split);
    index_split_publish(&cache->index, &split);
    for (; moved != 0; moved &= moved - 1)
        bucket_clear(split.from, (unsigned)__builtin_ctz(moved));
    index_split_end(&cache->index, &split);
    if (split.n_after % (TARGET_STEP / sizeof(struct bucket)) == 0)
        pool_update_target(cache);
    return true;
}

static bool is_too_full(const struct index *index)
{
    int64_t n = atomic_load_explicit(&index->n_items, memory_order_relaxed);
    int64_t n_slots = (int64_t)index_n_buckets(index_state(index)) * BUCKET_SLOTS;
    return n * LOAD_DEN > n_slots * LOAD_NUM;
}

/* A key that found no room makes the table grow whatever its load. */
void lookup_grow(struct cache_thread *thread)
{
    struct cache *cache = thread->cache;
    bool must_split = thread->met_full_index;
    thread->met_full_index = thread->may_grow_index = false;
    for (unsigned i = 0; i < SPLITS_AT_ONCE && (must_split || is_too_full(&cache->index)); i++) {
        if (!split_one(cache))
            return;
        must_split = false;
    }
}
