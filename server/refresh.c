#include "server/refresh.h"

#include "server/command.h"
#include "server/create_auth.h"
#include "server/jobs.h"
#include "server/steps.h"
#include "server/sysevent.h"
#include "server/tenants.h"
#include "tls/tls.h"

#include <stdio.h>
#include <stdlib.h>

static bool refresh_tls(struct server *server, struct tls_report *report)
{
    bool is_new = tls_reload(server->tls, NULL, server_now(server), report);
    if (is_new)
        sysevent(server, LOG_LEVEL_WARNING, "certificates_reloaded", LOG_END);
    else
        sysevent(server, LOG_LEVEL_ERROR, "certificates_not_reloaded",
                 LOG_STR("reason", report->text), LOG_END);
    return is_new;
}

void refresh_tend(struct server *server)
{
    struct tls_expiry expiry;
    if (server->tls == NULL)
        return;
    tls_tick(server->tls, server_now(server));
    while (tls_expiry_warning(server->tls, server_now(server), &expiry))
        sysevent(server, LOG_LEVEL_WARNING,
                 expiry.days_left < 0 ? "certificate_has_expired" : "certificate_expires",
                 LOG_STR("subject", expiry.subject), LOG_STR("serial", expiry.serial),
                 LOG_NUMBER("days_left", expiry.days_left < 0 ? 0 : expiry.days_left), LOG_END);
}

/* Users and tenants; a bad file changes nothing. */
static bool refresh_auth(struct server *server, char *reason, size_t n_reason)
{
    struct auth_error error;
    if (auth_reload(server->auth, auth_time(server), &error) != AUTH_OK) {
        tenants_retire(server->tenants, server->auth);
        sysevent(server, LOG_LEVEL_ERROR, "users_not_reloaded", LOG_STR("reason", error.text),
                 LOG_END);
        snprintf(reason, n_reason, "%s", error.text);
        return false;
    }
    bool is_whole = tenants_sync(server->tenants, server->auth);
    if (is_whole) {
        sysevent(server, LOG_LEVEL_NOTICE, "users_reloaded", LOG_END);
    } else {
        snprintf(reason, n_reason, "out of memory for the tenants");
        sysevent(server, LOG_LEVEL_ERROR, "tenants_not_made", LOG_STR("reason", "out of memory"),
                 LOG_END);
    }
    if (server->tls != NULL)
        tls_set_policy(server->tls, auth_generation(server->auth));
    return is_whole;
}

bool refresh_all(struct server *server, char *reason, size_t n_reason)
{
    struct tls_report report;
    bool is_good = true;
    log_reopen(server->log);
    pthread_mutex_lock(&server->refresh_lock);
    if (server->tls != NULL && !refresh_tls(server, &report)) {
        snprintf(reason, n_reason, "%s", report.text);
        is_good = false;
    }
    if (server->auth != NULL && !refresh_auth(server, reason, n_reason))
        is_good = false;
    pthread_mutex_unlock(&server->refresh_lock);
    return is_good;
}

/* ---- refresh_certs, reload: files are read on a job thread, the answer waits for it ---- */

struct refresh {
    struct job job;
    struct message message;
    struct conn *conn;
    bool is_quiet;
    bool is_all; /* reload */
    bool is_new;
    struct tls_report report;
    char reason[REFRESH_REASON_MAX];
};

static void refresh_done(struct worker *worker, struct message *message)
{
    struct refresh *refresh =
        (struct refresh *)((char *)message - offsetof(struct refresh, message));
    (void)worker;
    conn_job_done(refresh->conn);
}

static void refresh_run(struct job *job)
{
    struct refresh *refresh = (struct refresh *)job;
    struct worker *worker = refresh->conn->worker;
    if (refresh->is_all) {
        refresh->is_new = refresh_all(worker->server, refresh->reason, sizeof refresh->reason);
    } else {
        pthread_mutex_lock(&worker->server->refresh_lock);
        refresh->is_new = refresh_tls(worker->server, &refresh->report);
        pthread_mutex_unlock(&worker->server->refresh_lock);
    }
    worker_tell(worker, &refresh->message);
}

/* One line of words: a reason is shown as it is but for what would end the line. */
static bool answer_reload(struct conn *conn, const struct request *request, bool is_good,
                          const char *reason)
{
    char line[REFRESH_REASON_MAX + 16];
    if (is_good)
        return answer_text(conn, request, SLICE("OK"));
    snprintf(line, sizeof line, "SERVER_ERROR %s", reason);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ')
            *p = ' ';
    }
    return answer_text(conn, request, slice_str(line));
}

static enum step refresh_answer(struct conn *conn)
{
    struct refresh *refresh = conn->job_data;
    struct request request = {.verb = VERB_REFRESH_CERTS, .is_quiet = refresh->is_quiet};
    bool is_answered;
    conn->is_job_done = false;
    conn->job_data = NULL;
    if (refresh->is_all)
        is_answered = answer_reload(conn, &request, refresh->is_new, refresh->reason);
    else
        is_answered = answer_text(conn, &request,
                                  refresh->is_new ? SLICE("OK") : slice_str(refresh->report.text));
    free(refresh);
    return is_answered ? step_answered(conn) : STEP_CLOSE;
}

static enum execute_result submit(const struct command *c, bool is_all)
{
    struct refresh *refresh = calloc(1, sizeof *refresh);
    if (refresh == NULL)
        return EXECUTE_CLOSE;
    refresh->job.run = refresh_run;
    refresh->message.run = refresh_done;
    refresh->conn = c->conn;
    refresh->is_quiet = c->request->is_quiet;
    refresh->is_all = is_all;
    c->conn->job_data = refresh;
    c->conn->has_job = true;
    conn_wait_for_job(c->conn, refresh_answer);
    jobs_submit(c->conn->worker->server->jobs, &refresh->job);
    return EXECUTE_MOVED;
}

enum execute_result command_refresh_certs(const struct command *c)
{
    if (c->conn->worker->server->tls == NULL)
        return command_end(answer_text(c->conn, c->request, SLICE("Error TLS not enabled")));
    return submit(c, false);
}

enum execute_result command_reload(const struct command *c)
{
    struct server *server = c->conn->worker->server;
    char reason[REFRESH_REASON_MAX];
    if (server->jobs != NULL)
        return submit(c, true);
    /* Neither users nor certificates: there is but the log to open again. */
    return command_end(
        answer_reload(c->conn, c->request, refresh_all(server, reason, sizeof reason), reason));
}
