/* create_cache.h - the engine from the settings, its tenants, and what is kept over a restart.
 * Owns: nothing; the server has what it makes.   Thread: main, while no other uses the cache.
 * Never: serves half of what the memory file held. */
#ifndef SERVER_CREATE_CACHE_H
#define SERVER_CREATE_CACHE_H

#include "base/must.h"
#include "server/clock.h"
#include "server/server.h"

/* Each returns 0, or the exit code (options.h) after saying on stderr what is wrong. */

/* Whether -e's file can be opened: what can fail is to fail before a predecessor ends for it. */
MUST_USE int create_cache_try_file(const struct settings *settings);

/* Makes server->watch, ->cache and ->tenants; the log and auth are there already. The content of
 * the memory file is back afterwards, or the log says why not. */
MUST_USE int create_cache(struct server *server, const struct clock *clock);

/* Writes the state beside the memory file, if there is one. False: what the cache holds will not
 * come back, as the log says. */
MUST_USE bool create_cache_save(struct server *server, const struct clock *clock);

#endif
