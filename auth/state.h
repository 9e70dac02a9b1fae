/* state.h - what the files of auth share: the object behind the door, and identities.
 * Owns: struct auth.
 * Thread: users, names, identities under lock; the rest is fixed after auth_create or atomic.
 * Never: is included from outside auth. */
#ifndef AUTH_STATE_H
#define AUTH_STATE_H

#include "auth/cyrus.h"
#include "auth/password.h"
#include "auth/pool.h"
#include "auth/remembered.h"
#include "auth/rings.h"
#include "auth/throttle.h"
#include "auth/users.h"

struct auth {
    struct auth_config config; /* strings are copies */
    struct users_keys keys;
    struct sasl_conf *conf;
    struct cyrus *cyrus; /* NULL: text logins by -Y only */
    struct pool *pool;
    struct remembered *remembered; /* NULL: it is not sasldb alone that is asked */
    struct throttle *throttle;
    struct rings *rings;
    uint32_t allowed; /* mechanisms of the allow-list */

    pthread_mutex_t lock;
    struct users *users;       /* lock; the current set */
    struct auth_memory memory; /* lock */
    char **tenant_names;       /* lock; index is the id */
    size_t n_tenant_names;
    struct name_table tenant_ids;     /* lock */
    struct auth_identity *identities; /* lock */

    atomic_uint_fast64_t generation;
    atomic_uint_fast64_t n_logins;
    atomic_uint_fast64_t n_failures;
    atomic_uint_fast64_t n_throttled;
    atomic_uint_fast64_t n_derivations;
    atomic_uint_fast64_t n_cache_hits;
    atomic_uint_fast64_t n_busy;
    atomic_uint_fast64_t n_denials;
    atomic_uint_fast64_t n_warnings;
};

static inline void auth_count(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* A reference to the current set. */
struct users *auth_users_take(struct auth *auth);

/* The row that a name means: itself, or, with -S, without "@realm". name is shortened then. */
struct slice auth_plain_name(const struct auth *auth, const struct users *users, struct slice name);

/* Does a rule map this peer? The first that matches, in the order of the file. */
const struct rule *auth_find_rule(const struct users *users, const struct auth_name *names,
                                  size_t n_names, bool has_ids, uint32_t uid, uint32_t gid);

/* The facts that a mechanism's decision needs. allowed: the listener's or the configuration's set.
 */
void auth_mechanism_facts(const struct auth *auth, const struct users *users,
                          const struct auth_transport *transport, bool has_identity,
                          struct mechanism_facts *facts_out);

/* The same for PLAIN alone, without a system call. */
bool auth_is_plain_offered(const struct auth *auth, const struct auth_transport *transport);

/* May a text client show its password on this transport? */
bool auth_is_text_allowed(const struct auth *auth, const struct auth_transport *transport);

/* The file that decides alone about passwords that are not ours; NULL: more than one, or none. */
const char *auth_sasldb_path(const struct auth *auth);

bool auth_transport_is_private(const struct auth_transport *transport);

/* "203.0.113.9", "2001:db8::1", "unix"; out has 48 bytes. */
void auth_address_text(const struct auth_address *address, char *out);

/* Ring and event callback. */
void auth_tell(struct auth *auth, enum auth_event_kind kind, uint32_t tenant, struct slice user,
               const char *mechanism, const struct auth_address *address, const char *reason,
               int64_t wall_s);

/* ---- identity.c ---- */

/* An identity for a proven name, registered for later reloads. NULL: *reason_out tells (no row,
 * disabled, no longer valid, memory). */
MUST_USE struct auth_identity *identity_create(struct auth *auth, struct slice name,
                                               const struct proof *proof, int64_t wall_s,
                                               const char **reason_out);

/* Wipes it, and takes it out of the review. Accepts NULL, clears. */
void identity_destroy(struct auth_identity **identity);

/* After the current set was replaced: revokes or renews every identity. With auth->lock. Returns
 * how many were revoked. */
size_t identities_review(struct auth *auth, int64_t wall_s);

#endif
