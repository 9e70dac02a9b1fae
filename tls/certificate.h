/* certificate.h - what a certificate says about itself, as text and numbers.
 * Owns: nothing.   Thread: any.
 * Never: judges trust. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include <openssl/x509.h>

#include "tls/tls.h"

#define CERTIFICATE_NAME_SIZE   256
#define CERTIFICATE_SERIAL_SIZE 72
#define CERTIFICATE_DIGEST_SIZE 65

struct certificate_facts {
    char subject[CERTIFICATE_NAME_SIZE];
    char issuer[CERTIFICATE_NAME_SIZE];
    char serial[CERTIFICATE_SERIAL_SIZE];
    char fingerprint[CERTIFICATE_DIGEST_SIZE];
    int64_t not_before_s;
    int64_t not_after_s;
};

/* False when memory is short or the dates make no sense. */
MUST_USE bool certificate_describe(X509 *certificate, struct certificate_facts *facts_out);

MUST_USE bool certificate_time(const ASN1_TIME *time, int64_t *time_s_out);

/* NULL = within its dates at now_s, else the complaint. */
const char *certificate_dates_complaint(const X509 *certificate, int64_t now_s);

/* OpenSSL keeps a certificate whose key, signature or extensions it could not read, as with kinds
 * that it does not know. False when memory was short instead: read again, it is another. */
MUST_USE bool certificate_is_whole(X509 *certificate);

#endif
