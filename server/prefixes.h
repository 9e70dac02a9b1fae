/* prefixes.h - `stats detail`: counts by the part of a key before a delimiter.
 * Owns: the table of prefixes.   Thread: any; one lock covers the table, taken only while the
 * counting is on.
 * Never: keeps more than PREFIXES_MAX prefixes; further ones are not counted. */
#ifndef SERVER_PREFIXES_H
#define SERVER_PREFIXES_H

#include "base/bytes.h"
#include "base/must.h"

#include <stdatomic.h>

#define PREFIXES_MAX 65536

struct prefixes;

/* The first member of struct prefixes, so that the hot path asks without a call. */
struct prefixes_switch {
    atomic_bool is_on;
};

/* NULL when memory is short. */
MUST_USE struct prefixes *prefixes_create(char delimiter, bool is_on);
void prefixes_destroy(struct prefixes **prefixes);

/* `stats detail on` and off; what was counted stays. */
void prefixes_turn(struct prefixes *prefixes, bool is_on);
static inline bool prefixes_are_on(const struct prefixes *prefixes)
{
    const struct prefixes_switch *s = (const struct prefixes_switch *)prefixes;
    return atomic_load_explicit(&((struct prefixes_switch *)s)->is_on, memory_order_relaxed);
}
/* `stats reset`: forgets all prefixes. */
void prefixes_reset(struct prefixes *prefixes);

/* Each does nothing while the counting is off, or for a key without the delimiter. */
void prefixes_count_get(struct prefixes *prefixes, struct slice key, bool is_hit);
void prefixes_count_set(struct prefixes *prefixes, struct slice key);
void prefixes_count_delete(struct prefixes *prefixes, struct slice key);

/* The text of `stats detail dump`, lines and END; malloc'ed, NULL when memory is short. */
MUST_USE char *prefixes_dump(struct prefixes *prefixes, size_t *n_out);

#endif
