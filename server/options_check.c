#include "server/options_check.h"

#include <stdlib.h>

#include "base/number.h"
#include "server/option_value.h"
#include "server/options.h"

static int refuse(FILE *err, int exit_code, const char *text)
{
    fprintf(err, "%s\n", text);
    return exit_code;
}

/* Text clients log in too, so without -B every dialect is served; saying so, or asking for the
 * dialect that memcached would not let log in, stays the mistake that it is there. */
static int check_protocol(const struct settings *settings, FILE *err)
{
    if (!settings->is_given[SETTING_protocol])
        return OPTIONS_SERVE;
    if (settings->has_sasl && !settings->auth_file && settings->protocol != PROTOCOL_BINARY)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: You cannot allow the ASCII protocol while using SASL.\n"
                      "keepd: leave -B out, and clients of both protocols can log in");
    if (settings->auth_file && settings->protocol != PROTOCOL_TEXT)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: You cannot allow the BINARY protocol while using ascii "
                      "authentication tokens.\n"
                      "keepd: leave -B out, and clients of both protocols can log in");
    return OPTIONS_SERVE;
}

#define SLAB_CLASSES_MAX 62
#define SLAB_ALIGNMENT   8

/* "100-200-300": checked as memcached does, and then not used. */
static int check_slab_sizes(const struct settings *settings, FILE *err)
{
    const char *at = settings->slab_sizes;
    uint64_t last = 0, size;
    for (int n_classes = 1; at && *at; n_classes++) {
        size_t n = strcspn(at, "-");
        if (!number_parse_u64(slice_of(at, n), settings->slab_chunk_max, &size) ||
            size < settings->slab_chunk_min) {
            fprintf(err, "slab size %.*s is out of valid range\n", (int)n, at);
            return EXIT_BAD_USAGE;
        }
        const char *wrong = NULL;
        if (size <= last)
            wrong = "cannot be lower than or equal to a previous class size";
        else if (size <= last + SLAB_ALIGNMENT)
            wrong = "must be at least 8 bytes larger than previous class";
        if (wrong) {
            fprintf(err, "slab size %llu %s\n", (unsigned long long)size, wrong);
            return EXIT_BAD_USAGE;
        }
        if (n_classes > SLAB_CLASSES_MAX)
            return refuse(err, EXIT_BAD_USAGE, "too many slab classes specified");
        last = size;
        at += n + (at[n] == '-');
    }
    return OPTIONS_SERVE;
}

static int check_login(const struct settings *settings, FILE *err)
{
    if (settings->has_sasl && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: Cannot enable UDP while using binary SASL authentication.");
    if (settings->auth_file && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "Cannot use UDP with ascii authentication enabled (-U 0 to disable)");
    if (settings->tenants_file && settings->udp_port != 0)
        return refuse(err, EXIT_BAD_USAGE,
                      "ERROR: Cannot enable UDP while --tenants requires login (-U 0 to disable)");
    return check_protocol(settings, err);
}

static int check_together(const struct settings *settings, FILE *err)
{
    if (settings->item_size_max > settings->max_bytes / 2)
        return refuse(err, EXIT_BAD_USAGE,
                      "Cannot set item size limit higher than 1/2 of memory max.");
    if (settings->hot_lru_pct + settings->warm_lru_pct > 80)
        return refuse(err, EXIT_BAD_USAGE,
                      "hot_lru_pct + warm_lru_pct cannot be more than 80% combined");
    if (settings->n_napi_ids > settings->n_threads) {
        fprintf(err, "Number of napi_ids(%llu) cannot be greater than number of threads(%llu)\n",
                (unsigned long long)settings->n_napi_ids, (unsigned long long)settings->n_threads);
        return EXIT_BAD_USAGE;
    }
    if (settings->has_tls && settings->tcp_port == 0)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: You cannot enable SSL without a TCP port.");
    if (settings->has_tls && !settings->tls_chain_file)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: -Z needs -o ssl_chain_cert=FILE,ssl_key=FILE");
    if (settings->log_file && settings->has_syslog)
        return refuse(err, EXIT_BAD_USAGE, "ERROR: --log-file and --syslog exclude each other");
    int result = check_slab_sizes(settings, err);
    return result == OPTIONS_SERVE ? check_login(settings, err) : result;
}

static void warn(const struct settings *settings, FILE *err)
{
    if (settings->n_threads > 64)
        fputs("WARNING: Setting a high number of worker threads is not recommended.\n"
              " Set this value to the number of cores in your machine or less.\n",
              err);
}

static int read_listeners(struct settings *settings, FILE *err)
{
    const char *wrong;
    struct slice rest;
    if (listen_specs_parse(slice_str(settings->listen_text), settings->has_tls,
                           &settings->listeners, &settings->n_listeners, &wrong, &rest))
        return OPTIONS_SERVE;
    fprintf(err, "%s: \"%.*s\"\n", wrong, (int)rest.n, (const char *)rest.p);
    fprintf(err, "failed to listen on one of interface(s) %s: Invalid argument\n",
            settings->listen_text);
    return EXIT_NO_RESOURCE;
}

/* Without -l: every address if logins protect the cache, else loopback only. */
static int default_listeners(struct settings *settings, FILE *err)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    size_t n = settings->is_loopback_only ? 2 : 1;
    settings->listeners = calloc(n, sizeof *settings->listeners);
    if (!settings->listeners)
        return option_refuse_memory(err);
    for (; settings->n_listeners < n; settings->n_listeners++) {
        const char *host = settings->is_loopback_only ? loopback[settings->n_listeners] : NULL;
        if (!listen_spec_init(&settings->listeners[settings->n_listeners], host))
            return option_refuse_memory(err);
    }
    return OPTIONS_SERVE;
}

static int derive(struct settings *settings, FILE *err)
{
    if (settings->udp_port != 0 && !settings->is_given[SETTING_tcp_port])
        settings->tcp_port = settings->udp_port;
    settings->is_detail_enabled = settings->is_given[SETTING_prefix_delimiter];
    settings->n_threads_per_udp = 1; /* a socket is served by one worker */
    for (char *at = settings->sasl_mechanisms; at && *at; at++)
        if (*at == ',' || *at == ';')
            *at = ' ';
    settings->requires_login = settings->has_sasl || settings->auth_file || settings->tenants_file;
    settings->is_loopback_only = !settings->listen_text && !settings->requires_login;
    return settings->listen_text ? read_listeners(settings, err) : default_listeners(settings, err);
}

/* What stands open to other hosts. */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_loopback(const struct listen_spec *listener)
{
    const char *host = listener->host;
    return host && (starts_with(host, "127.") || strcmp(host, "::1") == 0 ||
                    strcmp(host, "localhost") == 0);
}

static bool has_tls(const struct settings *settings, const struct listen_spec *listener)
{
    return settings->has_tls && listener->tls != LISTEN_TLS_OFF;
}

static bool wants_certificates(const struct settings *settings, const struct listen_spec *listener)
{
    if (!has_tls(settings, listener) || listener->tls == LISTEN_TLS_WITHOUT_PEER)
        return false;
    return listener->tls == LISTEN_TLS_WITH_PEER || settings->tls_verify_mode >= 2;
}

static bool has_ports(const struct settings *settings)
{
    return !settings->socket_path && (settings->tcp_port != 0 || settings->udp_port != 0);
}

/* Strictly, only a login or a certificate that is required keeps strangers out; TLS alone still
 * shows that somebody thought about it. */
static const char *find_open_host(const struct settings *settings, bool is_strict)
{
    if (settings->requires_login || !has_ports(settings))
        return NULL;
    for (size_t i = 0; i < settings->n_listeners; i++) {
        const struct listen_spec *listener = &settings->listeners[i];
        bool is_guarded =
            is_strict ? wants_certificates(settings, listener) : has_tls(settings, listener);
        if (settings->udp_port != 0)
            is_guarded = false; /* datagrams are never encrypted */
        if (!is_loopback(listener) && !is_guarded)
            return listener->host ? listener->host : "*";
    }
    return NULL;
}

/* Nobody could come in, and why would only be seen by the first who tries. */
static int check_certificates(const struct settings *settings, FILE *err)
{
    for (size_t i = 0; i < settings->n_listeners; i++)
        if (settings->listeners[i].tls == LISTEN_TLS_WITH_PEER && !settings->tls_ca_file)
            return refuse(err, EXIT_BAD_USAGE,
                          "ERROR: mtls: needs -o ssl_ca_cert=FILE, which client certificates are "
                          "checked against");
    for (size_t i = 0; settings->udp_port != 0 && i < settings->n_listeners; i++)
        if (wants_certificates(settings, &settings->listeners[i]))
            return refuse(err, EXIT_BAD_USAGE,
                          "ERROR: Cannot enable UDP while client certificates are required "
                          "(-U 0 to disable)");
    return OPTIONS_SERVE;
}

static int check_exposure(const struct settings *settings, FILE *err)
{
    const char *host = find_open_host(settings, settings->requires_auth);
    if (!host)
        return OPTIONS_SERVE;
    if (settings->requires_auth) {
        fprintf(err,
                "ERROR: --require-auth: whoever reaches %s can use the cache; require login (-S, "
                "-Y, --tenants) or client certificates\n",
                host);
        return EXIT_BAD_USAGE;
    }
    fprintf(err,
            "WARNING: whoever reaches %s can read and change everything: neither login nor TLS is "
            "required\n",
            host);
    return OPTIONS_SERVE;
}

int options_check(struct settings *settings, bool is_root, FILE *err)
{
    int result = check_together(settings, err);
    if (result != OPTIONS_SERVE)
        return result;
    bool only_checks = settings->checks_config || settings->checks_auth_of;
    if (is_root && !settings->user && !only_checks)
        return refuse(err, EXIT_BAD_USAGE, "must add '-u root' to start as root");
    warn(settings, err);
    result = derive(settings, err);
    if (result == OPTIONS_SERVE)
        result = check_certificates(settings, err);
    return result == OPTIONS_SERVE ? check_exposure(settings, err) : result;
}
