#include "t/fuzz/certificate.h"

#include "t/fuzz/fuzz.h"
#include "tls/tls.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static X509 *sign(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    HOLDS(x != NULL && name != NULL);
    HOLDS(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"fuzz", 4, -1, 0));
    HOLDS(X509_set_version(x, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1));
    HOLDS(X509_set_subject_name(x, name) && X509_set_issuer_name(x, name));
    HOLDS(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
    HOLDS(X509_gmtime_adj(X509_getm_notAfter(x), 1000 * 86400) != NULL);
    HOLDS(X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()) > 0);
    X509_NAME_free(name);
    return x;
}

/* A file without a name in any folder; path_out is how to open it. */
static FILE *create_file(char *path_out, size_t n_path)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FILE *file = fdopen(fd, "w");
    HOLDS(file != NULL);
    snprintf(path_out, n_path, "/proc/self/fd/%d", fd);
    return file;
}

struct tls *certificate_tls(void)
{
    char chain_path[64], key_path[64];
    FILE *chain = create_file(chain_path, sizeof chain_path);
    FILE *key_file = create_file(key_path, sizeof key_path);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    HOLDS(key != NULL);
    X509 *x = sign(key);
    HOLDS(PEM_write_X509(chain, x) && fflush(chain) == 0);
    HOLDS(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) && fflush(key_file) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
    struct tls_config config;
    struct tls_report report;
    tls_config_init(&config);
    config.chain_cert = chain_path;
    config.key = key_path;
    struct tls *tls = tls_create(&config, time(NULL), &report);
    if (tls == NULL)
        fprintf(stderr, "%s\n", report.text);
    HOLDS(tls != NULL);
    fclose(chain);
    fclose(key_file);
    return tls;
}
