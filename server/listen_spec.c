#include "server/listen_spec.h"

#include <stdlib.h>

#include "base/number.h"

/* What is left of one spec while its parts are taken from the front. */
struct cursor {
    struct slice rest;
    const char *wrong; /* the first thing that was wrong; no later one replaces it */
};

static bool take_literal(struct cursor *at, const char *literal)
{
    size_t n = strlen(literal);
    if (at->rest.n < n || memcmp(at->rest.p, literal, n) != 0)
        return false;
    at->rest = slice_of(at->rest.p + n, at->rest.n - n);
    return true;
}

/* Takes what stands before literal, and literal. */
static bool take_until(struct cursor *at, const char *literal, struct slice *taken_out)
{
    size_t n = strlen(literal);
    for (size_t i = 0; i + n <= at->rest.n; i++) {
        if (memcmp(at->rest.p + i, literal, n) != 0)
            continue;
        *taken_out = slice_of(at->rest.p, i);
        at->rest = slice_of(at->rest.p + i + n, at->rest.n - i - n);
        return true;
    }
    return false;
}

static void refuse(struct cursor *at, const char *wrong)
{
    if (!at->wrong)
        at->wrong = wrong;
}

static void take_tls(struct cursor *at, bool has_tls, struct listen_spec *spec)
{
    static const struct {
        const char *prefix;
        uint8_t tls;
        const char *wrong;
    } rows[] = {
        {"notls:", LISTEN_TLS_OFF, "'notls' option is valid only when SSL is enabled"},
        {"btls:", LISTEN_TLS_WITHOUT_PEER, "'btls' option is valid only when SSL is enabled"},
        {"mtls:", LISTEN_TLS_WITH_PEER, "'mtls' option is valid only when SSL is enabled"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!take_literal(at, rows[i].prefix))
            continue;
        spec->tls = rows[i].tls;
        if (!has_tls)
            refuse(at, rows[i].wrong);
        return;
    }
}

static void take_protocol(struct cursor *at, struct listen_spec *spec)
{
    static const struct {
        const char *name;
        uint8_t protocol;
    } rows[] = {
        {"ascii", PROTOCOL_TEXT},
        {"binary", PROTOCOL_BINARY},
        {"negotiating", PROTOCOL_AUTO},
    };
    struct slice name;
    if (!take_literal(at, "proto["))
        return;
    if (!take_until(at, "]:", &name)) {
        refuse(at, "Invalid protocol spec");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!slice_is(name, rows[i].name))
            continue;
        spec->protocol = rows[i].protocol;
        spec->has_protocol = true;
        return;
    }
    refuse(at, slice_is(name, "proxy") ? "Server not built with proxy" : "Invalid protocol spec");
}

static void take_tag(struct cursor *at, struct listen_spec *spec)
{
    struct slice tag;
    bool is_closed;
    if (take_literal(at, "tag["))
        is_closed = take_until(at, "]:", &tag);
    else if (take_literal(at, "tag_"))
        is_closed = take_until(at, "_:", &tag);
    else
        return;
    if (!is_closed || tag.n < 1 || tag.n > LISTEN_TAG_MAX) {
        refuse(at, "Listener tags must be between 1 and 8 characters");
        return;
    }
    memcpy(spec->tag, tag.p, tag.n);
}

static void read_port(struct cursor *at, struct slice text, struct listen_spec *spec)
{
    uint64_t port;
    if (!number_parse_u64(text, 65535, &port)) {
        refuse(at, "Invalid port number");
        at->rest = text;
        return;
    }
    spec->port = (int32_t)port;
}

/* "[v6]" and "[v6]:port" */
static struct slice take_bracketed(struct cursor *at, struct listen_spec *spec)
{
    struct slice whole = at->rest, host = {NULL, 0};
    if (!take_literal(at, "[") || !take_until(at, "]", &host) || host.n == 0) {
        refuse(at, "Invalid IPV6 address");
        at->rest = whole;
    } else if (take_literal(at, ":")) {
        read_port(at, at->rest, spec);
    } else if (at->rest.n > 0) {
        refuse(at, "Invalid IPV6 address");
        at->rest = whole;
    }
    return host;
}

/* A name, an IPv4 address, a bare IPv6 address (two colons at least, no port) or '*'. */
static struct slice take_host(struct cursor *at, struct listen_spec *spec)
{
    if (at->rest.n > 0 && at->rest.p[0] == '[')
        return take_bracketed(at, spec);
    const uint8_t *colon = at->rest.n > 0 ? memchr(at->rest.p, ':', at->rest.n) : NULL;
    if (!colon)
        return at->rest;
    size_t n_host = (size_t)(colon - at->rest.p);
    struct slice tail = slice_of(colon + 1, at->rest.n - n_host - 1);
    if (tail.n > 0 && memchr(tail.p, ':', tail.n))
        return at->rest;
    struct slice host = slice_of(at->rest.p, n_host);
    read_port(at, tail, spec);
    return host;
}

static char *copy_text(struct slice text)
{
    char *copy = malloc(text.n + 1);
    if (!copy)
        return NULL;
    if (text.n > 0)
        memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return copy;
}

/* On failure nothing is allocated and at->wrong says why. */
static bool spec_parse(struct cursor *at, bool has_tls, struct listen_spec *spec)
{
    *spec = (struct listen_spec){.port = LISTEN_PORT_UNSET};
    take_tls(at, has_tls, spec);
    if (!at->wrong)
        take_protocol(at, spec);
    if (!at->wrong)
        take_tag(at, spec);
    struct slice host = {NULL, 0};
    if (!at->wrong)
        host = take_host(at, spec);
    if (!at->wrong && (host.n == 0 || memchr(host.p, '\0', host.n)))
        refuse(at, "Missing host name");
    if (at->wrong || slice_is(host, "*"))
        return !at->wrong;
    spec->host = copy_text(host);
    if (!spec->host)
        refuse(at, "out of memory");
    return spec->host != NULL;
}

/* Any free port is another one each time; who asks for one address in two manners is to be told. */
static bool is_same(const struct listen_spec *a, const struct listen_spec *b)
{
    bool has_same_host = a->host && b->host ? strcmp(a->host, b->host) == 0 : a->host == b->host;
    return has_same_host && a->port == b->port && a->port != 0 && a->tls == b->tls;
}

static bool is_known(const struct listen_spec *specs, size_t n, const struct listen_spec *spec)
{
    for (size_t i = 0; i < n; i++)
        if (is_same(&specs[i], spec))
            return true;
    return false;
}

/* Cuts the next element off the list; false at its end. Empty elements are skipped. */
static bool next_element(struct slice *list, struct slice *element_out)
{
    while (list->n > 0) {
        size_t n = 0;
        while (n < list->n && list->p[n] != ',' && list->p[n] != ';')
            n++;
        *element_out = slice_of(list->p, n);
        size_t n_gone = n < list->n ? n + 1 : n;
        *list = slice_of(list->p + n_gone, list->n - n_gone);
        if (n > 0)
            return true;
    }
    return false;
}

bool listen_specs_parse(struct slice text, bool has_tls, struct listen_spec **specs_out,
                        size_t *n_out, const char **wrong_out, struct slice *rest_out)
{
    struct listen_spec *specs = NULL;
    size_t n = 0;
    struct cursor at = {text, NULL};
    struct slice list = text, element;
    while (next_element(&list, &element)) {
        at.rest = element;
        struct listen_spec *grown = realloc(specs, (n + 1) * sizeof *specs);
        if (!grown) {
            refuse(&at, "out of memory");
            goto fail;
        }
        specs = grown;
        if (!spec_parse(&at, has_tls, &specs[n]))
            goto fail;
        if (is_known(specs, n, &specs[n]))
            free(specs[n].host);
        else
            n++;
    }
    if (n == 0) {
        refuse(&at, "Missing host name");
        goto fail;
    }
    *specs_out = specs;
    *n_out = n;
    return true;
fail:
    listen_specs_destroy(&specs, n);
    *wrong_out = at.wrong;
    *rest_out = at.rest;
    return false;
}

bool listen_spec_init(struct listen_spec *spec, const char *host)
{
    *spec = (struct listen_spec){.port = LISTEN_PORT_UNSET};
    if (!host)
        return true;
    spec->host = copy_text(slice_str(host));
    return spec->host != NULL;
}

void listen_specs_destroy(struct listen_spec **specs, size_t n)
{
    if (!*specs)
        return;
    for (size_t i = 0; i < n; i++)
        free((*specs)[i].host);
    free(*specs);
    *specs = NULL;
}
