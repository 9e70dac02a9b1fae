/* What a reload of the tenants file takes away, and what stays; and sessions that go themselves. */
#include "t/unit/auth_login.h"

START_TEST(a_reload_revokes_what_is_gone)
{
    struct auth_error error;
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    struct auth_identity *identity = auth_session_identity(session);
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(auth_identity_is_current(identity, NOW.wall_s));
    ck_assert_uint_eq(auth_generation(auth), 2);
    write_tenants("another", "");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(!auth_identity_is_current(identity, NOW.wall_s));
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_NEED_LOGIN);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "alice", "another").verdict, AUTH_SUCCESS);
}
END_TEST

START_TEST(a_bad_file_keeps_the_old_set)
{
    struct auth_error error;
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    write_tenants("alicepw", "user \"dave\" { tenant = nowhere }\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(error.text, "nowhere"));
    ck_assert_uint_eq(auth_generation(auth), 1);
    ck_assert(auth_identity_is_current(auth_session_identity(session), NOW.wall_s));
}
END_TEST

START_TEST(tenant_ids_survive_a_reload)
{
    struct auth_tenant before, after;
    struct auth_error error;
    ck_assert(find_tenant(auth, SLICE("news"), &before));
    file_write(tenants_path, "tenant \"new\" {}\ntenant \"news\" { ops = 5 }\n");
    ck_assert_int_eq(auth_reload(auth, NOW, &error), AUTH_OK);
    ck_assert(find_tenant(auth, SLICE("news"), &after));
    ck_assert_uint_eq(before.id, after.id);
    ck_assert_uint_eq(after.ops, 5);
    ck_assert(!find_tenant(auth, SLICE("shop"), &after));
    ck_assert(find_tenant(auth, SLICE("new"), &after));
    ck_assert_uint_eq(after.id, 3);
    ck_assert(auth_tenant_get(auth, 3, &before));
    ck_assert_str_eq(before.name, "new");
    ck_assert(!auth_tenant_get(auth, 1, &before));
    ck_assert(!auth_tenant_get(auth, 99, &before));
}
END_TEST

START_TEST(a_session_may_go_while_it_is_checked)
{
    sem_t done;
    for (int i = 0; i < 50; i++) {
        struct secret *data = secret_of("\0nobody\0pw", 10);
        sem_init(&done, 0, 0);
        ck_assert_int_eq(
            auth_submit(session, AUTH_START, SLICE("PLAIN"), &data, NOW, auth_done, &done),
            AUTH_OK);
        ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_PUBLIC), AUTH_WAIT);
        auth_session_destroy(&session);
        sem_destroy(&done);
        session = auth_session_create(auth, &loopback);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_reload");
    TCase *tc = tcase_create("auth_reload");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_reload_revokes_what_is_gone);
    tcase_add_test(tc, a_bad_file_keeps_the_old_set);
    tcase_add_test(tc, tenant_ids_survive_a_reload);
    tcase_add_test(tc, a_session_may_go_while_it_is_checked);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
