/* cyrus.h - the seam to cyrus-sasl: mechanisms, and the back ends that memcached's users have.
 * Owns: cyrus's process-wide state; one context per running exchange.
 * Thread: create and destroy in one thread with no exchange open; an exchange is used by one thread
 *         at a time and may block (saslauthd, sasldb, Kerberos).
 * Never: lets cyrus read configuration files, log, or leave freed memory unwiped. */
#ifndef AUTH_CYRUS_H
#define AUTH_CYRUS_H

#include "auth/mechanisms.h"
#include "auth/sasl_conf.h"

struct cyrus;
struct cyrus_exchange;

/* What cyrus asks during an exchange. */
struct cyrus_host {
    void *arg;
    /* The name the client gave. True: sasldb, saslauthd and the like may be asked about it.
     * *is_good_out false ends the exchange. */
    bool (*name)(void *arg, struct slice name, bool *is_good_out);
    /* Does the password fit (tenants file, -Y file, PWDB)? */
    bool (*password)(void *arg, struct slice name, struct slice password);
    /* The stored form for this exchange's SCRAM hash, of a user or made up; VERIFIER_TEXT_MAX. */
    void (*verifier)(void *arg, struct slice name, char *text_out);
};

struct cyrus_options {
    const struct sasl_conf *conf; /* may be NULL */
    bool has_outside;             /* -S: sasldb and saslauthd */
    const char *realm;            /* given to cyrus as the server's name */
};

/* One per process at a time. NULL: reason_out (AUTH_TEXT_MAX) tells. options.conf must live longer.
 */
MUST_USE struct cyrus *cyrus_create(const struct cyrus_options *options, char *reason_out);
void cyrus_destroy(struct cyrus **cyrus);

/* The mechanisms whose plug-ins are there. */
uint32_t cyrus_installed(const struct cyrus *cyrus);

struct cyrus_start {
    enum mechanism mechanism;
    bool wants_success_data; /* the last message goes with the success */
    bool is_private;         /* a clear password may be asked for */
    unsigned ssf;
    const char *binding_type; /* NULL: none; both live as long as the exchange */
    struct slice binding;
    const char *external; /* the user that the transport proved, or NULL */
};

/* NULL when memory is short. host must outlive the exchange. */
MUST_USE struct cyrus_exchange *cyrus_open(struct cyrus *cyrus, const struct cyrus_host *host,
                                           const struct cyrus_start *start);
void cyrus_close(struct cyrus_exchange **exchange);

enum cyrus_result { CYRUS_DONE, CYRUS_MORE, CYRUS_FAILED };

/* out is valid until the next call or cyrus_close; empty when there is nothing to send. */
enum cyrus_result cyrus_first(struct cyrus_exchange *exchange, struct slice data,
                              struct slice *out);
enum cyrus_result cyrus_next(struct cyrus_exchange *exchange, struct slice data, struct slice *out);

/* Asks the outside back ends about a password, without a mechanism. */
MUST_USE bool cyrus_check_outside(struct cyrus_exchange *exchange, struct slice name,
                                  struct slice password);

/* Why it failed, for the operator. */
const char *cyrus_reason(struct cyrus_exchange *exchange);

#endif
