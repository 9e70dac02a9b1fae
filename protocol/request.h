/* request.h - one request, whichever dialect it came in.
 * Owns: nothing but a decoded base64 key; slices point into the caller's input buffer and are
 *       valid until that buffer is consumed.
 * Thread: any (plain data).
 * Never: holds a dialect's policy; what a request may do is decided once, on this struct. */
#ifndef PROTOCOL_REQUEST_H
#define PROTOCOL_REQUEST_H

#include "base/bytes.h"
#include "protocol/status.h"

#define KEY_MAX              250 /* bytes, every dialect */
#define BASE64_KEY_MAX       188 /* bytes that 250 characters of base64 can decode to, rounded up */
#define EXPTIME_RELATIVE_MAX 2592000 /* 30 days: a larger exptime is an absolute Unix time */

enum dialect { DIALECT_TEXT, DIALECT_META, DIALECT_BINARY };

enum verb {
#define VERB(name, class, value) VERB_##name,
#include "protocol/verbs.def"
#undef VERB
    N_VERBS
};

enum command_class {
    CLASS_PUBLIC, /* allowed before login */
    CLASS_BASIC,  /* any logged-in user */
    CLASS_READ,
    CLASS_WRITE,
    CLASS_DELETE,
    CLASS_INCR,
    CLASS_TOUCH,
    CLASS_FLUSH,
    CLASS_STATS,
    CLASS_DUMP,
    CLASS_ADMIN,
    N_CLASSES
};

/* "GET", "SET": for logs, probes and statistics. */
const char *verb_name(enum verb verb);
extern const uint8_t verb_classes[N_VERBS];
extern const bool verb_takes[N_VERBS];

/* Asked once per request: verbs come from the tables of the parsers, never from a peer. */
static inline enum command_class verb_class(enum verb verb)
{
    return (enum command_class)verb_classes[verb];
}

/* Does a value follow its head, to be stored? */
static inline bool verb_takes_value(enum verb verb)
{
    return verb_takes[verb];
}

/* request.does: what is to happen besides the verb, and what the reply is to show. */
enum {
    DO_CAS = 1u << 0,        /* act only if the item's cas equals request.cas */
    DO_TOUCH = 1u << 1,      /* request.exptime is meant: get-and-touch, T of meta */
    DO_VIVIFY = 1u << 2,     /* on a miss create an item with vivify_exptime (N; binary incr) */
    DO_RECACHE = 1u << 3,    /* win when less than recache_ttl is left (R) */
    DO_INVALIDATE = 1u << 4, /* I: mark stale */
    DO_NEW_CAS = 1u << 5,    /* E: new_cas becomes the item's cas */
    DO_NO_BUMP = 1u << 6,    /* u: neither accessed nor fetched */
    DO_EMPTY = 1u << 7,      /* x: replace by an empty item instead of removing */
    DO_FLAGS = 1u << 8,      /* F was given */
    WANT_VALUE = 1u << 9,
    WANT_CAS = 1u << 10,
    WANT_KEY = 1u << 11,   /* binary GETK, GATK; k of meta */
    KEY_BASE64 = 1u << 12, /* b: the key came as base64 (raw_key holds the real one) */
    WANT_STATE = 1u << 13, /* mg: the stale, won and recache tokens apply */
};

struct request {
    uint8_t verb;    /* enum verb */
    uint8_t dialect; /* enum dialect */
    uint8_t opcode;  /* binary: as received, echoed in the reply */
    uint8_t status;  /* enum status; VERB_BAD: what to answer. Otherwise STATUS_NONE */
    bool is_quiet;   /* noreply; a quiet opcode; q of meta */
    bool is_last;    /* text get family: the last key of its line, END follows */
    bool is_first;   /* text get family: the first key of its line */
    bool closes;     /* the connection ends after the answer */
    uint32_t does;   /* DO_, WANT_ bits */

    struct slice key; /* decoded; empty for verbs without one */
    uint32_t client_flags;
    int64_t exptime; /* as sent: 0 never, negative already over, else EXPTIME_RELATIVE_MAX rules */
    int64_t vivify_exptime; /* DO_VIVIFY: of the new item, as sent like exptime */
    int64_t recache_ttl;    /* DO_RECACHE: seconds */
    uint64_t cas;           /* DO_CAS */
    uint64_t new_cas;       /* DO_NEW_CAS */
    uint64_t delta;         /* incr, decr */
    uint64_t initial;       /* DO_VIVIFY of incr, decr: the new item's number */
    uint32_t opaque;        /* binary: copied bit for bit */

    /* The value follows the head in the stream and is not parsed. n_value bytes, then n_trailer
     * bytes (text: CR LF; binary: 0) that must read "\r\n". For VERB_BAD, and for verbs that take
     * no value, both are swallowed. */
    uint32_t n_value;
    uint8_t n_trailer;
    struct slice value; /* the whole value, when the server has it in one piece; else p is NULL */

    /* Text: the command word. A login by `set` needs no sense in the other words but <bytes>: it
     * may be VERB_BAD with command "set" and n_trailer 2. */
    struct slice command;
    struct slice args; /* admin and stats: the rest of the line, the STAT key, a binary level as
                        * digits (in raw_key); SASL: unused */
    struct slice meta; /* meta: the region of flag tokens, in the order sent */

    /* key and args may point here: a copied request still uses the first one's. */
    uint8_t raw_key[BASE64_KEY_MAX + 4];
};

/* The word number `index` (0 based) of args, empty when there are fewer. */
struct slice request_arg(const struct request *request, unsigned index);

/* How many words args has. */
unsigned request_n_args(const struct request *request);

#endif
