/* files.h - certificates, keys and revocation lists from files.
 * Owns: what it has loaded until it is freed.   Thread: any that may read files.
 * Never: asks for a passphrase; accepts half of a file. */
#ifndef TLS_FILES_H
#define TLS_FILES_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "tls/tls.h"

/* A certificate, its issuers as the file has them, and its private key. */
struct files_pair {
    X509 *certificate;
    STACK_OF(X509) * issuers;
    EVP_PKEY *key;
};

/* Loads and checks that key and certificate belong together. False: the report says why and
 * nothing is held. */
MUST_USE bool files_load_pair(const char *chain_file, const char *key_file,
                              enum tls_key_format format, struct files_pair *pair_out,
                              struct tls_report *report);
void files_drop_pair(struct files_pair *pair);

/* Certificates of a CA file, one at least. NULL: the report says why. */
MUST_USE STACK_OF(X509) * files_load_ca(const char *file, struct tls_report *report);

/* Revocation lists, one at least. */
MUST_USE STACK_OF(X509_CRL) * files_load_crl(const char *file, struct tls_report *report);

#endif
