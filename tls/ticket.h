/* ticket.h - the keys that seal session tickets, rotated; the last one still opens.
 * Owns: the keys.   Thread: any; a lock of its own, held for a copy of one key.
 * Never: leaves a key on the stack; seals with a key older than its period after a tick. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include <openssl/ssl.h>

#include "tls/tls.h"

/* A ticket lives as long as a key is the newest, so a key opens for two periods. */
#define TICKET_PERIOD_S 7200

struct ticket_keys;

MUST_USE struct ticket_keys *ticket_keys_create(int64_t now_s);
void ticket_keys_destroy(struct ticket_keys **keys);

/* Makes a new key if the newest is a period old; forgets those older than two. */
void ticket_keys_tick(struct ticket_keys *keys, int64_t now_s);

/* The body of OpenSSL's callback: -1 failure, 0 unknown key, 1 ready, 2 ready but renew. */
int ticket_keys_seal(struct ticket_keys *keys, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac);
int ticket_keys_unseal(struct ticket_keys *keys, const uint8_t *name, const uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);

#endif
