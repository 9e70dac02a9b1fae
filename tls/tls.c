#include "tls/tls.h"

#include <stdio.h>

void tls_config_init(struct tls_config *config_out)
{
    *config_out = (struct tls_config){
        .key_format = TLS_KEY_PEM,
        .verify = TLS_VERIFY_NONE,
        .min_version = TLS_MIN_1_2,
        .wbuf_size = TLS_WBUF_DEFAULT,
    };
}

struct tls *tls_create(const struct tls_config *config, int64_t now_s,
                       struct tls_report *report_out)
{
    (void)config;
    (void)now_s;
    snprintf(report_out->text, sizeof report_out->text, "TLS is not there yet");
    return NULL;
}

void tls_destroy(struct tls **tls)
{
    *tls = NULL;
}
