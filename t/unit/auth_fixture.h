/* auth_fixture.h - files, logins and a SCRAM client for the tests of auth. */
#ifndef T_UNIT_AUTH_FIXTURE_H
#define T_UNIT_AUTH_FIXTURE_H

#include "auth/auth.h"
#include "auth/verifier.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/unit/unit.h"

#define NOW ((struct auth_now){.wall_s = 1800000000, .mono_ms = 1000})

static const struct auth_transport loopback = {
    .is_loopback = true, .address = {.family = AUTH_PEER_IPV4, .ip = {127, 0, 0, 1}}};
static const struct auth_transport distant = {
    .address = {.family = AUTH_PEER_IPV4, .ip = {203, 0, 113, 9}}};

static inline void file_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

/* A temporary file with this text; the path lives until eight more were made. */
static inline const char *file_temporary(const char *text)
{
    static char paths[8][32];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "/tmp/keepd-auth-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    file_write(path, text);
    return path;
}

/* The verifier of a password in the stored form; salt of 16 equal bytes. */
static inline const char *verifier_text(enum verifier_hash hash, const char *password)
{
    static char texts[8][VERIFIER_TEXT_MAX];
    static unsigned next;
    struct verifier verifier;
    char *text = texts[next++ % 8];
    ck_assert(verifier_make(hash, VERIFIER_ITERATIONS, SLICE("saltsaltsaltsalt"),
                            slice_str(password), &verifier));
    verifier_format(&verifier, text);
    return text;
}

struct tenant_search {
    struct slice name;
    struct auth_tenant *found;
    bool is_found;
};

static inline void compare_tenant(void *arg, const struct auth_tenant *tenant)
{
    struct tenant_search *search = arg;
    if (!slice_is(search->name, tenant->name))
        return;
    search->is_found = true;
    *search->found = *tenant;
}

/* One tenant of the current set by its name. */
static inline bool find_tenant(struct auth *auth, struct slice name, struct auth_tenant *tenant_out)
{
    struct tenant_search search = {.name = name, .found = tenant_out};
    auth_tenants_each(auth, compare_tenant, &search);
    return search.is_found;
}

static inline void auth_done(void *arg)
{
    sem_post(arg);
}

static inline struct secret *secret_of(const void *bytes, size_t n)
{
    struct secret *secret = secret_create(n);
    ck_assert_ptr_nonnull(secret);
    ck_assert(secret_append(secret, slice_of(bytes, n)));
    return secret;
}

/* Submits and waits. */
static inline struct auth_outcome send_message(struct auth_session *session, enum auth_step step,
                                               const char *mechanism, const void *data, size_t n)
{
    sem_t done;
    struct auth_outcome outcome;
    struct secret *secret = n > 0 ? secret_of(data, n) : NULL;
    sem_init(&done, 0, 0);
    ck_assert_int_eq(
        auth_submit(session, step, slice_str(mechanism), &secret, NOW, auth_done, &done), AUTH_OK);
    ck_assert_ptr_null(secret);
    while (sem_wait(&done) != 0)
        ;
    auth_collect(session, NOW, &outcome);
    sem_destroy(&done);
    return outcome;
}

static inline struct auth_outcome send_plain(struct auth_session *session, const char *user,
                                             const char *password)
{
    char message[600];
    size_t n_user = strlen(user), n_password = strlen(password);
    message[0] = '\0';
    memcpy(message + 1, user, n_user + 1);
    memcpy(message + n_user + 2, password, n_password);
    return send_message(session, AUTH_START, "PLAIN", message, n_user + n_password + 2);
}

static inline struct auth_outcome send_text(struct auth_session *session, const char *line)
{
    sem_t done;
    struct auth_outcome outcome = {.verdict = AUTH_FAILURE};
    struct secret *secret = secret_of(line, strlen(line));
    sem_init(&done, 0, 0);
    enum auth_result result = auth_submit_text(session, &secret, NOW, auth_done, &done);
    if (result == AUTH_OK) {
        while (sem_wait(&done) != 0)
            ;
        auth_collect(session, NOW, &outcome);
    } else {
        ck_assert_int_eq(result, AUTH_MALFORMED);
        secret_destroy(&secret);
    }
    sem_destroy(&done);
    return outcome;
}

/* ---- SCRAM, the client's side (RFC 5802 section 3) ---- */

struct scram {
    const EVP_MD *digest;
    size_t size;
    const char *password;
    const char *header;  /* gs2 header: "n,," */
    const char *binding; /* base64 of header and channel binding */
    char first_bare[256];
    char auth_message[2048];
    uint8_t salted[64];
};

static inline size_t scram_first(struct scram *scram, const char *user, char *out)
{
    snprintf(scram->first_bare, sizeof scram->first_bare, "n=%s,r=clientnonce", user);
    return (size_t)sprintf(out, "%s%s", scram->header, scram->first_bare);
}

static inline void scram_hmac(const struct scram *scram, const uint8_t *key, const char *text,
                              uint8_t *out)
{
    unsigned n;
    HMAC(scram->digest, key, (int)scram->size, (const uint8_t *)text, strlen(text), out, &n);
}

/* The client's last message for this challenge. */
static inline size_t scram_final(struct scram *scram, struct slice challenge, char *out)
{
    char text[1024], nonce[256], salt64[128], proof64[128];
    uint8_t salt[96], client_key[64], stored_key[64], signature[64];
    int iterations, n_salt;
    memcpy(text, challenge.p, challenge.n);
    text[challenge.n] = '\0';
    ck_assert_int_eq(sscanf(text, "r=%255[^,],s=%127[^,],i=%d", nonce, salt64, &iterations), 3);
    n_salt = EVP_DecodeBlock(salt, (const uint8_t *)salt64, (int)strlen(salt64));
    for (size_t i = strlen(salt64); salt64[i - 1] == '='; i--)
        n_salt--;
    PKCS5_PBKDF2_HMAC(scram->password, (int)strlen(scram->password), salt, n_salt, iterations,
                      scram->digest, (int)scram->size, scram->salted);
    scram_hmac(scram, scram->salted, "Client Key", client_key);
    EVP_Digest(client_key, scram->size, stored_key, NULL, scram->digest, NULL);
    snprintf(scram->auth_message, sizeof scram->auth_message, "%s,%s,c=%s,r=%s", scram->first_bare,
             text, scram->binding, nonce);
    scram_hmac(scram, stored_key, scram->auth_message, signature);
    for (size_t i = 0; i < scram->size; i++)
        client_key[i] ^= signature[i];
    EVP_EncodeBlock((uint8_t *)proof64, client_key, (int)scram->size);
    return (size_t)sprintf(out, "c=%s,r=%s,p=%s", scram->binding, nonce, proof64);
}

/* Is this the server's proof? */
static inline bool scram_is_proof(const struct scram *scram, struct slice message)
{
    char expected[160];
    uint8_t server_key[64], signature[64];
    scram_hmac(scram, scram->salted, "Server Key", server_key);
    scram_hmac(scram, server_key, scram->auth_message, signature);
    memcpy(expected, "v=", 2);
    EVP_EncodeBlock((uint8_t *)expected + 2, signature, (int)scram->size);
    return slice_is(message, expected);
}

static inline struct scram scram_new(enum verifier_hash hash, const char *password)
{
    return (struct scram){.digest = hash == VERIFIER_SHA_1     ? EVP_sha1()
                                    : hash == VERIFIER_SHA_512 ? EVP_sha512()
                                                               : EVP_sha256(),
                          .size = verifier_size(hash),
                          .password = password,
                          .header = "n,,",
                          .binding = "biws"};
}

#endif
