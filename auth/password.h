/* password.h - is this the password of that user? The same work for every answer "no".
 * Owns: nothing.   Thread: any.
 * Never: tells by its time or its result whether the user exists. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "auth/users.h"

/* What proved an identity: kept with it, so that a reload can tell whether it still holds. */
enum proof_kind {
    PROOF_SECRET,   /* a secret of the tenants file: its first verifier's stored key */
    PROOF_TEXT,     /* a line of the -Y file: its tag */
    PROOF_EXTERNAL, /* an identity rule */
    PROOF_PWDB,     /* a line of MEMCACHED_SASL_PWDB: its tag */
    PROOF_OUTSIDE,  /* sasldb, saslauthd, Kerberos: not ours to watch */
};

struct proof {
    enum proof_kind kind;
    int64_t not_after; /* 0 never */
    uint8_t key[VERIFIER_KEY_MAX];
    uint64_t generation; /* PROOF_PWDB: of the set that was current at the login */
    enum rule_kind rule; /* PROOF_EXTERNAL */
    char pattern[256];
};

struct password_work {
    uint64_t derivations; /* PBKDF2 runs of this check */
    uint64_t iterations;  /* their sum */
    bool is_from_cache;
};

/* Checks the tenants file, then the -Y file. True: proof_out is filled. Every false costs
 * users->plain_work iterations, for unknown and disabled users and for expired secrets too. */
MUST_USE bool password_check(struct users *users, const struct users_keys *keys, struct slice name,
                             struct slice password, int64_t wall_s, struct proof *proof_out,
                             struct password_work *work_out);

/* What can be told of a password without a derivation. */
enum password_answer {
    PASSWORD_RIGHT, /* proof_out is filled */
    PASSWORD_WRONG, /* for these two files: nobody has a secret that is derived */
    PASSWORD_OPEN,  /* password_check has to tell */
};

/* tag: of name and password (password_tag). Knows -Y users and passwords proven lately. */
enum password_answer password_recall(struct users *users, const uint8_t *tag, struct slice name,
                                     int64_t wall_s, struct proof *proof_out);

/* False when memory is short. tag_out has VERIFIER_TAG_SIZE bytes. */
MUST_USE bool password_tag(const struct users_keys *keys, struct slice name, struct slice password,
                           uint8_t *tag_out);

/* The proof by SCRAM with this secret of a user. */
void password_proof_of(const struct user_secret *secret, struct proof *proof_out);

/* A verifier for a user that has none: always the same for the same name, never matching. */
void password_fake_verifier(const struct users *users, const struct users_keys *keys,
                            enum verifier_hash hash, struct slice name,
                            struct verifier *verifier_out);

#endif
