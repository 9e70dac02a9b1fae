#include "t/unit/auth_fixture.h"

/* The examples of RFC 5802 section 5 and RFC 7677 section 3: user "user", password "pencil". */
static const struct {
    enum verifier_hash hash;
    const char *salt, *client_bare, *server_first, *client_end, *proof, *server_proof;
} vectors[] = {
    {VERIFIER_SHA_1, "QSXCR+Q6sek8bf92", "n=user,r=fyko+d2lbbFgONRv9qkxdawL",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
     "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {VERIFIER_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==", "n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

START_TEST(keys_are_those_of_the_rfcs)
{
    char message[512], text[VERIFIER_TEXT_MAX];
    uint8_t salt[64], proof[64], stored[64], expected[64];
    struct verifier verifier;
    size_t size = verifier_size(vectors[_i].hash);
    struct scram scram = scram_new(vectors[_i].hash, "pencil");
    int n = EVP_DecodeBlock(salt, (const uint8_t *)vectors[_i].salt, (int)strlen(vectors[_i].salt));
    for (const char *at = vectors[_i].salt + strlen(vectors[_i].salt); at[-1] == '='; at--)
        n--;
    ck_assert(verifier_make(vectors[_i].hash, 4096, slice_of(salt, (size_t)n), SLICE("pencil"),
                            &verifier));
    snprintf(message, sizeof message, "%s,%s,%s", vectors[_i].client_bare, vectors[_i].server_first,
             vectors[_i].client_end);
    scram_hmac(&scram, verifier.stored_key, message, expected);
    EVP_DecodeBlock(proof, (const uint8_t *)vectors[_i].proof, (int)strlen(vectors[_i].proof));
    for (size_t i = 0; i < size; i++)
        expected[i] ^= proof[i];
    EVP_Digest(expected, size, stored, NULL, scram.digest, NULL);
    ck_assert_mem_eq(stored, verifier.stored_key, size);
    scram_hmac(&scram, verifier.server_key, message, expected);
    EVP_EncodeBlock((uint8_t *)text, expected, (int)size);
    ck_assert_str_eq(text, vectors[_i].server_proof);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
    struct verifier made, read;
    const char *reason;
    char text[VERIFIER_TEXT_MAX];
    uint8_t key[VERIFIER_KEY_MAX];
    enum verifier_hash hash = (enum verifier_hash)_i;
    ck_assert(verifier_make(hash, 5000, SLICE("0123456789"), SLICE("p\xc3\xa4ss wort"), &made));
    size_t n = verifier_format(&made, text);
    ck_assert(verifier_parse(slice_of(text, n), &read, &reason));
    ck_assert_mem_eq(&made, &read, sizeof made);
    ck_assert(verifier_derive(hash, 5000, SLICE("0123456789"), SLICE("p\xc3\xa4ss wort"), key));
    ck_assert_mem_eq(key, made.stored_key, verifier_size(hash));
    ck_assert(verifier_shares_derivation(&made, &read));
    read.salt[0] ^= 1;
    ck_assert(!verifier_shares_derivation(&made, &read));
}
END_TEST

#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const struct {
    const char *text;
    const char *reason; /* NULL: good */
} texts[] = {
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, NULL},
    {"", "looks like"},
    {"secret", "looks like"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED, "looks like"},
    {"SCRAM-SHA-384$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "scheme"},
    {"scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "scheme"},
    {"SCRAM-SHA-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "iterations"},
    {"SCRAM-SHA-256$1000001:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "iterations"},
    {"SCRAM-SHA-256$x:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "iterations"},
    {"SCRAM-SHA-256$:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "iterations"},
    {"SCRAM-SHA-256$4096:$" STORED ":" SERVER, "salt"},
    {"SCRAM-SHA-256$4096:AAAA$" STORED ":" SERVER, "salt"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=$" STORED ":" SERVER, "salt"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gR==$" STORED ":" SERVER, "salt"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7so sUEjb6gQ==$" STORED ":" SERVER, "salt"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:" SERVER, "key"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":", "key"},
    {"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER " ", "key"},
    {"SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, "key"},
};

START_TEST(only_the_exact_form_is_read)
{
    struct verifier verifier;
    const char *reason = NULL;
    bool is_good = verifier_parse(slice_str(texts[_i].text), &verifier, &reason);
    ck_assert_int_eq(is_good, texts[_i].reason == NULL);
    if (!is_good)
        ck_assert_msg(strstr(reason, texts[_i].reason) != NULL, "%s", reason);
}
END_TEST

START_TEST(tags_keep_their_parts_apart)
{
    static const uint8_t bytes[2][VERIFIER_TAG_SIZE] = {{1, 2, 3}, {1, 2, 4}};
    uint8_t a[VERIFIER_TAG_SIZE], b[VERIFIER_TAG_SIZE];
    struct tag_key *key = tag_key_create(bytes[0]), *other = tag_key_create(bytes[1]);
    ck_assert(verifier_tag(key, SLICE("ab"), SLICE("c"), a));
    ck_assert(verifier_tag(key, SLICE("a"), SLICE("bc"), b));
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert(verifier_tag(key, SLICE("ab"), SLICE("c"), b));
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(verifier_tag(other, SLICE("ab"), SLICE("c"), b));
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert(verifier_tag(key, slice_of(NULL, 0), slice_of(NULL, 0), b));
    ck_assert_mem_ne(a, b, sizeof a);
    tag_key_destroy(&key);
    tag_key_destroy(&other);
}
END_TEST

/* Short and long messages, as OpenSSL's own HMAC has them: the first part behind its length. */
START_TEST(a_tag_is_an_hmac)
{
    static const size_t sizes[][2] = {{0, 0}, {1, 0}, {0, 1}, {5, 5}, {28, 28}, {128, 1024}};
    uint8_t bytes[VERIFIER_TAG_SIZE], tag[VERIFIER_TAG_SIZE], expected[VERIFIER_TAG_SIZE];
    uint8_t message[8 + 128 + 1024];
    uint64_t n = sizes[_i][0];
    unsigned n_expected = 0;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(200 - i);
    memcpy(message, &n, sizeof n);
    struct tag_key *key = tag_key_create(bytes);
    ck_assert(verifier_tag(key, slice_of(message + 8, sizes[_i][0]),
                           slice_of(message + 8 + sizes[_i][0], sizes[_i][1]), tag));
    HMAC(EVP_sha256(), bytes, sizeof bytes, message, 8 + sizes[_i][0] + sizes[_i][1], expected,
         &n_expected);
    ck_assert_uint_eq(n_expected, sizeof expected);
    ck_assert_mem_eq(tag, expected, sizeof tag);
    tag_key_destroy(&key);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_verifier");
    TCase *tc = tcase_create("auth_verifier");
    tcase_add_loop_test(tc, keys_are_those_of_the_rfcs, 0, 2);
    tcase_add_loop_test(tc, what_is_written_reads_back, 0, N_VERIFIER_HASHES);
    tcase_add_loop_test(tc, only_the_exact_form_is_read, 0, (int)(sizeof texts / sizeof *texts));
    tcase_add_test(tc, tags_keep_their_parts_apart);
    tcase_add_loop_test(tc, a_tag_is_an_hmac, 0, 6);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
