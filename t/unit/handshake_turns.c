/* However many handshakes wait, a worker does no more than one part in a turn, and serves those
 * before who are connected already. The others wait for the next turns, in their order; job threads
 * get them where workers share a processor. */
#include "server/conn.h"
#include "server/transport.h"
#include "server/wake.h"
#include "server/worker.h"
#include "t/fuzz/instance.h"
#include "t/unit/unit.h"

#define N_SHAKING 5

static struct line served;
static struct line shaking[N_SHAKING];
static unsigned n_parts;             /* that the worker would do itself */
static unsigned n_elsewhere;         /* that the job threads would get */
static const struct conn *last_part; /* whose was it? */
static size_t n_answered; /* bytes that the served one had got when the last part was done */

/* A part that leaves the handshake waiting for more. */
static enum io count_part(struct conn *conn)
{
    wake_clear(conn->fd);
    *(conn->worker->has_shaken ? &n_elsewhere : &n_parts) += 1;
    last_part = conn;
    n_answered = served.out.n;
    conn->io_wanted = 0;
    return IO_WANT_READ;
}

static void nothing(struct conn *conn)
{
    (void)conn;
}

static bool has_nothing(const struct conn *conn)
{
    (void)conn;
    return false;
}

static const struct transport counting = {.name = "counting",
                                          .handshake = count_part,
                                          .has_pending = has_nothing,
                                          .close = nothing,
                                          .free = nothing};

/* One server serves all cases: it has no end. The served connection is the youngest: the others'
 * events come first. */
static void open_all(bool workers_share)
{
    static struct instance *instance;
    if (instance == NULL)
        instance = instance_create(false);
    instance_server(instance)->workers_share = workers_share;
    n_parts = n_elsewhere = 0;
    n_answered = 0;
    for (int i = 0; i < N_SHAKING; i++) {
        line_open(&shaking[i], instance, 0);
        shaking[i].conn->transport = &counting;
        conn_enter(shaking[i].conn, CONN_HANDSHAKE);
        wake_signal(shaking[i].conn->fd);
    }
    line_open(&served, instance, 0);
    wake_signal(served.conn->fd);
}

static void turn_with_a_request(void)
{
    served.in = slice_str("mn\r\n");
    line_turn(&served);
}

static void close_all(void)
{
    for (int i = 0; i < N_SHAKING; i++) {
        if (shaking[i].conn != NULL)
            conn_close(shaking[i].conn, CLOSE_NORMAL);
    }
    line_turn(&served);
    line_close(&served);
    ck_assert_uint_eq(atomic_load(&instance_server(served.instance)->n_structures), 0);
}

START_TEST(one_part_in_a_turn_behind_the_others)
{
    open_all(false);
    for (unsigned i = 1; i <= N_SHAKING; i++) {
        turn_with_a_request();
        ck_assert_uint_eq(n_parts, i);
        ck_assert_uint_eq(n_answered, i * strlen("MN\r\n"));
    }
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, N_SHAKING);
    ck_assert_ptr_null(served.conn->worker->first_shaking);
    close_all();
}
END_TEST

START_TEST(the_others_go_elsewhere_where_workers_share)
{
    open_all(true);
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, 1);
    ck_assert_uint_eq(n_elsewhere, N_SHAKING - 1);
    ck_assert_uint_eq(n_answered, strlen("MN\r\n"));
    wake_signal(shaking[3].conn->fd); /* its next part, alone */
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, 2);
    ck_assert_uint_eq(n_elsewhere, N_SHAKING - 1);
    ck_assert_uint_eq(n_answered, 2 * strlen("MN\r\n"));
    close_all();
}
END_TEST

START_TEST(who_waits_is_asked_about_once)
{
    open_all(false);
    turn_with_a_request(); /* all are known now, and one has had its part */
    turn_with_a_request();
    unsigned n_watched = 0;
    for (int i = 0; i < N_SHAKING; i++)
        n_watched += shaking[i].conn->armed != 0;
    ck_assert_uint_eq(n_watched, 2); /* those that have had theirs */
    const struct conn *first = last_part;
    wake_signal(first->fd); /* its next part, behind the others' */
    for (int i = 2; i < N_SHAKING; i++) {
        turn_with_a_request();
        ck_assert_ptr_ne(last_part, first);
    }
    turn_with_a_request();
    ck_assert_ptr_eq(last_part, first);
    ck_assert_uint_eq(n_parts, N_SHAKING + 1);
    for (int i = 0; i < N_SHAKING; i++)
        ck_assert_int_eq(shaking[i].conn->armed, EV_READ);
    close_all();
}
END_TEST

static enum io close_the_others(struct conn *conn)
{
    for (int i = 0; i < N_SHAKING; i++) {
        if (shaking[i].conn != conn && shaking[i].conn != NULL)
            conn_close(shaking[i].conn, CLOSE_IDLE);
        if (shaking[i].conn != conn)
            shaking[i].conn = NULL;
    }
    return count_part(conn);
}

START_TEST(who_is_closed_while_it_waits_has_no_part)
{
    static const struct transport closing = {.name = "closing",
                                             .handshake = close_the_others,
                                             .has_pending = has_nothing,
                                             .close = nothing,
                                             .free = nothing};
    open_all(false);
    for (int i = 0; i < N_SHAKING; i++)
        shaking[i].conn->transport = &closing;
    turn_with_a_request();
    ck_assert_uint_eq(n_parts + n_elsewhere, 1);
    ck_assert_uint_eq(atomic_load(&instance_server(served.instance)->n_structures), 2);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handshake_turns");
    TCase *tc = tcase_create("turns");
    tcase_add_test(tc, one_part_in_a_turn_behind_the_others);
    tcase_add_test(tc, the_others_go_elsewhere_where_workers_share);
    tcase_add_test(tc, who_waits_is_asked_about_once);
    tcase_add_test(tc, who_is_closed_while_it_waits_has_no_part);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
