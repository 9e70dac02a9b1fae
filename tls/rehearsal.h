/* rehearsal.h - a new context's handshakes with itself, before a peer comes.
 * OpenSSL looks once, at first use, for all algorithms of a kind (MACs, signatures...); one for
 * which memory was short in that moment stays unknown until the process ends, and with it TLS.
 * Owns: nothing.   Thread: any that may take milliseconds.
 * Never: counts as a session; leaves an error in the thread's OpenSSL queue. */
#ifndef TLS_REHEARSAL_H
#define TLS_REHEARSAL_H

#include "tls/context.h"

/* Lets OpenSSL look for all algorithms now; what was not found is for rehearsal_pass to tell. False
 * when OpenSSL cannot even begin. */
MUST_USE bool rehearsal_fetch(void);

/* Can each certificate of the context serve a client, by one version at least, and does none fail
 * for another reason than that the settings rule a version out? False: the report says why. */
MUST_USE bool rehearsal_pass(struct context *context, struct tls_report *report);

#endif
