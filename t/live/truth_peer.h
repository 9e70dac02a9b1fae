/* truth_peer.h - a client's connection in one dialect, in the clear or inside TLS: requests are
 * queued, sent together, and their answers read in order.
 * Owns: the socket and its buffers.   Thread: one at a time.
 * Never: goes on after a surprise: it tells it on stderr and ends the process with status 1. The
 * end of the connection is one too, unless peer_expect_loss said where to go on. */
#ifndef T_LIVE_TRUTH_PEER_H
#define T_LIVE_TRUTH_PEER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dialect { IN_TEXT, IN_META, IN_BINARY };
enum outcome { STORED, NOT_STORED, EXISTS, NOT_FOUND, NO_ROOM };
enum store_mode { MODE_SET, MODE_ADD, MODE_APPEND };

struct peer_config {
    int port;
    bool is_tls;
    bool is_patient;  /* the server may be away for a while: try again */
    const char *user; /* NULL: no login */
    const char *password;
};

struct peer;

struct value {
    const char *p; /* until the next call */
    size_t n;
    uint64_t cas;
};

struct peer *peer_create(const struct peer_config *config, enum dialect dialect);
void peer_destroy(struct peer **peer);

/* When the connection ends, jump there: what was asked and not answered may be done or not. */
void peer_expect_loss(struct peer *peer, jmp_buf *loss);

/* Each ask has its answer; answers come in the order of the asks. */
void ask_store(struct peer *peer, enum store_mode mode, const char *key, const char *value,
               size_t n, uint64_t cas);
/* A set with a time to live in seconds. */
void ask_set(struct peer *peer, const char *key, const char *value, size_t n, unsigned ttl);
enum outcome answer_store(struct peer *peer);
void ask_get(struct peer *peer, const char *key);
bool answer_get(struct peer *peer, const char *key, struct value *value_out);
void ask_delete(struct peer *peer, const char *key);
enum outcome answer_delete(struct peer *peer);
void ask_incr(struct peer *peer, const char *key);
bool answer_incr(struct peer *peer, uint64_t *number_out);

/* A text command with an answer of one line, on a text or meta peer. */
void command(struct peer *peer, const char *line);

__attribute__((format(printf, 1, 2))) _Noreturn void surprise(const char *format, ...);

#endif
