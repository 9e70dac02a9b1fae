/* The messages of a login in every order, with names and lengths that nobody offers. */
#include "t/unit/auth_login.h"

START_TEST(a_step_needs_a_start)
{
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA-256", "c=biws", 6).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    /* Refused, and the login stays: nothing was attempted. */
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_FAILURE);
    ck_assert_ptr_nonnull(auth_session_identity(session));
}
END_TEST

START_TEST(a_step_belongs_to_its_mechanism)
{
    char message[1024];
    struct scram scram = scram_new(VERIFIER_SHA_256, "alicepw");
    size_t n = scram_first(&scram, "alice", message);
    struct auth_outcome outcome = send_message(session, AUTH_START, "SCRAM-SHA-256", message, n);
    ck_assert_int_eq(outcome.verdict, AUTH_CONTINUE);
    n = scram_final(&scram, outcome.data, message);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA256", message, n).verdict,
                     AUTH_FAILURE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "SCRAM-SHA-256", message, n).verdict,
                     AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(plain_may_come_with_the_step)
{
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_SUCCESS);
}
END_TEST

START_TEST(a_new_login_drops_the_old_rights)
{
    ck_assert_int_eq(send_plain(session, "alice", "alicepw").verdict, AUTH_SUCCESS);
    ck_assert_int_eq(send_plain(session, "bob", "wrong").verdict, AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_NEED_LOGIN);
    ck_assert_int_eq(send_plain(session, "bob", "bobpw").verdict, AUTH_SUCCESS);
    ck_assert_str_eq(auth_identity_user(auth_session_identity(session)), "bob");
    /* An exchange that does not end leaves it out, too. */
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(listing_changes_nothing)
{
    char list[AUTH_LIST_MAX];
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict, AUTH_CONTINUE);
    ck_assert_uint_gt(auth_mechanisms(auth, &loopback, list), 0);
    ck_assert_int_eq(send_message(session, AUTH_STEP, "PLAIN", "\0alice\0alicepw", 14).verdict,
                     AUTH_SUCCESS);
    ck_assert_uint_gt(auth_mechanisms(auth, &loopback, list), 0);
    ck_assert_ptr_nonnull(auth_session_identity(session));
}
END_TEST

/* Every sequence of messages up to five: only a right login ends authenticated. */
START_TEST(every_order_of_messages)
{
    enum { START_EMPTY, START_RIGHT, START_WRONG, STEP_RIGHT, STEP_WRONG, LIST, N_MESSAGES };
    static const char right[] = "\0alice\0alicepw", wrong[] = "\0alice\0wrong!!";
    auth_session_destroy(&session);
    struct auth_transport own = loopback;
    for (int order = 0; order < N_MESSAGES * N_MESSAGES * N_MESSAGES; order++) {
        char list[AUTH_LIST_MAX];
        bool is_started = false, is_in = false;
        /* Addresses of their own: the throttle is tested elsewhere. */
        own.address.ip[2] = (uint8_t)(order / 250);
        own.address.ip[3] = (uint8_t)(order % 250);
        session = auth_session_create(auth, &own);
        for (int at = 0, rest = order; at < 3; at++, rest /= N_MESSAGES) {
            switch (rest % N_MESSAGES) {
            case START_EMPTY:
                ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", NULL, 0).verdict,
                                 AUTH_CONTINUE);
                is_started = true;
                is_in = false;
                break;
            case START_RIGHT:
                send_message(session, AUTH_START, "PLAIN", right, 14);
                is_started = false;
                is_in = true;
                break;
            case START_WRONG:
                send_message(session, AUTH_START, "PLAIN", wrong, 14);
                is_started = is_in = false;
                break;
            case STEP_RIGHT:
                send_message(session, AUTH_STEP, "PLAIN", right, 14);
                is_in = is_in || is_started;
                is_started = false;
                break;
            case STEP_WRONG:
                send_message(session, AUTH_STEP, "PLAIN", wrong, 14);
                is_started = false;
                break;
            case LIST:
                auth_mechanisms(auth, &own, list);
                break;
            }
            ck_assert_int_eq(auth_session_identity(session) != NULL, is_in);
        }
        auth_session_destroy(&session);
    }
}
END_TEST

static const char *const bad_names[] = {"",         "plain",
                                        "PLAIN ",   " PLAIN",
                                        "PLAIN\n",  "ANONYMOUS",
                                        "NTLM",     "%s%n",
                                        "LOGIN",    "SCRAM-SHA-256-PLUS",
                                        "CRAM-MD5", "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"};

START_TEST(only_listed_names_are_taken)
{
    ck_assert_int_eq(
        send_message(session, AUTH_START, bad_names[_i], "\0alice\0alicepw", 14).verdict,
        AUTH_FAILURE);
    ck_assert_ptr_null(auth_session_identity(session));
}
END_TEST

START_TEST(a_name_with_nul_is_not_taken)
{
    sem_t done;
    struct auth_outcome outcome;
    struct secret *data = secret_of("\0alice\0alicepw", 14);
    sem_init(&done, 0, 0);
    ck_assert_int_eq(
        auth_submit(session, AUTH_START, slice_of("PLAIN\0", 6), &data, NOW, auth_done, &done),
        AUTH_OK);
    sem_wait(&done);
    auth_collect(session, NOW, &outcome);
    ck_assert_int_eq(outcome.verdict, AUTH_FAILURE);
}
END_TEST

START_TEST(a_long_message_fails)
{
    char *message = calloc(1, AUTH_DATA_MAX + 1);
    ck_assert_int_eq(send_message(session, AUTH_START, "PLAIN", message, AUTH_DATA_MAX + 1).verdict,
                     AUTH_FAILURE);
    free(message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_messages");
    TCase *tc = tcase_create("auth_messages");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_step_needs_a_start);
    tcase_add_test(tc, a_step_belongs_to_its_mechanism);
    tcase_add_test(tc, plain_may_come_with_the_step);
    tcase_add_test(tc, a_new_login_drops_the_old_rights);
    tcase_add_test(tc, listing_changes_nothing);
    tcase_add_test(tc, every_order_of_messages);
    tcase_add_loop_test(tc, only_listed_names_are_taken, 0,
                        (int)(sizeof bad_names / sizeof *bad_names));
    tcase_add_test(tc, a_name_with_nul_is_not_taken);
    tcase_add_test(tc, a_long_message_fails);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
