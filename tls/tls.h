/* tls.h - the door of TLS: contexts that can be reloaded, sessions, who the peer is.
 * Owns: certificates, keys, ticket keys and the OpenSSL state of sessions; never descriptors.
 * Thread: struct tls any thread; a tls_session only the thread that owns its connection.
 * Never: logs, blocks on a socket, asks for a passphrase, shows an OpenSSL type. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/bytes.h"
#include "base/must.h"

struct tls;         /* the current context, the ticket keys, the counters; one per server */
struct tls_session; /* one connection's TLS state */

/* Configuration: memcached's ssl_* options, a CRL and certificates by name. */

enum tls_key_format { TLS_KEY_PEM = 1, TLS_KEY_DER = 2 };

/* ssl_verify_mode, by memcached's numbers. */
enum tls_verify {
    TLS_VERIFY_NONE = 0,
    TLS_VERIFY_REQUEST = 1, /* no certificate is fine, one of a stranger is refused */
    TLS_VERIFY_REQUIRE = 2,
    TLS_VERIFY_ONCE = 3, /* as REQUIRE: there is no renegotiation that could ask again */
};

/* ssl_min_version, by memcached's numbers. OpenSSL's security level may refuse the first two. */
enum tls_min_version { TLS_MIN_1_0 = 0, TLS_MIN_1_1 = 1, TLS_MIN_1_2 = 2, TLS_MIN_1_3 = 3 };

/* A certificate that is shown to clients which ask for name (SNI). */
struct tls_named {
    const char *name; /* "cache.example" or "*.example" (one label), any case */
    const char *chain_cert;
    const char *key;
};

/* All strings are borrowed for the call only. NULL or 0 is "not given". */
struct tls_config {
    const char *chain_cert; /* PEM: the server's certificate, then its issuers */
    const char *key;
    enum tls_key_format key_format; /* 0 = PEM; of the main key, named ones are PEM */
    const char *ca_cert;            /* PEM: who may sign clients' certificates */
    const char *crl;                /* PEM: one list for each issuer of clients' certificates */
    const char *ciphers;            /* TLS 1.2 and older; NULL = ECDHE with AEAD only */
    const struct tls_named *named;
    size_t n_named;
    enum tls_verify verify;
    enum tls_min_version min_version;
    bool has_session_cache;
    bool has_kernel_tls; /* silently without effect where kernel or OpenSSL lack it */
};

/* memcached's defaults: PEM, TLS 1.2, everything else off. */
void tls_config_init(struct tls_config *config_out);

/* One line for the operator, without line end. Never holds secrets; long file names are cut. */
#define TLS_REPORT_SIZE 640
struct tls_report {
    char text[TLS_REPORT_SIZE];
};

/* Reads every file and builds the first context. now_s is unix time.
 * NULL when something is missing, unreadable, of the wrong format or does not match; the report
 * says which file and why, in memcached's words where memcached has some ("Error loading the key:
 * FILE : REASON"). Otherwise the report is "" or a warning worth printing (certificate or CRL
 * outside its dates, chain in the wrong order): at start these do not stop the server. */
MUST_USE struct tls *tls_create(const struct tls_config *config, int64_t now_s,
                                struct tls_report *report_out);

/* Sessions that still live keep what they need; the last of them frees it. Accepts NULL. */
void tls_destroy(struct tls **tls);

/* Builds a whole new context and lets later sessions use it. config NULL = as before (the files
 * are read again). False keeps the old context and says why; unlike at start, dates and the order
 * of the chain are reasons to refuse. Reads files: not for a worker. Safe against everything else,
 * also against another reload. Living sessions keep the context they began with. */
MUST_USE bool tls_reload(struct tls *tls, const struct tls_config *config, int64_t now_s,
                         struct tls_report *report_out);

/* To be called about once a minute: rotates the ticket keys when they are due. */
void tls_tick(struct tls *tls, int64_t now_s);

/* Any number that changes when the rules from certificate to user change (a hash of them, a
 * count). A client that would resume a session from before does a full handshake instead, so its
 * certificate is judged again. Changes of CA and CRL files do the same without this call. */
void tls_set_policy(struct tls *tls, uint64_t policy);

struct tls_info {
    char subject[256]; /* RFC 2253 */
    char issuer[256];
    char serial[72];      /* hex */
    char fingerprint[65]; /* SHA-256 of the certificate, hex */
    int64_t not_before_s;
    int64_t not_after_s;
    int days_left; /* whole days, negative when the date has passed */
    bool has_ca;
    int64_t crl_next_update_s; /* earliest of the lists; 0 = no CRL or no date in it */
    uint64_t generation;       /* 1 at start, one more by each reload that worked */
    int64_t loaded_s;          /* when the current context was loaded */
    int64_t last_reload_s;     /* 0 = never tried */
    bool last_reload_worked;
    char last_reload_text[TLS_REPORT_SIZE]; /* "" or the reason of the failure */
    uint64_t n_sessions;
    uint64_t n_sessions_old; /* of these, on another certificate than the current one */
    char versions[40];       /* that a client can really get: "TLSv1.2 TLSv1.3" */
    char ciphers[1024];      /* the same, in order of preference, separated by ':' */
    bool has_kernel_tls;     /* asked for, and OpenSSL and the kernel can */
};

/* Thread: any. */
void tls_info(struct tls *tls, int64_t now_s, struct tls_info *info_out);

/* The end of a certificate, the default one or one of a name, that the operator is to hear of. */
struct tls_expiry {
    char subject[256];
    char serial[72];
    int step;      /* which warning: 30, 7, 1 (days) or 0 (ended) */
    int days_left; /* as in tls_info */
};

/* Is a warning due? Each step once for each certificate; to be asked until false. */
MUST_USE bool tls_expiry_warning(struct tls *tls, int64_t now_s, struct tls_expiry *expiry_out);

/* Sums since start. */
struct tls_counters {
    uint64_t handshakes_full;
    uint64_t handshakes_resumed;
    uint64_t handshakes_failed; /* for any reason; memcached's ssl_handshake_errors */
    uint64_t handshakes_plain;  /* of these, because the peer did not speak TLS */
    uint64_t proto_errors;      /* after the handshake; memcached's ssl_proto_errors */
    uint64_t cut_ends;          /* connections that ended without close_notify */
    uint64_t tickets_refused;   /* for a changed policy, CA, CRL or an expired certificate */
};

/* Thread: any. */
void tls_counters(struct tls *tls, struct tls_counters *counters_out);

/* Sessions. */

/* What a listener asks of clients: the configured mode, or its prefix btls: or mtls:. */
enum tls_client_cert { TLS_CLIENT_CERT_DEFAULT, TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_REQUIRE };

/* A server session over fd (connected, non-blocking, borrowed). A session made where none was
 * asked for a certificate is not resumed where one is required. NULL when memory is short. */
MUST_USE struct tls_session *tls_session_create(struct tls *tls, int fd,
                                                enum tls_client_cert client_cert);

/* Frees at once and sends nothing; accepts NULL, clears the pointer. The descriptor stays open. */
void tls_session_destroy(struct tls_session **session);

/* The four outcomes. What to wait for follows the outcome, not the direction of the call: a write
 * may want to read (key update) and the other way round. */
enum tls_outcome {
    TLS_DONE,
    TLS_WANT_READ,
    TLS_WANT_WRITE,
    TLS_CLOSED, /* the end, clean or not: see tls_session_fault */
};

/* Continues the handshake. DONE once it is finished; then read and write may be called.
 * One call does at most one step of cryptography that costs (the signature), so that a storm can be
 * worked off in parts, by threads that have nothing else to do. */
MUST_USE enum tls_outcome tls_handshake(struct tls_session *session);

/* The same, as far as it costs little, so that a worker may do it itself: the client's hello is
 * read, TLS 1.2 is resumed, and a handshake is finished whose keys are agreed on where no
 * certificate of the client's is to come. False: something that costs is next, and tls_handshake
 * goes on with it; *outcome_out is not set. */
MUST_USE bool tls_handshake_lightly(struct tls_session *session, enum tls_outcome *outcome_out);

/* Reads up to n > 0 bytes, from as many records as there are. DONE has 0 < *n_out <= n. While a
 * tls_write waits to be repeated nothing is read: the outcome is what that write waits for. */
MUST_USE enum tls_outcome tls_read(struct tls_session *session, uint8_t *out, size_t n,
                                   size_t *n_out);

/* Will the next tls_write be followed by another at once? The kernel may then wait and send their
 * records together. False again before the last one. */
void tls_expect_more(struct tls_session *session, bool is_followed);

/* Writes some of n > 0 bytes: DONE has 0 < *n_out <= n. After a WANT_* the next tls_write must
 * begin with the same bytes and offer at least as many; they may have moved. */
MUST_USE enum tls_outcome tls_write(struct tls_session *session, const uint8_t *bytes, size_t n,
                                    size_t *n_out);

/* Sends close_notify; does not wait for the peer's. DONE also where none may be sent (handshake
 * not finished, failure before). Close the descriptor after DONE or CLOSED. */
MUST_USE enum tls_outcome tls_shutdown(struct tls_session *session);

/* Are there bytes inside that the poller cannot see? True only after a handshake or a tls_read that
 * was DONE and left something; such a connection must go on without waiting. */
bool tls_has_pending(const struct tls_session *session);

/* Is the handshake finished? */
bool tls_session_is_ready(const struct tls_session *session);
/* ... and was it that of an earlier session (ticket or cache)? */
bool tls_session_is_resumed(const struct tls_session *session);

/* Why did it end? */
enum tls_fault {
    TLS_FAULT_NONE,     /* it has not, or with the peer's close_notify */
    TLS_FAULT_PLAIN,    /* the first bytes were not TLS: see tls_recognise */
    TLS_FAULT_PEER,     /* a certificate is missing, or was refused */
    TLS_FAULT_PROTOCOL, /* versions, ciphers, broken records, the peer's alert */
    TLS_FAULT_CUT,      /* the peer ended the connection without close_notify */
    TLS_FAULT_SYSTEM,   /* the socket failed, or memory was short */
};

/* TLS_FAULT_NONE until an outcome was TLS_CLOSED. */
enum tls_fault tls_session_fault(const struct tls_session *session);

/* A line about the fault ("error:0A00010B:SSL routines::wrong version number"), "" without one. */
void tls_session_explain(const struct tls_session *session, struct tls_report *report_out);

/* cyrus's external SSF. */
unsigned tls_session_cipher_bits(const struct tls_session *session);

/* Channel binding for SCRAM-*-PLUS: tls-exporter (RFC 9266) on TLS 1.3, tls-unique (RFC 5929) on
 * TLS 1.2 with extended master secret. False when there is none. */
struct tls_binding {
    const char *name;
    uint8_t bytes[64];
    size_t n;
};

/* After the handshake. */
MUST_USE bool tls_session_binding(struct tls_session *session, struct tls_binding *binding_out);

/* Who the peer is. */

enum tls_name_kind { TLS_NAME_CN, TLS_NAME_DNS, TLS_NAME_URI, TLS_NAME_EMAIL };

struct tls_name {
    enum tls_name_kind kind;
    char *text; /* UTF-8, without NUL or control bytes inside; names that have some are left out */
};

#define TLS_PEER_NAMES_MAX 64

/* A certificate that was verified against ssl_ca_cert and the CRL. */
struct tls_peer {
    char *subject; /* RFC 2253 */
    struct tls_name
        names[TLS_PEER_NAMES_MAX]; /* CN first (only if there is exactly one), then SAN */
    size_t n_names;
    char fingerprint[65]; /* SHA-256 of the certificate, hex */
    char serial[72];      /* hex */
    int64_t not_after_s;
};

/* Did the peer show a certificate (full handshake or the resumed session's)? */
bool tls_session_has_peer(const struct tls_session *session);

/* The peer's names, a copy that outlives the session. NULL without a certificate, when memory is
 * short, or when its names cannot be decoded: where tls_session_has_peer is true, NULL must cost
 * the connection. */
MUST_USE struct tls_peer *tls_peer_create(const struct tls_session *session);
/* Accepts NULL, clears. */
void tls_peer_destroy(struct tls_peer **peer);

/* Telling TLS from plain text by a connection's first bytes. */

enum tls_opening {
    TLS_OPENING_NONE,   /* no bytes yet */
    TLS_OPENING_HELLO,  /* a TLS ClientHello, as far as the bytes go */
    TLS_OPENING_BINARY, /* 0x80: the binary protocol */
    TLS_OPENING_TEXT,   /* a printable byte: text protocol, HTTP */
    TLS_OPENING_OTHER,
};

/* Of the first bytes of a connection, as many as have come; also on a plain listener. */
enum tls_opening tls_recognise(struct slice bytes);

/* Bytes for one tls_write from scattered pieces: skips n_skip bytes of them, then gives up to
 * capacity bytes. Copies into buffer unless the first piece alone fills capacity or is all there
 * is: that one is given as it lies. */
struct slice tls_gather(const struct slice *pieces, size_t n_pieces, size_t n_skip, uint8_t *buffer,
                        size_t capacity);

#endif
