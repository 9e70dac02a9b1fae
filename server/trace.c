#include "server/trace.h"

#include "server/log.h"

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

void trace_request(const struct conn *conn, const struct request *request)
{
    struct log *log = conn->worker->server->log;
    if (request->verb == VERB_BAD) {
        log_event(log, LOG_LEVEL_DEBUG, "refused", LOG_NUMBER("fd", conn->fd),
                  LOG_NUMBER("status", request->status), LOG_END);
        return;
    }
    log_event(log, LOG_LEVEL_DEBUG, "request", LOG_NUMBER("fd", conn->fd),
              LOG_STR("verb", verb_name(request->verb)), LOG_TEXT("key", request->key),
              LOG_NUMBER("value_bytes", request->n_value), LOG_END);
}
