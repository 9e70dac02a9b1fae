/* execute.h - struct request to effect to struct reply, once for all dialects.
 * Owns: nothing.   Thread: the connection's worker, online.
 * Never: looks at a dialect, but to choose words that only one of them has. */
#ifndef SERVER_EXECUTE_H
#define SERVER_EXECUTE_H

#include "server/conn.h"

enum execute_result {
    EXECUTE_NEXT,  /* answered; go on with the next request */
    EXECUTE_MOVED, /* the connection is in another state now */
    EXECUTE_CLOSE, /* write what is answered, then close */
};

/* Carries out one request. key is its key with the hash, if it has one. */
MUST_USE enum execute_result execute(struct conn *conn, struct request *request,
                                     const struct cache_key *key);

/* The storage command whose value has arrived in *upload; takes the upload. */
void execute_upload(struct conn *conn, const struct request *request, const struct cache_key *key,
                    struct cache_upload **upload);

/* Refuses a storage command for want of room, with what this does to the old item. */
void execute_refuse_value(struct conn *conn, const struct request *request,
                          const struct cache_key *key, enum status status);

/* Answers request->status. */
void execute_refusal(struct conn *conn, const struct request *request);

#endif
