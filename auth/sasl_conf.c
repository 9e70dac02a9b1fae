#include "auth/sasl_conf.h"

#include "auth/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#define CONF_MAX      65536
#define N_OPTIONS_MAX 64

struct sasl_conf {
    char *path;
    char *text; /* the file, cut into strings */
    unsigned n_options;
    struct {
        const char *name;
        const char *value;
    } options[N_OPTIONS_MAX];
};

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A directory's memcached.conf, or the file itself. */
static bool try_path(const char *path, size_t n, char *out, size_t n_out)
{
    snprintf(out, n_out, "%.*s", (int)n, path);
    if (is_file(out))
        return true;
    snprintf(out, n_out, "%.*s/memcached.conf", (int)n, path);
    return is_file(out);
}

static bool find_file(const char *list, char *out, size_t n_out)
{
    for (const char *at = list; *at != '\0';) {
        size_t n = strcspn(at, ":");
        if (n > 0 && try_path(at, n, out, n_out))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
        text[--n] = '\0';
    return text;
}

static void read_lines(struct sasl_conf *conf)
{
    char *rest = conf->text, *line;
    while ((line = strsep(&rest, "\n")) != NULL && conf->n_options < N_OPTIONS_MAX) {
        line = trim(line);
        char *colon = strchr(line, ':');
        if (*line == '#' || colon == NULL)
            continue;
        *colon = '\0';
        conf->options[conf->n_options].name = trim(line);
        conf->options[conf->n_options++].value = trim(colon + 1);
    }
}

struct sasl_conf *sasl_conf_open(const char *path, struct auth_error *error_out)
{
    char found[512];
    size_t n;
    struct sasl_conf *conf = calloc(1, sizeof *conf);
    if (conf == NULL) {
        users_error(error_out, "memcached.conf", 0, "out of memory");
        return NULL;
    }
    if (path == NULL)
        path = "/etc/sasl/memcached.conf:/etc/sasl2/memcached.conf";
    if (!find_file(path, found, sizeof found))
        return conf;
    conf->text = users_read_file(found, CONF_MAX, &n, error_out);
    conf->path = strdup(found);
    if (conf->text == NULL || conf->path == NULL) {
        sasl_conf_close(&conf);
        return NULL;
    }
    read_lines(conf);
    return conf;
}

void sasl_conf_close(struct sasl_conf **conf)
{
    if (*conf == NULL)
        return;
    free((*conf)->text);
    free((*conf)->path);
    free(*conf);
    *conf = NULL;
}

const char *sasl_conf_path(const struct sasl_conf *conf)
{
    return conf->path;
}

const char *sasl_conf_get(const struct sasl_conf *conf, const char *option)
{
    for (unsigned i = 0; i < conf->n_options; i++) {
        if (strcasecmp(conf->options[i].name, option) == 0)
            return conf->options[i].value;
    }
    return NULL;
}
