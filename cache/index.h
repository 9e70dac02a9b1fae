/* index.h - where items are: buckets of one cache line with twelve tags and locations.
 * Owns: the buckets' memory.
 * Thread: reading takes no lock; a writer locks the buckets it changes; one split at a time.
 * Never: looks at an item; what a location means, and whether a key is equal, is the caller's. */
#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H

#include "base/bytes.h"
#include "base/must.h"

#include <stdatomic.h>

#define BUCKET_SLOTS 12

/* A tag of 0 is an empty slot. Writing a slot: location first, then the tag; emptying: the tag. */
struct bucket {
    _Atomic uint32_t lock;
    _Atomic uint8_t tags[BUCKET_SLOTS];
    _Atomic uint32_t locations[BUCKET_SLOTS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

/* Every key has two buckets, and is in one of them. The table grows by splitting its buckets in
 * turn (linear hashing). Buckets not split yet in a round would hold twice as much as the others;
 * the second choice evens that out, so the table stays well filled without overflow chains. */
struct index {
    struct bucket *buckets;
    size_t n_reserved;       /* buckets that the address space has room for */
    size_t n_committed;      /* buckets that may be written; split lock */
    size_t n_joined;         /* bytes in huge pages; maintenance lock */
    bool has_huge_pages;     /* constant */
    _Atomic uint64_t state;  /* number of buckets << 32 | count of moves */
    _Atomic int64_t n_items; /* summed in steps by the threads */
    _Atomic uint32_t is_splitting;
};

/* False: no memory. */
MUST_USE bool index_init(struct index *index, size_t n_buckets, size_t n_max, bool has_huge_pages);
void index_fini(struct index *index);

static inline uint64_t index_state(const struct index *index)
{
    return atomic_load_explicit(&index->state, memory_order_acquire);
}

static inline uint32_t index_n_buckets(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static inline uint8_t hash_tag(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 56);
    return (uint8_t)(tag + (tag == 0));
}

#define INDEX_HASH_BITS 28

/* The bucket of a hash part when there are n buckets (n > 1). */
static inline uint32_t index_address(uint32_t part, uint32_t n)
{
    uint32_t mask = UINT32_MAX >> __builtin_clz(n - 1);
    uint32_t at = part & mask;
    return at < n ? at : at & (mask >> 1);
}

static inline uint32_t hash_part(uint64_t hash, unsigned which)
{
    return (uint32_t)(hash >> (which ? INDEX_HASH_BITS : 0)) & ((1u << INDEX_HASH_BITS) - 1);
}

static inline struct bucket *index_bucket(const struct index *index, uint64_t state, uint64_t hash,
                                          unsigned which)
{
    return &index->buckets[index_address(hash_part(hash, which), index_n_buckets(state))];
}

/* The slots whose tag is this, as a bit set. Exact: no slot is reported that has another tag. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#include <emmintrin.h>
static inline unsigned bucket_match(const struct bucket *bucket, uint8_t tag)
{
    __m128i line = _mm_load_si128((const __m128i *)bucket);
    __m128i same = _mm_cmpeq_epi8(line, _mm_set1_epi8((char)tag));
    unsigned match = (unsigned)_mm_movemask_epi8(same) >> 4;
    atomic_signal_fence(memory_order_acquire);
    return match;
}
#else
static inline unsigned bucket_match(const struct bucket *bucket, uint8_t tag)
{
    unsigned match = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        if (atomic_load_explicit(&bucket->tags[i], memory_order_acquire) == tag)
            match |= 1u << i;
    return match;
}
#endif

static inline uint32_t bucket_location(const struct bucket *bucket, unsigned slot)
{
    return atomic_load_explicit(&bucket->locations[slot], memory_order_acquire);
}

/* A slot as a number other than 0; what it holds may change at any time. */
static inline uint32_t index_hint(const struct index *index, const struct bucket *bucket,
                                  unsigned slot)
{
    return (uint32_t)(bucket - index->buckets) << 4 | (slot + 1);
}

static inline struct bucket *hint_bucket(const struct index *index, uint32_t hint)
{
    return &index->buckets[hint >> 4];
}

static inline unsigned hint_slot(uint32_t hint)
{
    return (hint & 15) - 1;
}

_Static_assert(INDEX_HASH_BITS + 4 <= 32 && BUCKET_SLOTS < 16, "a slot's number has 32 bits");

static inline bool bucket_has_tag(const struct bucket *bucket, unsigned slot, uint8_t tag)
{
    return atomic_load_explicit(&bucket->tags[slot], memory_order_acquire) == tag;
}

MUST_USE static inline bool bucket_try_lock(struct bucket *bucket)
{
    return atomic_load_explicit(&bucket->lock, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&bucket->lock, 1, memory_order_acquire) == 0;
}

/* Takes the lock that somebody else has now. */
void bucket_wait(struct bucket *bucket);

static inline void bucket_lock(struct bucket *bucket)
{
    if (UNLIKELY(!bucket_try_lock(bucket)))
        bucket_wait(bucket);
}

static inline void bucket_unlock(struct bucket *bucket)
{
    atomic_store_explicit(&bucket->lock, 0, memory_order_release);
}

/* With the bucket's lock. */
static inline void bucket_switch(struct bucket *bucket, unsigned slot, uint32_t location)
{
    atomic_store_explicit(&bucket->locations[slot], location, memory_order_release);
}

static inline void bucket_fill(struct bucket *bucket, unsigned slot, uint8_t tag, uint32_t location)
{
    atomic_store_explicit(&bucket->locations[slot], location, memory_order_release);
    atomic_store_explicit(&bucket->tags[slot], tag, memory_order_release);
}

static inline void bucket_clear(struct bucket *bucket, unsigned slot)
{
    atomic_store_explicit(&bucket->tags[slot], 0, memory_order_release);
}

/* Tells readers that an entry is going to change its bucket: after the copy was filled in, before
 * the original is cleared. A reader that misses looks again when the state has changed. */
void index_announce_move(struct index *index);

/* A split: begin gives the bucket to split and the new one, both locked, or false when another
 * thread is at it or there is no room. Between the two calls the caller copies entries; after
 * index_split_publish it clears the originals and calls index_split_end. */
struct index_split {
    struct bucket *from;
    struct bucket *to;
    uint32_t n_after; /* number of buckets after it */
};
MUST_USE bool index_split_begin(struct index *index, struct index_split *split_out);
void index_split_publish(struct index *index, const struct index_split *split);
void index_split_end(struct index *index, struct index_split *split);

/* The table grows by small pages, so that it takes no more memory than it counts as. Those that
 * fill a huge page become one here, which takes the kernel milliseconds: not a worker's. */
void index_join_pages(struct index *index);

#endif
