/* http_limit.h - bounds the connections of an HTTP server: the oldest gives way to a new one.
 * Owns: a reference to each connection's buffers, so as to see when it has ended.
 * Thread: the HTTP server's.   Never: frees a connection; it is cut off, and evhttp sees the end.
 */
#ifndef SERVER_HTTP_LIMIT_H
#define SERVER_HTTP_LIMIT_H

#include <stddef.h>

#define HTTP_CONNECTIONS_MAX 64

struct bufferevent;
struct evhttp;

struct http_limit {
    size_t n;
    struct bufferevent *conns[HTTP_CONNECTIONS_MAX]; /* oldest first */
};

/* From now on http takes so many connections. limit, all zero at first, outlives http. */
void http_limit_init(struct http_limit *limit, struct evhttp *http);

/* After http has been freed. */
void http_limit_fini(struct http_limit *limit);

#endif
