/* tenant.h - tenants and threads: who may hold memory, and who counts.
 * Owns: the registry of both, and each thread's counters.
 * Thread: any, under the registry's lock.
 * Never: touches an item. */
#ifndef CACHE_TENANT_H
#define CACHE_TENANT_H

#include "cache/engine.h"

/* Carries out a flush whose time has come. */
void tenant_tick(struct cache_tenant *tenant, uint32_t now);

/* Frees tenants that are dying, hold nothing any more and that no online thread can have found. */
void tenant_bury(struct cache *cache);

/* At the end of the cache, when no thread exists. */
void tenant_fini_all(struct cache *cache);

#endif
