/* plan.h - what one run of bench/load shall do: its command line.
 * Owns: nothing; texts stay in argv.   Thread: one.
 * Never: returns a plan that is out of bounds: it prints a line and ends the process. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define PLAN_TYPE_TEXT   const char *
#define PLAN_TYPE_NUMBER uint64_t
#define PLAN_TYPE_SIZE   uint64_t
#define PLAN_TYPE_REAL   double
#define PLAN_TYPE_FLAG   bool

struct plan {
#define OPTION(type, name, default, help) PLAN_TYPE_##type name;
#include "bench/plan.def"
#undef OPTION
};

void plan_parse(struct plan *plan, int argc, char **argv);

#endif
