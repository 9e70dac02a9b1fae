#include "bench/plan.h"

#include "base/number.h"
#include "bench/keyspace.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum plan_type { PLAN_TEXT, PLAN_NUMBER, PLAN_SIZE, PLAN_REAL, PLAN_FLAG };

struct row {
    const char *name;
    const char *help;
    size_t offset;
    enum plan_type type;
};

static const struct row rows[] = {
#define OPTION(type, name, default, help) {#name, help, offsetof(struct plan, name), PLAN_##type},
#include "bench/plan.def"
#undef OPTION
};

#define N_ROWS (sizeof rows / sizeof *rows)

static _Noreturn void usage(const char *problem, const char *subject)
{
    FILE *out = problem == NULL ? stdout : stderr;
    if (problem != NULL)
        fprintf(out, "load: %s: %s\n", problem, subject);
    fprintf(out, "usage: load [--OPTION VALUE]...\n");
    for (size_t i = 0; i < N_ROWS; i++)
        fprintf(out, "  --%-13s %s\n", rows[i].name, rows[i].help);
    exit(problem == NULL ? 0 : 64);
}

/* Options are written with '-' or '_' between words. */
static bool name_matches(const char *name, const char *given)
{
    for (; *name != '\0' && *given != '\0'; name++, given++)
        if (*name != *given && !(*name == '_' && *given == '-'))
            return false;
    return *name == *given;
}

static const struct row *row_find(const char *argument)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strncmp(argument, "--", 2) == 0 && name_matches(rows[i].name, argument + 2))
            return &rows[i];
    return NULL;
}

static bool row_set(const struct row *row, void *field, const char *text)
{
    char *end;
    switch (row->type) {
    case PLAN_TEXT:
        *(const char **)field = text;
        return true;
    case PLAN_NUMBER:
        return number_parse_u64(slice_str(text), UINT64_MAX, field);
    case PLAN_SIZE:
        return number_parse_size(slice_str(text), UINT64_MAX, field);
    case PLAN_REAL:
        *(double *)field = strtod(text, &end);
        return end != text && *end == '\0';
    case PLAN_FLAG:
        break;
    }
    return false;
}

static void check_bounds(const struct plan *plan)
{
    if (plan->connections < 1 || plan->connections > 20000)
        usage("out of bounds", "connections");
    if (plan->depth < 1 || plan->depth > 4096 || plan->batch < 1 || plan->batch > 4096)
        usage("out of bounds", "depth or batch");
    if (plan->keys < 1 || plan->keys >= UINT32_MAX || plan->first_key >= UINT32_MAX - plan->keys)
        usage("out of bounds", "keys");
    if (plan->key_bytes <= KEYSPACE_KEY_DIGITS || plan->key_bytes > KEYSPACE_KEY_MAX)
        usage("out of bounds", "key_bytes");
    if (plan->value_bytes > (1U << 30))
        usage("out of bounds", "value_bytes");
}

void plan_parse(struct plan *plan, int argc, char **argv)
{
    *plan = (struct plan){
#define OPTION(type, name, default, help) .name = default,
#include "bench/plan.def"
#undef OPTION
    };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            usage(NULL, NULL);
        const struct row *row = row_find(argv[i]);
        if (row == NULL)
            usage("unknown option", argv[i]);
        void *field = (uint8_t *)plan + row->offset;
        if (row->type == PLAN_FLAG) {
            *(bool *)field = true;
            continue;
        }
        if (i + 1 == argc || !row_set(row, field, argv[i + 1]))
            usage("needs a value", argv[i]);
        i++;
    }
    check_bounds(plan);
}
