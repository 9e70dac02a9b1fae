#include "server/udp_frame.h"

#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
    const char *bytes;
    size_t n;
    bool is_taken;
} request_rows[] = {
    {"\x12\x34\0\0\0\1\0\0x", 9, true},
    {"\x12\x34\xff\xff\0\1\xff\xffx", 9, true}, /* sequence and reserved are not looked at */
    {"\x12\x34\0\0\0\1\0\0", 8, false},
    {"\x12\x34\0\0\0\1\0", 7, false},
    {"", 0, false},
    {"\x12\x34\0\0\0\0\0\0x", 9, false},
    {"\x12\x34\0\0\0\2\0\0x", 9, false},
    {"\x12\x34\0\0\1\1\0\0x", 9, false},
};

START_TEST(requests)
{
    struct udp_frame frame = {{0, 0}};
    const uint8_t *p = (const uint8_t *)request_rows[_i].bytes;
    bool is_taken = udp_frame_parse(p, request_rows[_i].n, &frame);
    ck_assert_int_eq(is_taken, request_rows[_i].is_taken);
    if (is_taken)
        ck_assert_mem_eq(frame.id, "\x12\x34", 2);
}
END_TEST

START_TEST(sizes)
{
    ck_assert_uint_eq(udp_frame_size(0), 0);
    ck_assert_uint_eq(udp_frame_size(1), 9);
    ck_assert_uint_eq(udp_frame_size(1392), 1400);
    ck_assert_uint_eq(udp_frame_size(1393), 1393 + 16);
    ck_assert_uint_eq(udp_frame_size((size_t)1392 * 65535), (size_t)1400 * 65535);
    ck_assert_uint_eq(udp_frame_size((size_t)1392 * 65535 + 1), SIZE_MAX);
}
END_TEST

START_TEST(series)
{
    static uint8_t answer[3000], datagram[2000];
    struct udp_frame frame = {{0xab, 0xcd}};
    union address peer = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t n_peer = sizeof peer.v4;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(receiver, &peer.any, n_peer), 0);
    ck_assert_int_eq(getsockname(receiver, &peer.any, &n_peer), 0);
    for (size_t i = 0; i < sizeof answer; i++)
        answer[i] = (uint8_t)(i % 251);
    ck_assert_uint_eq(udp_frame_send(sender, &peer, &frame, answer, sizeof answer), 3000 + 3 * 8);
    for (size_t i = 0; i < 3; i++) {
        size_t n = i < 2 ? 1392 : 3000 - 2 * 1392;
        ck_assert_int_eq(recv(receiver, datagram, sizeof datagram, 0), (ssize_t)(n + 8));
        ck_assert_mem_eq(datagram, ((uint8_t[]){0xab, 0xcd, 0, (uint8_t)i, 0, 3, 0, 0}), 8);
        ck_assert_mem_eq(datagram + 8, answer + i * 1392, n);
    }
    close(receiver);
    close(sender);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("udp_frame");
    TCase *tcase = tcase_create("udp_frame");
    tcase_add_loop_test(tcase, requests, 0, sizeof request_rows / sizeof *request_rows);
    tcase_add_test(tcase, sizes);
    tcase_add_test(tcase, series);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
