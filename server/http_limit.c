#include "server/http_limit.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdbool.h>
#include <sys/socket.h>

/* evhttp waits for an event of a connection as long as it has it. */
static bool has_ended(struct bufferevent *conn)
{
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *arg;
    bufferevent_getcb(conn, &on_read, &on_write, &on_event, &arg);
    return on_event == NULL;
}

static void forget_ended(struct http_limit *limit)
{
    size_t n = 0;
    for (size_t i = 0; i < limit->n; i++) {
        if (has_ended(limit->conns[i]))
            bufferevent_decref(limit->conns[i]);
        else
            limit->conns[n++] = limit->conns[i];
    }
    limit->n = n;
}

static void cut_oldest(struct http_limit *limit)
{
    (void)shutdown(bufferevent_getfd(limit->conns[0]), SHUT_RDWR);
    bufferevent_decref(limit->conns[0]);
    limit->n--;
    for (size_t i = 0; i < limit->n; i++)
        limit->conns[i] = limit->conns[i + 1];
}

/* evhttp asks for the buffers of a connection that it has just accepted. Without memory for them it
 * tries once more by itself; what it gets then is not counted. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct http_limit *limit = arg;
    struct bufferevent *conn = bufferevent_socket_new(base, -1, 0);
    if (conn == NULL)
        return NULL;
    forget_ended(limit);
    if (limit->n == HTTP_CONNECTIONS_MAX)
        cut_oldest(limit);
    bufferevent_incref(conn);
    limit->conns[limit->n++] = conn;
    return conn;
}

void http_limit_init(struct http_limit *limit, struct evhttp *http)
{
    evhttp_set_bevcb(http, on_connection, limit);
}

void http_limit_fini(struct http_limit *limit)
{
    while (limit->n > 0)
        bufferevent_decref(limit->conns[--limit->n]);
}
