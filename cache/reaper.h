/* reaper.h - the thread that keeps segments in reserve.
 * Owns: its thread.   Thread: start and stop from one; waking from any.
 * Never: is needed: without it writers do its work when they run out of room. */
#ifndef CACHE_REAPER_H
#define CACHE_REAPER_H

#include "cache/engine.h"

void reaper_init(struct cache *cache);
void reaper_fini(struct cache *cache);

#endif
