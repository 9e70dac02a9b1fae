#include "server/stat_list.h"

#include "tls/tls.h"

enum execute_result command_stats_tls(const struct command *c)
{
    struct stat_list list = {c, true};
    struct tls *tls = c->conn->worker->server->tls;
    struct tls_info info;
    struct tls_counters n;
    stat_text(&list, "enabled", tls != NULL ? "yes" : "no");
    if (tls == NULL)
        return stat_list_end(&list);
    tls_info(tls, c->now, &info);
    tls_counters(tls, &n);
    stat_text(&list, "subject", info.subject);
    stat_text(&list, "issuer", info.issuer);
    stat_text(&list, "serial", info.serial);
    stat_text(&list, "fingerprint", info.fingerprint);
    stat_u64(&list, "not_before", (uint64_t)info.not_before_s);
    stat_u64(&list, "not_after", (uint64_t)info.not_after_s);
    stat_u64(&list, "days_left", info.days_left > 0 ? (uint64_t)info.days_left : 0);
    stat_u64(&list, "generation", info.generation);
    stat_u64(&list, "loaded", (uint64_t)info.loaded_s);
    stat_u64(&list, "last_reload", (uint64_t)info.last_reload_s);
    stat_text(&list, "last_reload_result",
              info.last_reload_s == 0   ? "never"
              : info.last_reload_worked ? "ok"
                                        : info.last_reload_text);
    stat_u64(&list, "sessions", info.n_sessions);
    stat_u64(&list, "sessions_on_old_certificate", info.n_sessions_old);
    stat_u64(&list, "crl_next_update", (uint64_t)info.crl_next_update_s);
    stat_text(&list, "versions", info.versions);
    stat_text(&list, "ciphers", info.ciphers);
    stat_text(&list, "kernel_tls", info.has_kernel_tls ? "yes" : "no");
    stat_u64(&list, "handshakes_full", n.handshakes_full);
    stat_u64(&list, "handshakes_resumed", n.handshakes_resumed);
    stat_u64(&list, "handshakes_failed", n.handshakes_failed);
    stat_u64(&list, "handshakes_plain", n.handshakes_plain);
    stat_u64(&list, "proto_errors", n.proto_errors);
    stat_u64(&list, "cut_ends", n.cut_ends);
    stat_u64(&list, "tickets_refused", n.tickets_refused);
    return stat_list_end(&list);
}
