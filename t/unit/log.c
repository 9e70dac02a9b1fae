#include "server/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/log_line.h"
#include "server/log_repeat.h"
#include "t/unit/unit.h"

struct value_row {
    struct slice value;
    const char *shown;
};

static const struct value_row value_rows[] = {
    {{(const uint8_t *)"bob", 3}, "bob"},
    {{(const uint8_t *)"", 0}, "\"\""},
    {{(const uint8_t *)"[::1]:80", 8}, "[::1]:80"},
    {{(const uint8_t *)"a b", 3}, "\"a b\""},
    {{(const uint8_t *)"a=b", 3}, "\"a=b\""},
    {{(const uint8_t *)"a\"b\\", 4}, "\"a\\\"b\\\\\""},
    {{(const uint8_t *)"a\nevent=x\r\t", 11}, "\"a\\nevent=x\\r\\t\""},
    {{(const uint8_t *)"a\0b", 3}, "\"a\\x00b\""},
    {{(const uint8_t *)"\x1b[2J", 4}, "\"\\x1b[2J\""},
    {{(const uint8_t *)"\x7f\xff", 2}, "\"\\x7f\\xff\""},
};

START_TEST(value_row)
{
    char line[LOG_LINE_MAX], expected[256];
    const struct log_field fields[] = {LOG_TEXT("user", value_rows[_i].value), LOG_END};
    size_t n = log_line_render(LOG_LEVEL_WARNING, "login_failed", fields, 0, line);
    snprintf(expected, sizeof expected,
             "time=1970-01-01T00:00:00.000Z level=warning event=login_failed user=%s\n",
             value_rows[_i].shown);
    ck_assert_msg(slice_is(slice_of(line, n), expected), "%.*s", (int)n, line);
}
END_TEST

START_TEST(line_is_cut_but_ends)
{
    char big[4096], line[LOG_LINE_MAX];
    memset(big, '\n', sizeof big);
    struct slice text = slice_of(big, sizeof big);
    const struct log_field fields[] = {LOG_TEXT("a", text), LOG_TEXT("b", text),
                                       LOG_TEXT("c", text), LOG_NUMBER("d", UINT64_MAX), LOG_END};
    size_t n = log_line_render(LOG_LEVEL_ERROR, "big", fields, 1700000000123, line);
    ck_assert_uint_le(n, LOG_LINE_MAX);
    ck_assert_ptr_eq(memchr(line, '\n', n), line + n - 1);
    ck_assert_int_eq(memcmp(line, "time=2023-11-14T22:13:20.123Z ", LOG_TIME_SIZE), 0);
}
END_TEST

/* Every length of value up to beyond the line: one newline, at the end. */
START_TEST(line_ends_at_every_length)
{
    char big[LOG_LINE_MAX], line[LOG_LINE_MAX];
    memset(big, 1, sizeof big);
    for (size_t n_value = 0; n_value < LOG_VALUE_MAX + 2; n_value++) {
        struct slice text = slice_of(big, n_value);
        const struct log_field fields[] = {LOG_TEXT("a", text), LOG_TEXT("b", text), LOG_END};
        size_t n = log_line_render(LOG_LEVEL_ERROR, "big", fields, 0, line);
        ck_assert_uint_le(n, LOG_LINE_MAX);
        ck_assert_ptr_eq(memchr(line, '\n', n), line + n - 1);
    }
}
END_TEST

static void nap(void)
{
    static const struct timespec ms = {.tv_nsec = 1000000};
    nanosleep(&ms, NULL);
}

static _Atomic int64_t fake_ms;

static int64_t fake_clock(void *unused)
{
    (void)unused;
    return atomic_load(&fake_ms);
}

/* A log into a pipe, whose other end the test reads. */
struct piped {
    int reader;
    struct log *log;
};

static void piped_open(struct piped *piped, uint64_t verbosity)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    piped->reader = fds[0];
    atomic_store(&fake_ms, 1000);
    piped->log = log_create(
        &(struct log_config){.verbosity = verbosity, .fd = fds[1], .wall_ms = fake_clock});
    ck_assert_ptr_nonnull(piped->log);
    close(fds[1]);
}

/* What comes next is put behind text, if the log has not ended. */
static bool piped_read(const struct piped *piped, char *text, size_t n_text)
{
    size_t n = strlen(text);
    ssize_t n_read = read(piped->reader, text + n, n_text - 1 - n);
    text[n + (n_read > 0 ? (size_t)n_read : 0)] = '\0';
    return n_read > 0;
}

static void piped_read_to(const struct piped *piped, char *text, size_t n_text, const char *words)
{
    while (!strstr(text, words))
        ck_assert(piped_read(piped, text, n_text));
}

/* Ends the log; what it wrote is put behind text. */
static void piped_close(struct piped *piped, char *text, size_t n_text)
{
    log_destroy(&piped->log);
    ck_assert_ptr_null(piped->log);
    while (piped_read(piped, text, n_text))
        ;
    close(piped->reader);
}

static void wait_for_drops(const struct log *log, uint64_t n)
{
    while (log_n_dropped(log) < n)
        nap();
}

START_TEST(levels_follow_verbosity)
{
    struct piped piped;
    char text[4096] = "";
    piped_open(&piped, 0);
    ck_assert(log_is_on(piped.log, LOG_LEVEL_WARNING));
    ck_assert(!log_is_on(piped.log, LOG_LEVEL_NOTICE));
    log_event(piped.log, LOG_LEVEL_ERROR, "one", LOG_END);
    log_event(piped.log, LOG_LEVEL_NOTICE, "two", LOG_END);
    log_set_verbosity(piped.log, 1);
    log_event(piped.log, LOG_LEVEL_NOTICE, "three", LOG_NUMBER("n", 7), LOG_STR("s", "x y"),
              LOG_END);
    log_event(piped.log, LOG_LEVEL_DEBUG, "four", LOG_END);
    piped_close(&piped, text, sizeof text);
    ck_assert_str_eq(text,
                     "time=1970-01-01T00:00:01.000Z level=error event=one\n"
                     "time=1970-01-01T00:00:01.000Z level=notice event=three n=7 s=\"x y\"\n");
}
END_TEST

START_TEST(no_log_is_a_silent_log)
{
    struct log *log = NULL;
    log_event(log, LOG_LEVEL_ERROR, "one", LOG_END);
    log_security(log, "two", LOG_END);
    log_set_verbosity(log, 3);
    log_reopen(log);
    ck_assert(!log_is_on(log, LOG_LEVEL_ERROR));
    ck_assert_uint_eq(log_n_dropped(log), 0);
    log_destroy(&log);
}
END_TEST

START_TEST(equal_lines_are_summed)
{
    struct piped piped;
    char text[4096] = "";
    piped_open(&piped, 0);
    for (int i = 0; i < 1000; i++) {
        atomic_fetch_add(&fake_ms, 1);
        log_security(piped.log, "login_failed", LOG_STR("user", "bob"), LOG_END);
    }
    log_security(piped.log, "login_failed", LOG_STR("user", "eve"), LOG_END);
    piped_read_to(&piped, text, sizeof text, "user=eve\n");
    atomic_fetch_add(&fake_ms, LOG_REPEAT_MS);
    piped_read_to(&piped, text, sizeof text, "repeated=999\n");
    log_security(piped.log, "login_failed", LOG_STR("user", "bob"), LOG_END);
    piped_close(&piped, text, sizeof text);
    ck_assert_str_eq(
        text,
        "time=1970-01-01T00:00:01.001Z level=warning event=login_failed user=bob\n"
        "time=1970-01-01T00:00:02.000Z level=warning event=login_failed user=eve\n"
        "time=1970-01-01T00:01:02.000Z level=warning event=login_failed user=bob repeated=999\n"
        "time=1970-01-01T00:01:02.000Z level=warning event=login_failed user=bob\n");
}
END_TEST

START_TEST(counts_survive_a_full_table)
{
    static struct log_repeat repeat;
    char line[LOG_LINE_MAX], summary[LOG_LINE_MAX];
    size_t n_summary;
    uint64_t n_in = 0, n_out = 0;
    for (uint64_t i = 0; i < 3 * LOG_REPEAT_SLOTS; i++) {
        const struct log_field fields[] = {LOG_NUMBER("i", i), LOG_END};
        size_t n = log_line_render(LOG_LEVEL_WARNING, "x", fields, 0, line);
        for (int k = 0; k < 2; k++, n_in++) {
            n_out += log_repeat_admit(&repeat, line, n, (int64_t)i, summary, &n_summary);
            n_out += n_summary > 0;
        }
    }
    ck_assert(log_repeat_is_waiting(&repeat));
    ck_assert_uint_eq(log_repeat_take(&repeat, 0x1000, false, summary), 0);
    while (log_repeat_take(&repeat, 0x1000, true, summary) > 0)
        n_out++;
    ck_assert_uint_eq(n_out, n_in);
    ck_assert(!log_repeat_is_waiting(&repeat));
}
END_TEST

/* Nobody reads: the callers go on, and the end does not hang. */
START_TEST(stuck_reader_stops_nobody)
{
    struct piped piped;
    piped_open(&piped, 0);
    for (int i = 0; i < 20000; i++)
        log_event(piped.log, LOG_LEVEL_ERROR, "flood", LOG_NUMBER("i", i), LOG_END);
    ck_assert_uint_gt(log_n_dropped(piped.log), 0);
    log_destroy(&piped.log);
    close(piped.reader);
}
END_TEST

/* The same where the descriptor cannot be opened again: a socket. */
START_TEST(stuck_socket_stops_nobody)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct log *log = log_create(&(struct log_config){.fd = fds[1]});
    ck_assert_ptr_nonnull(log);
    for (int i = 0; i < 50000; i++)
        log_event(log, LOG_LEVEL_ERROR, "flood", LOG_NUMBER("i", i), LOG_END);
    ck_assert_uint_gt(log_n_dropped(log), 0);
    log_destroy(&log);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(gone_reader_kills_nobody)
{
    struct piped piped;
    piped_open(&piped, 0);
    close(piped.reader);
    for (int i = 0; i < 3; i++)
        log_event(piped.log, LOG_LEVEL_ERROR, "lost", LOG_END);
    wait_for_drops(piped.log, 3);
    log_destroy(&piped.log);
}
END_TEST

START_TEST(bad_descriptor_kills_nobody)
{
    static const char *const paths[] = {"/dev/full", NULL};
    for (int i = 0; i < N_ROWS(paths); i++) {
        struct log *log = log_create(&(struct log_config){.path = paths[i], .fd = -1});
        ck_assert_ptr_nonnull(log);
        log_event(log, LOG_LEVEL_ERROR, "lost", LOG_END);
        wait_for_drops(log, 1);
        log_destroy(&log);
    }
}
END_TEST

START_TEST(dropped_lines_are_reported)
{
    struct piped piped;
    static char text[1 << 20];
    piped_open(&piped, 0);
    while (log_n_dropped(piped.log) == 0)
        log_event(piped.log, LOG_LEVEL_ERROR, "flood", LOG_END);
    piped_read_to(&piped, text, sizeof text, "event=log_lines_dropped lines=");
    log_destroy(&piped.log);
    close(piped.reader);
}
END_TEST

static void read_file(const char *path, char *text, size_t n_text)
{
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, n_text - 1, file)] = '\0';
    fclose(file);
}

static void wait_for_line(const char *path, const char *words)
{
    char text[1024] = "";
    while (!strstr(text, words)) {
        nap();
        read_file(path, text, sizeof text);
    }
}

START_TEST(file_is_appended_and_reopened)
{
    char path[] = "/tmp/keepd-log-XXXXXX", moved[64], text[1024];
    close(mkstemp(path));
    snprintf(moved, sizeof moved, "%s.1", path);
    atomic_store(&fake_ms, 0);
    struct log *log = log_create(&(struct log_config){.path = path, .wall_ms = fake_clock});
    ck_assert_ptr_nonnull(log);
    log_event(log, LOG_LEVEL_ERROR, "one", LOG_END);
    wait_for_line(path, "event=one\n");
    ck_assert_int_eq(rename(path, moved), 0);
    log_event(log, LOG_LEVEL_ERROR, "two", LOG_END);
    wait_for_line(moved, "event=two\n");
    log_reopen(log);
    while (access(path, F_OK) != 0)
        nap();
    log_event(log, LOG_LEVEL_ERROR, "three", LOG_END);
    log_destroy(&log);
    read_file(moved, text, sizeof text);
    ck_assert_str_eq(text, "time=1970-01-01T00:00:00.000Z level=error event=one\n"
                           "time=1970-01-01T00:00:00.000Z level=error event=two\n");
    read_file(path, text, sizeof text);
    ck_assert_str_eq(text, "time=1970-01-01T00:00:00.000Z level=error event=three\n");
    unlink(path);
    unlink(moved);
}
END_TEST

START_TEST(unusable_file_is_refused)
{
    ck_assert_ptr_null(log_create(&(struct log_config){.path = "/nonexistent/log"}));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_loop_test(tc, value_row, 0, N_ROWS(value_rows));
    tcase_add_test(tc, line_is_cut_but_ends);
    tcase_add_test(tc, line_ends_at_every_length);
    tcase_add_test(tc, levels_follow_verbosity);
    tcase_add_test(tc, no_log_is_a_silent_log);
    tcase_add_test(tc, equal_lines_are_summed);
    tcase_add_test(tc, counts_survive_a_full_table);
    tcase_add_test(tc, stuck_reader_stops_nobody);
    tcase_add_test(tc, stuck_socket_stops_nobody);
    tcase_add_test(tc, gone_reader_kills_nobody);
    tcase_add_test(tc, bad_descriptor_kills_nobody);
    tcase_add_test(tc, dropped_lines_are_reported);
    tcase_add_test(tc, file_is_appended_and_reopened);
    tcase_add_test(tc, unusable_file_is_refused);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
