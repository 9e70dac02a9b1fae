/* saved.h - the state of a cache as it is saved beside its memory file.
 * Owns: the format: one head, the tenants, their segments in the order of their queues.
 * Thread: any.   Never: trusts a number in it before saved_parse has taken the whole. */
#ifndef CACHE_SAVED_H
#define CACHE_SAVED_H

#include "cache/engine.h"

#define SAVED_MAGIC   0x646565706b766173ull /* also tells the order of bytes */
#define SAVED_VERSION 2u                    /* of this format and of item.h's layout */
#define SAVED_NAME    256                   /* with its end */

struct saved_head {
    uint64_t magic;
    uint64_t checksum; /* of all that follows, to the end of the state */
    uint32_t version;
    uint32_t item_header;
    uint8_t mark[ARENA_MARK_SIZE];
    uint64_t memory;
    uint64_t segment_size;
    uint32_t unit_shift;
    uint32_t has_cas;
    uint32_t n_buckets;
    uint32_t n_tenants;
    uint32_t n_segments;
    uint32_t started;
    uint32_t now;  /* by the cache's clock, which all times are of */
    uint32_t wall; /* by the wall clock, at the same moment */
    uint64_t cas;
};

struct saved_tenant {
    uint32_t flush_at;
    uint32_t sequence;
    char name[SAVED_NAME];
};

enum saved_kind {
    SAVED_SEALED,
    SAVED_OPEN,
    SAVED_CHAIN,
    SAVED_LINK, /* of the chain before it */
    N_SAVED_KINDS,
};

struct saved_segment {
    uint64_t checksum;
    uint32_t number;
    uint32_t n_bytes;
    uint32_t opened_at;
    uint32_t opened_seq;
    uint32_t n_chain; /* SAVED_CHAIN: how many, with the links that follow */
    uint16_t tenant;  /* index of its saved_tenant */
    uint8_t kind;
    uint8_t place; /* queue << 4 | group */
};

_Static_assert(sizeof(struct saved_head) == 96 && sizeof(struct saved_tenant) == 264 &&
                   sizeof(struct saved_segment) == 32,
               "the format has no padding");

/* Pointers into the bytes that were parsed. */
struct saved {
    const struct saved_head *head;
    const struct saved_tenant *tenants;
    const struct saved_segment *segments;
};

static inline size_t saved_n_bytes(uint32_t n_tenants, uint32_t n_segments)
{
    return sizeof(struct saved_head) + n_tenants * sizeof(struct saved_tenant) +
           n_segments * sizeof(struct saved_segment);
}

uint64_t saved_checksum(struct slice state);

/* NULL, or what is wrong. The bytes must be aligned for the head. */
MUST_USE const char *saved_parse(struct slice state, struct saved *saved_out);

/* Does the state belong to this cache, and is every number in it within the cache's bounds? NULL,
 * or what is wrong. */
MUST_USE const char *saved_check(const struct saved *saved, const struct cache *cache);

#endif
