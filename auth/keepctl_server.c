#include "auth/ask.h"
#include "auth/keepctl.h"
#include "auth/watch_server.h"
#include "base/number.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool log_in(struct call *call, struct remote *remote)
{
    char error[REMOTE_LINE_MAX + 64];
    const char *user = call_value(call, KEEPCTL_OPTION_USER), *reason;
    if (user == NULL)
        return true;
    if ((call->given & OPT_PASSWORD_STDIN) == 0) {
        call_complain("--user needs --password-stdin");
        return false;
    }
    struct secret *password = ask_password(true, &reason);
    if (password == NULL) {
        call_complain("%s", reason);
        return false;
    }
    bool is_in = remote_login(remote, user, password, error, sizeof error);
    secret_destroy(&password);
    if (!is_in)
        call_complain("%s", error);
    return is_in;
}

static struct remote *open_server(struct call *call)
{
    char error[1024];
    struct remote_config config = {
        .socket = call_value(call, KEEPCTL_OPTION_SOCKET),
        .address = call_value(call, KEEPCTL_OPTION_ADDRESS),
        .is_tls = (call->given & OPT_TLS) != 0,
        .ca_file = call_value(call, KEEPCTL_OPTION_CA),
    };
    if ((config.socket == NULL) == (config.address == NULL)) {
        call_complain("give --socket PATH or --address HOST:PORT");
        return NULL;
    }
    struct remote *remote = remote_open(&config, error, sizeof error);
    if (remote == NULL)
        call_complain("%s", error);
    else if (!log_in(call, remote))
        remote_close(&remote);
    return remote;
}

int call_stats(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_stats(remote, call->n_words, call->words);
    remote_close(&remote);
    return code;
}

int call_top(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_top(remote, (call->given & OPT_ONCE) != 0);
    remote_close(&remote);
    return code;
}

int call_check_auth(struct call *call)
{
    static char what[] = "auth";
    char *words[] = {what};
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    if (call_value(call, KEEPCTL_OPTION_USER) != NULL)
        printf("logged in as %s\n", call_value(call, KEEPCTL_OPTION_USER));
    int code = watch_stats(remote, 1, words);
    remote_close(&remote);
    return code;
}

static int reload_by_server(struct call *call)
{
    struct remote *remote = open_server(call);
    if (remote == NULL)
        return EXIT_FAILURE;
    int code = watch_reload(remote);
    remote_close(&remote);
    return code;
}

int call_reload(struct call *call)
{
    if ((call->given & (OPT_SOCKET | OPT_ADDRESS)) != 0)
        return reload_by_server(call);
    const char *where = call_value(call, KEEPCTL_OPTION_PID);
    uint64_t pid;
    char line[32] = "";
    if (where == NULL)
        return call_complain("reload needs --pid PID, --pid FILE, --socket or --address");
    if (!number_parse_u64(slice_str(where), INT32_MAX, &pid)) {
        FILE *f = fopen(where, "r");
        if (f == NULL)
            return call_complain("%s: %s", where, strerror(errno));
        if (fgets(line, sizeof line, f) == NULL)
            line[0] = '\0';
        fclose(f);
        line[strcspn(line, "\r\n")] = '\0';
        if (!number_parse_u64(slice_str(line), INT32_MAX, &pid))
            return call_complain("%s holds no process number", where);
    }
    if (pid < 2 || kill((pid_t)pid, SIGHUP) != 0)
        return call_complain("process %llu: %s", (unsigned long long)pid, strerror(errno));
    return EXIT_SUCCESS;
}
