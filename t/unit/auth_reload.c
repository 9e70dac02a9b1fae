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

struct preparation {
    struct auth *auth;
    unsigned n_tenants;
    uint32_t id_of_new;
    bool is_early; /* no part of the new set was seen in any call */
    bool has_room;
};

static bool prepare(void *arg, const struct auth_tenant *tenant)
{
    struct preparation *preparation = arg;
    struct auth_tenant found;
    preparation->n_tenants++;
    if (strcmp(tenant->name, "new") == 0)
        preparation->id_of_new = tenant->id;
    preparation->is_early &= auth_generation(preparation->auth) == 1 &&
                             !find_tenant(preparation->auth, SLICE("new"), &found);
    return preparation->has_room;
}

/* No connection may log in to a tenant that the server has not made yet. */
START_TEST(tenants_are_prepared_before_their_users_can_log_in)
{
    struct preparation preparation = {.is_early = true};
    struct auth_config config = {
        .tenants_path = tenants_path, .prepare = prepare, .prepare_arg = &preparation};
    struct auth_tenant found;
    struct auth_error error;
    struct auth *mine = auth_create(&config, NOW, &error);
    ck_assert_ptr_nonnull(mine);
    ck_assert_uint_eq(preparation.n_tenants, 0);
    preparation.auth = mine;
    write_tenants("alicepw", "tenant \"new\" {}\n");
    ck_assert_int_eq(auth_reload(mine, NOW, &error), AUTH_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(error.text, "out of memory"));
    ck_assert_uint_eq(auth_generation(mine), 1);
    preparation.has_room = true;
    preparation.n_tenants = 0;
    ck_assert_int_eq(auth_reload(mine, NOW, &error), AUTH_OK);
    ck_assert(preparation.is_early);
    ck_assert_uint_eq(preparation.n_tenants, 4);
    ck_assert(find_tenant(mine, SLICE("new"), &found));
    ck_assert_uint_eq(found.id, preparation.id_of_new);
    auth_destroy(&mine);
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
    tcase_add_test(tc, a_reload_revokes_what_is_gone);
    tcase_add_test(tc, a_bad_file_keeps_the_old_set);
    tcase_add_test(tc, tenant_ids_survive_a_reload);
    tcase_add_test(tc, tenants_are_prepared_before_their_users_can_log_in);
    tcase_add_test(tc, a_session_may_go_while_it_is_checked);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
