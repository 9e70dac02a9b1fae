/* auth_login.h - what tests of logins share: a tenants file, the logins over it, and one session.
 * Owns: all three, from setup to teardown.   Thread: one.
 * Never: included twice in a program. */
#ifndef T_UNIT_AUTH_LOGIN_H
#define T_UNIT_AUTH_LOGIN_H

#include "t/unit/auth_fixture.h"

static struct auth *auth;
static const char *tenants_path;
static struct auth_session *session;

static inline void write_tenants(const char *alice_password, const char *more)
{
    char text[8192];
    snprintf(text, sizeof text,
             "tenant \"shop\" { memory-max = 64m }\n"
             "tenant \"news\" {}\n"
             "user \"alice\" { tenant = shop\n rights = {read, write}\n"
             " secret \"main\" { verifiers = {\"%s\", \"%s\", \"%s\"} } }\n"
             "user \"bob\" { tenant = news\n secret \"main\" { verifiers = {\"%s\"} } }\n"
             "user \"carol\" { tenant = news\n disabled = true\n"
             " secret \"main\" { verifiers = {\"%s\"} } }\n%s",
             verifier_text(VERIFIER_SHA_256, alice_password),
             verifier_text(VERIFIER_SHA_512, alice_password),
             verifier_text(VERIFIER_SHA_1, alice_password),
             verifier_text(VERIFIER_SHA_256, "bobpw"), verifier_text(VERIFIER_SHA_256, "carolpw"),
             more);
    if (tenants_path == NULL)
        tenants_path = file_temporary(text);
    else
        file_write(tenants_path, text);
}

static inline void setup(void)
{
    write_tenants("alicepw", "identity \"web\" { cert-cn = \"web.example\"\n user = alice }\n"
                             "identity \"cron\" { unix-uid = 4711\n user = bob }\n");
    struct auth_config config = {.tenants_path = tenants_path, .attempts_max = 5};
    struct auth_error error;
    auth = auth_create(&config, NOW, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    session = auth_session_create(auth, &loopback);
    ck_assert_ptr_nonnull(session);
}

static inline void teardown(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
    if (tenants_path != NULL)
        unlink(tenants_path);
}

#endif
