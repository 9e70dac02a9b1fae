#include "server/counters.h"

void tenant_counters_add(struct tenant_totals *sum, const struct tenant_counters *set)
{
#define TENANT_COUNTER(name, help) sum->name += counter_read(&set->name);
#include "server/counters.def"
#undef TENANT_COUNTER
}

void worker_counters_add(struct worker_totals *sum, const struct worker_counters *set)
{
#define WORKER_COUNTER(name, help) sum->name += counter_read(&set->name);
#include "server/counters.def"
#undef WORKER_COUNTER
}
