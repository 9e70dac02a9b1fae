/* Any words as a command line: it is refused with a message or accepted with settings in bounds.
 * The same bytes as a list of addresses and as a value of a log line. */
#include "server/log_line.h"
#include "server/options.h"
#include "t/fuzz/fuzz.h"

#include <stdlib.h>

#define N_WORDS 64

static void check_in_bounds(const struct settings *settings)
{
    HOLDS(settings->item_size_max >= 1024 && settings->item_size_max <= settings->max_bytes / 2);
    HOLDS(settings->n_threads >= 1 && settings->max_connections >= 1);
    HOLDS(settings->tcp_port >= -1 && settings->tcp_port <= 65535);
    HOLDS(settings->n_listeners >= 1 && settings->listeners != NULL);
    HOLDS(!settings->requires_login || settings->udp_port == 0);
}

static void visit(void *context, struct slice name, struct slice value)
{
    HOLDS(name.n > 0 && (value.n == 0 || value.p != NULL));
    ++*(size_t *)context;
}

/* Words end at newlines. */
static void try_command_line(char *text)
{
    char program[] = "keepd", *argv[N_WORDS + 1] = {program}, *rest = text, *word;
    int argc = 1;
    while (argc < N_WORDS && (word = strsep(&rest, "\n")) != NULL)
        argv[argc++] = word;
    char *said;
    size_t n_said, n_lines = 0;
    FILE *out = open_memstream(&said, &n_said);
    HOLDS(out != NULL);
    struct settings settings;
    settings_init(&settings);
    int result = options_parse(argc, argv, false, &settings, out, out);
    fclose(out);
    if (result == OPTIONS_SERVE)
        check_in_bounds(&settings);
    else
        HOLDS(n_said > 0);
    settings_walk(&settings, visit, &n_lines);
    HOLDS(n_lines > 60);
    settings_walk_inert(&settings, visit, &n_lines);
    settings_fini(&settings);
    free(said);
}

static void try_addresses(struct slice text)
{
    struct listen_spec *specs;
    struct slice rest;
    const char *wrong;
    size_t n;
    if (!listen_specs_parse(text, true, &specs, &n, &wrong, &rest)) {
        HOLDS(wrong != NULL && rest.p >= text.p && rest.p + rest.n <= text.p + text.n);
        return;
    }
    HOLDS(n > 0);
    for (size_t i = 0; i < n; i++)
        HOLDS(specs[i].port == LISTEN_PORT_UNSET || specs[i].port >= 0);
    listen_specs_destroy(&specs, n);
}

/* Whatever a peer sends, a line is one line of printable bytes. */
static void try_log_line(struct slice text)
{
    char line[LOG_LINE_MAX];
    const struct log_field fields[] = {LOG_TEXT("user", text), LOG_TEXT("again", text), LOG_END};
    size_t n = log_line_render(LOG_LEVEL_WARNING, "login_failed", fields, 0, line);
    HOLDS(n <= LOG_LINE_MAX && line[n - 1] == '\n');
    for (size_t i = 0; i + 1 < n; i++)
        HOLDS(line[i] >= ' ' && line[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    HOLDS(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    try_addresses(slice_of(text, n));
    try_log_line(slice_of(text, n));
    try_command_line(text);
    free(text);
    return 0;
}
