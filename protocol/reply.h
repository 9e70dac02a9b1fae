/* reply.h - one reply, whichever dialect it goes out in.
 * Owns: nothing; slices point to memory that the server keeps until the reply is encoded.
 * Thread: any (plain data).
 * Never: knows sockets or buffers. */
#ifndef PROTOCOL_REPLY_H
#define PROTOCOL_REPLY_H

#include "base/bytes.h"
#include "protocol/status.h"

struct reply {
    uint8_t status;      /* enum status */
    bool has_value;      /* a hit whose value is sent between head and tail */
    bool is_won;         /* meta W: this client is to recache */
    bool is_stale;       /* meta X */
    bool is_already_won; /* meta Z: another client has won */
    bool was_fetched;    /* meta h: read before this request */
    bool key_is_base64;  /* the stored key was given as base64: k shows it so */
    uint32_t client_flags;
    uint32_t last_access; /* seconds since the last access */
    uint64_t n_value;     /* bytes of the value: meta s and VA, VALUE line, binary body */
    uint64_t cas;
    uint64_t number;     /* incr, decr: the new value */
    int64_t ttl_before;  /* seconds left before this request touched the item; -1 = no expiry */
    int64_t ttl_after;   /* ... and after it; of an item that it created, both are its time */
    uint32_t item_class; /* me: cls */
    uint32_t item_size;  /* me: bytes with header */
    struct slice text;   /* STATUS_TEXT: the line; SASL: server data */
};

/* Cleared for every request: up to here compilers store zeros in line, above it they call. */
_Static_assert(sizeof(struct reply) <= 80, "a reply is cheap to clear");

#endif
