/* tls_shortage.h - the n-th allocation that OpenSSL makes in a part of a test fails.
 * Owns: OpenSSL's allocator, of the whole process.   Thread: one.
 * Never: fails an allocation outside of tls_shortage_begin and tls_shortage_end. */
#ifndef T_UNIT_TLS_SHORTAGE_H
#define T_UNIT_TLS_SHORTAGE_H

#include <stdbool.h>

/* The first thing in main: OpenSSL must not have allocated before. */
void tls_shortage_install(void);

/* The n-th allocation that is counted from here on fails; 0 = none. */
void tls_shortage_set(long n);

void tls_shortage_begin(void);
void tls_shortage_end(void);

/* Since tls_shortage_set. */
bool tls_shortage_has_struck(void);

#endif
