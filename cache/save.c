#include "cache/crew.h"
#include "cache/log.h"
#include "cache/saved.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

/* The state in the making. */
struct saving {
    struct cache *cache;
    struct saved_tenant *tenants;
    struct saved_segment *segments;
    uint32_t n_tenants;
    uint32_t n_segments;
};

static void add_segment(struct saving *s, const struct cache_tenant *tenant, uint32_t number,
                        size_t n_bytes, enum saved_kind kind)
{
    const struct segment *segment = &s->cache->segments[number];
    MUST(s->n_segments < s->cache->n_segments_max);
    struct saved_segment *saved = &s->segments[s->n_segments++];
    *saved = (struct saved_segment){.number = number,
                                    .n_bytes = (uint32_t)n_bytes,
                                    .opened_at = segment->opened_at,
                                    .opened_seq = segment->opened_seq,
                                    .n_chain = kind == SAVED_CHAIN ? segment->n_chain : 0,
                                    .tenant = (uint16_t)s->n_tenants,
                                    .kind = (uint8_t)kind};
    saved->place = (uint8_t)(atomic_load(&segment->queue) << 4 | segment->group);
    if (kind == SAVED_OPEN && tenant->open[atomic_load(&segment->queue)][segment->group] != number)
        saved->kind = SAVED_SEALED; /* those of uploads are not opened again */
}

static void add_chain(struct saving *s, const struct cache_tenant *tenant, uint32_t first)
{
    struct cache *cache = s->cache;
    size_t n = item_n_bytes(location_item(cache, segment_location(cache, first, 0)));
    enum saved_kind kind = SAVED_CHAIN;
    for (uint32_t number = first; number != SEGMENT_NONE;
         number = cache->segments[number].chain_next) {
        size_t part = n < cache->segment_size ? n : cache->segment_size;
        add_segment(s, tenant, number, part, kind);
        kind = SAVED_LINK;
        n -= part;
    }
}

/* What was flushed, and what never became whole, stays behind. */
static void add_queue(struct saving *s, const struct cache_tenant *tenant,
                      const struct segment_queue *queue)
{
    struct cache *cache = s->cache;
    for (uint32_t number = queue->head; number != SEGMENT_NONE;
         number = cache->segments[number].next) {
        const struct segment *segment = &cache->segments[number];
        enum segment_state state = (enum segment_state)atomic_load(&segment->state);
        if (segment_owner(cache, number) != tenant_word(tenant) || segment_has_writers(segment))
            continue;
        if (state == SEGMENT_CHAIN)
            add_chain(s, tenant, number);
        else if (segment_position(segment) > 0)
            add_segment(s, tenant, number, segment_position(segment),
                        state == SEGMENT_OPEN ? SAVED_OPEN : SAVED_SEALED);
    }
}

static void add_tenant(struct saving *s, const struct cache_tenant *tenant)
{
    struct saved_tenant *saved = &s->tenants[s->n_tenants];
    size_t n_name = strlen(tenant->name);
    if (atomic_load(&tenant->is_dying) || n_name == 0 || n_name >= SAVED_NAME)
        return;
    memset(saved, 0, sizeof *saved);
    memcpy(saved->name, tenant->name, n_name);
    saved->flush_at = atomic_load(&tenant->flush_at);
    saved->sequence = tenant->sequence;
    for (unsigned queue = 0; queue < N_QUEUES; queue++)
        for (unsigned group = 0; group < N_GROUPS; group++)
            add_queue(s, tenant, &tenant->queues[queue][group]);
    s->n_tenants++;
}

static bool gather(struct saving *s)
{
    struct cache *cache = s->cache;
    s->tenants = calloc(N_TENANTS_MAX, sizeof *s->tenants);
    s->segments = calloc(cache->n_segments_max, sizeof *s->segments);
    if (s->tenants == NULL || s->segments == NULL)
        return false;
    for (unsigned i = 0; i < N_TENANTS_MAX; i++) {
        const struct cache_tenant *tenant = atomic_load(&cache->tenants[i]);
        if (tenant != NULL)
            add_tenant(s, tenant);
    }
    return true;
}

static bool sum_segment(struct cache_thread *thread, void *arg, size_t piece)
{
    struct saving *s = arg;
    struct saved_segment *segment = &s->segments[piece];
    (void)thread;
    segment->checksum =
        hash_checksum(slice_of(segment_bytes(s->cache, segment->number), segment->n_bytes));
    return true;
}

static void fill_head(const struct saving *s, struct saved_head *head)
{
    struct cache *cache = s->cache;
    *head = (struct saved_head){
        .magic = SAVED_MAGIC,
        .version = SAVED_VERSION,
        .item_header = ITEM_HEADER,
        .memory = atomic_load(&cache->memory),
        .segment_size = cache->segment_size,
        .unit_shift = cache->unit_shift,
        .has_cas = cache->has_cas,
        .n_buckets = index_n_buckets(index_state(&cache->index)),
        .n_tenants = s->n_tenants,
        .n_segments = s->n_segments,
        .cas = atomic_load(&cache->cas),
    };
    random_fill(head->mark, sizeof head->mark);
}

static bool put(struct saving *s, struct saved_head *head)
{
    size_t n = saved_n_bytes(s->n_tenants, s->n_segments);
    size_t n_tenants = s->n_tenants * sizeof *s->tenants;
    uint8_t *p = malloc(n);
    if (p == NULL)
        return false;
    memcpy(p, head, sizeof *head);
    memcpy(p + sizeof *head, s->tenants, n_tenants);
    memcpy(p + sizeof *head + n_tenants, s->segments, s->n_segments * sizeof *s->segments);
    head->checksum = saved_checksum(slice_of(p, n));
    memcpy(p, head, sizeof *head);
    bool is_put = arena_file_write_mark(&s->cache->file, head->mark) &&
                  arena_file_put_state(&s->cache->file, slice_of(p, n));
    free(p);
    return is_put;
}

bool cache_save(struct cache *cache, uint32_t started, uint32_t now, uint32_t wall, char *error,
                size_t n_error)
{
    struct saving s = {.cache = cache};
    struct saved_head head;
    snprintf(error, n_error, "out of memory");
    cache->file.error = error;
    cache->file.n_error = n_error;
    bool is_saved = gather(&s) && crew_run(cache, s.n_segments, sum_segment, &s);
    if (is_saved) {
        fill_head(&s, &head);
        head.started = started;
        head.now = now;
        head.wall = wall;
        is_saved = put(&s, &head);
    }
    free(s.tenants);
    free(s.segments);
    return is_saved;
}
