/* state.h - what tls_create made: the current context, ticket keys, counters.
 * Owns: contexts as long as a session or being current holds them.
 * Thread: any. One short lock covers the list of contexts and their references; a pointer that is
 * swapped while others take it cannot be counted without one. Counters are atomics.
 * Never: reads a file or runs cryptography under the lock. */
#ifndef TLS_STATE_H
#define TLS_STATE_H

#include <openssl/bio.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tls/context.h"
#include "tls/ticket.h"
#include "tls/tls.h"

struct state_counters {
    atomic_uint_fast64_t handshakes_full;
    atomic_uint_fast64_t handshakes_resumed;
    atomic_uint_fast64_t handshakes_failed;
    atomic_uint_fast64_t handshakes_plain;
    atomic_uint_fast64_t proto_errors;
    atomic_uint_fast64_t cut_ends;
    atomic_uint_fast64_t tickets_refused;
};

struct tls {
    struct ticket_keys *ticket_keys;
    BIO_METHOD *wire;    /* how sessions reach their sockets */
    bool has_kernel_tls; /* asked for, and kernel and OpenSSL can; constant */
    struct state_counters counters;
    atomic_uint_fast64_t policy;

    pthread_mutex_t lock; /* everything below */
    struct context *current;
    struct context *contexts; /* all living ones, by next */
    unsigned n_refs;          /* sessions, and one for the owner */
    uint64_t n_loads;
    int64_t last_reload_s;
    bool last_reload_worked;
    char last_reload_text[TLS_REPORT_SIZE];
};

/* Takes the current context for a session; state_drop gives it back, and may free it and tls. */
struct context *state_take(struct tls *tls);
void state_drop(struct context **context);

static inline void state_count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif
