#include "server/create_tls.h"

#include "server/options.h"
#include "tls/tls.h"

#include <stdio.h>
#include <stdlib.h>

/* The rows of ssl_named; their texts lie in one copy of it. */
struct named {
    char *text;
    struct tls_named *rows;
    size_t n;
};

static void named_fini(struct named *named)
{
    free(named->text);
    free(named->rows);
    *named = (struct named){0};
}

static size_t count_rows(const char *text)
{
    size_t n = 1;
    for (; *text != '\0'; text++)
        n += *text == ',';
    return n;
}

/* "NAME:CHAIN:KEY", cut in place. */
static bool read_row(char *text, struct tls_named *row_out)
{
    char *chain = strchr(text, ':');
    char *key = chain != NULL ? strchr(chain + 1, ':') : NULL;
    if (key == NULL || chain == text || key == chain + 1 || key[1] == '\0' ||
        strchr(key + 1, ':') != NULL)
        return false;
    *chain = *key = '\0';
    *row_out = (struct tls_named){.name = text, .chain_cert = chain + 1, .key = key + 1};
    return true;
}

static int named_init(struct named *named, const char *setting)
{
    *named = (struct named){0};
    if (setting == NULL)
        return 0;
    named->text = strdup(setting);
    named->rows = calloc(count_rows(setting), sizeof *named->rows);
    if (named->text == NULL || named->rows == NULL) {
        fputs("keepd: out of memory\n", stderr);
        return EXIT_BAD_VALUE;
    }
    char *rest;
    for (char *at = strtok_r(named->text, ",", &rest); at != NULL;
         at = strtok_r(NULL, ",", &rest)) {
        if (read_row(at, &named->rows[named->n++]))
            continue;
        fprintf(stderr, "ERROR: ssl_named takes NAME:CHAIN:KEY, not \"%s\"\n", at);
        return EXIT_BAD_USAGE;
    }
    return 0;
}

static void read_settings(const struct settings *settings, const struct named *named,
                          struct tls_config *config_out)
{
    tls_config_init(config_out);
    config_out->chain_cert = settings->tls_chain_file;
    config_out->key = settings->tls_key_file;
    config_out->key_format = (enum tls_key_format)settings->tls_key_format;
    config_out->ca_cert = settings->tls_ca_file;
    config_out->crl = settings->tls_crl_file;
    config_out->ciphers = settings->tls_ciphers;
    config_out->named = named->rows;
    config_out->n_named = named->n;
    config_out->verify = (enum tls_verify)settings->tls_verify_mode;
    config_out->min_version = (enum tls_min_version)settings->tls_min_version;
    config_out->has_session_cache = settings->has_tls_sessions;
    config_out->has_kernel_tls = settings->has_kernel_tls;
}

int create_tls(struct server *server, int64_t now_s)
{
    struct tls_report report;
    struct tls_config config;
    struct named named;
    if (!server->settings->has_tls)
        return 0;
    int failed = named_init(&named, server->settings->tls_named);
    if (failed == 0) {
        read_settings(server->settings, &named, &config);
        server->tls = tls_create(&config, now_s, &report);
        if (report.text[0] != '\0')
            fprintf(stderr, "%s\n", report.text);
        failed = server->tls != NULL ? 0 : EXIT_BAD_USAGE;
    }
    named_fini(&named);
    return failed;
}
