#include "t/unit/tls_pair.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/keepd-tls-XXXXXX";

static int run(const char *format, const char *a, const char *b)
{
    char command[1024];
    snprintf(command, sizeof command, format, a, b);
    return system(command);
}

int pair_run(Suite *suite)
{
    const char *source = getenv("KEEPD_SRCDIR");
    if (mkdtemp(folder) == NULL ||
        run("'%s/t/certs' '%s' >&2", source != NULL ? source : ".", folder) != 0) {
        puts("Bail out! t/certs failed");
        return EXIT_FAILURE;
    }
    int result = unit_run(suite);
    (void)run("rm -rf '%s'%s", folder, "");
    return result;
}

const char *pair_file(const char *name)
{
    static _Thread_local char paths[8][256]; /* threads make pairs too */
    static _Thread_local unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

struct tls_config pair_config(void)
{
    static char chain[256], key[256];
    snprintf(chain, sizeof chain, "%s/server.pem", folder);
    snprintf(key, sizeof key, "%s/server.key", folder);
    struct tls_config config;
    tls_config_init(&config);
    config.chain_cert = chain;
    config.key = key;
    return config;
}

struct tls_config pair_config_verify(enum tls_verify verify)
{
    static char ca[256];
    snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    struct tls_config config = pair_config();
    config.ca_cert = ca;
    config.verify = verify;
    return config;
}

int64_t pair_now(void)
{
    return time(NULL);
}

struct tls *pair_tls(const struct tls_config *config)
{
    struct tls_report report;
    struct tls *tls = tls_create(config, pair_now(), &report);
    ck_assert_msg(tls != NULL, "%s", report.text);
    ck_assert_str_eq(report.text, "");
    return tls;
}

SSL_CTX *pair_client(int version, const char *cert_name)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    ck_assert_ptr_nonnull(ctx);
    ck_assert_int_eq(SSL_CTX_set_min_proto_version(ctx, version), 1);
    ck_assert_int_eq(SSL_CTX_set_max_proto_version(ctx, version), 1);
    ck_assert_int_eq(SSL_CTX_load_verify_file(ctx, pair_file("ca.pem")), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (cert_name != NULL) {
        char name[64];
        snprintf(name, sizeof name, "%s.pem", cert_name);
        ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(ctx, pair_file(name)), 1);
        snprintf(name, sizeof name, "%s.key", cert_name);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, pair_file(name), SSL_FILETYPE_PEM), 1);
    }
    return ctx;
}

void pair_open(struct pair *pair, struct tls *tls, enum tls_client_cert mode, SSL_CTX *client_ctx)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    pair->server_fd = fds[0];
    pair->client_fd = fds[1];
    pair->server = tls_session_create(tls, fds[0], mode);
    ck_assert_ptr_nonnull(pair->server);
    pair->client = NULL;
    if (client_ctx == NULL)
        return;
    pair->client = SSL_new(client_ctx);
    ck_assert_ptr_nonnull(pair->client);
    ck_assert_int_eq(SSL_set_fd(pair->client, fds[1]), 1);
    SSL_set_connect_state(pair->client);
}

/* 1 finished, 0 waits, -1 failed. */
static int shake_client(struct pair *pair)
{
    ERR_clear_error();
    int result = SSL_do_handshake(pair->client);
    if (result == 1)
        return 1;
    int error = SSL_get_error(pair->client, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool pair_shake(struct pair *pair)
{
    int client = 0;
    enum tls_outcome server = TLS_WANT_READ;
    for (int i = 0; i < 100; i++) {
        if (client == 0)
            client = shake_client(pair);
        if (server == TLS_WANT_READ || server == TLS_WANT_WRITE)
            server = tls_handshake(pair->server);
        if (client == 1 && server == TLS_DONE)
            return true;
        if (server == TLS_CLOSED)
            return false;
        if (client < 0)
            (void)shutdown(pair->client_fd, SHUT_WR);
    }
    return false;
}

bool pair_talk(struct pair *pair)
{
    uint8_t bytes[16];
    size_t n;
    ERR_clear_error();
    return SSL_write(pair->client, "get a\r\n", 7) == 7 &&
           tls_read(pair->server, bytes, sizeof bytes, &n) == TLS_DONE && n == 7 &&
           memcmp(bytes, "get a\r\n", 7) == 0 &&
           tls_write(pair->server, (const uint8_t *)"END\r\n", 5, &n) == TLS_DONE && n == 5 &&
           SSL_read(pair->client, bytes, sizeof bytes) == 5 && memcmp(bytes, "END\r\n", 5) == 0;
}

void pair_close(struct pair *pair)
{
    /* So that the client keeps the session for a later resumption. */
    if (pair->client != NULL)
        SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    tls_session_destroy(&pair->server);
    SSL_free(pair->client);
    pair->client = NULL;
    (void)close(pair->server_fd);
    (void)close(pair->client_fd);
}

void pair_connect(struct pair *pair, struct tls *tls, enum tls_client_cert mode,
                  SSL_CTX *client_ctx, SSL_SESSION *resume, const char *server_name)
{
    pair_open(pair, tls, mode, client_ctx);
    if (resume != NULL)
        ck_assert_int_eq(SSL_set_session(pair->client, resume), 1);
    if (server_name != NULL)
        ck_assert_int_eq(SSL_set_tlsext_host_name(pair->client, server_name), 1);
    ck_assert(pair_shake(pair));
}
