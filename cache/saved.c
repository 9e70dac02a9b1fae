#include "cache/saved.h"

#include <stdlib.h>

uint64_t saved_checksum(struct slice state)
{
    size_t at = offsetof(struct saved_head, version);
    return hash_checksum(slice_of(state.p + at, state.n - at));
}

const char *saved_parse(struct slice state, struct saved *saved_out)
{
    const struct saved_head *head = (const struct saved_head *)(const void *)state.p;
    if (state.n < sizeof *head || head->magic != SAVED_MAGIC)
        return "the saved state is none of keepd's";
    if (head->version != SAVED_VERSION || head->item_header != ITEM_HEADER)
        return "it was saved by another version of keepd";
    if (head->n_tenants > N_TENANTS_MAX ||
        state.n != saved_n_bytes(head->n_tenants, head->n_segments))
        return "the saved state is cut off";
    if (head->checksum != saved_checksum(state))
        return "the saved state is damaged";
    saved_out->head = head;
    saved_out->tenants = (const struct saved_tenant *)(const void *)(head + 1);
    saved_out->segments =
        (const struct saved_segment *)(const void *)(saved_out->tenants + head->n_tenants);
    return NULL;
}

/* ---- against the cache ---- */

static bool is_name(const struct saved_tenant *tenant)
{
    return tenant->name[0] != '\0' && memchr(tenant->name, '\0', SAVED_NAME) != NULL;
}

static bool are_tenants_fine(const struct saved *saved)
{
    for (uint32_t i = 0; i < saved->head->n_tenants; i++) {
        if (!is_name(&saved->tenants[i]))
            return false;
        for (uint32_t other = 0; other < i; other++)
            if (strcmp(saved->tenants[i].name, saved->tenants[other].name) == 0)
                return false;
    }
    return true;
}

static bool is_segment_fine(const struct saved *saved, const struct saved_segment *segment,
                            const struct cache *cache)
{
    size_t unit = (size_t)1 << cache->unit_shift;
    bool is_chain = segment->kind == SAVED_CHAIN || segment->kind == SAVED_LINK;
    return segment->number < cache->n_segments_max && segment->tenant < saved->head->n_tenants &&
           segment->kind < N_SAVED_KINDS && segment->n_bytes > 0 &&
           segment->n_bytes <= cache->segment_size && (is_chain || segment->n_bytes % unit == 0) &&
           segment->place >> 4 < N_QUEUES && (segment->place & 15) < N_GROUPS &&
           (segment->n_chain == 0) == (segment->kind != SAVED_CHAIN);
}

/* A chain has as many links behind it as it says, all full but the last. */
static bool is_chain_fine(const struct saved *saved, uint32_t first, const struct cache *cache)
{
    const struct saved_segment *segments = saved->segments;
    if (segments[first].n_chain > saved->head->n_segments - first)
        return false;
    for (uint32_t i = 0; i < segments[first].n_chain; i++) {
        const struct saved_segment *segment = &segments[first + i];
        bool is_last = i + 1 == segments[first].n_chain;
        if (segment->kind != (i == 0 ? SAVED_CHAIN : SAVED_LINK) ||
            segment->tenant != segments[first].tenant ||
            (!is_last && segment->n_bytes != cache->segment_size))
            return false;
    }
    return true;
}

static bool are_segments_fine(const struct saved *saved, const struct cache *cache, uint8_t *seen)
{
    for (uint32_t i = 0; i < saved->head->n_segments;) {
        const struct saved_segment *segment = &saved->segments[i];
        uint32_t n = segment->kind == SAVED_CHAIN ? segment->n_chain : 1;
        if (segment->kind == SAVED_LINK || !is_segment_fine(saved, segment, cache) ||
            (segment->kind == SAVED_CHAIN && !is_chain_fine(saved, i, cache)))
            return false;
        for (; n > 0; n--, i++) {
            if (!is_segment_fine(saved, &saved->segments[i], cache) ||
                seen[saved->segments[i].number])
                return false;
            seen[saved->segments[i].number] = true;
        }
    }
    return true;
}

const char *saved_check(const struct saved *saved, const struct cache *cache)
{
    const struct saved_head *head = saved->head;
    if (head->memory != atomic_load(&cache->memory) || head->segment_size != cache->segment_size ||
        head->unit_shift != cache->unit_shift)
        return "it was saved with another -m";
    if (head->cas >> (ITEM_CAS_BITS - 1) != 0) /* half of them are left for what is stored later */
        return "its CAS counter is beyond what items hold";
    if (head->has_cas != cache->has_cas)
        return "it was saved with another -C";
    if (!are_tenants_fine(saved))
        return "the saved tenants make no sense";
    uint8_t *seen = calloc(cache->n_segments_max, 1);
    bool is_fine = seen != NULL && are_segments_fine(saved, cache, seen);
    free(seen);
    return is_fine ? NULL : "the saved segments make no sense";
}
