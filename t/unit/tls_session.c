#include "t/unit/tls_pair.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD_MAX 16384u

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

struct frame {
    struct tls *tls;
    SSL_CTX *client_ctx;
    struct pair pair;
};

/* A server and a connected client of one version. */
static void begin(struct frame *frame, int version)
{
    struct tls_config config = pair_config();
    frame->tls = pair_tls(&config);
    frame->client_ctx = pair_client(version, NULL);
    pair_connect(&frame->pair, frame->tls, TLS_CLIENT_CERT_DEFAULT, frame->client_ctx, NULL, NULL);
}

static void finish(struct frame *frame)
{
    pair_close(&frame->pair);
    SSL_CTX_free(frame->client_ctx);
    tls_destroy(&frame->tls);
    ck_assert_uint_eq(ERR_peek_error(), 0);
}

static struct tls_counters counters_of(struct tls *tls)
{
    struct tls_counters counters;
    tls_counters(tls, &counters);
    return counters;
}

START_TEST(handshake_and_facts)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    struct tls_session *server = frame.pair.server;
    ck_assert(tls_session_is_ready(server));
    ck_assert_int_eq(tls_handshake(server), TLS_DONE);
    ck_assert_str_eq(SSL_get_version(frame.pair.client), _i == 0 ? "TLSv1.2" : "TLSv1.3");
    ck_assert_uint_eq(tls_session_cipher_bits(server), 128);
    ck_assert_int_eq(tls_session_fault(server), TLS_FAULT_NONE);
    ck_assert(!tls_session_has_peer(server));
    struct tls_report report;
    tls_session_explain(server, &report);
    ck_assert_str_eq(report.text, "");
    ck_assert(pair_talk(&frame.pair));
    ck_assert(!tls_has_pending(server));
    finish(&frame);
}
END_TEST

START_TEST(old_versions_are_refused)
{
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(old[_i], NULL);
    SSL_CTX_set_security_level(client_ctx, 0);
    struct pair pair;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
    ck_assert(!pair_shake(&pair));
    ck_assert_int_eq(tls_session_fault(pair.server), TLS_FAULT_PROTOCOL);
    struct tls_report report;
    tls_session_explain(pair.server, &report);
    ck_assert_str_eq(report.text, "error:0A000102:SSL routines::unsupported protocol");
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(minimum_1_3_refuses_1_2)
{
    struct tls_config config = pair_config();
    config.min_version = TLS_MIN_1_3;
    struct tls *tls = pair_tls(&config);
    for (int i = 0; i < 2; i++) {
        SSL_CTX *client_ctx = pair_client(versions[i], NULL);
        struct pair pair;
        pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
        ck_assert_int_eq(pair_shake(&pair), i == 1);
        pair_close(&pair);
        SSL_CTX_free(client_ctx);
    }
    struct tls_info info;
    tls_info(tls, pair_now(), &info);
    ck_assert_str_eq(info.versions, "TLSv1.3");
    tls_destroy(&tls);
}
END_TEST

/* Every TLS 1.2 cipher that OpenSSL knows, one by one: only ECDHE with AEAD gets through. */
START_TEST(only_forward_secret_aead)
{
    struct tls_config config = pair_config();
    config.chain_cert = pair_file(_i == 0 ? "server.pem" : "server-rsa.pem");
    config.key = pair_file(_i == 0 ? "server.key" : "server-rsa.key");
    struct tls *tls = pair_tls(&config);
    SSL_CTX *all = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(all, 0);
    ck_assert_int_eq(SSL_CTX_set_cipher_list(all, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(all);
    int n_accepted = 0, n_tried = 0;
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        SSL_CTX *client_ctx = pair_client(TLS1_2_VERSION, NULL);
        SSL_CTX_set_security_level(client_ctx, 0);
        if (SSL_CTX_set_cipher_list(client_ctx, SSL_CIPHER_get_name(cipher)) == 1) {
            struct pair pair;
            pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx);
            n_tried++;
            if (pair_shake(&pair)) {
                const char *name = SSL_get_cipher_name(pair.client);
                n_accepted++;
                ck_assert_msg(strncmp(name, "ECDHE-", 6) == 0, "%s", name);
                ck_assert_msg(SSL_CIPHER_is_aead(cipher) == 1, "%s", name);
            }
            pair_close(&pair);
        }
        SSL_CTX_free(client_ctx);
    }
    ck_assert_int_gt(n_tried, 50);
    ck_assert_int_eq(n_accepted, 3);
    SSL_CTX_free(all);
    tls_destroy(&tls);
}
END_TEST

START_TEST(no_renegotiation)
{
    struct frame frame;
    begin(&frame, TLS1_2_VERSION);
    struct pair *pair = &frame.pair;
    ck_assert_int_eq(SSL_renegotiate(pair->client), 1);
    (void)SSL_do_handshake(pair->client);
    uint8_t bytes[16];
    size_t n;
    ck_assert_int_eq(tls_read(pair->server, bytes, sizeof bytes, &n), TLS_WANT_READ);
    /* The client is told no (a warning) and gives up by itself. */
    ck_assert_int_le(SSL_do_handshake(pair->client), 0);
    ERR_clear_error();
    finish(&frame);
}
END_TEST

/* The client's bytes reach the server one at a time. */
START_TEST(handshake_split_at_every_byte)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    struct pair pair;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, NULL);
    pair.client = SSL_new(client_ctx);
    BIO *to_server = BIO_new(BIO_s_mem());
    BIO *to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(pair.client, to_client, to_server);
    SSL_set_connect_state(pair.client);
    enum tls_outcome outcome = TLS_WANT_READ;
    for (int i = 0; i < 5000 && outcome != TLS_DONE; i++) {
        (void)SSL_do_handshake(pair.client);
        char byte, reply[4096];
        while (outcome == TLS_WANT_READ && BIO_read(to_server, &byte, 1) == 1) {
            ck_assert_int_eq(write(pair.client_fd, &byte, 1), 1);
            outcome = tls_handshake(pair.server);
            ck_assert_int_ne(outcome, TLS_CLOSED);
        }
        ssize_t n = read(pair.client_fd, reply, sizeof reply);
        if (n > 0)
            BIO_write(to_client, reply, (int)n);
    }
    ck_assert_int_eq(outcome, TLS_DONE);
    ERR_clear_error();
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

START_TEST(tiny_records)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    enum { N = 100000 };
    size_t n_sent = 0, n_seen = 0;
    while (n_seen < N) {
        for (int burst = 0; burst < 50 && n_sent < N; burst++) {
            uint8_t byte = (uint8_t)n_sent;
            if (SSL_write(frame.pair.client, &byte, 1) != 1)
                break;
            n_sent++;
        }
        uint8_t bytes[64];
        size_t n;
        enum tls_outcome outcome;
        while ((outcome = tls_read(frame.pair.server, bytes, sizeof bytes, &n)) == TLS_DONE) {
            for (size_t i = 0; i < n; i++)
                ck_assert_uint_eq(bytes[i], (uint8_t)(n_seen + i));
            n_seen += n;
        }
        ck_assert_int_eq(outcome, TLS_WANT_READ);
    }
    ck_assert_uint_eq(n_seen, N);
    finish(&frame);
}
END_TEST

/* A megabyte through a small socket buffer, offered from a place that moves. */
START_TEST(large_write_with_retries)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    int small = 4096;
    (void)setsockopt(frame.pair.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    enum { N = 1 << 20 };
    uint8_t *data = malloc(N), *seen = malloc(N), *moved = malloc(RECORD_MAX);
    for (size_t i = 0; i < N; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t n_sent = 0, n_seen = 0, n_wants = 0;
    while (n_seen < N) {
        size_t n = N - n_sent < RECORD_MAX ? N - n_sent : RECORD_MAX;
        size_t n_done = 0;
        memcpy(moved, data + n_sent, n);
        enum tls_outcome outcome =
            n > 0 ? tls_write(frame.pair.server, moved, n, &n_done) : TLS_WANT_WRITE;
        memset(moved, 0, RECORD_MAX);
        n_sent += n_done;
        if (outcome == TLS_DONE)
            continue;
        ck_assert_int_eq(outcome, TLS_WANT_WRITE);
        n_wants++;
        int got;
        while ((got = SSL_read(frame.pair.client, seen + n_seen, (int)(N - n_seen))) > 0)
            n_seen += (size_t)got;
    }
    ck_assert_uint_gt(n_wants, 10);
    ck_assert_mem_eq(seen, data, N);
    free(data);
    free(seen);
    free(moved);
    finish(&frame);
}
END_TEST

/* What one record held beyond the caller's buffer is pending; the poller would not know. */
START_TEST(pending_bytes_are_told)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    uint8_t bytes[4];
    size_t n;
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, 4, &n), TLS_WANT_READ);
    ck_assert(!tls_has_pending(frame.pair.server));
    ck_assert_int_eq(SSL_write(frame.pair.client, "abcdef", 6), 6);
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, 4, &n), TLS_DONE);
    ck_assert_uint_eq(n, 4);
    ck_assert(tls_has_pending(frame.pair.server));
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, 4, &n), TLS_DONE);
    ck_assert_uint_eq(n, 2);
    ck_assert(!tls_has_pending(frame.pair.server));
    finish(&frame);
}
END_TEST

/* The last bytes and the end arrive together: the end must not be slept through. */
START_TEST(end_behind_data_is_pending)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    ck_assert_int_eq(SSL_write(frame.pair.client, "quit\r\n", 6), 6);
    ck_assert_int_eq(SSL_shutdown(frame.pair.client), 0);
    uint8_t bytes[64];
    size_t n;
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_DONE);
    ck_assert_uint_eq(n, 6);
    ck_assert(tls_has_pending(frame.pair.server));
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(frame.pair.server), TLS_FAULT_NONE);
    ck_assert_uint_eq(counters_of(frame.tls).cut_ends, 0);
    /* The answer still goes out, then our close_notify. */
    ck_assert_int_eq(tls_write(frame.pair.server, (const uint8_t *)"bye", 3, &n), TLS_DONE);
    ck_assert_int_eq(tls_shutdown(frame.pair.server), TLS_DONE);
    ck_assert_int_eq(SSL_read(frame.pair.client, bytes, sizeof bytes), 3);
    ck_assert_int_eq(SSL_read(frame.pair.client, bytes, sizeof bytes), 0);
    ck_assert_int_eq(SSL_get_error(frame.pair.client, 0), SSL_ERROR_ZERO_RETURN);
    finish(&frame);
}
END_TEST

START_TEST(cut_is_told_apart)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    ck_assert_int_eq(shutdown(frame.pair.client_fd, SHUT_WR), 0);
    uint8_t bytes[16];
    size_t n;
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(frame.pair.server), TLS_FAULT_CUT);
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_CLOSED);
    ck_assert_uint_eq(counters_of(frame.tls).cut_ends, 1);
    ck_assert_uint_eq(counters_of(frame.tls).proto_errors, 0);
    ck_assert_int_eq(tls_write(frame.pair.server, (const uint8_t *)"x", 1, &n), TLS_DONE);
    ck_assert_int_eq(tls_shutdown(frame.pair.server), TLS_DONE);
    finish(&frame);
}
END_TEST

/* SIGPIPE would end this test. */
START_TEST(write_to_a_closed_socket)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    (void)shutdown(frame.pair.client_fd, SHUT_RDWR);
    size_t n;
    ck_assert_int_eq(tls_write(frame.pair.server, (const uint8_t *)"x", 1, &n), TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(frame.pair.server), TLS_FAULT_CUT);
    ck_assert_int_eq(tls_write(frame.pair.server, (const uint8_t *)"x", 1, &n), TLS_CLOSED);
    ck_assert_int_eq(tls_shutdown(frame.pair.server), TLS_DONE);
    finish(&frame);
}
END_TEST

/* The client asks for new keys while the server's socket is full: the read of the request, or of
 * the next one, wants to write, and nothing is lost once it can. */
START_TEST(key_update_while_the_socket_is_full)
{
    struct frame frame;
    begin(&frame, TLS1_3_VERSION);
    struct tls_session *server = frame.pair.server;
    static uint8_t block[RECORD_MAX], seen[RECORD_MAX];
    size_t n, n_sent = 0, n_seen = 0;
    while (tls_write(server, block, sizeof block, &n) == TLS_DONE)
        n_sent += n;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(SSL_key_update(frame.pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_write(frame.pair.client, "hello", 5), 5);
    }
    uint8_t bytes[64];
    size_t n_hello = 0;
    bool is_done = false;
    for (int i = 0; i < 1000 && !(is_done && n_hello == 15); i++) {
        enum tls_outcome outcome = tls_read(server, bytes + n_hello, 15 - n_hello + 1, &n);
        if (i == 0)
            ck_assert_int_eq(outcome, TLS_WANT_WRITE);
        if (outcome == TLS_DONE)
            n_hello += n;
        ck_assert_int_ne(outcome, TLS_CLOSED);
        int got = SSL_read(frame.pair.client, seen, sizeof seen);
        if (got > 0)
            n_seen += (size_t)got;
        if (!is_done && tls_write(server, block, sizeof block, &n) == TLS_DONE) {
            n_sent += n;
            is_done = n == sizeof block;
        }
    }
    ck_assert_uint_eq(n_hello, 15);
    ck_assert_mem_eq(bytes, "hellohellohello", 15);
    while (n_seen < n_sent) {
        int got = SSL_read(frame.pair.client, seen, sizeof seen);
        ck_assert_int_gt(got, 0);
        n_seen += (size_t)got;
    }
    ck_assert_uint_eq(n_seen, n_sent);
    finish(&frame);
}
END_TEST

START_TEST(key_updates_without_end_are_cut_off)
{
    struct frame frame;
    begin(&frame, TLS1_3_VERSION);
    enum tls_outcome outcome = TLS_WANT_READ;
    int n_updates = 0;
    while (outcome == TLS_WANT_READ && n_updates < 10000) {
        for (int i = 0; i < 100; i++, n_updates++) {
            ck_assert_int_eq(SSL_key_update(frame.pair.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            ck_assert_int_eq(SSL_do_handshake(frame.pair.client), 1);
        }
        uint8_t bytes[16];
        size_t n;
        outcome = tls_read(frame.pair.server, bytes, sizeof bytes, &n);
    }
    ck_assert_int_eq(outcome, TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(frame.pair.server), TLS_FAULT_PROTOCOL);
    ck_assert_int_gt(n_updates, 1000);
    ERR_clear_error();
    finish(&frame);
}
END_TEST

static const struct slice plain_rows[] = {
    SLICE("v"),
    SLICE("\n"),
    SLICE("version\r\n"),
    SLICE("GET / HTTP/1.1\r\n\r\n"),
    SLICE("\x80"),
    SLICE("\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    SLICE("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
    SLICE("\0\0\0\0\0\0\0"),
    SLICE("\xff\xff\xff"),
    SLICE("\x16\x03\x01\x00\x05\x02\x00"),
    SLICE("\x16\x07"),
};

/* Whether its end comes with the bytes or not, and whoever reads the socket. */
START_TEST(plain_client_is_recognised)
{
    const struct slice *row = &plain_rows[_i / 4];
    struct tls_config config = pair_config();
    config.has_kernel_tls = _i % 4 > 1;
    struct tls *tls = pair_tls(&config);
    struct pair pair;
    pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, NULL);
    ck_assert_int_eq(tls_handshake(pair.server), TLS_WANT_READ);
    ck_assert_int_eq(write(pair.client_fd, row->p, row->n), (ssize_t)row->n);
    if (_i % 2 == 1)
        ck_assert_int_eq(shutdown(pair.client_fd, SHUT_WR), 0);
    ck_assert_int_eq(tls_handshake(pair.server), TLS_CLOSED);
    ck_assert_int_eq(tls_handshake(pair.server), TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(pair.server), TLS_FAULT_PLAIN);
    ck_assert_int_eq(tls_shutdown(pair.server), TLS_DONE);
    struct tls_counters counters = counters_of(tls);
    ck_assert_uint_eq(counters.handshakes_failed, 1);
    ck_assert_uint_eq(counters.handshakes_plain, 1);
    struct tls_report report;
    tls_session_explain(pair.server, &report);
    ck_assert_uint_gt(strlen(report.text), 0);
    pair_close(&pair);
    tls_destroy(&tls);
}
END_TEST

/* Records after the handshake that a peer could send; each ends the connection, none the server. */
static const struct slice broken_rows[] = {
    SLICE("\x17\x03\x03\x00\x05hello"),
    SLICE("\x17\x03\x03\xff\xff"),
    SLICE("\x17\x03\x03\x00\x20"
          "00000000000000000000000000000000"),
    SLICE("\x63\x03\x03\x00\x05hello"),
    SLICE("\x17\x09\x09\x00\x05hello"),
    SLICE("get a\r\n"),
    SLICE("\x16\x03\x03\x00\x04\x01\x00\x00\x00"),
};

START_TEST(broken_record_ends_the_connection)
{
    const struct slice *row = &broken_rows[_i / 2];
    struct frame frame;
    begin(&frame, versions[_i % 2]);
    ck_assert(pair_talk(&frame.pair));
    ck_assert_int_eq(write(frame.pair.client_fd, row->p, row->n), (ssize_t)row->n);
    uint8_t bytes[16];
    size_t n;
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_CLOSED);
    ck_assert_int_eq(tls_session_fault(frame.pair.server), TLS_FAULT_PROTOCOL);
    ck_assert_uint_eq(counters_of(frame.tls).proto_errors, 1);
    ck_assert_int_eq(tls_write(frame.pair.server, bytes, 1, &n), TLS_CLOSED);
    finish(&frame);
}
END_TEST

/* A good ClientHello with bytes changed or cut, from a fixed sequence. */
START_TEST(damaged_hellos)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(0, NULL);
    uint8_t hello[2048], damaged[sizeof hello];
    SSL *client = SSL_new(client_ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(client, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(client);
    (void)SSL_do_handshake(client);
    int n_hello = BIO_read(out, hello, sizeof hello);
    ck_assert_int_gt(n_hello, 100);
    SSL_free(client);
    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        memcpy(damaged, hello, (size_t)n_hello);
        size_t n = (size_t)n_hello;
        for (int i = rand_r(&seed) % 8; i >= 0; i--)
            damaged[(size_t)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
        if (round % 3 == 0)
            n = 1 + (size_t)rand_r(&seed) % n;
        struct pair pair;
        pair_open(&pair, tls, TLS_CLIENT_CERT_DEFAULT, NULL);
        ck_assert_int_eq(write(pair.client_fd, damaged, n), (ssize_t)n);
        (void)shutdown(pair.client_fd, SHUT_WR);
        enum tls_outcome outcome = TLS_WANT_READ;
        for (int i = 0; i < 8 && outcome != TLS_CLOSED; i++)
            outcome = tls_handshake(pair.server);
        ck_assert_int_eq(outcome, TLS_CLOSED);
        pair_close(&pair);
    }
    ck_assert_uint_eq(counters_of(tls).handshakes_failed, 3000);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
    ERR_clear_error();
}
END_TEST

/* The queue of errors is the thread's: what another call left in it must not end a session. */
START_TEST(foreign_errors_do_no_harm)
{
    struct frame frame;
    begin(&frame, versions[_i]);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    ck_assert(pair_talk(&frame.pair));
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
    uint8_t bytes[16];
    size_t n;
    ck_assert_int_eq(tls_read(frame.pair.server, bytes, sizeof bytes, &n), TLS_WANT_READ);
    finish(&frame);
}
END_TEST

START_TEST(kernel_tls_falls_back)
{
    struct tls_config config = pair_config();
    config.has_kernel_tls = true;
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(versions[_i], NULL);
    struct pair pair;
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    ck_assert(pair_talk(&pair));
    pair_close(&pair);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_session");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, handshake_and_facts, 0, 2);
    tcase_add_loop_test(tc, old_versions_are_refused, 0, 2);
    tcase_add_test(tc, minimum_1_3_refuses_1_2);
    tcase_add_loop_test(tc, only_forward_secret_aead, 0, 2);
    tcase_add_test(tc, no_renegotiation);
    tcase_add_loop_test(tc, handshake_split_at_every_byte, 0, 2);
    tcase_add_loop_test(tc, tiny_records, 0, 2);
    tcase_add_loop_test(tc, large_write_with_retries, 0, 2);
    tcase_add_loop_test(tc, pending_bytes_are_told, 0, 2);
    tcase_add_loop_test(tc, end_behind_data_is_pending, 0, 2);
    tcase_add_loop_test(tc, cut_is_told_apart, 0, 2);
    tcase_add_loop_test(tc, write_to_a_closed_socket, 0, 2);
    tcase_add_test(tc, key_update_while_the_socket_is_full);
    tcase_add_test(tc, key_updates_without_end_are_cut_off);
    tcase_add_loop_test(tc, plain_client_is_recognised, 0, 4 * N_ROWS(plain_rows));
    tcase_add_loop_test(tc, broken_record_ends_the_connection, 0, 2 * N_ROWS(broken_rows));
    tcase_add_test(tc, damaged_hellos);
    tcase_add_loop_test(tc, foreign_errors_do_no_harm, 0, 2);
    tcase_add_loop_test(tc, kernel_tls_falls_back, 0, 2);
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
