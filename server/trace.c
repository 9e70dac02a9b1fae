#include "server/trace.h"

#include "server/log.h"
#include "server/watch.h"

void trace_turn(struct server *server, enum trace_reader reader, bool is_on)
{
    if (is_on)
        atomic_fetch_or(&server->trace_readers, reader);
    else
        atomic_fetch_and(&server->trace_readers, ~(unsigned)reader);
}

void trace_opened(const struct conn *conn)
{
    char address[ADDRESS_TEXT_MAX];
    address_render(&conn->peer, address, sizeof address);
    log_event(conn->worker->server->log, LOG_LEVEL_DEBUG, "connected", LOG_NUMBER("fd", conn->fd),
              LOG_STR("address", address), LOG_STR("transport", conn->transport->name), LOG_END);
}

void trace_closed(const struct conn *conn)
{
    static const char *const reasons[] = {
        [CLOSE_NORMAL] = "normal",
        [CLOSE_ERROR] = "error",
        [CLOSE_IDLE] = "idle",
        [CLOSE_SHUTDOWN] = "shutdown",
    };
    log_event(conn->worker->server->log, LOG_LEVEL_DEBUG, "disconnected",
              LOG_NUMBER("fd", conn->fd), LOG_STR("reason", reasons[conn->close_reason]), LOG_END);
}

static void log_request(struct log *log, const struct conn *conn, const struct request *request)
{
    if (request->verb == VERB_BAD) {
        log_event(log, LOG_LEVEL_DEBUG, "refused", LOG_NUMBER("fd", conn->fd),
                  LOG_NUMBER("status", request->status), LOG_END);
        return;
    }
    log_event(log, LOG_LEVEL_DEBUG, "request", LOG_NUMBER("fd", conn->fd),
              LOG_STR("verb", verb_name(request->verb)), LOG_TEXT("key", request->key),
              LOG_NUMBER("value_bytes", request->n_value), LOG_END);
}

void trace_request(struct conn *conn, const struct request *request)
{
    struct server *server = conn->worker->server;
    log_request(server->log, conn, request);
    if (watch_is_on(server->watch, WATCH_RAWCMDS))
        watch_request(conn, request);
}
