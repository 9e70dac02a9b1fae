#include "server/options.h"
#include "t/unit/unit.h"

#define N_WORDS 24

/* One run of options_parse over a command line that is split at spaces. */
struct run {
    char line[512];
    struct settings settings;
    char *out, *err;
    int code;
};

static void run_open(struct run *run, const char *line, bool is_root)
{
    char program[] = "keepd", *argv[N_WORDS + 1] = {program};
    int argc = 1;
    ck_assert_uint_lt(strlen(line), sizeof run->line);
    memcpy(run->line, line, strlen(line) + 1);
    for (char *word = strtok(run->line, " "); word && argc < N_WORDS; word = strtok(NULL, " "))
        argv[argc++] = word;
    size_t n_out, n_err;
    FILE *out = open_memstream(&run->out, &n_out), *err = open_memstream(&run->err, &n_err);
    settings_init(&run->settings);
    run->code = options_parse(argc, argv, is_root, &run->settings, out, err);
    fclose(out);
    fclose(err);
}

static void run_close(struct run *run)
{
    settings_fini(&run->settings);
    free(run->out);
    free(run->err);
}

struct bad_row {
    const char *line;
    int code;
    const char *err; /* stands somewhere in what is printed */
};

static const struct bad_row bad_rows[] = {
    {"-p 70000", 64, "ERROR: Invalid port number 70000."},
    {"-p abc", 64, "ERROR: Invalid port number abc."},
    {"-p -2", 64, "from -1 to 65535, not \"-2\""},
    {"-U 70000", 64, "ERROR: Invalid UDP port number 70000."},
    {"-U abc", 64, "ERROR: Invalid UDP port number abc."},
    {"-m abc", 1, "-m/--memory-limit takes MiB"},
    {"-m 0", 1, "from 1 to"},
    {"-m -1", 1, "from 1 to"},
    {"-m 1", 64, "Cannot set item size limit higher than 1/2 of memory max."},
    {"-c 0", 1, "Maximum connections must be greater than 0"},
    {"-c -5", 1, "Maximum connections must be greater than 0"},
    {"-t 0", 1, "Number of threads must be greater than 0"},
    {"-t 4x", 1, "not \"4x\""},
    {"-R 0", 1, "Number of requests per event must be greater than 0"},
    {"-b x", 1, "-b/--listen-backlog takes a number"},
    {"-a 999", 64, "an octal number"},
    {"-f 1", 1, "Factor must be greater than 1"},
    {"-f 1.2.3", 1, "Factor must be greater than 1"},
    {"-f nan", 1, "Factor must be greater than 1"},
    {"-n 0", 1, "Chunk size must be greater than 0"},
    {"-D xy", 1, "No delimiter specified"},
    {"-B foo", 64,
     "Invalid value for binding protocol: foo\n -- should be one of auto, binary, or ascii"},
    {"-I 1023", 64, "Item max size cannot be less than 1024 bytes."},
    {"-I 2g", 64, "Cannot set item size limit higher than a gigabyte."},
    {"-I 1q", 64, "bytes, or a number with a suffix"},
    {"-N 0", 1, "Maximum number of NAPI IDs must be greater than 0"},
    {"-N 10", 64, "Number of napi_ids(10) cannot be greater than number of threads(4)"},
    {"-S -U 1", 64, "ERROR: Cannot enable UDP while using binary SASL authentication."},
    {"-Y f -U 1", 64, "Cannot use UDP with ascii authentication enabled (-U 0 to disable)"},
    {"--tenants=f -U 1", 64, "Cannot enable UDP while --tenants requires login"},
    {"-Z -p 0 -o ssl_chain_cert=a", 64, "ERROR: You cannot enable SSL without a TCP port."},
    {"-Z", 64, "ssl_chain_cert"},
    {"-Z -o ssl_chain_cert=a -l mtls:127.0.0.1", 64, "ERROR: mtls: needs -o ssl_ca_cert=FILE"},
    {"-l h:abc", 71, "Invalid port number: \"abc\""},
    {"-l [::1", 71, "failed to listen on one of interface(s) [::1: Invalid argument"},
    {"-l notls:h", 71, "'notls' option is valid only when SSL is enabled"},
    {"-S -B ascii", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."},
    {"-S -B auto", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."},
    {"-Y f -B binary", 64, "ERROR: You cannot allow the BINARY protocol while using ascii"},
    {"-S -Y f -B auto", 64, "ERROR: You cannot allow the BINARY protocol while using ascii"},
    {"-o slab_sizes=8-4", 64, "slab size 8 is out of valid range"},
    {"-o slab_sizes=100-x", 64, "slab size x is out of valid range"},
    {"-o slab_sizes=100--200", 64, "slab size  is out of valid range"},
    {"-o slab_sizes=100-1000000", 64, "slab size 1000000 is out of valid range"},
    {"-o slab_sizes=100-100", 64, "slab size 100 cannot be lower than or equal to a previous"},
    {"-o slab_sizes=100-108", 64, "slab size 108 must be at least 8 bytes larger"},
    {"-q", 1, "invalid option -- 'q'"},
    {"-q", 1, "Illegal argument \"?\""},
    {"--frobnicate", 1, "unrecognized option '--frobnicate'"},
    {"-p", 1, "option requires an argument"},
    {"--auth-timeout", 1, "option requires an argument"},
    {"--auth-timeout=0", 64, "from 1 to 3600"},
    {"--rights-mode=maybe", 64, "one of enforce, warn"},
    {"--log-file=x --syslog", 64, "exclude each other"},
    {"-o foo", 1, "Illegal suboption \"foo\""},
    {"-o no_hashpower", 1, "Illegal suboption \"no_hashpower\""},
    {"-o no_", 1, "Illegal suboption \"no_\""},
    {"-o =3", 1, "Illegal suboption \"=3\""},
    {"-o hashpower", 1, "Missing numeric argument for hashpower"},
    {"-o hashpower=11", 1, "Initial hashtable multiplier of 11 is too low"},
    {"-o hashpower=33", 1, "Initial hashtable multiplier of 33 is too high\nChoose a value"},
    {"-o slab_automove=3", 1, "slab_automove must be between 0 and 2"},
    {"-o slab_automove_ratio=0", 1, "slab_automove_ratio must be > 0 and < 1"},
    {"-o slab_automove_window=2", 1, "slab_automove_window must be > 2 and < 1800"},
    {"-o slab_chunk_max=1025", 1, "slab_chunk_max must be specified in kilobytes."},
    {"-o slab_chunk_max=-1", 1, "slab_chunk_max must be >= 0"},
    {"-o slab_sizes", 64, "Missing slab_sizes argument"},
    {"-o slab_sizes=", 64, "Missing slab_sizes argument"},
    {"-o tail_repair_time=9", 1, "Cannot set tail_repair_time to less than 10 seconds"},
    {"-o hash_algorithm=md5", 1, "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"},
    {"-o lru_crawler_sleep=1000001", 1, "LRU crawler sleep must be between 0 and 1 second"},
    {"-o lru_crawler_tocrawl=x", 1, "lru_crawler_tocrawl takes a numeric 32bit value"},
    {"-o hot_lru_pct=80", 1, "hot_lru_pct must be > 1 and < 80"},
    {"-o hot_lru_pct=50,warm_lru_pct=50", 64, "cannot be more than 80% combined"},
    {"-o hot_max_factor=0", 1, "hot_max_factor must be > 0"},
    {"-o idle_timeout", 1, "Missing numeric argument for idle_timeout"},
    {"-o idle_timeout=abc", 1, "not \"abc\""},
    {"-o ssl_chain_cert", 1, "Missing ssl_chain_cert argument"},
    {"-o ssl_verify_mode=4", 1, "Invalid ssl_verify_mode. Use help to see valid options."},
    {"-o ssl_min_version=4", 1, "Invalid ssl_min_version. Use help to see valid options."},
    {"-o maxconns_fast=no", 1, "takes no value, not \"no\""},
    {"-o watcher_logbuf_size=x", 1, "could not parse argument to watcher_logbuf_size"},
};

START_TEST(bad_row)
{
    const struct bad_row *row = &bad_rows[_i];
    struct run run;
    run_open(&run, row->line, false);
    ck_assert_msg(run.code == row->code, "%s: code %d", row->line, run.code);
    ck_assert_msg(strstr(run.err, row->err) != NULL, "%s: %s", row->line, run.err);
    ck_assert_str_eq(run.out, "");
    run_close(&run);
}
END_TEST

/* Collects the lines of settings_walk and settings_walk_inert as "name value\n". */
static void collect(void *context, struct slice name, struct slice value)
{
    fprintf(context, "%.*s %.*s\n", (int)name.n, name.p, (int)value.n, value.p);
}

static char *walked(const struct settings *settings)
{
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    fputc('\n', out);
    settings_walk(settings, collect, out);
    fclose(out);
    return text;
}

struct shown_row {
    const char *line;
    const char *shown; /* a line of stats settings */
};

static const struct shown_row shown_rows[] = {
    {"", "maxbytes 67108864"},
    {"-m 100", "maxbytes 104857600"},
    {"-m 2g", "maxbytes 2147483648"},
    {"--memory-limit=100", "maxbytes 104857600"},
    {"-c 9", "maxconns 9"},
    {"-p 0", "tcpport 0"},
    {"-p -1", "tcpport -1"},
    {"-U 4000", "tcpport 4000"},
    {"-U 4000 -p 5000", "tcpport 5000"},
    {"-U 4000", "udpport 4000"},
    {"", "inter NULL"},
    {"-l 127.0.0.1 -l ::1", "inter 127.0.0.1,::1"},
    {"-vvv", "verbosity 3"},
    {"-vvvvvvvvvvvv", "verbosity 9"},
    {"", "evictions on"},
    {"-M", "evictions off"},
    {"", "domain_socket NULL"},
    {"-s /x", "domain_socket /x"},
    {"", "umask 700"},
    {"-a 0777", "umask 777"},
    {"-A", "shutdown_command yes"},
    {"-f 2", "growth_factor 2.00"},
    {"-t 8", "num_threads 8"},
    {"-t 8", "num_threads_per_udp 1"},
    {"", "stat_key_prefix :"},
    {"", "detail_enabled no"},
    {"-D /", "stat_key_prefix /"},
    {"-D /", "detail_enabled yes"},
    {"", "reqs_per_event 500"},
    {"-R 20", "reqs_per_event 20"},
    {"", "cas_enabled yes"},
    {"-C", "cas_enabled no"},
    {"", "binding_protocol auto-negotiate"},
    {"-B ascii", "binding_protocol ascii"},
    {"-B binary", "binding_protocol binary"},
    {"-S", "auth_enabled_sasl yes"},
    {"", "auth_enabled_ascii no"},
    {"-Y /f", "auth_enabled_ascii /f"},
    {"", "item_size_max 1048576"},
    {"-I 2m", "item_size_max 2097152"},
    {"-I 1024", "item_size_max 1024"},
    {"-I 1g -m 4096", "item_size_max 1073741824"},
    {"", "maxconns_fast yes"},
    {"-o no_maxconns_fast", "maxconns_fast no"},
    {"-o slab_automove=2", "slab_automove 2"},
    {"-o no_slab_automove", "slab_automove 0"},
    {"-o slab_automove", "slab_automove 1"},
    {"-o slab_chunk_max=64", "slab_chunk_max 65536"},
    {"-F", "flush_enabled no"},
    {"-X", "dump_enabled no"},
    {"-o hash_algorithm=jenkins", "hash_algorithm xxh3"},
    {"-o idle_timeout=7 -o lru_crawler", "idle_timeout 7"},
    {"-o idle_timeout=7,,modern,", "idle_timeout 7"},
    {"", "ssl_chain_cert (null)"},
    {"-Z -o ssl_chain_cert=/c,ssl_key=/k", "ssl_chain_cert /c"},
    {"-o ssl_wbuf_size=32", "ssl_wbuf_size 32768"},
    {"", "ssl_ciphers NULL"},
    {"", "memory_file (null)"},
    {"-e /f", "memory_file /f"},
    {"--port 12", "tcpport 12"},
    {"an extra -p 13 argument", "tcpport 13"},
};

START_TEST(shown_row)
{
    const struct shown_row *row = &shown_rows[_i];
    struct run run;
    run_open(&run, row->line, false);
    ck_assert_msg(run.code == OPTIONS_SERVE, "%s: %s", row->line, run.err);
    ck_assert_str_eq(run.err, "");
    char line[128], *text = walked(&run.settings);
    snprintf(line, sizeof line, "\n%s\n", row->shown);
    ck_assert_msg(strstr(text, line) != NULL, "%s in %s", row->shown, text);
    free(text);
    run_close(&run);
}
END_TEST

/* The names and their order are memcached's. */
START_TEST(settings_are_in_order)
{
    static const char *const names[] = {
        "maxbytes",
        "maxconns",
        "tcpport",
        "udpport",
        "inter",
        "verbosity",
        "oldest",
        "evictions",
        "domain_socket",
        "umask",
        "shutdown_command",
        "growth_factor",
        "chunk_size",
        "num_threads",
        "num_threads_per_udp",
        "stat_key_prefix",
        "detail_enabled",
        "reqs_per_event",
        "cas_enabled",
        "tcp_backlog",
        "binding_protocol",
        "auth_enabled_sasl",
        "auth_enabled_ascii",
        "item_size_max",
        "maxconns_fast",
        "hashpower_init",
        "slab_reassign",
        "slab_automove",
        "slab_automove_ratio",
        "slab_automove_window",
        "slab_chunk_max",
        "lru_crawler",
        "lru_crawler_sleep",
        "lru_crawler_tocrawl",
        "tail_repair_time",
        "flush_enabled",
        "dump_enabled",
        "hash_algorithm",
        "lru_maintainer_thread",
        "lru_segmented",
        "hot_lru_pct",
        "warm_lru_pct",
        "hot_max_factor",
        "warm_max_factor",
        "temp_lru",
        "temporary_ttl",
        "idle_timeout",
        "watcher_logbuf_size",
        "worker_logbuf_size",
        "read_buf_mem_limit",
        "track_sizes",
        "inline_ascii_response",
        "drop_privileges",
        "ssl_enabled",
        "ssl_chain_cert",
        "ssl_key",
        "ssl_verify_mode",
        "ssl_keyformat",
        "ssl_ciphers",
        "ssl_ca_cert",
        "ssl_wbuf_size",
        "ssl_session_cache",
        "ssl_kernel_tls",
        "ssl_min_version",
        "num_napi_ids",
        "memory_file",
        "client_flags_size",
    };
    struct run run;
    run_open(&run, "", false);
    char *text = walked(&run.settings), *at = text + 1;
    for (int i = 0; i < N_ROWS(names); i++) {
        ck_assert_msg(strncmp(at, names[i], strlen(names[i])) == 0, "%s at %.30s", names[i], at);
        ck_assert_int_eq(at[strlen(names[i])], ' ');
        at = strchr(at, '\n') + 1;
    }
    ck_assert_str_eq(at, "");
    free(text);
    run_close(&run);
}
END_TEST

/* Command lines of memcached's manual and of distributions start. */
static const char *const accepted_rows[] = {
    "-d -m 1024 -l 127.0.0.1 -p 11211 -u nobody",
    "-m 64 -p 11211 -u memcache -l 127.0.0.1 -P /var/run/memcached/memcached.pid",
    "-u root -vv -t 2 -c 100 -k -r -L -b 10 -o modern,drop_privileges",
    "-o slab_reassign,slab_automove,lru_crawler,lru_maintainer,maxconns_fast",
    "-o hash_algorithm=murmur3",
    "-o no_modern,no_lru_crawler,no_hashexpand,no_chunked_items,no_inline_ascii_resp",
    "-o ext_path=/d/file:5G,ext_wbuf_size=2,ext_threads=2,ext_item_age=5,ext_drop_unread",
    "-o slab_sizes=100-200-300,track_sizes,resp_obj_mem_limit=1,read_buf_mem_limit=8",
    "-o temporary_ttl=30,warm_max_factor=2.5,hot_lru_pct=10,slab_automove_freeratio=0.01",
    "-N 2 -n 48 -f 1.05 -W -X -F -A -C -M -D / -e /dev/shm/x",
    "-S -B binary -p 11212 -U 0",
    "-Y /etc/f -B ascii",
    "--tenants=/f --require-auth --metrics=127.0.0.1:9150 --rights-mode=warn --realm=r",
    "--sasl-mechs=PLAIN --allow-plaintext-login --auth-timeout=5 --auth-attempts=3",
    "--auth-threads=1 --crl=/c --syslog --check-config --check-auth=bob",
};

START_TEST(accepted_row)
{
    struct run run;
    run_open(&run, accepted_rows[_i], false);
    ck_assert_msg(run.code == OPTIONS_SERVE, "%s: %s", accepted_rows[_i], run.err);
    ck_assert_str_eq(run.err, "");
    run_close(&run);
}
END_TEST

START_TEST(inert_options_are_named)
{
    struct run run;
    char *text;
    size_t n;
    run_open(&run, "-f 2 -m 100 -U 0 -o modern,slab_automove=1,no_lru_maintainer,idle_timeout=1",
             false);
    FILE *out = open_memstream(&text, &n);
    settings_walk_inert(&run.settings, collect, out);
    fclose(out);
    ck_assert_str_eq(text, "-f keepd has no slab classes\n"
                           "-o lru_maintainer keepd's reaper runs always\n");
    free(text);
    run_close(&run);
}
END_TEST

struct root_row {
    const char *line;
    int code;
};

static const struct root_row root_rows[] = {
    {"", 64},  {"-u root", OPTIONS_SERVE},        {"-u nobody", OPTIONS_SERVE},
    {"-h", 0}, {"--check-config", OPTIONS_SERVE}, {"--check-auth=bob", OPTIONS_SERVE},
    {"-V", 0},
};

START_TEST(root_needs_a_user)
{
    struct run run;
    run_open(&run, root_rows[_i].line, true);
    ck_assert_int_eq(run.code, root_rows[_i].code);
    if (run.code == 64)
        ck_assert_str_eq(run.err, "must add '-u root' to start as root\n");
    run_close(&run);
}
END_TEST

struct listen_row {
    const char *line;
    size_t n;
    const char *first; /* NULL: any */
};

static const struct listen_row listen_rows[] = {
    {"", 2, "127.0.0.1"},
    {"-Z -o ssl_chain_cert=c", 2, "127.0.0.1"},
    {"-S", 1, NULL},
    {"-Y f", 1, NULL},
    {"--tenants=f", 1, NULL},
    {"-l *", 1, NULL},
    {"-l 10.0.0.1,10.0.0.2 -l 10.0.0.3;10.0.0.1", 3, "10.0.0.1"},
    {"-S -l 127.0.0.1", 1, "127.0.0.1"},
};

START_TEST(listeners_row)
{
    const struct listen_row *row = &listen_rows[_i];
    struct run run;
    run_open(&run, row->line, false);
    ck_assert_uint_eq(run.settings.n_listeners, row->n);
    if (row->first)
        ck_assert_str_eq(run.settings.listeners[0].host, row->first);
    else
        ck_assert_ptr_null(run.settings.listeners[0].host);
    ck_assert_int_eq(run.settings.listeners[0].port, LISTEN_PORT_UNSET);
    run_close(&run);
}
END_TEST

struct exposure_row {
    const char *line;
    const char *warning; /* stands in what is printed; NULL: nothing is printed */
    int strict_code;     /* with --require-auth */
};

#define CERT "-Z -o ssl_chain_cert=c "

static const struct exposure_row exposure_rows[] = {
    {"", NULL, OPTIONS_SERVE},
    {"-l localhost,127.0.0.53:1,[::1]", NULL, OPTIONS_SERVE},
    {"-l *", "reaches * can", 64},
    {"-l 127.0.0.1,10.0.0.1", "reaches 10.0.0.1 can", 64},
    {"-l ::", "reaches :: can", 64},
    {"-l * -S", NULL, OPTIONS_SERVE},
    {"-l * -Y f", NULL, OPTIONS_SERVE},
    {"-l * --tenants=f", NULL, OPTIONS_SERVE},
    {"-l * -p 0", NULL, OPTIONS_SERVE},
    {"-l * -p 0 -U 1", "reaches * can", 64},
    {"-l * -s /x", NULL, OPTIONS_SERVE},
    {CERT "-l *", NULL, 64},
    {CERT "-l notls:*", "reaches * can", 64},
    {CERT "-l notls:127.0.0.1,mtls:* -o ssl_ca_cert=a", NULL, OPTIONS_SERVE},
    {CERT "-l * -o ssl_verify_mode=2", NULL, OPTIONS_SERVE},
    {CERT "-l * -o ssl_verify_mode=1", NULL, 64},
    {CERT "-l btls:* -o ssl_verify_mode=2", NULL, 64},
};

START_TEST(exposure_row)
{
    const struct exposure_row *row = &exposure_rows[_i];
    char strict[256];
    struct run run;
    run_open(&run, row->line, false);
    ck_assert_int_eq(run.code, OPTIONS_SERVE);
    if (row->warning)
        ck_assert_msg(strstr(run.err, row->warning) != NULL, "%s: %s", row->line, run.err);
    else
        ck_assert_str_eq(run.err, "");
    run_close(&run);
    snprintf(strict, sizeof strict, "--require-auth %s", row->line);
    run_open(&run, strict, false);
    ck_assert_msg(run.code == row->strict_code, "%s: %d", row->line, run.code);
    run_close(&run);
}
END_TEST

START_TEST(long_socket_path_is_refused)
{
    char line[256] = "-s /";
    struct run run;
    memset(line + 4, 'a', 107);
    run_open(&run, line, false);
    ck_assert_int_eq(run.code, 71);
    run_close(&run);
    line[4 + 106] = '\0';
    run_open(&run, line, false);
    ck_assert_int_eq(run.code, OPTIONS_SERVE);
    run_close(&run);
}
END_TEST

START_TEST(mechanisms_are_separated_by_spaces)
{
    struct run run;
    run_open(&run, "--sasl-mechs=PLAIN,SCRAM-SHA-256 --sasl-mechs=SCRAM-SHA-512", false);
    ck_assert_str_eq(run.settings.sasl_mechanisms, "PLAIN SCRAM-SHA-256 SCRAM-SHA-512");
    run_close(&run);
}
END_TEST

START_TEST(many_threads_are_warned_about)
{
    struct run run;
    run_open(&run, "-t 65", false);
    ck_assert_int_eq(run.code, OPTIONS_SERVE);
    ck_assert_ptr_nonnull(strstr(run.err, "WARNING: Setting a high number of worker threads"));
    run_close(&run);
}
END_TEST

START_TEST(help_goes_to_stdout)
{
    struct run run;
    run_open(&run, "-h", false);
    ck_assert_int_eq(run.code, 0);
    ck_assert_str_eq(run.err, "");
    ck_assert_ptr_nonnull(strstr(run.out, "--memory-limit"));
    ck_assert_ptr_nonnull(strstr(run.out, "idle_timeout"));
    run_close(&run);
    run_open(&run, "-V", false);
    ck_assert_int_eq(strncmp(run.out, "keepd ", 6), 0);
    run_close(&run);
    run_open(&run, "-i", false);
    ck_assert_ptr_nonnull(strstr(run.out, "BSD 3-clause"));
    run_close(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, bad_row, 0, N_ROWS(bad_rows));
    tcase_add_loop_test(tc, shown_row, 0, N_ROWS(shown_rows));
    tcase_add_test(tc, settings_are_in_order);
    tcase_add_loop_test(tc, accepted_row, 0, N_ROWS(accepted_rows));
    tcase_add_test(tc, inert_options_are_named);
    tcase_add_loop_test(tc, root_needs_a_user, 0, N_ROWS(root_rows));
    tcase_add_loop_test(tc, listeners_row, 0, N_ROWS(listen_rows));
    tcase_add_loop_test(tc, exposure_row, 0, N_ROWS(exposure_rows));
    tcase_add_test(tc, long_socket_path_is_refused);
    tcase_add_test(tc, mechanisms_are_separated_by_spaces);
    tcase_add_test(tc, many_threads_are_warned_about);
    tcase_add_test(tc, help_goes_to_stdout);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
