#include "server/stat_list.h"

#include "server/create_auth.h"
#include "server/login.h"
#include "server/tenant.h"

#include <stdio.h>

/* Lists of events: names are numbers, values words of key=value. */
struct events {
    struct stat_list list;
    unsigned n;
};

static struct auth *auth_of(const struct command *c)
{
    return c->conn->worker->server->auth;
}

static void put_line(struct events *events, const char *line)
{
    char name[16];
    snprintf(name, sizeof name, "%u", events->n++);
    stat_text(&events->list, name, line);
}

/* Peers chose these bytes: only what cannot break a line stays. */
static const char *clean(const void *bytes, size_t n, char *out, size_t n_out)
{
    const uint8_t *p = bytes;
    size_t at = 0;
    for (size_t i = 0; i < n && at + 5 < n_out; i++) {
        bool is_plain = p[i] > ' ' && p[i] < 0x7f && p[i] != '%';
        if (is_plain)
            out[at++] = (char)p[i];
        else
            at += (size_t)snprintf(out + at, n_out - at, "%%%02X", p[i]);
    }
    out[at] = '\0';
    return out;
}

/* ---- stats denials ---- */

static void visit_denial(void *arg, const struct auth_denial *d)
{
    char line[2048], user[512], key[800];
    snprintf(line, sizeof line, "time=%lld user=%s address=%s class=%s key=%s count=%u%s",
             (long long)d->wall_s, clean(d->user, strlen(d->user), user, sizeof user), d->address,
             auth_class_word(d->class), clean(d->key, d->n_key, key, sizeof key), d->count,
             d->is_warning ? " mode=warn" : "");
    put_line(arg, line);
}

enum execute_result command_stats_denials(const struct command *c)
{
    struct events events = {{c, true}, 0};
    if (auth_of(c) != NULL)
        auth_denials_each(auth_of(c), c->conn->session.tenant->id, visit_denial, &events);
    return stat_list_end(&events.list);
}

/* ---- stats authlog ---- */

static void visit_record(void *arg, const struct auth_record *r)
{
    char line[2048], user[512], mechanism[128], reason[400];
    snprintf(line, sizeof line,
             "time=%lld event=%s user=%s mechanism=%s address=%s reason=%s count=%u",
             (long long)r->wall_s, auth_event_word(r->kind),
             clean(r->user, strlen(r->user), user, sizeof user),
             clean(r->mechanism, strlen(r->mechanism), mechanism, sizeof mechanism), r->address,
             clean(r->reason, strlen(r->reason), reason, sizeof reason), r->count);
    put_line(arg, line);
}

enum execute_result command_stats_authlog(const struct command *c)
{
    struct events events = {{c, true}, 0};
    uint32_t tenant = login_is_operator(c->conn) ? UINT32_MAX : c->conn->session.tenant->id;
    if (auth_of(c) != NULL)
        auth_records_each(auth_of(c), tenant, visit_record, &events);
    return stat_list_end(&events.list);
}

/* ---- stats auth ---- */

static void visit_explanation(void *arg, const struct auth_explanation *row)
{
    struct stat_list *list = arg;
    char name[64], value[640];
    if (row->mechanism[0] != '\0')
        snprintf(name, sizeof name, "%s:%s", row->mechanism, row->transport);
    else
        snprintf(name, sizeof name, "%s", row->transport);
    if (row->mechanism[0] != '\0')
        snprintf(value, sizeof value, "%s: %s", auth_offer_word(row->offer), row->reason);
    else
        snprintf(value, sizeof value, "%s", row->reason);
    stat_text(list, name, value);
}

enum execute_result command_stats_auth(const struct command *c)
{
    struct stat_list list = {c, true};
    struct auth_counters n;
    if (auth_of(c) == NULL) {
        stat_text(&list, "login", "not required");
        return stat_list_end(&list);
    }
    auth_counters_read(auth_of(c), &n);
    stat_u64(&list, "logins", n.logins);
    stat_u64(&list, "failures", n.failures);
    stat_u64(&list, "throttled", n.throttled);
    stat_u64(&list, "derivations", n.derivations);
    stat_u64(&list, "cache_hits", n.cache_hits);
    stat_u64(&list, "busy", n.busy);
    stat_u64(&list, "queued", n.queued);
    stat_u64(&list, "denials", n.denials);
    stat_u64(&list, "warnings", n.warnings);
    if (login_is_operator(c->conn))
        auth_explain(auth_of(c), NULL, auth_time(c->conn->worker->server), visit_explanation,
                     &list);
    return stat_list_end(&list);
}
