#include "t/unit/tls_pair.h"

#include <malloc.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

/* Where the client goes away. */
enum stage { SILENT, HALF_HELLO, AFTER_HELLO, GARBAGE, HALF_FINISHED, NO_CERTIFICATE, N_STAGES };

struct frame {
    struct tls *tls;
    SSL_CTX *client_ctx;
};

static void shake_once(struct pair *pair)
{
    (void)SSL_do_handshake(pair->client);
    ck_assert_int_eq(tls_handshake(pair->server), TLS_WANT_READ);
}

static void abort_at(struct frame *frame, enum stage stage)
{
    struct pair pair;
    pair_open(&pair, frame->tls, TLS_CLIENT_CERT_DEFAULT, frame->client_ctx);
    static const char half_hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and no more";
    static const char garbage[] = "\x17\x03\x03\x00\x10 not a message..";
    switch (stage) {
    case SILENT:
        break;
    case HALF_HELLO:
        (void)send(pair.client_fd, half_hello, sizeof half_hello, 0);
        break;
    case AFTER_HELLO:
        shake_once(&pair);
        break;
    case GARBAGE:
        shake_once(&pair);
        (void)send(pair.client_fd, garbage, sizeof garbage, 0);
        break;
    case HALF_FINISHED:
        shake_once(&pair);
        (void)send(pair.client_fd, garbage, 4, 0);
        break;
    default:
        (void)pair_shake(&pair);
        break;
    }
    if (stage != NO_CERTIFICATE)
        ck_assert_int_ne(tls_handshake(pair.server), TLS_DONE);
    (void)shutdown(pair.client_fd, SHUT_WR);
    enum tls_outcome outcome = tls_handshake(pair.server);
    ck_assert_int_eq(outcome, TLS_CLOSED);
    ck_assert(!tls_session_is_ready(pair.server));
    pair_close(&pair);
    ERR_clear_error();
}

/* 0 under a sanitizer, whose allocator keeps its figures to itself (and looks for leaks). */
static size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

START_TEST(aborted_handshakes_leave_nothing)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    config.has_session_cache = true;
    struct frame frame = {.tls = pair_tls(&config)};
    frame.client_ctx = pair_client(_i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION, NULL);
    enum stage stage = (enum stage)(_i / 2);
    /* The first ones fill OpenSSL's caches. */
    for (int i = 0; i < 200; i++)
        abort_at(&frame, stage);
    size_t before = heap_in_use();
    enum { N = 1000 };
    for (int i = 0; i < N; i++)
        abort_at(&frame, stage);
    size_t after = heap_in_use();
    /* The allocator's own caches settle within this; a lost session would be 10 MB. */
    ck_assert_msg(after <= before + 96 * 1024, "%zu bytes for each", (after - before) / N);
    struct tls_counters counters;
    tls_counters(frame.tls, &counters);
    ck_assert_uint_eq(counters.handshakes_failed, N + 200);
    struct tls_info info;
    tls_info(frame.tls, pair_now(), &info);
    ck_assert_uint_eq(info.n_sessions, 0);
    SSL_CTX_free(frame.client_ctx);
    tls_destroy(&frame.tls);
}
END_TEST

/* Goal: at most 20 KiB. The measure is a session's own heap, after a request and its answer. */
START_TEST(idle_session_is_small)
{
    struct tls_config config = pair_config();
    struct tls *tls = pair_tls(&config);
    SSL_CTX *client_ctx = pair_client(_i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL);
    struct pair first, pair;
    pair_connect(&first, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    ck_assert(pair_talk(&first));
    pair_connect(&pair, tls, TLS_CLIENT_CERT_DEFAULT, client_ctx, NULL, NULL);
    ck_assert(pair_talk(&pair));
    size_t before = heap_in_use();
    tls_session_destroy(&pair.server);
    size_t after = heap_in_use();
    ck_assert_msg(before - after <= 20 * 1024, "%zu bytes", before - after);
    ck_assert(before == 0 || before - after > 1024);
    pair_close(&pair);
    pair_close(&first);
    SSL_CTX_free(client_ctx);
    tls_destroy(&tls);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_abort");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, aborted_handshakes_leave_nothing, 0, 2 * N_STAGES);
    tcase_add_loop_test(tc, idle_session_is_small, 0, 2);
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
