#include "auth/watch_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STATS_MAX 4096 /* lines of one answer that are kept */

static int complain(const char *text)
{
    fprintf(stderr, "keepctl: %s\n", text);
    return EXIT_FAILURE;
}

static int complain_lost(void)
{
    return complain("the server closed the connection, or did not answer");
}

int watch_stats(struct remote *remote, int n_words, char **words)
{
    char line[REMOTE_LINE_MAX];
    bool is_sent = remote_send(remote, "stats");
    for (int i = 0; i < n_words; i++)
        is_sent = is_sent && remote_send(remote, " ") && remote_send(remote, words[i]);
    if (!is_sent || !remote_send(remote, "\r\n"))
        return complain_lost();
    for (;;) {
        if (!remote_line(remote, line))
            return complain_lost();
        if (strcmp(line, "END") == 0 || strcmp(line, "RESET") == 0 || strcmp(line, "OK") == 0)
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        if (strncmp(line, "STAT ", 5) != 0)
            return complain(line);
        printf("%s\n", line + 5);
    }
}

int watch_reload(struct remote *remote)
{
    static const char error[] = "SERVER_ERROR ";
    char line[REMOTE_LINE_MAX];
    if (!remote_send(remote, "reload\r\n") || !remote_line(remote, line))
        return complain_lost();
    if (strcmp(line, "OK") == 0)
        return EXIT_SUCCESS;
    bool has_reason = strncmp(line, error, sizeof error - 1) == 0;
    return complain(has_reason ? line + sizeof error - 1 : line);
}

/* ---- top ---- */

struct stat_row {
    char *name;
    double value;
};

/* One answer; names are kept as they come. */
struct answer {
    struct stat_row rows[STATS_MAX];
    size_t n;
};

struct frame {
    struct answer general;
    struct answer latency;
    struct answer tenants;
    double when;
};

static void empty(struct answer *answer)
{
    for (size_t i = 0; i < answer->n; i++)
        free(answer->rows[i].name);
    answer->n = 0;
}

static bool ask(struct remote *remote, const char *command, struct answer *answer)
{
    char line[REMOTE_LINE_MAX];
    empty(answer);
    if (!remote_send(remote, command))
        return false;
    while (remote_line(remote, line)) {
        char *value;
        if (strcmp(line, "END") == 0)
            return true;
        if (strncmp(line, "STAT ", 5) != 0)
            return false;
        value = strrchr(line, ' ');
        if (value == line + 4 || answer->n == STATS_MAX)
            continue;
        *value = '\0';
        char *name = strdup(line + 5);
        if (name == NULL)
            return false;
        answer->rows[answer->n++] = (struct stat_row){name, strtod(value + 1, NULL)};
    }
    return false;
}

static double value_of(const struct answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->n; i++) {
        if (strcmp(answer->rows[i].name, name) == 0)
            return answer->rows[i].value;
    }
    return 0;
}

static bool take(struct remote *remote, struct frame *frame)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    frame->when = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    return ask(remote, "stats\r\n", &frame->general) &&
           ask(remote, "stats latency\r\n", &frame->latency) &&
           ask(remote, "stats tenants\r\n", &frame->tenants);
}

/* What grew since the frame before, in a second; since the start when there is none before. */
static double rate(const struct frame *now, const struct frame *old, const char *name)
{
    double begin = old->when > 0 ? value_of(&old->general, name) : 0;
    double seconds = old->when > 0 ? now->when - old->when : value_of(&now->general, "uptime");
    double grown = value_of(&now->general, name) - begin;
    return grown > 0 ? grown / (seconds > 0.001 ? seconds : 1) : 0;
}

static const char *size_text(double n, char *out, size_t n_out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    for (; n >= 1024 && unit < 4; unit++)
        n /= 1024;
    snprintf(out, n_out, unit > 0 && n < 100 ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static void draw_server(const struct frame *now, const struct frame *old)
{
    char used[32], limit[32], in[32], out[32];
    const struct answer *g = &now->general;
    double gets = rate(now, old, "cmd_get"), hits = rate(now, old, "get_hits");
    printf("keepd   up %.0f s   connections %.0f of %.0f   threads %.0f\n\n", value_of(g, "uptime"),
           value_of(g, "curr_connections"), value_of(g, "max_connections"), value_of(g, "threads"));
    printf("hit ratio   %6.2f %%   (since start %.2f %%)\n", percent(hits, gets),
           percent(value_of(g, "get_hits"), value_of(g, "cmd_get")));
    printf("gets/s      %8.0f     sets/s %8.0f     evictions/s %6.0f\n", gets,
           rate(now, old, "cmd_set"), rate(now, old, "evictions"));
    printf("in          %8s/s   out    %8s/s\n",
           size_text(rate(now, old, "bytes_read"), in, sizeof in),
           size_text(rate(now, old, "bytes_written"), out, sizeof out));
    printf("memory      %8s of %s in %.0f items\n\n",
           size_text(value_of(g, "bytes"), used, sizeof used),
           size_text(value_of(g, "limit_maxbytes"), limit, sizeof limit),
           value_of(g, "curr_items"));
}

static void draw_latency(const struct answer *latency)
{
    printf("%-10s %12s %10s %10s %10s %10s\n", "SERVED IN", "samples", "50 % us", "90 % us",
           "99 % us", "99.9 % us");
    for (size_t i = 0; i < latency->n; i++) {
        static const char *const columns[] = {"p50_ns", "p90_ns", "p99_ns", "p999_ns"};
        const char *mark = strstr(latency->rows[i].name, ":samples");
        int n = mark != NULL ? (int)(mark - latency->rows[i].name) : 0;
        char name[64];
        if (n == 0)
            continue;
        printf("%-10.*s %12.0f", n, latency->rows[i].name, latency->rows[i].value);
        for (size_t k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "%.*s:%s", n, latency->rows[i].name, columns[k]);
            printf(" %10.1f", value_of(latency, name) / 1000);
        }
        printf("\n");
    }
    printf("\n");
}

static double tenant_value(const struct answer *tenants, const char *name, int n, const char *what)
{
    char full[512];
    snprintf(full, sizeof full, "%.*s:%s", n, name, what);
    return value_of(tenants, full);
}

/* The first line of each tenant is its limit. */
static void draw_tenants(const struct answer *tenants)
{
    printf("%-24s %10s %10s %12s %8s %12s\n", "TENANT", "bytes", "limit", "items", "hits %",
           "connections");
    for (size_t i = 0; i < tenants->n; i++) {
        const char *name = tenants->rows[i].name, *mark = strstr(name, ":limit_maxbytes");
        char bytes[32], limit[32];
        if (mark == NULL)
            continue;
        int n = (int)(mark - name);
        printf("%-24.*s %10s %10s %12.0f %8.2f %12.0f\n", n, name,
               size_text(tenant_value(tenants, name, n, "bytes"), bytes, sizeof bytes),
               size_text(tenants->rows[i].value, limit, sizeof limit),
               tenant_value(tenants, name, n, "curr_items"),
               percent(tenant_value(tenants, name, n, "get_hits"),
                       tenant_value(tenants, name, n, "cmd_get")),
               tenant_value(tenants, name, n, "curr_connections"));
    }
}

static void draw(const struct frame *now, const struct frame *old)
{
    draw_server(now, old);
    draw_latency(&now->latency);
    draw_tenants(&now->tenants);
    fflush(stdout);
}

/* True when q, Ctrl-C or the end of input came within a second. */
static bool is_over(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    if (poll(&input, 1, 1000) <= 0)
        return false;
    return read(STDIN_FILENO, &byte, 1) != 1 || byte == 'q' || byte == 3;
}

static int watch_frames(struct remote *remote, struct frame *frames)
{
    for (unsigned i = 0;; i++) {
        struct frame *now = &frames[i % 2], *old = &frames[(i + 1) % 2];
        if (!take(remote, now))
            return complain_lost();
        printf("\033[H\033[2J");
        draw(now, old);
        printf("\nq ends\n");
        if (fflush(stdout) != 0)
            return EXIT_FAILURE; /* nobody reads what is shown */
        if (is_over())
            return EXIT_SUCCESS;
    }
}

/* Keys come one by one and unseen, Ctrl-C as a byte, so that the terminal is always set back. */
static int watch_terminal(struct remote *remote, struct frame *frames)
{
    struct termios before, during;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (is_terminal) {
        during = before;
        during.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &during);
    }
    int code = watch_frames(remote, frames);
    if (is_terminal)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return code;
}

int watch_top(struct remote *remote, bool is_once)
{
    int code;
    struct frame *frames = calloc(2, sizeof *frames);
    if (frames == NULL)
        return complain("out of memory");
    if (!is_once) {
        code = watch_terminal(remote, frames);
    } else if (take(remote, &frames[0])) {
        draw(&frames[0], &frames[1]);
        code = EXIT_SUCCESS;
    } else {
        code = complain_lost();
    }
    for (unsigned i = 0; i < 2; i++) {
        empty(&frames[i].general);
        empty(&frames[i].latency);
        empty(&frames[i].tenants);
    }
    free(frames);
    return code;
}
