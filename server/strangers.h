/* strangers.h - the connections of a worker on which nobody is logged in, in the order they came.
 * Owns: the list, threaded through the connections, and the server's count of them.
 * Thread: the worker; the count is read by the listener.
 * Never: holds one that is closing; holds any when no login is configured. */
#ifndef SERVER_STRANGERS_H
#define SERVER_STRANGERS_H

#include "server/conn.h"

/* Puts the connection last; one that is there keeps its place. */
void strangers_add(struct conn *conn);

/* Takes it out, if it is there. */
void strangers_remove(struct conn *conn);

/* Closes the first, to make room for a new one. False: there is none. */
MUST_USE bool strangers_close_oldest(struct worker *worker);

#endif
