/* However many handshakes wait, a worker does no more than one part in a turn, and serves those
 * before who are connected already. */
#include "server/conn.h"
#include "server/transport.h"
#include "server/wake.h"
#include "server/worker.h"
#include "t/fuzz/instance.h"
#include "t/unit/unit.h"

#define N_SHAKING 5

static struct line served;
static struct line shaking[N_SHAKING];
static unsigned n_parts;     /* that the worker would do itself */
static unsigned n_elsewhere; /* that the job threads would get */
static size_t n_answered;    /* bytes that the served one had got when the last part was done */

/* A part that leaves the handshake waiting for more. */
static enum io count_part(struct conn *conn)
{
    wake_clear(conn->fd);
    *(conn->worker->has_shaken ? &n_elsewhere : &n_parts) += 1;
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
static void open_all(void)
{
    static struct instance *instance;
    if (instance == NULL)
        instance = instance_create(false);
    n_parts = n_elsewhere = 0;
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
    open_all();
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, 1);
    ck_assert_uint_eq(n_elsewhere, N_SHAKING - 1);
    ck_assert_uint_eq(n_answered, strlen("MN\r\n"));
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, 1);
    wake_signal(shaking[3].conn->fd); /* its next part, alone */
    turn_with_a_request();
    ck_assert_uint_eq(n_parts, 2);
    ck_assert_uint_eq(n_elsewhere, N_SHAKING - 1);
    ck_assert_uint_eq(n_answered, 3 * strlen("MN\r\n"));
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
    open_all();
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
    tcase_add_test(tc, who_is_closed_while_it_waits_has_no_part);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
