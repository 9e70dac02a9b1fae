#include <string.h>

#include "t/unit/unit.h"
#include "tls/tls.h"

#define PIECE(text)                            \
    {                                          \
        (const uint8_t *)text, sizeof text - 1 \
    }

static const struct slice pieces[] = {
    PIECE("VALUE a 0 5\r\n"), {NULL, 0}, PIECE("hello"), PIECE("\r\n"), PIECE("END\r\n"), {NULL, 0},
};
static const char whole[] = "VALUE a 0 5\r\nhello\r\nEND\r\n";
#define N_PIECES (sizeof pieces / sizeof *pieces)

/* Every place to begin, with every capacity. */
START_TEST(gives_the_next_bytes)
{
    size_t n_whole = sizeof whole - 1, n_skip = (size_t)_i;
    for (size_t capacity = 1; capacity <= n_whole + 2; capacity++) {
        uint8_t buffer[64];
        memset(buffer, '#', sizeof buffer);
        struct slice got = tls_gather(pieces, N_PIECES, n_skip, buffer, capacity);
        size_t n_left = n_whole - n_skip;
        ck_assert_uint_eq(got.n, n_left < capacity ? n_left : capacity);
        if (got.n > 0)
            ck_assert_mem_eq(got.p, whole + n_skip, got.n);
        for (size_t i = capacity; i < sizeof buffer; i++)
            ck_assert_uint_eq(buffer[i], '#');
    }
}
END_TEST

START_TEST(large_piece_is_not_copied)
{
    uint8_t buffer[8];
    struct slice got = tls_gather(pieces, N_PIECES, 2, buffer, sizeof buffer);
    ck_assert_ptr_eq(got.p, pieces[0].p + 2);
    got = tls_gather(pieces, 1, 9, buffer, sizeof buffer);
    ck_assert_ptr_eq(got.p, pieces[0].p + 9);
    ck_assert_uint_eq(got.n, 4);
}
END_TEST

struct opening_row {
    const char *bytes;
    size_t n;
    enum tls_opening opening;
};

#define ROW(text, opening)             \
    {                                  \
        text, sizeof text - 1, opening \
    }

static const struct opening_row opening_rows[] = {
    ROW("", TLS_OPENING_NONE),
    ROW("\x16", TLS_OPENING_HELLO),
    ROW("\x16\x03", TLS_OPENING_HELLO),
    ROW("\x16\x03\x01\x02\x00\x01", TLS_OPENING_HELLO),
    ROW("\x16\x03\x04\x02\x00\x01", TLS_OPENING_HELLO),
    ROW("\x16\x03\x05", TLS_OPENING_OTHER),
    ROW("\x16\x02", TLS_OPENING_OTHER),
    ROW("\x16\x03\x01\x02\x00\x02", TLS_OPENING_OTHER),
    ROW("\x80", TLS_OPENING_BINARY),
    ROW("\x81", TLS_OPENING_OTHER),
    ROW("get a\r\n", TLS_OPENING_TEXT),
    ROW("\r\n", TLS_OPENING_TEXT),
    ROW("\x7f", TLS_OPENING_OTHER),
    ROW("\0", TLS_OPENING_OTHER),
};

START_TEST(opening_row)
{
    const struct opening_row *row = &opening_rows[_i];
    ck_assert_int_eq(tls_recognise(slice_of(row->bytes, row->n)), row->opening);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_gather");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, gives_the_next_bytes, 0, sizeof whole);
    tcase_add_test(tc, large_piece_is_not_copied);
    tcase_add_loop_test(tc, opening_row, 0, (int)(sizeof opening_rows / sizeof *opening_rows));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
