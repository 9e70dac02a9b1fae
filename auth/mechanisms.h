/* mechanisms.h - which mechanisms there are, and which of them a transport is offered.
 * Owns: nothing.   Thread: any.
 * Never: takes a name that is not exactly a row's name or alias. */
#ifndef AUTH_MECHANISMS_H
#define AUTH_MECHANISMS_H

#include "auth/auth.h"
#include "auth/verifier.h"

enum mechanism {
#define MECHANISM(id, name, kind, is_default, alias, package) MECHANISM_##id,
#include "auth/mechanisms.def"
#undef MECHANISM
    N_MECHANISMS
};

enum mechanism_kind {
    MECHANISM_KIND_PLAIN,
    MECHANISM_KIND_SCRAM,
    MECHANISM_KIND_SHARED,
    MECHANISM_KIND_KERBEROS,
    MECHANISM_KIND_EXTERNAL,
};

/* A set of mechanisms is a uint32_t: bit n is enum mechanism n. */
#define MECHANISM_BIT(m) ((uint32_t)1 << (m))

const char *mechanism_name(enum mechanism mechanism);
const char *mechanism_package(enum mechanism mechanism);
enum mechanism_kind mechanism_kind(enum mechanism mechanism);
bool mechanism_is_plus(enum mechanism mechanism);

/* The hash of a SCRAM mechanism, with or without -PLUS. */
enum verifier_hash mechanism_hash(enum mechanism mechanism);

/* The row of this exact name or alias; false when there is none. */
MUST_USE bool mechanism_find(struct slice name, enum mechanism *mechanism_out, bool *is_alias_out);

/* The allow-list when nothing is configured. */
uint32_t mechanisms_default(void);

/* Names separated by spaces or commas; a SCRAM name brings its -PLUS. Unknown names are counted in
 * *n_unknown_out (ANONYMOUS among them) and the first is copied to unknown_out. */
uint32_t mechanisms_parse(const char *list, unsigned *n_unknown_out,
                          char unknown_out[AUTH_MECHANISM_MAX + 1]);

/* Why a mechanism is not offered to a transport. */
enum mechanism_obstacle {
    OBSTACLE_NONE,
    OBSTACLE_NOT_ALLOWED,   /* not in the allow-list */
    OBSTACLE_NOT_INSTALLED, /* cyrus has no such plug-in */
    OBSTACLE_NO_SECRET,     /* no user has the secret it needs */
    OBSTACLE_CLEAR_TEXT,    /* would show the password on the network */
    OBSTACLE_NO_BINDING,    /* -PLUS without channel binding */
    OBSTACLE_NO_IDENTITY,   /* EXTERNAL without an identity that is mapped */
};

/* What the decision needs to know. */
struct mechanism_facts {
    uint32_t allowed;   /* the listener's list, or the configuration's */
    uint32_t installed; /* what cyrus has */
    uint32_t provable;  /* some user has a secret for it */
    bool is_private;    /* TLS, loopback or unix: a password may be shown */
    bool is_plain_allowed;
    bool has_binding;
    bool has_identity;
};

enum mechanism_obstacle mechanism_obstacle(enum mechanism mechanism,
                                           const struct mechanism_facts *facts);

#endif
