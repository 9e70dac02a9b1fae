/* stream.h - answers too long to compose at once: key dumps, made part by part as the client reads.
 * Owns: the cursor of the dump.   Thread: the connection's worker.
 * Never: holds more than one part in memory, or blocks the worker for longer than a part. */
#ifndef SERVER_STREAM_H
#define SERVER_STREAM_H

#include "server/conn.h"

enum stream_kind { STREAM_METADUMP, STREAM_MGDUMP, STREAM_CACHEDUMP };

/* Makes the connection go on with a dump; class_mask bit n: items of class n; n_max items at most
 * (0 = all). False when memory is short. */
MUST_USE bool stream_begin(struct conn *conn, enum stream_kind kind, uint64_t class_mask,
                           uint64_t n_max);

/* Composes the next part; true when the dump is over, its end included. */
bool stream_fill(struct conn *conn);

/* Forgets the dump, if there is one. */
void stream_end(struct conn *conn);

#endif
