/* tls_pair.h - a server session and an OpenSSL client on one socket pair, for the tests of tls. */
#ifndef T_UNIT_TLS_PAIR_H
#define T_UNIT_TLS_PAIR_H

#include <openssl/ssl.h>

#include "tls/tls.h"
#include "t/unit/unit.h"

struct pair {
    struct tls_session *server;
    SSL *client;
    int server_fd;
    int client_fd;
};

/* Runs the suite with a folder of fresh certificates; the body of main. */
int pair_run(Suite *suite);

/* The path of a certificate file; good until the eighth call after this one. */
const char *pair_file(const char *name);

/* The usual configuration: server.pem, TLS 1.2 and 1.3. */
struct tls_config pair_config(void);

/* The same with ca.pem and this mode. */
struct tls_config pair_config_verify(enum tls_verify verify);

/* Unix time. */
int64_t pair_now(void);

/* Must succeed without a warning. */
struct tls *pair_tls(const struct tls_config *config);

/* A client that trusts ca.pem and speaks this version only (0 = any); cert_name as in
 * "client-bare", NULL = none. */
SSL_CTX *pair_client(int version, const char *cert_name);

void pair_open(struct pair *pair, struct tls *tls, enum tls_client_cert mode, SSL_CTX *client_ctx);

/* Drives both ends as far as they go; true when both have finished the handshake. */
bool pair_shake(struct pair *pair);

/* One line each way; the client also takes its ticket by that. */
bool pair_talk(struct pair *pair);

void pair_close(struct pair *pair);

/* pair_open and pair_shake, which must succeed, with a session to resume (or NULL) and a server
 * name (or NULL). */
void pair_connect(struct pair *pair, struct tls *tls, enum tls_client_cert mode,
                  SSL_CTX *client_ctx, SSL_SESSION *resume, const char *server_name);

#endif
