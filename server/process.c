#include "server/process.h"

#include "server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS  64 /* listeners, event loops, log, files */
#define WORKER_DESCRIPTORS 4

int process_refuse(int code, const char *sentence)
{
    fprintf(stderr, "keepd: %s\n", sentence);
    return code;
}

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

void process_close_inherited(unsigned n_kept)
{
    unsigned first = STDERR_FILENO + 1 + n_kept;
    if (close_range(first, ~0u, 0) == 0)
        return;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1u << 20)
        limit.rlim_cur = 1u << 20;
    for (unsigned fd = first; fd < limit.rlim_cur; fd++)
        close((int)fd);
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

/* Locking is done without root's rights: what is lockable is raised while they are there. */
static void raise_lock_limit(void)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

/* Fewer connections than nobody has asked for by number. False: there would be hardly any. */
static bool serve_fewer(struct settings *settings, rlim_t n_descriptors, rlim_t n_own)
{
    if (settings->is_given[SETTING_max_connections] || n_descriptors < 2 * n_own)
        return false;
    unsigned long long n_usual = settings->max_connections;
    settings->max_connections = n_descriptors - n_own;
    fprintf(stderr, "keepd: warning: `ulimit -Hn` is %llu: %llu connections instead of %llu\n",
            (unsigned long long)n_descriptors, (unsigned long long)settings->max_connections,
            n_usual);
    return true;
}

static int set_descriptor_limit(struct settings *settings)
{
    struct rlimit limit, before;
    rlim_t n_own = SPARE_DESCRIPTORS + settings->n_threads * WORKER_DESCRIPTORS;
    rlim_t wanted = settings->max_connections + n_own;
    if (getrlimit(RLIMIT_NOFILE, &before) != 0) {
        fprintf(stderr, "failed to getrlimit number of files\n");
        return EXIT_NO_RESOURCE;
    }
    if (before.rlim_cur >= wanted)
        return 0;
    limit = (struct rlimit){wanted, before.rlim_max < wanted ? wanted : before.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    limit = (struct rlimit){before.rlim_max, before.rlim_max};
    if (serve_fewer(settings, before.rlim_max, n_own) && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    fprintf(stderr,
            "failed to set rlimit for open files. Try starting as root or requesting "
            "smaller maxconns value.\n"
            "keepd: -c %llu needs %llu descriptors: raise `ulimit -n`, or lower -c\n",
            (unsigned long long)settings->max_connections, (unsigned long long)wanted);
    return EXIT_NO_RESOURCE;
}

int process_set_limits(struct settings *settings)
{
    int failed = set_core_limit(settings);
    if (failed != 0)
        return failed;
    if (settings->locks_memory)
        raise_lock_limit();
    return set_descriptor_limit(settings);
}

static int wait_for_child(int fd)
{
    unsigned char code;
    ssize_t n;
    do {
        n = read(fd, &code, sizeof code);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof code ? code : EXIT_BAD_VALUE;
}

static int refuse_daemon(void)
{
    fprintf(stderr, "failed to daemon() in order to daemonize\n");
    return EXIT_BAD_VALUE;
}

/* Leaves the terminal or service manager that started it. The parent stays until the child tells
 * how its start went, and ends as the child would: who starts keepd -d learns whether it serves. */
int process_daemonize(const struct settings *settings, int *parent_fd_out)
{
    int ends[2];
    if (!settings->is_daemon)
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return refuse_daemon();
    pid_t pid = fork();
    if (pid > 0) {
        close(ends[1]);
        _exit(wait_for_child(ends[0]));
    }
    close(ends[0]);
    *parent_fd_out = ends[1];
    if (pid < 0 || setsid() == -1 || (!settings->wants_core && chdir("/") != 0))
        return refuse_daemon();
    return 0;
}

void process_tell_parent(int *parent_fd, int code)
{
    unsigned char byte = (unsigned char)code;
    if (*parent_fd < 0)
        return;
    ssize_t n = write(*parent_fd, &byte, sizeof byte);
    (void)n;
    close(*parent_fd);
    *parent_fd = -1;
}

void process_detach_stdio(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        (void)dup2(fd, i);
    close(fd);
}

void process_lock_memory(const struct settings *settings)
{
    if (settings->locks_memory && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        fprintf(stderr,
                "warning: -k invalid, mlockall() failed: %s\n"
                "keepd: raise the limit of locked memory (ulimit -l, LimitMEMLOCK= of the unit)\n",
                strerror(errno));
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
    if (fclose(file) == 0 && rename(temporary, path) == 0)
        return;
    fprintf(stderr, "Could not rename the pid file from %s to %s: %s\n", temporary, path,
            strerror(errno));
    (void)unlink(temporary);
}

void process_remove_pid(const char *path)
{
    if (unlink(path) != 0)
        fprintf(stderr, "Could not remove the pid file %s: %s\n", path, strerror(errno));
}
