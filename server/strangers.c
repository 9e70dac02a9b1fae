#include "server/strangers.h"

void strangers_add(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->is_stranger)
        return;
    conn->is_stranger = true;
    conn->next_stranger = NULL;
    conn->prev_stranger = worker->last_stranger;
    if (worker->last_stranger != NULL)
        worker->last_stranger->next_stranger = conn;
    else
        worker->first_stranger = conn;
    worker->last_stranger = conn;
    atomic_fetch_add_explicit(&worker->server->n_strangers, 1, memory_order_relaxed);
}

void strangers_remove(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (!conn->is_stranger)
        return;
    conn->is_stranger = false;
    if (conn->prev_stranger != NULL)
        conn->prev_stranger->next_stranger = conn->next_stranger;
    else
        worker->first_stranger = conn->next_stranger;
    if (conn->next_stranger != NULL)
        conn->next_stranger->prev_stranger = conn->prev_stranger;
    else
        worker->last_stranger = conn->prev_stranger;
    atomic_fetch_sub_explicit(&worker->server->n_strangers, 1, memory_order_relaxed);
}

bool strangers_close_oldest(struct worker *worker)
{
    if (worker->first_stranger == NULL)
        return false;
    conn_close(worker->first_stranger, CLOSE_IDLE);
    return true;
}
