/* session.h - one connection's logins: the state machine around cyrus.
 * Owns: the copy of the transport's facts, the running exchange, the identity.
 * Thread: the owner between auth_collect and auth_submit; one auth thread in between. lock covers
 *         is_abandoned, and phase against auth_session_destroy; auth_collect does without it: the
 *         auth thread that has woken the owner may still hold it, and not run for a while.
 * Never: steps cyrus outside STARTED; keeps a password after the check. */
#ifndef AUTH_SESSION_H
#define AUTH_SESSION_H

#include "auth/state.h"

#define SESSION_NAMES_MAX   8
#define SESSION_NAME_MAX    256
#define SESSION_BINDING_MAX 64
#define SESSION_STEPS_MAX   12
#define SESSION_REASON_MAX  160

enum session_phase {
    SESSION_IDLE,    /* the owner's */
    SESSION_PENDING, /* an auth thread's */
    SESSION_READY,   /* an outcome waits for auth_collect */
};

enum exchange_state { EXCHANGE_NONE, EXCHANGE_STARTED, EXCHANGE_DONE, EXCHANGE_FAILED };

enum session_work { WORK_START, WORK_STEP, WORK_TEXT };

struct auth_session {
    struct pool_job job; /* first: a job is its session */
    struct auth *auth;
    pthread_mutex_t lock;
    _Atomic enum session_phase phase;
    bool is_abandoned;
    bool work_is_out; /* owner: between auth_submit and auth_collect */

    /* facts */
    struct auth_transport transport; /* pointers lead to the copies below */
    char *mechanisms;
    char binding_type[24];
    uint8_t binding[SESSION_BINDING_MAX];
    struct auth_name *names;

    /* the message that is being checked */
    enum session_work work;
    struct secret *data; /* may be NULL */
    char wire_name[AUTH_MECHANISM_MAX + 1];
    bool is_name_good; /* the mechanism's name fitted into wire_name */
    struct auth_now now;
    auth_done_fn *done;
    void *done_arg;

    /* the exchange */
    enum exchange_state state;
    enum mechanism mechanism;
    char started_name[AUTH_MECHANISM_MAX + 1];
    struct cyrus_host host;
    struct cyrus_exchange *exchange;
    struct users *users; /* the set that this exchange is checked against */
    unsigned n_steps;
    bool is_admitted; /* the throttle let this exchange be checked */
    bool is_booked;   /* ... after a wait */
    bool is_resumed;  /* the job runs again after that wait */
    bool has_proof;
    struct proof proof;
    size_t n_user;
    char user[AUTH_NAME_MAX + 1]; /* as the client sent it, for events */

    /* the outcome */
    struct auth_outcome outcome;
    struct auth_identity *proven; /* success: until auth_collect makes it the session's */
    uint8_t *out;
    unsigned n_failures;

    struct auth_identity *identity; /* not NULL: authenticated */
};

/* What one run on an auth thread came to. */
enum session_turn { TURN_FINISHED, TURN_LATER };

/* exchange.c: checks the message; TURN_LATER: run again at *start_ms_out. */
enum session_turn exchange_run(struct auth_session *session, uint64_t now_ms,
                               uint64_t *start_ms_out);

/* On the owner: checks a password for which that takes microseconds. False: it needs an auth
 * thread, and nothing was done but that an unfinished exchange has ended. */
bool exchange_try(struct auth_session *session, struct slice name, struct slice password,
                  uint64_t now_ms);

void exchange_init(struct auth_session *session);

/* Ends the exchange and forgets it. */
void exchange_close(struct auth_session *session);

#endif
