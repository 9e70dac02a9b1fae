/* scram.h - the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
 * Owns: nothing; a struct scram is one exchange.   Thread: one.
 * Never: checks the server's proof: the server under test is our own. */
#ifndef BENCH_SCRAM_H
#define BENCH_SCRAM_H

#include "base/bytes.h"
#include "base/must.h"

#define SCRAM_MESSAGE_MAX 512
#define SCRAM_SALT_MAX    128

/* What was derived last from a password: a client that logs in again does not derive again. */
struct scram_key {
    char salt[SCRAM_SALT_MAX]; /* as the server wrote it; "" none yet */
    uint8_t salted[32];
};

struct scram {
    char first_bare[SCRAM_MESSAGE_MAX];
};

/* Writes the first message to out, which has SCRAM_MESSAGE_MAX bytes; number makes its nonce. */
size_t scram_first(struct scram *scram, const char *user, uint64_t number, uint8_t *out);

/* Writes the answer to the server's challenge; 0 when the challenge is not one. */
size_t scram_final(const struct scram *scram, struct scram_key *key, const char *password,
                   struct slice challenge, uint8_t *out);

#endif
