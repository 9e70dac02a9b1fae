/* users.h - one immutable set of tenants, users, secrets and identity rules.
 * Owns: everything in it; counted references.
 * Thread: built by one thread, then read by any.
 * Never: changes after users_load, but for the cache of proven passwords (its own lock). */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include "auth/auth.h"
#include "auth/verifier.h"

#include <pthread.h>
#include <stdatomic.h>

#define USERS_LABEL_MAX    64
#define USERS_PASSWORD_MAX 1024

#define USERS_RIGHTS_ALL     0x1ffu
#define USERS_RIGHTS_DEFAULT (USERS_RIGHTS_ALL & ~(unsigned)AUTH_RIGHT_ADMIN)

struct user_secret {
    char label[USERS_LABEL_MAX + 1];
    int64_t not_before; /* Unix seconds; 0 always */
    int64_t not_after;  /* 0 never */
    unsigned n_verifiers;
    struct verifier verifiers[N_VERIFIER_HASHES];
};

struct user {
    char *name;
    uint32_t tenant; /* index in users.tenants */
    uint32_t rights;
    bool is_disabled;
    unsigned line;
    size_t n_secrets;
    struct user_secret *secrets;
    /* The password that was proven last: users.proven_lock. */
    bool is_proven;
    size_t proven_secret;
    uint8_t proven_tag[VERIFIER_TAG_SIZE];
};

/* A line of the -Y file: only a keyed tag of the password is kept. */
struct text_user {
    char *name;
    uint8_t tag[VERIFIER_TAG_SIZE];
};

/* Of a name and its password in MEMCACHED_SASL_PWDB; keyed as above. */
struct pwdb_tag {
    uint8_t bytes[VERIFIER_TAG_SIZE];
};

enum rule_kind { RULE_CN, RULE_DNS, RULE_URI, RULE_EMAIL, RULE_UID, RULE_GID };

struct rule {
    enum rule_kind kind;
    char *pattern; /* the exact name; decimal for uid and gid */
    uint32_t user; /* index in users.users */
};

/* Names to indexes: open addressing, no removal. */
struct name_table {
    uint32_t *slots; /* index + 1, 0 empty */
    size_t n_slots;  /* a power of two */
};

struct users {
    atomic_uint references;
    uint64_t generation;
    bool has_file; /* a tenants file was given: every identity needs a row in it */

    struct auth_tenant *tenants; /* index 0 is "default"; .id is filled when published */
    size_t n_tenants;
    struct name_table tenant_names;

    struct user *users;
    size_t n_users;
    struct name_table user_names;

    struct rule *rules;
    size_t n_rules;

    struct text_user *text;
    size_t n_text;
    struct name_table text_names;

    struct pwdb_tag *pwdb; /* sorted */
    size_t n_pwdb;

    bool has_verifier[N_VERIFIER_HASHES]; /* somebody has one */
    uint32_t iterations;                  /* of made-up verifiers: those of the first secret */
    uint64_t plain_work;                  /* iterations that every failing PLAIN check spends */

    pthread_mutex_t proven_lock;
};

/* Keys that live as long as the process. */
struct users_keys {
    struct tag_key *tag;  /* of proven passwords and -Y passwords */
    struct tag_key *fake; /* of the salts of users that do not exist */
};

/* Reads the tenants file and the -Y file (either may be NULL). NULL: error_out is filled. */
MUST_USE struct users *users_load(const char *tenants_path, const char *text_path,
                                  const struct users_keys *keys, struct auth_error *error_out);

/* Do all guarantees fit into this memory at once? False: error_out names the line of path where
 * they go beyond it. */
MUST_USE bool users_guarantees_fit(const struct users *users, const struct auth_memory *memory,
                                   const char *path, struct auth_error *error_out);

void users_take(struct users *users);
void users_drop(struct users **users); /* wipes with the last reference */

/* NULL when there is none. */
struct user *users_find(const struct users *users, struct slice name);
const struct text_user *users_find_text(const struct users *users, struct slice name);
const struct auth_tenant *users_find_tenant(const struct users *users, struct slice name);

/* Is the secret valid at this time? */
bool user_secret_is_valid(const struct user_secret *secret, int64_t wall_s);

/* The verifier that PLAIN is checked against: the first in the order of hashes.def. */
const struct verifier *user_secret_plain(const struct user_secret *secret);

/* The verifier for SCRAM with this hash: of the newest valid secret that has one. NULL: none.
 * secret_out gets the index. */
const struct verifier *user_scram(const struct user *user, enum verifier_hash hash, int64_t wall_s,
                                  size_t *secret_out);

/* A name: 1 to AUTH_NAME_MAX bytes of UTF-8 without control bytes and without white space at its
 * ends. NULL when good, otherwise the reason. Names match exactly, byte for byte. */
const char *users_name_fault(struct slice name);

/* ---- building (tenants_file.c, text_file.c) ---- */

void users_error(struct auth_error *error_out, const char *path, unsigned line, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

MUST_USE bool tenants_file_load(struct users *users, const char *path,
                                struct auth_error *error_out);
MUST_USE bool text_file_load(struct users *users, const char *path, const struct users_keys *keys,
                             struct auth_error *error_out);

/* Adds name as index; false when memory is short or, with *is_double_out, when it is there. */
MUST_USE bool name_table_add(struct name_table *table, struct slice name, uint32_t index,
                             const char *(*name_of)(const void *owner, uint32_t index),
                             const void *owner, bool *is_double_out);

MUST_USE bool name_table_find(const struct name_table *table, struct slice name,
                              const char *(*name_of)(const void *owner, uint32_t index),
                              const void *owner, uint32_t *index_out);

/* A whole file with a NUL behind it; n_out without the NUL. NULL: error_out is filled. Wipe it. */
char *users_read_file(const char *path, size_t n_max, size_t *n_out, struct auth_error *error_out);

#endif
