/* upload.h - a storage command whose value is too large to wait for in the input buffer.
 * Owns: a copy of the request (its key and meta flags too) and the cache's upload.
 * Thread: the connection's worker.
 * Never: takes memory for bytes that were only announced. */
#ifndef SERVER_UPLOAD_H
#define SERVER_UPLOAD_H

#include "server/conn.h"

/* Opens the place for the value of this request, whose head was just consumed. False when memory
 * is short: *status_out says how, and the value is to be swallowed. */
MUST_USE bool upload_state_begin(struct conn *conn, const struct request *request, uint64_t hash,
                                 enum status *status_out);

enum upload_progress { UPLOAD_DONE, UPLOAD_WAITS, UPLOAD_BROKEN };

/* Takes bytes from the input and the socket. UPLOAD_DONE: the command was executed and answered;
 * the state may have become SWALLOW because memory ran out on the way. */
MUST_USE enum upload_progress upload_state_fill(struct conn *conn, struct input *in);

/* Gives everything up; nothing is stored. Does nothing when there is no upload. */
void upload_state_abort(struct conn *conn);

#endif
