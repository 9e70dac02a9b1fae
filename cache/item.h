/* item.h - how an item lies in a segment: 16 bytes of header, the key, optional words, the value.
 * Owns: nothing; an item belongs to its segment.
 * Thread: a published item is immutable but for its atomic words. Their writers hold the bucket's
 *         lock, except for last_access and hits, which any reader may lose a race on.
 * Never: changes key, layout or value of a published item; counters (ITEM_IS_COUNTER) excepted,
 *        whose value and cas are read and written under the bucket's lock only. */
#ifndef CACHE_ITEM_H
#define CACHE_ITEM_H

#include "cache/cache.h"

#include <stdatomic.h>

/*  0             4         8          10        12      13       14      15     16
 *  | last access | cas low | cas high | n_value | n_key | layout | state | hits | exptime (4) ...
 *  ... key | client flags (4) | wide cas (8) | wide length (4) | value | up to the next unit
 * Optional are the words with their size behind them. */
struct item {
    _Atomic uint32_t last_access;
    uint32_t cas_low;
    uint16_t cas_high;
    uint16_t n_value;
    uint8_t n_key;
    uint8_t layout;
    _Atomic uint8_t state;
    _Atomic uint8_t hits;
    uint8_t bytes[];
};

#define ITEM_HEADER 16
_Static_assert(sizeof(struct item) == ITEM_HEADER, "the item header is 16 bytes");

/* layout: fixed when the item is made */
#define ITEM_HAS_FLAGS       0x01
#define ITEM_HAS_WIDE_LENGTH 0x02
#define ITEM_HAS_EXPTIME     0x04
#define ITEM_HAS_WIDE_CAS    0x08
#define ITEM_IS_BASE64       0x10
#define ITEM_IS_COUNTER      0x20

/* Values of so many bytes have the word for the expiry in any case: it is less than one per cent of
 * them, and a touch need not copy them. */
#define ITEM_EXPTIME_FROM 512u

/* state */
#define ITEM_DEAD  0x01 /* no slot points here any more */
#define ITEM_STALE 0x02
#define ITEM_WON   0x04 /* somebody was told to recache it */

/* hits: a saturating count, and one bit that stays */
#define ITEM_HITS_MAX 3u
#define ITEM_HITS     0x03u
#define ITEM_FETCHED  0x80u

#define ITEM_CAS_BITS 48

/* What decides an item's layout and size. */
struct item_shape {
    struct slice key;
    uint64_t cas; /* only whether it is wide matters */
    uint32_t client_flags;
    uint32_t n_value;
    bool key_is_base64;
    bool is_counter;
    bool has_exptime; /* with the word for it, whatever stands there in the end */
    bool is_roomy; /* with all words but the length: what is in them becomes known at the commit */
};

static inline uint8_t item_load_state(const struct item *item)
{
    return atomic_load_explicit(&item->state, memory_order_relaxed);
}

/* Under the bucket's lock, or before the item is published. */
static inline void item_store_state(struct item *item, unsigned state)
{
    atomic_store_explicit(&item->state, (uint8_t)state, memory_order_relaxed);
}

/* It lies before the key, where it is aligned for an atomic access. */
static inline size_t item_key_at(const struct item *item)
{
    return ITEM_HEADER + (item->layout & ITEM_HAS_EXPTIME ? 4u : 0u);
}

static inline uint32_t item_load_exptime(const struct item *item)
{
    if (!(item->layout & ITEM_HAS_EXPTIME))
        return CACHE_NEVER;
    const void *word = item->bytes;
    return atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_relaxed);
}

/* Can it be stored where the item is? */
static inline bool item_takes_exptime(const struct item *item, uint32_t exptime)
{
    return exptime == CACHE_NEVER || (item->layout & ITEM_HAS_EXPTIME) != 0;
}

/* Under the bucket's lock, or before the item is published. The layout must have the word, unless
 * the item never expires. */
static inline void item_store_exptime(struct item *item, uint32_t exptime)
{
    void *word = item->bytes;
    if (item->layout & ITEM_HAS_EXPTIME)
        atomic_store_explicit((_Atomic uint32_t *)word, exptime, memory_order_relaxed);
    else
        MUST(exptime == CACHE_NEVER);
}

static inline bool exptime_is_over(uint32_t exptime, uint32_t now)
{
    return exptime != CACHE_NEVER && exptime <= now;
}

static inline bool item_is_expired(const struct item *item, uint32_t now)
{
    return exptime_is_over(item_load_exptime(item), now);
}

/* Bytes of the words behind the key. */
static inline size_t item_words(uint8_t layout)
{
    if (LIKELY(!(layout & (ITEM_HAS_FLAGS | ITEM_HAS_WIDE_CAS | ITEM_HAS_WIDE_LENGTH))))
        return 0;
    return (layout & ITEM_HAS_FLAGS ? 4u : 0u) + (layout & ITEM_HAS_WIDE_CAS ? 8u : 0u) +
           (layout & ITEM_HAS_WIDE_LENGTH ? 4u : 0u);
}

/* Bytes before the value. */
static inline size_t item_value_at(const struct item *item)
{
    return item_key_at(item) + item->n_key + item_words(item->layout);
}

static inline uint32_t item_n_value(const struct item *item)
{
    if (LIKELY(!(item->layout & ITEM_HAS_WIDE_LENGTH)))
        return item->n_value;
    uint32_t n;
    memcpy(&n, (const uint8_t *)item + item_value_at(item) - 4, sizeof n);
    return n;
}

static inline struct slice item_key(const struct item *item)
{
    return slice_of((const uint8_t *)item + item_key_at(item), item->n_key);
}

static inline uint8_t *item_words_at(const struct item *item)
{
    return (uint8_t *)item + item_key_at(item) + item->n_key;
}

static inline uint32_t item_client_flags(const struct item *item)
{
    if (!(item->layout & ITEM_HAS_FLAGS))
        return 0;
    uint32_t flags;
    memcpy(&flags, item_words_at(item), sizeof flags);
    return flags;
}

static inline uint8_t *item_wide_cas_at(const struct item *item)
{
    return item_words_at(item) + (item->layout & ITEM_HAS_FLAGS ? 4 : 0);
}

static inline uint64_t item_cas(const struct item *item)
{
    if (LIKELY(!(item->layout & ITEM_HAS_WIDE_CAS)))
        return (uint64_t)item->cas_high << 32 | item->cas_low;
    uint64_t cas;
    memcpy(&cas, item_wide_cas_at(item), sizeof cas);
    return cas;
}

/* Bytes that lie in the segment, without rounding. */
static inline size_t item_n_bytes(const struct item *item)
{
    return item_value_at(item) + item_n_value(item);
}

static inline bool cas_is_wide(uint64_t cas)
{
    return cas >> ITEM_CAS_BITS != 0;
}

static inline uint8_t item_layout(const struct item_shape *shape)
{
    unsigned layout = 0;
    if (shape->client_flags != 0 || shape->is_roomy)
        layout |= ITEM_HAS_FLAGS;
    if (cas_is_wide(shape->cas) || shape->is_roomy)
        layout |= ITEM_HAS_WIDE_CAS;
    if (shape->n_value > UINT16_MAX)
        layout |= ITEM_HAS_WIDE_LENGTH;
    if (shape->has_exptime || shape->is_roomy || shape->n_value >= ITEM_EXPTIME_FROM)
        layout |= ITEM_HAS_EXPTIME;
    if (shape->key_is_base64)
        layout |= ITEM_IS_BASE64;
    if (shape->is_counter)
        layout |= ITEM_IS_COUNTER;
    return (uint8_t)layout;
}

static inline size_t item_shape_n_bytes(const struct item_shape *shape, uint8_t layout)
{
    size_t n_exptime = layout & ITEM_HAS_EXPTIME ? 4 : 0;
    return ITEM_HEADER + n_exptime + shape->key.n + item_words(layout) + shape->n_value;
}

/* Before publishing, or for a counter under the bucket's lock. The layout must have room. */
static inline void item_set_cas(struct item *item, uint64_t cas)
{
    item->cas_low = (uint32_t)cas;
    item->cas_high = (uint16_t)(cas >> 32);
    if (item->layout & ITEM_HAS_WIDE_CAS)
        memcpy(item_wide_cas_at(item), &cas, sizeof cas);
    else
        MUST(!cas_is_wide(cas));
}

void item_set_client_flags(struct item *item, uint32_t flags);

/* In two pieces that overlap, where there are so many bytes: a call costs more than the copy. */
static inline void item_copy_key(uint8_t *to, struct slice key)
{
    enum { PIECE = 16 };
    if (UNLIKELY(key.n < PIECE || key.n > 2 * PIECE)) {
        memcpy(to, key.p, key.n);
        return;
    }
    memcpy(to, key.p, PIECE);
    memcpy(to + key.n - PIECE, key.p + key.n - PIECE, PIECE);
}

/* Writes header, key and optional words; the value is the caller's to fill. cas 0, never expires.
 * layout is that of the shape. */
static inline void item_init(struct item *item, const struct item_shape *shape, uint8_t layout,
                             uint32_t now)
{
    atomic_store_explicit(&item->last_access, now, memory_order_relaxed);
    item_store_state(item, 0);
    atomic_store_explicit(&item->hits, 0, memory_order_relaxed);
    item->n_key = (uint8_t)shape->key.n;
    item->layout = layout;
    item->n_value = (uint16_t)(shape->n_value > UINT16_MAX ? 0 : shape->n_value);
    item_store_exptime(item, CACHE_NEVER);
    item_copy_key((uint8_t *)item + item_key_at(item), shape->key);
    if (layout & ITEM_HAS_WIDE_LENGTH)
        memcpy((uint8_t *)item + item_value_at(item) - 4, &shape->n_value, 4);
    if (layout & ITEM_HAS_FLAGS)
        item_set_client_flags(item, shape->client_flags);
    item_set_cas(item, 0);
}

/* Copies what may change while the item is published. `to` has its layout already. */
void item_copy_words(struct item *to, const struct item *from);

/* Copies header, key and optional words of an item that may be published; not the value. The layout
 * is that of `from`, or has the word for the expiry besides. */
void item_copy_head(struct item *to, const struct item *from, uint8_t layout);

#endif
