#include "protocol/base64.h"
#include "t/unit/fence.h"
#include "t/unit/unit.h"

struct base64_row {
    const char *text;
    const char *bytes; /* NULL: refused */
};

static const struct base64_row rows[] = {
    {"Zg==", "f"},         {"Zm8=", "fo"},         {"Zm9v", "foo"},      {"Zm9vYg==", "foob"},
    {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}, {"/+8=", "\xff\xef"}, {"", NULL},
    {"Z", NULL},           {"Zg", NULL},           {"Zg=", NULL},        {"Zg===", NULL},
    {"====", NULL},        {"Z===", NULL},         {"Zh==", NULL},       {"Zm9=", NULL},
    {"Zg==Zg==", NULL},    {"Z=g=", NULL},         {"Zm9v====", NULL},   {"Zm 9", NULL},
    {"Zm9\n", NULL},       {"_-8=", NULL},         {"Zm9\x80", NULL},    {"=m9v", NULL},
};

START_TEST(decode_row)
{
    const struct base64_row *row = &rows[_i];
    struct fence in = fence_create(64), room = fence_create(64);
    struct slice text = slice_of(fence_place(&in, row->text, strlen(row->text)), strlen(row->text));
    uint8_t *out = fence_place(&room, "\0\0\0\0\0\0\0\0\0\0\0", text.n / 4 * 3);
    size_t n = 99;
    ck_assert_int_eq(base64_decode(text, out, &n), row->bytes != NULL);
    if (row->bytes == NULL)
        ck_assert_uint_eq(n, 99);
    else
        ck_assert(slice_is(slice_of(out, n), row->bytes));
    fence_destroy(&in);
    fence_destroy(&room);
}
END_TEST

/* What was encoded decodes to itself, and no other text of that length decodes to it. */
START_TEST(decode_of_encode)
{
    uint8_t bytes[256], text[BASE64_ENCODED(256)], back[256 + 2];
    size_t n_bytes = (size_t)_i, n_text, n_back;
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + n_bytes);
    n_text = base64_encode(slice_of(bytes, n_bytes), text);
    ck_assert_uint_eq(n_text, BASE64_ENCODED(n_bytes));
    ck_assert(base64_decode(slice_of(text, n_text), back, &n_back));
    ck_assert(slice_equal(slice_of(back, n_back), slice_of(bytes, n_bytes)));
    for (size_t i = 0; i < n_text; i++) {
        uint8_t kept = text[i];
        for (unsigned other = 0; other < 256; other++) {
            text[i] = (uint8_t)other;
            bool is_same = base64_decode(slice_of(text, n_text), back, &n_back) &&
                           slice_equal(slice_of(back, n_back), slice_of(bytes, n_bytes));
            ck_assert_int_eq(is_same, other == kept);
        }
        text[i] = kept;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, decode_row, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_loop_test(tc, decode_of_encode, 1, 40);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
