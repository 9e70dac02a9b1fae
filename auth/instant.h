/* instant.h - points in time as the tenants file writes them.
 * Owns: nothing.   Thread: any.
 * Never: looks at the clock or the time zone; all times are UTC. */
#ifndef AUTH_INSTANT_H
#define AUTH_INSTANT_H

#include "base/bytes.h"
#include "base/must.h"

#define INSTANT_TEXT_MAX 24

/* "2026-11-30" (its first second) or "2026-11-30T12:00:00Z", years 1970 to 9999. */
MUST_USE bool instant_parse(struct slice text, int64_t *unix_s_out);

/* The long form with a NUL; out has INSTANT_TEXT_MAX bytes. */
void instant_format(int64_t unix_s, char *out);

#endif
