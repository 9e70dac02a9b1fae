/* context.h - everything that one load of the files gave: certificates, trust, settings.
 * Owns: its SSL_CTXs and its copy of the configuration.
 * Thread: immutable after context_create, but for the fields said to be under tls's lock.
 * Never: changes because a file changed; a reload makes another one. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/certificate.h"
#include "tls/tls.h"

#define CONTEXT_TRUST_SIZE 32

/* Names of what a client can get, which the system's policy may have narrowed. */
struct context_offer {
    char versions[40];
    char ciphers[1024];
};

struct context_certificate {
    struct certificate_facts facts;
    int warned_days; /* the last warning of its end; under tls's lock */
};

struct context_named {
    char *name; /* lower case */
    SSL_CTX *ssl_ctx;
};

struct context {
    struct tls *tls;  /* held by a reference, see state.h */
    SSL_CTX *ssl_ctx; /* the default certificate */
    struct context_named *named;
    size_t n_named;
    struct tls_config config;
    struct context_certificate *certificates; /* the default one, then those of named */
    size_t n_certificates;
    struct context_offer offer;
    uint8_t trust[CONTEXT_TRUST_SIZE]; /* digest of CA and CRL: the same = the same verdicts */
    int64_t crl_next_update_s;
    int64_t loaded_s;
    bool has_complaints; /* dates or order: the report holds warnings */

    uint64_t generation;  /* this and the rest: under tls's lock */
    unsigned n_refs;      /* sessions, and one for being the current */
    struct context *next; /* all living contexts */
};

/* Reads and checks everything. NULL: the report says why. Else the report holds warnings or "". */
MUST_USE struct context *context_create(struct tls *tls, const struct tls_config *config,
                                        int64_t now_s, struct tls_report *report_out);
void context_destroy(struct context **context);

/* The certificate for a name that a client asked for; the default where none fits. */
SSL_CTX *context_for_name(const struct context *context, const char *name);

#endif
