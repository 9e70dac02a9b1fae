/* status.h - every outcome a request can have, one row in status.def for all dialects.
 * Owns: nothing.   Thread: any.
 * Never: is built from peer bytes; texts are constant. */
#ifndef PROTOCOL_STATUS_H
#define PROTOCOL_STATUS_H

#include <stdbool.h>
#include <stdint.h>

enum status {
#define STATUS(name, text, meta, code, body) STATUS_##name,
#include "protocol/status.def"
#undef STATUS
    N_STATUSES
};

struct status_row {
    const char *text; /* text line without CR LF; NULL: the encoder composes it */
    const char *meta; /* two letters, or NULL: meta answers with the text line */
    uint16_t code;    /* binary status field */
    const char *body; /* binary body of an error */
};

/* The row of a status; constant, never NULL. */
const struct status_row *status_row(enum status status);

/* Is this one of the successes (binary code 0)? */
bool status_is_success(enum status status);

#endif
