#include "tls/certificate.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

/* RFC 2253, cut to size. */
static bool render_name(const X509_NAME *name, char *out, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return false;
    bool is_good = X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0;
    int n = is_good ? BIO_read(bio, out, (int)size - 1) : 0;
    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
    return is_good;
}

bool certificate_time(const ASN1_TIME *time, int64_t *time_s_out)
{
    struct tm parts;
    if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *time_s_out = timegm(&parts);
    return true;
}

static bool describe_serial(X509 *certificate, char *out, size_t size)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    if (hex != NULL)
        snprintf(out, size, "%s", hex);
    OPENSSL_free(hex);
    BN_free(number);
    return hex != NULL;
}

static bool describe_digest(X509 *certificate, char *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    if (X509_digest(certificate, EVP_sha256(), digest, &n) != 1)
        return false;
    MUST(2 * n < CERTIFICATE_DIGEST_SIZE);
    for (unsigned i = 0; i < n; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * n] = '\0';
    return true;
}

bool certificate_describe(X509 *certificate, struct certificate_facts *facts_out)
{
    struct certificate_facts *f = facts_out;
    return render_name(X509_get_subject_name(certificate), f->subject, sizeof f->subject) &&
           render_name(X509_get_issuer_name(certificate), f->issuer, sizeof f->issuer) &&
           describe_serial(certificate, f->serial, sizeof f->serial) &&
           describe_digest(certificate, f->fingerprint) &&
           certificate_time(X509_get0_notBefore(certificate), &f->not_before_s) &&
           certificate_time(X509_get0_notAfter(certificate), &f->not_after_s);
}

const char *certificate_dates_complaint(const X509 *certificate, int64_t now_s)
{
    int64_t not_before_s, not_after_s;
    if (!certificate_time(X509_get0_notBefore(certificate), &not_before_s) ||
        !certificate_time(X509_get0_notAfter(certificate), &not_after_s))
        return "the certificate's dates cannot be read";
    if (now_s < not_before_s)
        return "certificate is not yet valid";
    if (now_s > not_after_s)
        return "certificate has expired";
    return NULL;
}

/* What OpenSSL has read out of a certificate, and refuses it by. */
struct reading {
    uint32_t flags;     /* of the extensions */
    int key_bits;       /* of security; 0: no key, or it is not known what it is worth */
    int signature_bits; /* likewise */
};

static struct reading what_was_read(X509 *certificate)
{
    struct reading reading = {.flags = X509_get_extension_flags(certificate)};
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (key != NULL)
        reading.key_bits = EVP_PKEY_get_security_bits(key);
    if (X509_get_signature_info(certificate, NULL, NULL, &reading.signature_bits, NULL) != 1)
        reading.signature_bits = 0;
    return reading;
}

bool certificate_is_whole(X509 *certificate)
{
    struct reading first = what_was_read(certificate);
    /* Its own issuer by name, but not by its signature: so it is when that could not be judged. */
    bool is_odd = (first.flags & (EXFLAG_INVALID | EXFLAG_NO_FINGERPRINT)) != 0 ||
                  (first.flags & (EXFLAG_SI | EXFLAG_SS)) == EXFLAG_SI;
    if (first.key_bits > 0 && first.signature_bits > 0 && !is_odd)
        return true;
    X509 *again = X509_dup(certificate);
    struct reading second = {0};
    if (again != NULL)
        second = what_was_read(again);
    bool is_same = again != NULL && second.flags == first.flags &&
                   second.key_bits == first.key_bits &&
                   second.signature_bits == first.signature_bits;
    X509_free(again);
    ERR_clear_error();
    return is_same;
}
