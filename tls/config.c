#include "tls/config.h"

#include <stdlib.h>

void tls_config_init(struct tls_config *config_out)
{
    *config_out = (struct tls_config){
        .key_format = TLS_KEY_PEM,
        .verify = TLS_VERIFY_NONE,
        .min_version = TLS_MIN_1_2,
    };
}

/* A missing text stays missing. */
static bool copy_text(const char *from, const char **to)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

static bool copy_named(const struct tls_config *from, struct tls_config *to)
{
    to->named = NULL;
    to->n_named = 0;
    if (from->n_named == 0)
        return true;
    struct tls_named *named = calloc(from->n_named, sizeof *named);
    if (named == NULL)
        return false;
    to->named = named;
    to->n_named = from->n_named;
    bool is_whole = true;
    for (size_t i = 0; i < from->n_named; i++)
        is_whole = copy_text(from->named[i].name, &named[i].name) &&
                   copy_text(from->named[i].chain_cert, &named[i].chain_cert) &&
                   copy_text(from->named[i].key, &named[i].key) && is_whole;
    return is_whole;
}

bool config_copy(const struct tls_config *from, struct tls_config *copy_out)
{
    struct tls_config copy = *from;
    copy.chain_cert = copy.key = copy.ca_cert = copy.crl = copy.ciphers = NULL;
    bool is_whole = copy_text(from->chain_cert, &copy.chain_cert) &&
                    copy_text(from->key, &copy.key) && copy_text(from->ca_cert, &copy.ca_cert) &&
                    copy_text(from->crl, &copy.crl) && copy_text(from->ciphers, &copy.ciphers);
    is_whole = copy_named(from, &copy) && is_whole;
    if (!is_whole) {
        config_fini(&copy);
        return false;
    }
    *copy_out = copy;
    return true;
}

static void drop_text(const char **text)
{
    free((char *)(uintptr_t)*text);
    *text = NULL;
}

void config_fini(struct tls_config *config)
{
    drop_text(&config->chain_cert);
    drop_text(&config->key);
    drop_text(&config->ca_cert);
    drop_text(&config->crl);
    drop_text(&config->ciphers);
    struct tls_named *named = (struct tls_named *)(uintptr_t)config->named;
    for (size_t i = 0; i < config->n_named; i++) {
        drop_text(&named[i].name);
        drop_text(&named[i].chain_cert);
        drop_text(&named[i].key);
    }
    free(named);
    config->named = NULL;
    config->n_named = 0;
}
