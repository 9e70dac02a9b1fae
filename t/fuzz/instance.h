/* instance.h - a server with one worker inside the calling thread, and connections over memory.
 * Owns: the server's parts; what a connection sent.
 * Thread: one.
 * Never: starts a thread or reads a clock. */
#ifndef T_FUZZ_INSTANCE_H
#define T_FUZZ_INSTANCE_H

#include "base/bytes.h"
#include "server/server.h"
#include "t/buffer.h"

#include <stdbool.h>

#define INSTANCE_NOW 1800000000u /* it is always this second */

struct conn;
struct instance;
struct tls;

/* Never freed: the process ends with it. Without CAS an answer does not tell how many stores there
 * were before. */
struct instance *instance_create(bool has_cas);
struct server *instance_server(struct instance *instance);
/* Forgets all items and what administrative commands changed. */
void instance_reset(struct instance *instance);

/* A client's side of a connection. */
struct line {
    struct instance *instance;
    struct conn *conn; /* NULL when the server has closed it */
    struct slice in;   /* what the server has not read yet */
    uint32_t split;    /* 0: all at once; otherwise the seed of short reads and writes */
    bool has_starved;  /* the last read found nothing */
    struct buffer out; /* what the server sent */
};

void line_open(struct line *line, struct instance *instance, uint32_t split);
/* Sends bytes and lets the server work until it waits for more. */
void line_send(struct line *line, struct slice bytes);
void line_close(struct line *line);

/* A connection that comes by TLS over a socket, which the instance takes. It is served by
 * line_turn, and line_send is not for it. */
void line_open_tls(struct line *line, struct instance *instance, struct tls *tls, int fd);
/* One turn of the worker's loop, without waiting. */
void line_turn(struct line *line);

/* The same for connections without a line, such as those of datagrams. */
void instance_turn(struct instance *instance);

#endif
