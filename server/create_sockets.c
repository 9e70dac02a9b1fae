#include "server/create_sockets.h"

#include "server/listener.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/process.h"
#include "server/takeover.h"
#include "server/udp.h"

#include <stdio.h>
#include <stdlib.h>

static int create_udp(struct server *server)
{
    char error[512];
    if (udp_set_create(server, &server->udp, error, sizeof error))
        return 0;
    fprintf(stderr, "failed to listen on UDP port %d: %s\n", (int)server->settings->udp_port,
            error);
    return EXIT_NO_RESOURCE;
}

static int refuse_many(const struct server *server)
{
    if (server->takeover == NULL || takeover_can_give(server->takeover))
        return 0;
    fprintf(stderr,
            "keepd: --takeover: a successor can be given %d listening sockets, and there are "
            "more: name fewer addresses\n",
            TAKEOVER_SOCKETS_MAX);
    return EXIT_NO_RESOURCE;
}

int create_listeners(struct server *server)
{
    const struct settings *settings = server->settings;
    char error[512];
    server->listeners = listener_set_create(server, error, sizeof error);
    if (server->listeners != NULL) {
        int failed = create_udp(server);
        listen_handed_close_rest(&server->handed);
        return failed != 0 ? failed : refuse_many(server);
    }
    if (settings->socket_path != NULL)
        fprintf(stderr, "failed to listen on UNIX socket: %s: %s\n", settings->socket_path, error);
    else if (settings->listen_text != NULL)
        fprintf(stderr, "failed to listen on one of interface(s) %s: %s\n", settings->listen_text,
                error);
    else
        fprintf(stderr, "failed to listen on TCP port %d: %s\n", (int)settings->tcp_port, error);
    return EXIT_NO_RESOURCE;
}

int create_metrics(struct server *server)
{
    char error[512];
    if (server->settings->metrics_text == NULL)
        return 0;
    server->metrics = metrics_open(server, server->settings->metrics_text, error, sizeof error);
    if (server->metrics != NULL)
        return 0;
    fprintf(stderr, "keepd: --metrics: %s\n", error);
    return EXIT_NO_RESOURCE;
}

int create_ports_file(const struct server *server)
{
    char error[512];
    const char *path = getenv("MEMCACHED_PORT_FILENAME");
    if (path == NULL || server->settings->socket_path != NULL)
        return 0;
    if (listener_write_ports(server->listeners, path, error, sizeof error))
        return 0;
    return process_refuse(EXIT_BAD_VALUE, error);
}
