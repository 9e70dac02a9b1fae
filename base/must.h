/* must.h - our own broken invariants end the process, in release builds too.
 * Owns: nothing.   Thread: any.
 * Never: is reached by bytes of a peer; a peer's mistake is a status, not a MUST. */
#ifndef BASE_MUST_H
#define BASE_MUST_H

/* Prints file, line and the broken condition on stderr and aborts. */
_Noreturn void must_fail(const char *file, int line, const char *condition);

#define MUST(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : must_fail(__FILE__, __LINE__, #condition))

#define MUST_USE __attribute__((warn_unused_result))

/* For the few functions of each request that a compiler would rather call. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* For what is rare behind them: laid out in the function, it would cost registers and a frame. */
#define NEVER_INLINE static __attribute__((noinline))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
