/* rings.h - the latest denials and security events: of each tenant, and of all.
 * Owns: rings, made when the first entry comes.   Thread: any (one lock).
 * Never: grows beyond the rings' lengths; holds a secret. */
#ifndef AUTH_RINGS_H
#define AUTH_RINGS_H

#include "auth/auth.h"

#define RINGS_N_DENIALS 64
#define RINGS_N_RECORDS 64
#define RINGS_N_ALL     512
#define RINGS_SUM_S     60 /* equal neighbours within this time are summed */

struct rings;

MUST_USE struct rings *rings_create(void);
void rings_destroy(struct rings **rings);

/* Short of memory an entry is lost silently: the counters still count. */
void rings_add_denial(struct rings *rings, uint32_t tenant, const struct auth_denial *denial);
void rings_add_record(struct rings *rings, const struct auth_record *record);

void rings_denials_each(struct rings *rings, uint32_t tenant, auth_denial_fn *fn, void *arg);
void rings_records_each(struct rings *rings, uint32_t tenant, auth_record_fn *fn, void *arg);

/* Logins and failures of a tenant. */
void rings_count(struct rings *rings, uint32_t tenant, bool is_login);
void rings_counts(struct rings *rings, uint32_t tenant, uint64_t *logins_out,
                  uint64_t *failures_out);

#endif
