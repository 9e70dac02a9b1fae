#include "tls/report.h"

#include <openssl/err.h>
#include <stdio.h>

void report_clear(struct tls_report *report)
{
    report->text[0] = '\0';
}

bool report_fail(struct tls_report *report, const char *what, const char *file, const char *reason)
{
    char error[256];
    if (reason == NULL) {
        ERR_error_string_n(ERR_peek_error(), error, sizeof error);
        reason = error;
    }
    ERR_clear_error();
    snprintf(report->text, sizeof report->text, "%s: %.300s : %s", what,
             file != NULL ? file : "(null)", reason);
    return false;
}

void report_warn(struct tls_report *report, const char *file, const char *reason)
{
    size_t at = strlen(report->text);
    snprintf(report->text + at, sizeof report->text - at, "%s%.300s : %s", at > 0 ? "; " : "", file,
             reason);
}
