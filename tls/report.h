/* report.h - lines for the operator, made of our words and OpenSSL's reasons.
 * Owns: nothing.   Thread: any.
 * Never: leaves an error in the thread's OpenSSL queue. */
#ifndef TLS_REPORT_H
#define TLS_REPORT_H

#include "tls/tls.h"

void report_clear(struct tls_report *report);

/* "WHAT: FILE : REASON". reason NULL = the oldest error in OpenSSL's queue, which is the cause;
 * file NULL is written as memcached's "(null)". Always false, so that callers can return it. */
bool report_fail(struct tls_report *report, const char *what, const char *file, const char *reason);

/* Appends a warning "FILE : REASON" to those already there. */
void report_warn(struct tls_report *report, const char *file, const char *reason);

#endif
