/* certificate.h - a server's certificate and key, made when the target starts.
 * Owns: two files in memory, for as long as the process lives.
 * Thread: one.
 * Never: used outside t/fuzz. */
#ifndef T_FUZZ_CERTIFICATE_H
#define T_FUZZ_CERTIFICATE_H

struct tls;

/* Ready to accept; never freed. */
struct tls *certificate_tls(void);

#endif
