/* tls_handshake FOLDER: what a TLS session costs the server: CPU for each handshake, heap while
 * idle. FOLDER is what t/certs made. The client runs in the same process and is not counted. */
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tls/tls.h"

#define N_HANDSHAKES 1000
#define N_IDLE       500

static const char *folder;

static const char *file(const char *name, const char *ending)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s%s", folder, name, ending);
    return path;
}

static double cpu_s(void)
{
    struct timespec now;
    MUST(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct link {
    struct tls_session *server;
    SSL *client;
    int fds[2];
    double server_s;
};

static void open_link(struct link *link, struct tls *tls, SSL_CTX *client_ctx, SSL_SESSION *resume)
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, link->fds) == 0);
    link->client = SSL_new(client_ctx);
    MUST(link->client != NULL && SSL_set_fd(link->client, link->fds[1]) == 1);
    SSL_set_connect_state(link->client);
    if (resume != NULL)
        MUST(SSL_set_session(link->client, resume) == 1);
    double start_s = cpu_s();
    link->server = tls_session_create(tls, link->fds[0], TLS_CLIENT_CERT_DEFAULT);
    MUST(link->server != NULL);
    enum tls_outcome outcome = TLS_WANT_READ;
    link->server_s = cpu_s() - start_s;
    while (outcome != TLS_DONE) {
        (void)SSL_do_handshake(link->client);
        start_s = cpu_s();
        outcome = tls_handshake(link->server);
        link->server_s += cpu_s() - start_s;
        MUST(outcome != TLS_CLOSED);
    }
}

static void talk(struct link *link)
{
    uint8_t bytes[64];
    size_t n;
    while (SSL_is_init_finished(link->client) == 0)
        (void)SSL_do_handshake(link->client);
    MUST(SSL_write(link->client, "get a\r\n", 7) == 7);
    MUST(tls_read(link->server, bytes, sizeof bytes, &n) == TLS_DONE);
    MUST(tls_write(link->server, (const uint8_t *)"END\r\n", 5, &n) == TLS_DONE);
    MUST(SSL_read(link->client, bytes, sizeof bytes) == 5);
}

static void close_link(struct link *link)
{
    SSL_set_shutdown(link->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    double start_s = cpu_s();
    tls_session_destroy(&link->server);
    link->server_s += cpu_s() - start_s;
    SSL_free(link->client);
    (void)close(link->fds[0]);
    (void)close(link->fds[1]);
}

static double handshake_us(struct tls *tls, SSL_CTX *client_ctx, bool is_resumed)
{
    struct link link;
    SSL_SESSION *session = NULL;
    double server_s = 0;
    for (int i = 0; i < N_HANDSHAKES; i++) {
        open_link(&link, tls, client_ctx, session);
        talk(&link);
        if (is_resumed) {
            SSL_SESSION_free(session);
            session = SSL_get1_session(link.client);
            MUST(i == 0 || tls_session_is_resumed(link.server));
        }
        close_link(&link);
        server_s += link.server_s;
    }
    SSL_SESSION_free(session);
    return server_s / N_HANDSHAKES * 1e6;
}

static size_t idle_bytes(struct tls *tls, SSL_CTX *client_ctx)
{
    struct link *links = calloc(N_IDLE, sizeof *links);
    MUST(links != NULL);
    for (int i = 0; i < N_IDLE; i++) {
        open_link(&links[i], tls, client_ctx, NULL);
        talk(&links[i]);
    }
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < N_IDLE; i++)
        tls_session_destroy(&links[i].server);
    size_t after = mallinfo2().uordblks;
    for (int i = 0; i < N_IDLE; i++)
        close_link(&links[i]);
    free(links);
    return (before - after) / N_IDLE;
}

static void measure(const char *key, int version, const char *client_name)
{
    struct tls_config config;
    tls_config_init(&config);
    config.chain_cert = file(key, ".pem");
    config.key = file(key, ".key");
    if (client_name != NULL) {
        config.ca_cert = file("ca", ".pem");
        config.verify = TLS_VERIFY_REQUIRE;
    }
    struct tls_report report;
    struct tls *tls = tls_create(&config, time(NULL), &report);
    if (tls == NULL) {
        puts(report.text);
        exit(EXIT_FAILURE);
    }
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    MUST(client_ctx != NULL);
    SSL_CTX_set_min_proto_version(client_ctx, version);
    SSL_CTX_set_max_proto_version(client_ctx, version);
    if (client_name != NULL) {
        const char *chain = file(client_name, ".pem"), *client_key = file(client_name, ".key");
        MUST(SSL_CTX_use_certificate_chain_file(client_ctx, chain) == 1);
        MUST(SSL_CTX_use_PrivateKey_file(client_ctx, client_key, SSL_FILETYPE_PEM) == 1);
    }
    double full_us = handshake_us(tls, client_ctx, false);
    double resumed_us = handshake_us(tls, client_ctx, true);
    printf("%-10s %-4s %-6s  full %6.0f us %6.0f/s   resumed %5.0f us %6.0f/s   idle %5zu bytes\n",
           key, version == TLS1_3_VERSION ? "1.3" : "1.2", client_name != NULL ? "client" : "",
           full_us, 1e6 / full_us, resumed_us, 1e6 / resumed_us, idle_bytes(tls, client_ctx));
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}

int main(int argc, char **argv)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    if (argc != 2) {
        fputs("usage: tls_handshake FOLDER\n", stderr);
        return 64;
    }
    folder = argv[1];
    puts("server CPU of one core for each handshake with its session's making and freeing:");
    for (int i = 0; i < 2; i++) {
        measure("server", versions[i], NULL);
        measure("server", versions[i], "client");
        measure("server-rsa", versions[i], NULL);
    }
    return EXIT_SUCCESS;
}
