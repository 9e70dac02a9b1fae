/* How a closed connection is let go while the ready list or a job still knows it. */
#include "server/conn.h"
#include "server/worker.h"
#include "t/fuzz/instance.h"
#include "t/unit/unit.h"

static struct line line;

static enum step not_called(struct conn *conn)
{
    (void)conn;
    ck_abort_msg("a closed connection was continued");
    return STEP_CLOSE;
}

/* One server serves all cases: it has no end. */
static struct conn *open_one(void)
{
    static struct instance *instance;
    if (instance == NULL)
        instance = instance_create(false);
    line_open(&line, instance, 0);
    worker_online(line.conn->worker);
    return line.conn;
}

static unsigned n_open(void)
{
    return atomic_load(&instance_server(line.instance)->n_structures);
}

/* It had bytes left of the last turn, began a login, and is closed. */
static struct conn *close_ready_and_busy(void)
{
    struct conn *conn = open_one();
    worker_make_ready(conn->worker, conn);
    conn->has_job = true;
    conn_wait_for_job(conn, not_called);
    conn_close(conn, CLOSE_IDLE);
    return conn;
}

START_TEST(the_job_ends_after_the_turn)
{
    struct conn *conn = close_ready_and_busy();
    struct worker *worker = conn->worker;
    worker_end_turn(worker);
    ck_assert_uint_eq(n_open(), 1); /* the job thread has it */
    conn_job_done(conn);
    worker_end_turn(worker);
    ck_assert_uint_eq(n_open(), 0);
}
END_TEST

START_TEST(the_job_ends_within_the_turn)
{
    struct conn *conn = close_ready_and_busy();
    struct worker *worker = conn->worker;
    conn_job_done(conn);
    worker_end_turn(worker);
    ck_assert_uint_eq(n_open(), 0);
    ck_assert_ptr_null(worker->closed);
}
END_TEST

START_TEST(nobody_knows_it)
{
    struct conn *conn = open_one();
    struct worker *worker = conn->worker;
    conn_close(conn, CLOSE_IDLE);
    conn_close(conn, CLOSE_ERROR);
    worker_end_turn(worker);
    ck_assert_uint_eq(n_open(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn_end");
    TCase *tc = tcase_create("end");
    tcase_add_test(tc, the_job_ends_after_the_turn);
    tcase_add_test(tc, the_job_ends_within_the_turn);
    tcase_add_test(tc, nobody_knows_it);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
