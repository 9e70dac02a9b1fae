#include "server/process.h"

#include "server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64 /* listeners, event loops, log, files */
#define WORKER_DESCRIPTORS 4

int process_open_stdio(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return EXIT_NO_RESOURCE;
    close(fd);
    return 0;
}

static int set_core_limit(const struct settings *settings)
{
    struct rlimit limit;
    if (!settings->wants_core) {
        /* Passwords and values are in memory: no core file unless asked for. */
        limit.rlim_cur = limit.rlim_max = 0;
        (void)setrlimit(RLIMIT_CORE, &limit);
        (void)prctl(PR_SET_DUMPABLE, 0);
        return 0;
    }
    limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
    if (setrlimit(RLIMIT_CORE, &limit) == 0)
        return 0;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_CORE, &limit);
    }
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur > 0)
        return 0;
    fprintf(stderr, "failed to ensure corefile creation\n");
    return EXIT_NO_RESOURCE;
}

int process_set_limits(const struct settings *settings)
{
    struct rlimit limit;
    rlim_t wanted = settings->max_connections + SPARE_DESCRIPTORS +
                    settings->n_threads * WORKER_DESCRIPTORS;
    int failed = set_core_limit(settings);
    if (failed != 0)
        return failed;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fprintf(stderr, "failed to getrlimit number of files\n");
        return EXIT_NO_RESOURCE;
    }
    if (limit.rlim_cur >= wanted)
        return 0;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    fprintf(stderr, "failed to set rlimit for open files. Try starting as root or requesting "
                    "smaller maxconns value.\n"
                    "keepd: -c %llu needs %llu descriptors: raise `ulimit -n`, or lower -c\n",
            (unsigned long long)settings->max_connections, (unsigned long long)wanted);
    return EXIT_NO_RESOURCE;
}

int process_drop_root(const struct settings *settings)
{
    if (getuid() != 0 && geteuid() != 0)
        return 0;
    MUST(settings->user != NULL); /* options_parse refuses root without -u */
    const struct passwd *user = getpwnam(settings->user);
    if (user == NULL) {
        fprintf(stderr, "can't find the user %s to switch to\n", settings->user);
        return EXIT_NO_USER;
    }
    if (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
        fprintf(stderr, "failed to assume identity of user %s: %s\n", settings->user,
                strerror(errno));
        return EXIT_NO_RESOURCE;
    }
    if (!settings->wants_core)
        (void)prctl(PR_SET_DUMPABLE, 0); /* changing user has reset it */
    return 0;
}

int process_daemonize(const struct settings *settings)
{
    if (!settings->is_daemon)
        return 0;
    pid_t pid = fork();
    if (pid > 0)
        _exit(EXIT_SUCCESS);
    bool is_done = pid == 0 && setsid() != -1;
    if (is_done && !settings->wants_core)
        is_done = chdir("/") == 0;
    if (is_done && settings->verbosity == 0) {
        int fd = open("/dev/null", O_RDWR);
        is_done = fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
                  dup2(fd, STDERR_FILENO) >= 0;
        if (fd > STDERR_FILENO)
            close(fd);
    }
    if (is_done)
        return 0;
    fprintf(stderr, "failed to daemon() in order to daemonize\n");
    return EXIT_BAD_VALUE;
}

void process_lock_memory(const struct settings *settings)
{
    if (settings->locks_memory && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        fprintf(stderr, "warning: -k invalid, mlockall() failed: %s\n", strerror(errno));
}

/* A pid file of a process that lives is worth a warning; memcached starts all the same. */
static void warn_of_running(const char *path)
{
    FILE *file = fopen(path, "re");
    long pid;
    if (file == NULL)
        return;
    if (fscanf(file, "%ld", &pid) == 1 && pid > 0 && kill((pid_t)pid, 0) == 0)
        fprintf(stderr, "WARNING: The pid file contained the following (running) pid: %ld\n", pid);
    fclose(file);
}

void process_write_pid(const char *path)
{
    char temporary[4096];
    warn_of_running(path);
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary)
        return;
    FILE *file = fopen(temporary, "we");
    if (file == NULL) {
        fprintf(stderr, "Could not open the pid file %s for writing: %s\n", temporary,
                strerror(errno));
        return;
    }
    fprintf(file, "%ld\n", (long)getpid());
    if (fclose(file) != 0 || rename(temporary, path) != 0)
        fprintf(stderr, "Could not rename the pid file from %s to %s: %s\n", temporary, path,
                strerror(errno));
}

void process_remove_pid(const char *path)
{
    if (unlink(path) != 0)
        fprintf(stderr, "Could not remove the pid file %s: %s\n", path, strerror(errno));
}
