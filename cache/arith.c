#include "cache/store.h"

#include "base/number.h"
#include "cache/touch.h"

#include <sched.h>

/* A counter's value fits into cache_item's own buffer; longer ones are stored anew each time. */
#define COUNTER_MAX sizeof(((struct cache_item *)NULL)->number)

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Leading white space, perhaps a plus, digits, then white space or the end; what follows the space
 * does not matter. So do clients of memcached have it. */
static bool parse_number(struct slice text, uint64_t *number_out)
{
    size_t i = 0, n_digits = 0;
    uint64_t number = 0;
    while (i < text.n && is_space(text.p[i]))
        i++;
    if (i < text.n && text.p[i] == '+')
        i++;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++, n_digits++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.p[i] - '0'), &number))
            return false;
    if (n_digits == 0 || (i < text.n && !is_space(text.p[i])))
        return false;
    *number_out = number;
    return true;
}

static uint64_t compute(const struct cache_arith *arith, uint64_t number)
{
    if (!arith->is_decrement)
        return number + arith->delta;
    return number < arith->delta ? 0 : number - arith->delta;
}

static void write_number(uint8_t *at, size_t n, uint64_t number)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    size_t n_digits = number_render_u64(digits, number);
    memcpy(at, digits, n_digits);
    memset(at + n_digits, ' ', n - n_digits);
}

static size_t n_digits_of(uint64_t number)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    return number_render_u64(digits, number);
}

static struct slice value_of(const struct item *item)
{
    return slice_of((const uint8_t *)item + item_value_at(item), item_n_value(item));
}

/* What the operation comes to for the live item that is there; its bucket is locked. */
static enum cache_result judge(const struct cache *cache, const struct cache_arith *arith,
                               const struct found *found, uint64_t *number_out)
{
    const struct item *item = found->item;
    uint64_t old;
    if (arith->compares_cas && (!cache->has_cas || item_cas(item) != arith->cas))
        return CACHE_EXISTS;
    if (item_n_bytes(item) > cache->segment_size || !parse_number(value_of(item), &old))
        return CACHE_NON_NUMERIC;
    *number_out = compute(arith, old);
    return CACHE_OK;
}

static uint64_t new_cas(struct cache_thread *thread, const struct cache_arith *arith, uint64_t old)
{
    if (!thread->cache->has_cas)
        return 0;
    return arith->sets_cas ? arith->new_cas : cas_next(thread, old);
}

static bool fits_in_place(const struct cache_arith *arith, const struct item *item, uint64_t number)
{
    bool has_cas_room =
        !arith->sets_cas || !cas_is_wide(arith->new_cas) || (item->layout & ITEM_HAS_WIDE_CAS) != 0;
    bool has_exptime_room = !arith->does_touch || item_takes_exptime(item, arith->exptime);
    return item->layout & ITEM_IS_COUNTER && has_cas_room && has_exptime_room &&
           n_digits_of(number) <= item_n_value(item);
}

static void change_in_place(struct cache_thread *thread, const struct cache_arith *arith,
                            const struct found *found, uint64_t number)
{
    struct item *item = found->item;
    write_number((uint8_t *)item + item_value_at(item), item_n_value(item), number);
    item_set_cas(item, new_cas(thread, arith, item_cas(item)));
    if (arith->does_touch)
        item_touch(thread->cache, found, arith->exptime);
}

/* ---- the three ways: in place, a new item for an old one, a new item for none ---- */

struct task {
    struct cache_thread *thread;
    struct cache_tenant *tenant;
    const struct cache_key *key;
    uint32_t now;
    const struct cache_arith *arith;
    struct cache_item *item_out;
    uint64_t number;
    bool was_created;
    struct item_shape shape; /* of the new item that is needed */
};

static uint32_t choose_exptime(const struct task *task, const struct item *old)
{
    if (old == NULL)
        return task->arith->create_exptime;
    return task->arith->does_touch ? task->arith->exptime : item_load_exptime(old);
}

static void need_item(struct task *task, const struct item *old, uint64_t number)
{
    size_t n = n_digits_of(number), n_old = old == NULL ? 0 : item_n_value(old);
    task->shape = (struct item_shape){
        .key = task->key->bytes,
        .cas = task->arith->sets_cas ? task->arith->new_cas : 0,
        .client_flags = old == NULL ? 0 : item_client_flags(old),
        .n_value = (uint32_t)(n > n_old ? n : n_old),
        .key_is_base64 =
            old == NULL ? task->arith->key_is_base64 : (old->layout & ITEM_IS_BASE64) != 0,
        .has_exptime = commit_needs_exptime(task->thread->cache, choose_exptime(task, old))};
    task->shape.is_counter = task->shape.n_value <= COUNTER_MAX;
}

static void finish(struct task *task, const struct found *found, uint64_t number, bool was_created)
{
    task->number = number;
    task->was_created = was_created;
    item_describe_locked(task->thread->cache, found, task->item_out);
    item_bump(found->item, task->now);
    task->thread->has_views = true;
}

static bool is_shape_of(const struct item_shape *a, const struct item_shape *b)
{
    return a->n_value == b->n_value && a->client_flags == b->client_flags &&
           a->key_is_base64 == b->key_is_base64 && a->is_counter == b->is_counter &&
           a->has_exptime == b->has_exptime;
}

/* Publishes the number in the room, if that has the shape that is needed now. */
static enum cache_result replace(struct task *task, struct place *place, const struct room *room,
                                 bool is_there, uint64_t number, bool *is_done_out)
{
    struct item_shape had = task->shape;
    const struct item *old = is_there ? place->found.item : NULL;
    need_item(task, old, number);
    if (room == NULL || !is_shape_of(&had, &task->shape))
        return CACHE_FLUSHED;
    struct commit commit = {.room = room,
                            .exptime = choose_exptime(task, old),
                            .state = is_there ? item_load_state(old) : 0,
                            .sets_cas = task->arith->sets_cas,
                            .new_cas = task->arith->new_cas};
    uint64_t cas;
    write_number((uint8_t *)room->item + item_value_at(room->item), task->shape.n_value, number);
    *is_done_out =
        commit_publish(task->thread, task->tenant, task->key, task->now, place, &commit, &cas);
    if (!*is_done_out)
        return CACHE_FLUSHED;
    struct found made = {room->item, room->location, room->segment, tenant_word(task->tenant)};
    finish(task, &made, number, !is_there);
    return CACHE_OK;
}

/* CACHE_FLUSHED: a new item of task->shape is needed. */
static enum cache_result attempt(struct task *task, const struct room *room)
{
    struct cache *cache = task->thread->cache;
    struct place place;
    uint64_t number = task->arith->initial;
    bool is_done = false;
    place_open(cache, task->tenant, task->key, &place);
    enum cache_result result = item_judge(&place.found, tenant_word(task->tenant), task->now);
    bool is_there = result == CACHE_OK;
    if (is_there)
        result = judge(cache, task->arith, &place.found, &number);
    else if (task->arith->creates)
        result = CACHE_OK;
    else if (result == CACHE_FLUSHED)
        result = CACHE_MISS;
    if (result == CACHE_OK && is_there && fits_in_place(task->arith, place.found.item, number)) {
        change_in_place(task->thread, task->arith, &place.found, number);
        finish(task, &place.found, number, false);
    } else if (result == CACHE_OK) {
        result = replace(task, &place, room, is_there, number, &is_done);
    }
    place_close(&place);
    if (room != NULL && is_done)
        log_leave(cache, room);
    else if (room != NULL)
        commit_abandon(task->thread, task->tenant, room);
    return result;
}

enum cache_result cache_arith(struct cache_thread *thread, struct cache_tenant *tenant,
                              const struct cache_key *key, uint32_t now,
                              const struct cache_arith *arith, uint64_t *number_out,
                              bool *was_created_out, struct cache_item *item_out)
{
    struct task task = {.thread = thread,
                        .tenant = tenant,
                        .key = key,
                        .now = now,
                        .arith = arith,
                        .item_out = item_out};
    thread->now = now;
    enum cache_result result = attempt(&task, NULL);
    for (unsigned i = 0; result == CACHE_FLUSHED && i < STORE_TRIES; i++) {
        struct room room;
        if (!item_fits(thread->cache, tenant, key->bytes.n, task.shape.n_value))
            return CACHE_TOO_LARGE;
        if (!commit_prepare(thread, tenant, key, &task.shape, &room))
            return CACHE_NO_MEMORY;
        result = attempt(&task, &room);
        lookup_grow_if_due(thread);
    }
    if (result == CACHE_OK) {
        *number_out = task.number;
        *was_created_out = task.was_created;
    }
    return result == CACHE_FLUSHED ? CACHE_NO_MEMORY : result;
}
