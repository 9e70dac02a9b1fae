/* schedule.h - which of our threads gets the processor first, when there are more than processors.
 * Owns: nothing.   Thread: each calls it for itself.
 * Never: asks for a privilege; fails: where the kernel will not, the thread runs like any other. */
#ifndef BASE_SCHEDULE_H
#define BASE_SCHEDULE_H

/* For a thread that serves: it asks for short slices, so that it runs soon after it was woken, and
 * two of them take turns. Its nice value stays. Kernels before 6.12 know no slices. */
void schedule_serve(void);

/* For a thread that computes: its nice value becomes 15 or stays above, and who serves interrupts
 * it. */
void schedule_give_way(void);

/* How many processors the calling thread may run on; at least 1. */
unsigned schedule_processors(void);

#endif
