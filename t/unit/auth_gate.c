#include "t/unit/auth_fixture.h"

static struct auth *auth;
static struct auth_session *session;
static const char *path;
static unsigned n_events;

static void count_event(void *arg, const struct auth_event *event)
{
    (void)arg;
    n_events += event->kind == AUTH_EVENT_DENIED || event->kind == AUTH_EVENT_WARNED;
}

static void open_with(const char *rights, bool is_warn)
{
    char text[1024];
    struct auth_error error;
    snprintf(text, sizeof text,
             "tenant t {}\nuser u { tenant = t rights = {%s} secret s { verifiers = {\"%s\"} } }\n",
             rights, verifier_text(VERIFIER_SHA_256, "pw"));
    path = file_temporary(text);
    struct auth_config config = {
        .tenants_path = path, .is_rights_warn = is_warn, .event = count_event};
    auth = auth_create(&config, NOW, &error);
    ck_assert_msg(auth != NULL, "%s", error.text);
    session = auth_session_create(auth, &loopback);
    ck_assert_int_eq(send_plain(session, "u", "pw").verdict, AUTH_SUCCESS);
}

static void close_all(void)
{
    auth_session_destroy(&session);
    auth_destroy(&auth);
    unlink(path);
}

/* The right that each class needs; 0 none. Written out again on purpose. */
static const struct {
    enum auth_class class;
    const char *right;
    bool is_open_before;
} classes[] = {
    {AUTH_CLASS_PUBLIC, "", true},        {AUTH_CLASS_BASIC, "", false},
    {AUTH_CLASS_READ, "read", false},     {AUTH_CLASS_WRITE, "write", false},
    {AUTH_CLASS_DELETE, "delete", false}, {AUTH_CLASS_INCR, "incr", false},
    {AUTH_CLASS_TOUCH, "touch", false},   {AUTH_CLASS_FLUSH, "flush", false},
    {AUTH_CLASS_STATS, "stats", false},   {AUTH_CLASS_DUMP, "dump", false},
    {AUTH_CLASS_ADMIN, "admin", false},
};

START_TEST(the_whole_matrix)
{
    ck_assert_uint_eq(sizeof classes / sizeof *classes, N_AUTH_CLASSES);
    open_with(classes[_i].right, false);
    for (unsigned i = 0; i < N_AUTH_CLASSES; i++) {
        enum auth_class class = classes[i].class;
        bool is_free = classes[i].right[0] == '\0';
        enum auth_permit expected = is_free || i == (unsigned)_i ? AUTH_ALLOW : AUTH_DENY;
        ck_assert_int_eq(auth_gate(auth, session, class), expected);
        ck_assert_int_eq((auth_gate_mask(auth, session) >> class) & 1, expected == AUTH_ALLOW);
        ck_assert_int_eq(auth_gate(auth, NULL, class),
                         classes[i].is_open_before ? AUTH_ALLOW : AUTH_NEED_LOGIN);
    }
    send_plain(session, "u", "wrong");
    for (unsigned i = 0; i < N_AUTH_CLASSES; i++)
        ck_assert_int_eq(auth_gate(auth, session, classes[i].class),
                         classes[i].is_open_before ? AUTH_ALLOW : AUTH_NEED_LOGIN);
    close_all();
}
END_TEST

START_TEST(warn_mode_tells_and_lets_pass)
{
    open_with("read", true);
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_READ), AUTH_ALLOW);
    ck_assert_int_eq(auth_gate(auth, session, AUTH_CLASS_WRITE), AUTH_WARN);
    ck_assert_int_eq(auth_gate(auth, NULL, AUTH_CLASS_WRITE), AUTH_NEED_LOGIN);
    close_all();
}
END_TEST

static void keep_denial(void *arg, const struct auth_denial *denial)
{
    struct auth_denial *kept = arg;
    kept[0] = kept[1];
    kept[1] = *denial;
}

START_TEST(denials_are_kept_and_summed)
{
    struct auth_denial kept[2];
    struct auth_counters counters;
    memset(kept, 0, sizeof kept);
    open_with("read", false);
    uint32_t tenant = auth_identity_tenant(auth_session_identity(session));
    n_events = 0;
    for (int i = 0; i < 3; i++)
        auth_note_denial(auth, session, AUTH_CLASS_WRITE, SLICE("key one"), NOW);
    auth_note_denial(auth, session, AUTH_CLASS_FLUSH, SLICE(""), NOW);
    auth_denials_each(auth, tenant, keep_denial, kept);
    ck_assert_uint_eq(kept[0].count, 3);
    ck_assert_int_eq(kept[0].class, AUTH_CLASS_WRITE);
    ck_assert(slice_is(slice_of(kept[0].key, kept[0].n_key), "key one"));
    ck_assert_str_eq(kept[0].user, "u");
    ck_assert_str_eq(kept[0].address, "127.0.0.1");
    ck_assert_uint_eq(kept[1].count, 1);
    auth_counters_read(auth, &counters);
    ck_assert_uint_eq(counters.denials, 4);
    ck_assert_uint_eq(n_events, 4);
    /* The ring is bounded: the oldest leave. */
    for (uint32_t i = 0; i < 1000; i++)
        auth_note_denial(auth, session, AUTH_CLASS_WRITE, slice_of(&i, sizeof i), NOW);
    memset(kept, 0, sizeof kept);
    auth_denials_each(auth, tenant + 1, keep_denial, kept);
    ck_assert_uint_eq(kept[1].count, 0);
    close_all();
}
END_TEST

static void count_record(void *arg, const struct auth_record *record)
{
    unsigned *counts = arg;
    counts[record->kind] += record->count;
    ck_assert_str_eq(record->user, "u");
}

START_TEST(logins_are_recorded_by_tenant)
{
    unsigned counts[N_AUTH_EVENTS] = {0};
    uint64_t logins, failures;
    open_with("read", false);
    uint32_t tenant = auth_identity_tenant(auth_session_identity(session));
    send_plain(session, "u", "wrong");
    send_plain(session, "u", "wrong");
    auth_records_each(auth, tenant, count_record, counts);
    ck_assert_uint_eq(counts[AUTH_EVENT_LOGIN], 1);
    ck_assert_uint_eq(counts[AUTH_EVENT_LOGIN_FAILED], 2);
    auth_records_each(auth, UINT32_MAX, count_record, counts);
    ck_assert_uint_eq(counts[AUTH_EVENT_LOGIN_FAILED], 4);
    auth_tenant_counts(auth, tenant, &logins, &failures);
    ck_assert_uint_eq(logins, 1);
    ck_assert_uint_eq(failures, 2);
    auth_tenant_counts(auth, 4000, &logins, &failures);
    ck_assert_uint_eq(logins + failures, 0);
    ck_assert_str_eq(auth_event_word(AUTH_EVENT_LOGIN_FAILED), "login_failed");
    ck_assert_str_eq(auth_class_word(AUTH_CLASS_ADMIN), "admin");
    ck_assert_str_eq(auth_offer_word(AUTH_HIDDEN), "hidden");
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_gate");
    TCase *tc = tcase_create("auth_gate");
    tcase_add_loop_test(tc, the_whole_matrix, 0, N_AUTH_CLASSES);
    tcase_add_test(tc, warn_mode_tells_and_lets_pass);
    tcase_add_test(tc, denials_are_kept_and_summed);
    tcase_add_test(tc, logins_are_recorded_by_tenant);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
