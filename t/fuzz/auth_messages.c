/* Any SASL messages in any order on one session: nobody is let in who did not send the password,
 * and only a START that succeeds, or the exchange it began, changes who one is. Each message is one
 * byte of what (start or step, mechanism), one byte of length, and so many bytes. */
#include "auth/auth.h"
#include "t/fuzz/fuzz.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PASSWORD       "the-right-one"
#define N_MESSAGES_MAX 16

/* The verifier of PASSWORD. */
static const char tenants[] =
    "tenant t {}\n"
    "user u { tenant = t secret s { verifiers = {\"SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
    "dOPz6oWbO9kjzHw9v7YKeC/K1iIffAzVUTT8s8P1iEA=:dydrFEO2foqHmIFmTZgy6QhnLaj87N4wUiexA5W1yyI=\"} "
    "} }\n";

static const char *const mechanisms[] = {"PLAIN",       "SCRAM-SHA-256", "SCRAM-SHA256", "EXTERNAL",
                                         "SCRAM-SHA-1", "ANONYMOUS",     "CRAM-MD5",     ""};

static const struct auth_now now = {.wall_s = 1800000000, .mono_ms = 1};

static void done(void *arg)
{
    sem_post(arg);
}

static struct auth *open_auth(void)
{
    char path[64];
    struct auth_error error;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    HOLDS(fd >= 0 && write(fd, tenants, sizeof tenants - 1) == (ssize_t)sizeof tenants - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct auth_config config = {
        .tenants_path = path, .realm = "fuzz", .n_threads = 1, .attempts_max = 1u << 30};
    struct auth *auth = auth_create(&config, now, &error);
    if (auth == NULL)
        fprintf(stderr, "%s\n", error.text);
    HOLDS(auth != NULL);
    return auth;
}

static enum auth_verdict send_one(struct auth_session *session, uint8_t what, struct slice bytes)
{
    sem_t ready;
    struct auth_outcome outcome;
    struct secret *data = NULL;
    if (bytes.n > 0) {
        data = secret_create(bytes.n);
        HOLDS(data != NULL && secret_append(data, bytes));
    }
    sem_init(&ready, 0, 0);
    HOLDS(auth_submit(session, (what & 8) != 0 ? AUTH_STEP : AUTH_START,
                      slice_str(mechanisms[what & 7]), &data, now, done, &ready) == AUTH_OK);
    while (sem_wait(&ready) != 0)
        ;
    auth_collect(session, now, &outcome);
    sem_destroy(&ready);
    return outcome.verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct auth *auth;
    static uint32_t next_address;
    if (auth == NULL)
        auth = open_auth();
    /* An address of its own, or the throttle would make each input wait for the one before. */
    struct auth_transport transport = {.is_loopback = true, .address = {.family = AUTH_PEER_IPV4}};
    next_address++;
    memcpy(transport.address.ip, &next_address, sizeof next_address);
    struct auth_session *session = auth_session_create(auth, &transport);
    HOLDS(session != NULL);
    bool has_password = memmem(data, n, PASSWORD, sizeof PASSWORD - 1) != NULL;
    size_t at = 0;
    for (int i = 0; i < N_MESSAGES_MAX && n - at >= 2; i++) {
        uint8_t what = data[at];
        size_t n_bytes = data[at + 1] < n - at - 2 ? data[at + 1] : n - at - 2;
        bool was_in = auth_session_identity(session) != NULL;
        enum auth_verdict verdict = send_one(session, what, slice_of(data + at + 2, n_bytes));
        bool is_in = auth_session_identity(session) != NULL;
        at += 2 + n_bytes;
        HOLDS(!is_in || has_password);
        HOLDS(is_in == (verdict == AUTH_SUCCESS || (was_in && (what & 8) != 0)));
    }
    auth_session_destroy(&session);
    return 0;
}
