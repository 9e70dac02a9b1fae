#include "tls/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "tls/report.h"

#define CHAIN_WORDS "Error loading the certificate chain"
#define KEY_WORDS   "Error loading the key"
#define CA_WORDS    "Error loading the CA certificate"
#define CRL_WORDS   "Error loading the revocation list"

#define FILE_SIZE_MAX (8 << 20)

static bool fail_unreadable(struct tls_report *report, const char *words, const char *file,
                            int error)
{
    if (error != EACCES && error != EPERM) {
        ERR_clear_error();
        ERR_raise(ERR_LIB_SYS, error);
        return report_fail(report, words, file, NULL);
    }
    char reason[160];
    snprintf(reason, sizeof reason,
             "%s; after start the files are read as uid %u, which must be allowed to",
             strerror(error), (unsigned)geteuid());
    return report_fail(report, words, file, reason);
}

/* Reads until the file's end into content, which has room for one byte more than expected. */
static bool read_whole(int fd, struct secret *content)
{
    while (content->n < content->capacity) {
        ssize_t n = read(fd, content->p + content->n, content->capacity - content->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            return true;
        content->n += (size_t)n;
    }
    errno = EBUSY;
    return false;
}

/* The whole file at once, so that one writer's halves are never mixed by two reads of ours. */
static struct secret *read_file(const char *file, const char *words, struct tls_report *report)
{
    if (file == NULL) {
        (void)report_fail(report, words, NULL, "no file is given");
        return NULL;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        (void)fail_unreadable(report, words, file, errno);
        return NULL;
    }
    struct stat st;
    struct secret *content = NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
        (void)report_fail(report, words, file, "not a file, or larger than 8 MiB");
    } else if ((content = secret_create((size_t)st.st_size + 1)) == NULL) {
        (void)report_fail(report, words, file, "out of memory");
    } else if (!read_whole(fd, content)) {
        (void)fail_unreadable(report, words, file, errno);
        secret_destroy(&content);
    }
    (void)close(fd);
    return content;
}

/* Names the common mistakes; OpenSSL's words for them help nobody. */
static bool fail_format(struct tls_report *report, const char *words, const char *file,
                        const struct secret *content, bool is_pem_wanted)
{
    char error[256], reason[320];
    ERR_error_string_n(ERR_peek_error(), error, sizeof error);
    const char *hint = "";
    if (content->n == 0)
        hint = " (the file is empty)";
    else if (is_pem_wanted && content->p[0] == 0x30)
        hint = " (the file looks like DER; PEM is expected)";
    else if (!is_pem_wanted && content->p[0] == '-')
        hint = " (the file looks like PEM; DER is expected)";
    snprintf(reason, sizeof reason, "%s%s", error, hint);
    return report_fail(report, words, file, reason);
}

static BIO *bio_over(const struct secret *content)
{
    return BIO_new_mem_buf(content->p, (int)content->n);
}

/* The reader of a PEM sequence ends by not finding another start line. */
static bool is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (is_end)
        ERR_clear_error();
    return is_end;
}

static bool read_certificates(BIO *bio, STACK_OF(X509) * list)
{
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(list, certificate) > 0)
            continue;
        X509_free(certificate);
        return false;
    }
    return sk_X509_num(list) > 0 && is_at_end();
}

static STACK_OF(X509) *
    load_certificates(const char *file, const char *words, struct tls_report *report)
{
    struct secret *content = read_file(file, words, report);
    if (content == NULL)
        return NULL;
    ERR_clear_error();
    STACK_OF(X509) *list = sk_X509_new_null();
    BIO *bio = bio_over(content);
    if (list == NULL || bio == NULL || !read_certificates(bio, list)) {
        (void)fail_format(report, words, file, content, true);
        sk_X509_pop_free(list, X509_free);
        list = NULL;
    }
    BIO_free(bio);
    secret_destroy(&content);
    return list;
}

STACK_OF(X509) * files_load_ca(const char *file, struct tls_report *report)
{
    return load_certificates(file, CA_WORDS, report);
}

STACK_OF(X509_CRL) * files_load_crl(const char *file, struct tls_report *report)
{
    struct secret *content = read_file(file, CRL_WORDS, report);
    if (content == NULL)
        return NULL;
    ERR_clear_error();
    STACK_OF(X509_CRL) *list = sk_X509_CRL_new_null();
    BIO *bio = bio_over(content);
    bool is_good = list != NULL && bio != NULL;
    X509_CRL *crl;
    while (is_good && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        is_good = sk_X509_CRL_push(list, crl) > 0;
        if (!is_good)
            X509_CRL_free(crl);
    }
    if (!is_good || sk_X509_CRL_num(list) == 0 || !is_at_end()) {
        (void)fail_format(report, CRL_WORDS, file, content, true);
        sk_X509_CRL_pop_free(list, X509_CRL_free);
        list = NULL;
    }
    BIO_free(bio);
    secret_destroy(&content);
    return list;
}

/* OpenSSL calls this when the key is encrypted; without it, it would ask on the terminal. */
static int note_passphrase(char *buffer, int size, int is_writing, void *was_asked)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static EVP_PKEY *load_key(const char *file, enum tls_key_format format, struct tls_report *report)
{
    struct secret *content = read_file(file, KEY_WORDS, report);
    if (content == NULL)
        return NULL;
    ERR_clear_error();
    bool is_pem = format != TLS_KEY_DER, was_asked = false;
    EVP_PKEY *key = NULL;
    BIO *bio = bio_over(content);
    if (bio != NULL)
        key = is_pem ? PEM_read_bio_PrivateKey(bio, NULL, note_passphrase, &was_asked)
                     : d2i_PrivateKey_bio(bio, NULL);
    if (key == NULL && was_asked)
        (void)report_fail(report, KEY_WORDS, file,
                          "the key needs a passphrase; give a key without one");
    else if (key == NULL)
        (void)fail_format(report, KEY_WORDS, file, content, is_pem);
    BIO_free(bio);
    secret_destroy(&content);
    return key;
}

bool files_load_pair(const char *chain_file, const char *key_file, enum tls_key_format format,
                     struct files_pair *pair_out, struct tls_report *report)
{
    struct files_pair pair = {NULL, NULL, NULL};
    pair.issuers = load_certificates(chain_file, CHAIN_WORDS, report);
    if (pair.issuers == NULL)
        return false;
    pair.certificate = sk_X509_shift(pair.issuers);
    pair.key = load_key(key_file, format, report);
    if (pair.key == NULL)
        goto fail;
    ERR_clear_error();
    if (X509_check_private_key(pair.certificate, pair.key) != 1) {
        char error[256];
        ERR_error_string_n(ERR_peek_last_error(), error, sizeof error);
        (void)report_fail(report, KEY_WORDS, key_file, error);
        goto fail;
    }
    *pair_out = pair;
    return true;
fail:
    files_drop_pair(&pair);
    return false;
}

void files_drop_pair(struct files_pair *pair)
{
    X509_free(pair->certificate);
    sk_X509_pop_free(pair->issuers, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct files_pair){NULL, NULL, NULL};
}
