/* auth.h - the door of auth: who is it, which tenant is it in, what may it do.
 * Owns: users, tenants and their secrets, login sessions, identities, the auth threads, the
 *       throttle, the rings of denials and security events.
 * Thread: named at each function. "owner" is the one thread a session belongs to (a worker).
 * Never: logs; touches a socket; keeps a clear password after the check; blocks its caller
 *        (auth_create, auth_reload and auth_destroy excepted). */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/bytes.h"
#include "base/must.h"
#include "base/secret.h"

#define AUTH_NAME_MAX      128   /* bytes of a user's or tenant's name */
#define AUTH_MECHANISM_MAX 20    /* RFC 4422 section 3.1 */
#define AUTH_DATA_MAX      16384 /* bytes of one client message; more is a failed exchange */
#define AUTH_LIST_MAX      256   /* a list of mechanisms with its NUL */
#define AUTH_TEXT_MAX      512
#define AUTH_TENANTS_MAX   4096 /* names since the start, "default" and those that left included */

struct auth;
struct auth_session;
struct auth_identity;

enum auth_result {
    AUTH_OK = 0,
    AUTH_BUSY,      /* the queue is full, or the session's last message is still being checked */
    AUTH_MALFORMED, /* text login: no space between user and password */
    AUTH_NO_MEMORY,
    AUTH_BAD_CONFIG, /* error_out says file, line and reason */
    AUTH_NOT_MAPPED, /* external identity: no rule names it, or its user may not log in */
};

/* Line is 0 where the complaint is not about a line. */
struct auth_error {
    unsigned line;
    char file[256];
    char text[AUTH_TEXT_MAX]; /* complete: "FILE:LINE: reason" */
};

/* Time comes from the caller. */
struct auth_now {
    int64_t wall_s;   /* Unix time: not-before, not-after */
    uint64_t mono_ms; /* CLOCK_MONOTONIC: throttle, queue */
};

/* ---- events: what the server writes to its security log -------------------------------------- */

enum auth_event_kind {
#define AUTH_EVENT(name, word) AUTH_EVENT_##name,
#include "auth/events.def"
#undef AUTH_EVENT
    N_AUTH_EVENTS
};

/* Strings are valid during the call only. They may hold any byte but NUL: quote and escape them. */
struct auth_event {
    enum auth_event_kind kind;
    uint32_t tenant;       /* 0 when no tenant is known */
    const char *user;      /* "" when unknown; as the peer sent it, cut at AUTH_NAME_MAX */
    const char *mechanism; /* "" when none */
    const char *address;   /* "127.0.0.1", "2001:db8::1", "unix" */
    const char *reason;    /* for the operator; never holds a secret */
    int64_t wall_s;
};

/* The word of an event in log lines: "login", "login_failed". */
const char *auth_event_word(enum auth_event_kind kind);

/* Called on auth threads and on the owner; must not block and must not call into auth. */
typedef void auth_event_fn(void *arg, const struct auth_event *event);

/* ---- configuration ----------------------------------------------------------------------------
 */

struct auth_tenant;

/* A reload will bring this tenant; none of its users can log in before it has been called for all
 * of them. False: it cannot be had for want of memory, and the old set stays. */
typedef bool auth_prepare_fn(void *arg, const struct auth_tenant *tenant);

struct auth_config {
    const char *tenants_path; /* --tenants, or NULL */
    const char *text_path;    /* -Y, or NULL */
    bool has_sasl;            /* -S: sasldb, saslauthd, MEMCACHED_SASL_PWDB join the tenants file */
    const char *pwdb_path;    /* value of MEMCACHED_SASL_PWDB, or NULL */
    const char *sasl_conf_path; /* value of SASL_CONF_PATH: a file, a directory, or a list of
                                 * directories with ':'; NULL looks at memcached's usual places */
    const char *mechanisms;     /* allow-list, names separated by spaces; NULL = the default */
    const char *realm;          /* realm and FQDN given to cyrus; NULL = the host's name */
    unsigned n_threads;         /* 0 = 2 */
    unsigned queue_max;         /* logins waiting for a thread; 0 = 4096 */
    unsigned attempts_max;      /* failures until outcome.must_close; 0 = 10 */
    unsigned time_limit_ms;     /* a login waiting longer in the queue fails; 0 = 10000 */
    bool is_plain_allowed;      /* PLAIN on plaintext TCP that is not loopback */
    bool is_rights_warn;        /* rights-mode=warn: missing rights are reported, not refused */
    auth_event_fn *event;       /* or NULL */
    void *event_arg;
    auth_prepare_fn *prepare; /* or NULL */
    void *prepare_arg;
};

/* Reads the files, starts cyrus where -S or a tenants file asks for it, and starts the threads.
 * NULL: error_out tells why (missing file, bad line, a mechanism of the allow-list that is not
 * installed, with the Debian package that brings it). Call it once per process at a time, before
 * other threads run: cyrus has process-wide state. */
MUST_USE struct auth *auth_create(const struct auth_config *config, struct auth_now now,
                                  struct auth_error *error_out);

/* All sessions must be destroyed before. Waits for the threads. Accepts NULL, clears. */
void auth_destroy(struct auth **auth);

/* Is the tenants file good, but for what depends on the server's memory? Reads only (keepctl). */
MUST_USE enum auth_result auth_check_file(const char *tenants_path, struct auth_error *error_out);

/* What guarantees are promised from: each counts in whole units. */
struct auth_memory {
    uint64_t total; /* bytes */
    uint64_t unit;  /* bytes that memory is given out by; 0: nothing is checked */
};

/* From now on a set whose guarantees do not fit into this memory is refused (none was, before).
 * AUTH_BAD_CONFIG: the current one does not, error_out tells where, and nothing has changed.
 * Thread: any. */
MUST_USE enum auth_result auth_set_memory(struct auth *auth, const struct auth_memory *memory,
                                          struct auth_error *error_out);

/* Reads both files again, and has config.prepare called for each tenant of the new set, the default
 * one too, before anybody is let in or out. Either all is replaced and the generation grows by one,
 * or all stays and error_out tells why. Identities whose user or secret is gone, disabled or
 * changed tenant are revoked before it returns; changed rights take effect at once. Thread: any,
 * one at a time. */
MUST_USE enum auth_result auth_reload(struct auth *auth, struct auth_now now,
                                      struct auth_error *error_out);

/* Grows with every successful reload; starts at 1. A cheap atomic load: workers compare it once per
 * turn and look after their connections when it has changed. Thread: any. */
uint64_t auth_generation(const struct auth *auth);

/* May a connection of this dialect log in at all? Otherwise LIST_MECHS is answered 0x81. */
bool auth_has_sasl(const struct auth *auth); /* binary: -S or --tenants */
bool auth_has_text(const struct auth *auth); /* text: -Y, -S or --tenants */

/* ---- tenants ----------------------------------------------------------------------------------
 */

#define AUTH_TENANT_DEFAULT 0 /* "default": every identity when there is no tenants file */

/* 0 means no limit (memory_max: all memory; item_max: the server's -I). */
struct auth_tenant {
    uint32_t id; /* stable across reloads by name, small, dense, never given to another name */
    char name[AUTH_NAME_MAX + 1];
    uint64_t memory_min;
    unsigned line_of_min; /* in the file; 0 without one */
    uint64_t memory_max;
    uint64_t item_max;
    uint64_t connections;
    uint64_t ops;   /* per second */
    uint64_t bytes; /* per second, both directions */
};

/* Calls fn for each tenant of the current set, by ascending id; id 0 is always there. The pointer
 * is valid during the call. fn must not call auth_reload. Thread: any. */
typedef void auth_tenant_fn(void *arg, const struct auth_tenant *tenant);
void auth_tenants_each(struct auth *auth, auth_tenant_fn *fn, void *arg);

/* One tenant by id; false when the current set has none. Thread: any. */
MUST_USE bool auth_tenant_get(struct auth *auth, uint32_t id, struct auth_tenant *tenant_out);

/* ---- sessions ---------------------------------------------------------------------------------
 */

enum auth_family { AUTH_PEER_UNIX, AUTH_PEER_IPV4, AUTH_PEER_IPV6 };

struct auth_address {
    enum auth_family family;
    uint8_t ip[16]; /* 4 or 16 bytes in network order; v4-mapped IPv6 counts as IPv4 */
};

enum auth_name_kind { AUTH_CERT_CN, AUTH_CERT_DNS, AUTH_CERT_URI, AUTH_CERT_EMAIL };

struct auth_name {
    enum auth_name_kind kind;
    const char *text;
};

/* What the transport knows about the peer. All is copied by auth_session_create. */
struct auth_transport {
    bool is_tls;
    unsigned ssf;     /* bits of the cipher, 0 without TLS */
    bool is_loopback; /* both ends on this host */
    bool is_unix;
    struct auth_address address;
    const char *mechanisms;        /* this listener's allow-list, or NULL for the configuration's */
    const char *binding_type;      /* "tls-exporter", "tls-unique", or NULL */
    struct slice binding;          /* channel binding data, at most 64 bytes */
    const struct auth_name *names; /* of a verified client certificate */
    size_t n_names;
    bool has_peer_ids; /* unix: uid and gid are SO_PEERCRED's */
    uint32_t uid;
    uint32_t gid;
};

/* The mechanisms offered to this transport, strongest first, separated by one space,
 * NUL-terminated. Never empty for a caller that has checked auth_has_sasl, except where the policy
 * hides all of them. Changes no session. list_out has AUTH_LIST_MAX bytes; returns the length.
 * Thread: any. */
size_t auth_mechanisms(struct auth *auth, const struct auth_transport *transport, char *list_out);

/* A session belongs to one connection; create it when the first login message comes (a few hundred
 * bytes; cyrus's context lives during an exchange only). NULL when memory is short. Owner. */
MUST_USE struct auth_session *auth_session_create(struct auth *auth,
                                                  const struct auth_transport *transport);

/* Drops the identity. When a check is running its result is thrown away; after the return the
 * callback is not called any more (it may have been called just before). Owner. Clears. */
void auth_session_destroy(struct auth_session **session);

/* Called on an auth thread when an outcome is ready: tell the owner, who calls auth_collect. It
 * must not block and must not call into auth. */
typedef void auth_done_fn(void *arg);

enum auth_step { AUTH_START, AUTH_STEP };

/* Hands one SASL message to the auth threads. data may be NULL (no body) or empty; it is taken and
 * cleared on AUTH_OK, and left with the caller otherwise.
 *   AUTH_START drops identity and any unfinished exchange first: from here on the session has no
 *   rights until auth_collect reports success. AUTH_STEP without a running exchange of the same
 *   mechanism fails (also through the callback: all failures look alike).
 * AUTH_BUSY: nothing was queued; START has dropped the identity all the same. Answer with a
 * failure. On AUTH_OK the connection waits: bytes behind this message are not parsed before
 * auth_collect. Source: RFC 4422; SASL of memcached's binary protocol. Owner. */
MUST_USE enum auth_result auth_submit(struct auth_session *session, enum auth_step step,
                                      struct slice mechanism, struct secret **data,
                                      struct auth_now now, auth_done_fn *done, void *done_arg);

/* The same for a text client: line is "user password", as memcached's -Y has it in the value of the
 * first set. Everything behind the first space is the password. AUTH_MALFORMED: no space. Owner. */
MUST_USE enum auth_result auth_submit_text(struct auth_session *session, struct secret **line,
                                           struct auth_now now, auth_done_fn *done, void *done_arg);

/* Checks a PLAIN message (AUTH_START) or a text client's line at once, where this takes
 * microseconds: a password that is known to be right, or that nothing slow has a say about. True:
 * as after auth_submit and the callback, auth_collect has the outcome. False: auth_submit it;
 * nothing was done but that an unfinished exchange has ended. The bytes stay the caller's, who
 * wipes them. Owner. */
MUST_USE bool auth_try_plain(struct auth_session *session, struct slice message,
                             struct auth_now now);
MUST_USE bool auth_try_text(struct auth_session *session, struct slice line, struct auth_now now);

enum auth_verdict {
    AUTH_SUCCESS,  /* binary 0x00, text STORED */
    AUTH_CONTINUE, /* binary 0x21 */
    AUTH_FAILURE,  /* binary 0x20 "Auth failure.", text CLIENT_ERROR authentication failure */
};

struct auth_outcome {
    enum auth_verdict verdict;
    /* CONTINUE: the challenge. SUCCESS: the server's last message where the mechanism's spelling
     * wants it there (below), otherwise empty and the body is "Authenticated". Valid until the next
     * auth_submit or auth_session_destroy. */
    struct slice data;
    uint32_t delay_ms; /* send the reply after this time; 0 except for failures */
    bool must_close;   /* too many failures: close after the reply */
};

/* Takes the outcome after the callback; may be called once per submit. The one place where a
 * session becomes authenticated. Owner.
 *
 * SCRAM's last message (v=...) always reaches the client: with the names of RFC 7677
 * ("SCRAM-SHA-256") as a challenge (0x21), answered by an empty STEP which then gets 0x00, as
 * libmemcached's SASL library expects; with Couchbase's names ("SCRAM-SHA256") in the body of 0x00,
 * because those clients go on to work without another STEP. */
void auth_collect(struct auth_session *session, struct auth_now now,
                  struct auth_outcome *outcome_out);

/* Logs in by what the transport itself proved (client certificate, unix peer), without a message.
 * AUTH_OK, or AUTH_NOT_MAPPED. Does not block. Owner. */
MUST_USE enum auth_result auth_login_external(struct auth_session *session, struct auth_now now);

/* The identity of an authenticated session, otherwise NULL. It lives as long as the session does
 * and no new login begins. Owner. */
struct auth_identity *auth_session_identity(const struct auth_session *session);

/* ---- identities -------------------------------------------------------------------------------
 */

enum {
#define RIGHT(name, word, index) AUTH_RIGHT_##name = 1u << (index),
#include "auth/rights.def"
#undef RIGHT
};

/* Thread of the next ones: any, while the session keeps the identity. */
const char *auth_identity_user(const struct auth_identity *identity);
uint32_t auth_identity_tenant(const struct auth_identity *identity);
uint32_t auth_identity_rights(const struct auth_identity *identity); /* AUTH_RIGHT_ bits */

/* False once its user or secret was removed, disabled or has run out: send 0x20 once and close. */
bool auth_identity_is_current(const struct auth_identity *identity, int64_t wall_s);

/* ---- the gate ---------------------------------------------------------------------------------
 */

/* Classes are those of the server's requests, in the order of auth/classes.def. */
enum auth_class {
#define CLASS(name, word, before, pending, after) AUTH_CLASS_##name,
#include "auth/classes.def"
#undef CLASS
    N_AUTH_CLASSES
};

enum auth_permit {
    AUTH_ALLOW,
    AUTH_WARN,       /* would be refused if the rights mode were not "warn": do it */
    AUTH_NEED_LOGIN, /* 0x20 and close; text CLIENT_ERROR unauthenticated */
    AUTH_WAIT,       /* behind a pending login: keep the bytes */
    AUTH_DENY,       /* logged in without this right: the refusal that old clients survive */
};

/* "read", "write": for lists and logs. */
const char *auth_class_word(enum auth_class class);

/* The decision for one request. session may be NULL: not logged in. Counts nothing. Owner. */
enum auth_permit auth_gate(const struct auth *auth, const struct auth_session *session,
                           enum auth_class class);

/* The same decisions at once: bit n is set when class n gets AUTH_ALLOW. Valid until the next login
 * message or change of auth_generation; lets a worker test one bit per request. Owner. */
uint32_t auth_gate_mask(const struct auth *auth, const struct auth_session *session);

/* Counts a refusal (AUTH_DENY, AUTH_WARN) in the tenant's ring and raises an event. Owner. */
void auth_note_denial(struct auth *auth, const struct auth_session *session, enum auth_class class,
                      struct slice key, struct auth_now now);

/* ---- what stats show --------------------------------------------------------------------------
 */

struct auth_denial {
    int64_t wall_s;
    char user[AUTH_NAME_MAX + 1];
    char address[48];
    enum auth_class class;
    bool is_warning; /* rights-mode=warn: it was done */
    uint32_t count;  /* equal neighbours are summed */
    size_t n_key;
    uint8_t key[250];
};

/* A tenant's latest denials, oldest first; fn must not call into auth. Thread: any. */
typedef void auth_denial_fn(void *arg, const struct auth_denial *denial);
void auth_denials_each(struct auth *auth, uint32_t tenant, auth_denial_fn *fn, void *arg);

struct auth_record {
    int64_t wall_s;
    enum auth_event_kind kind;
    uint32_t tenant;
    uint32_t count; /* equal neighbours are summed */
    char user[AUTH_NAME_MAX + 1];
    char mechanism[AUTH_MECHANISM_MAX + 1];
    char address[48];
    char reason[96];
};

/* The latest security events of a tenant (UINT32_MAX: of all), oldest first; fn must
 * not call into auth. Thread: any. */
typedef void auth_record_fn(void *arg, const struct auth_record *record);
void auth_records_each(struct auth *auth, uint32_t tenant, auth_record_fn *fn, void *arg);

/* Totals since the start. Thread: any. */
struct auth_counters {
    uint64_t logins;
    uint64_t failures;
    uint64_t throttled;   /* attempts refused without a check */
    uint64_t derivations; /* PBKDF2 runs */
    uint64_t cache_hits;  /* PLAIN logins that needed none */
    uint64_t busy;        /* submits refused because the queue was full */
    uint64_t queued;      /* now waiting or running */
    uint64_t denials;
    uint64_t warnings;
};
void auth_counters_read(struct auth *auth, struct auth_counters *counters_out);

/* Logins and failures of one tenant (auth_cmds = both, auth_errors = failures). Thread: any. */
void auth_tenant_counts(struct auth *auth, uint32_t tenant, uint64_t *logins_out,
                        uint64_t *failures_out);

enum auth_offer { AUTH_OFFERED, AUTH_HIDDEN, AUTH_IMPOSSIBLE };
/* "offered", "hidden", "impossible". */
const char *auth_offer_word(enum auth_offer offer);

struct auth_explanation {
    const char *mechanism; /* "" in rows about the whole: realm, sources */
    const char *transport; /* "tcp", "loopback", "tls", "unix"; or the fact's name */
    enum auth_offer offer;
    const char *reason; /* why, and what to install or to change */
};

/* Why is each mechanism offered or not, per kind of transport; with a user: could this user log in
 * with it. For `stats auth` and `keepd --check-auth USER`. Thread: any. */
typedef void auth_explain_fn(void *arg, const struct auth_explanation *row);
void auth_explain(struct auth *auth, const char *user, struct auth_now now, auth_explain_fn *fn,
                  void *arg);

#endif
