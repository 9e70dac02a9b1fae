#include "cache/item.h"

void item_set_client_flags(struct item *item, uint32_t flags)
{
    memcpy(item_words_at(item), &flags, sizeof flags);
}

void item_copy_words(struct item *to, const struct item *from)
{
    item_store_exptime(to, item_load_exptime(from));
    atomic_store_explicit(&to->last_access,
                          atomic_load_explicit(&from->last_access, memory_order_relaxed),
                          memory_order_relaxed);
    item_store_state(to, item_load_state(from) & ~(unsigned)ITEM_DEAD);
    atomic_store_explicit(&to->hits, atomic_load_explicit(&from->hits, memory_order_relaxed),
                          memory_order_relaxed);
}

void item_copy_head(struct item *to, const struct item *from, uint8_t layout)
{
    to->cas_low = from->cas_low;
    to->cas_high = from->cas_high;
    to->n_value = from->n_value;
    to->n_key = from->n_key;
    to->layout = layout;
    item_copy_words(to, from);
    memcpy((uint8_t *)to + item_key_at(to), (const uint8_t *)from + item_key_at(from),
           from->n_key + item_words(layout));
}
