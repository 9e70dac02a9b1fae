#include "tls/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "tls/rehearsal.h"
#include "tls/report.h"
#include "tls/wire.h"

#define DAY_S 86400

static const int warning_days[] = {0, 1, 7, 30};
#define NOT_WARNED 31

static void free_tls(struct tls *tls)
{
    ticket_keys_destroy(&tls->ticket_keys);
    BIO_meth_free(tls->wire);
    (void)pthread_mutex_destroy(&tls->lock);
    free(tls);
}

static bool is_same(const struct context_certificate *a, const struct context_certificate *b)
{
    return strcmp(a->facts.fingerprint, b->facts.fingerprint) == 0;
}

/* Who was warned of a certificate's end is not warned again because of a reload. */
static int warned_before(const struct context *old, const struct context_certificate *certificate)
{
    for (size_t i = 0; old != NULL && i < old->n_certificates; i++)
        if (is_same(&old->certificates[i], certificate))
            return old->certificates[i].warned_days;
    return NOT_WARNED;
}

/* Under the lock. */
static void set_current(struct tls *tls, struct context *context)
{
    for (size_t i = 0; i < context->n_certificates; i++) {
        struct context_certificate *certificate = &context->certificates[i];
        certificate->warned_days = warned_before(tls->current, certificate);
    }
    context->generation = ++tls->n_loads;
    context->n_refs = 1;
    context->next = tls->contexts;
    tls->contexts = context;
    tls->current = context;
}

/* Under the lock: one reference less; gives the context when it was the last. */
static struct context *unlink_if_unused(struct tls *tls, struct context *context)
{
    MUST(context->n_refs > 0);
    if (--context->n_refs > 0)
        return NULL;
    struct context **at = &tls->contexts;
    while (*at != context)
        at = &(*at)->next;
    *at = context->next;
    return context;
}

struct tls *tls_create(const struct tls_config *config, int64_t now_s,
                       struct tls_report *report_out)
{
    struct tls *tls = rehearsal_fetch() ? calloc(1, sizeof *tls) : NULL;
    if (tls == NULL) {
        (void)report_fail(report_out, "Error starting TLS", config->chain_cert, "out of memory");
        return NULL;
    }
    MUST(pthread_mutex_init(&tls->lock, NULL) == 0);
    tls->n_refs = 1;
    tls->ticket_keys = ticket_keys_create(now_s);
    tls->wire = wire_create();
    tls->has_kernel_tls = config->has_kernel_tls && wire_kernel_tls_works();
    if (tls->ticket_keys == NULL || tls->wire == NULL) {
        (void)report_fail(report_out, "Error starting TLS", config->chain_cert, NULL);
        free_tls(tls);
        return NULL;
    }
    struct context *context = context_create(tls, config, now_s, report_out);
    if (context == NULL) {
        free_tls(tls);
        return NULL;
    }
    set_current(tls, context);
    return tls;
}

/* Gives up one reference to context (if any) and one to tls. */
static void drop(struct tls *tls, struct context *context)
{
    (void)pthread_mutex_lock(&tls->lock);
    struct context *unused = context != NULL ? unlink_if_unused(tls, context) : NULL;
    bool is_last = --tls->n_refs == 0;
    (void)pthread_mutex_unlock(&tls->lock);
    context_destroy(&unused);
    if (is_last)
        free_tls(tls);
}

void tls_destroy(struct tls **tls)
{
    struct tls *t = *tls;
    if (t == NULL)
        return;
    *tls = NULL;
    drop(t, t->current);
}

struct context *state_take(struct tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    struct context *context = tls->current;
    context->n_refs++;
    tls->n_refs++;
    (void)pthread_mutex_unlock(&tls->lock);
    return context;
}

void state_drop(struct context **context)
{
    struct context *c = *context;
    *context = NULL;
    drop(c->tls, c);
}

static void note_reload(struct tls *tls, int64_t now_s, bool has_worked, const char *text)
{
    tls->last_reload_s = now_s;
    tls->last_reload_worked = has_worked;
    snprintf(tls->last_reload_text, sizeof tls->last_reload_text, "%s", text);
}

bool tls_reload(struct tls *tls, const struct tls_config *config, int64_t now_s,
                struct tls_report *report_out)
{
    struct context *before = state_take(tls);
    struct context *context =
        context_create(tls, config != NULL ? config : &before->config, now_s, report_out);
    if (context != NULL && context->has_complaints) {
        char warnings[TLS_REPORT_SIZE];
        snprintf(warnings, sizeof warnings, "%s", report_out->text);
        snprintf(report_out->text, sizeof report_out->text,
                 "Error validating the certificate: %.560s", warnings);
        context_destroy(&context);
    }
    state_drop(&before);

    struct context *unused = NULL;
    (void)pthread_mutex_lock(&tls->lock);
    note_reload(tls, now_s, context != NULL, report_out->text);
    if (context != NULL) {
        struct context *old = tls->current;
        set_current(tls, context);
        unused = unlink_if_unused(tls, old);
    }
    (void)pthread_mutex_unlock(&tls->lock);
    context_destroy(&unused);
    return context != NULL;
}

void tls_tick(struct tls *tls, int64_t now_s)
{
    ticket_keys_tick(tls->ticket_keys, now_s);
}

void tls_set_policy(struct tls *tls, uint64_t policy)
{
    if (atomic_exchange(&tls->policy, policy) == policy)
        return;
    /* Tickets carry the policy; sessions of the cache do not, so they go. */
    (void)pthread_mutex_lock(&tls->lock);
    for (struct context *c = tls->contexts; c != NULL; c = c->next)
        SSL_CTX_flush_sessions(c->ssl_ctx, 0);
    (void)pthread_mutex_unlock(&tls->lock);
}

static int days_until(int64_t end_s, int64_t now_s)
{
    int64_t left_s = end_s - now_s;
    return (int)(left_s >= 0 ? left_s / DAY_S : -((DAY_S - 1 - left_s) / DAY_S));
}

/* Under the lock, as the next two. */
static void describe_context(const struct context *context, struct tls_info *info)
{
    const struct certificate_facts *facts = &context->certificates[0].facts;
    memcpy(info->subject, facts->subject, sizeof info->subject);
    memcpy(info->issuer, facts->issuer, sizeof info->issuer);
    memcpy(info->serial, facts->serial, sizeof info->serial);
    memcpy(info->fingerprint, facts->fingerprint, sizeof info->fingerprint);
    memcpy(info->versions, context->offer.versions, sizeof info->versions);
    memcpy(info->ciphers, context->offer.ciphers, sizeof info->ciphers);
    info->not_before_s = facts->not_before_s;
    info->not_after_s = facts->not_after_s;
    info->has_ca = context->config.ca_cert != NULL;
    info->crl_next_update_s = context->crl_next_update_s;
    info->loaded_s = context->loaded_s;
    info->generation = context->generation;
    info->has_kernel_tls = context->config.has_kernel_tls;
}

static void count_sessions(const struct tls *tls, struct tls_info *info)
{
    for (const struct context *c = tls->contexts; c != NULL; c = c->next) {
        unsigned n = c == tls->current ? c->n_refs - 1 : c->n_refs;
        info->n_sessions += n;
        if (!is_same(c->certificates, tls->current->certificates))
            info->n_sessions_old += n;
    }
}

void tls_info(struct tls *tls, int64_t now_s, struct tls_info *info_out)
{
    memset(info_out, 0, sizeof *info_out);
    (void)pthread_mutex_lock(&tls->lock);
    describe_context(tls->current, info_out);
    count_sessions(tls, info_out);
    info_out->last_reload_s = tls->last_reload_s;
    info_out->last_reload_worked = tls->last_reload_worked;
    memcpy(info_out->last_reload_text, tls->last_reload_text, sizeof info_out->last_reload_text);
    (void)pthread_mutex_unlock(&tls->lock);
    info_out->days_left = days_until(info_out->not_after_s, now_s);
}

/* The last step that an end in left_s has passed. */
static int step_of(int64_t left_s)
{
    for (size_t i = 0; i < sizeof warning_days / sizeof *warning_days; i++)
        if (left_s <= (int64_t)warning_days[i] * DAY_S)
            return warning_days[i];
    return NOT_WARNED;
}

bool tls_expiry_warning(struct tls *tls, int64_t now_s, struct tls_expiry *expiry_out)
{
    bool is_due = false;
    (void)pthread_mutex_lock(&tls->lock);
    struct context *current = tls->current;
    for (size_t i = 0; !is_due && i < current->n_certificates; i++) {
        struct context_certificate *certificate = &current->certificates[i];
        const struct certificate_facts *facts = &certificate->facts;
        int step = step_of(facts->not_after_s - now_s);
        if (step >= certificate->warned_days)
            continue;
        is_due = true;
        certificate->warned_days = step;
        memcpy(expiry_out->subject, facts->subject, sizeof expiry_out->subject);
        memcpy(expiry_out->serial, facts->serial, sizeof expiry_out->serial);
        expiry_out->step = step;
        expiry_out->days_left = days_until(facts->not_after_s, now_s);
    }
    (void)pthread_mutex_unlock(&tls->lock);
    return is_due;
}

void tls_counters(struct tls *tls, struct tls_counters *counters_out)
{
    const struct state_counters *c = &tls->counters;
    *counters_out = (struct tls_counters){
        .handshakes_full = atomic_load(&c->handshakes_full),
        .handshakes_resumed = atomic_load(&c->handshakes_resumed),
        .handshakes_failed = atomic_load(&c->handshakes_failed),
        .handshakes_plain = atomic_load(&c->handshakes_plain),
        .proto_errors = atomic_load(&c->proto_errors),
        .cut_ends = atomic_load(&c->cut_ends),
        .tickets_refused = atomic_load(&c->tickets_refused),
    };
}
