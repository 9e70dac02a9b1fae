#include "server/stat_list.h"

#include "base/number.h"

#include <stdio.h>

void stat_slice(struct stat_list *list, const char *name, struct slice value)
{
    if (list->is_ok)
        list->is_ok = answer_stat(list->c->conn, list->c->request, slice_str(name), value);
}

void stat_text(struct stat_list *list, const char *name, const char *value)
{
    stat_slice(list, name, slice_str(value));
}

void stat_u64(struct stat_list *list, const char *name, uint64_t value)
{
    uint8_t text[NUMBER_U64_MAX_DIGITS];
    stat_slice(list, name, slice_of(text, number_render_u64(text, value)));
}

void stat_time(struct stat_list *list, const char *name, struct timeval value)
{
    char text[48];
    snprintf(text, sizeof text, "%lld.%06ld", (long long)value.tv_sec, (long)value.tv_usec);
    stat_text(list, name, text);
}

enum execute_result stat_list_end(struct stat_list *list)
{
    if (list->is_ok)
        list->is_ok = answer_stat_end(list->c->conn, list->c->request);
    return command_end(list->is_ok);
}
