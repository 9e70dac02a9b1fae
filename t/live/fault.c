/* Preloaded into a server, makes calls fail that never fail in a test otherwise.
 *
 * KEEPD_FAULTS is a list of CALL:WHEN:ERROR, separated by commas. WHEN is a number N: every N-th
 * call; ~N: so many, at places without a rhythm that a caller's own calls could fall in with; or
 * =N: the N-th call alone. ERROR is a name below; SHORT lets part of the bytes through. Until the
 * first connection is accepted nothing fails, but rules whose CALL begins with '!'. At the end of
 * the process a line on stderr tells how many calls failed. `filewrite` is a write to a regular
 * file, `open` stands for all ways to open a file.
 *
 * KEEPD_CLOCK is a file of 8 bytes: a number of seconds by which the wall clock is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <dlfcn.h>

#define SHORT   10000
#define N_RULES 32
#define REAL(name)                 \
    static __typeof__(&name) real; \
    if (real == NULL)              \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

struct rule {
    char call[24];
    unsigned every;
    bool is_once;
    bool is_scattered;
    bool is_always;
    int error;
    atomic_uint n_calls;
    atomic_uint n_failed;
};

static struct rule rules[N_RULES];
static size_t n_rules;
static atomic_bool is_armed;
static const volatile int64_t *clock_error;

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"EINTR", EINTR},         {"EAGAIN", EAGAIN},         {"EMFILE", EMFILE},
    {"ENFILE", ENFILE},       {"ENOMEM", ENOMEM},         {"ENOBUFS", ENOBUFS},
    {"EPERM", EPERM},         {"EPIPE", EPIPE},           {"ECONNABORTED", ECONNABORTED},
    {"ENOSPC", ENOSPC},       {"ECONNRESET", ECONNRESET}, {"EIO", EIO},
    {"ETIMEDOUT", ETIMEDOUT}, {"EINVAL", EINVAL},         {"SHORT", SHORT},
};

static void map_clock(void)
{
    const char *path = getenv("KEEPD_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *clock_error, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        clock_error = at;
    close(fd);
}

__attribute__((constructor)) static void begin(void)
{
    map_clock();
    const char *at = getenv("KEEPD_FAULTS");
    while (at != NULL && *at != '\0' && n_rules < N_RULES) {
        char call[24], when[16], error[24];
        struct rule *rule = &rules[n_rules];
        if (sscanf(at, "%23[^:]:%15[^:]:%23[^,]", call, when, error) != 3)
            abort();
        rule->is_always = call[0] == '!';
        memcpy(rule->call, call + rule->is_always, strlen(call + rule->is_always) + 1);
        rule->is_once = when[0] == '=';
        rule->is_scattered = when[0] == '~';
        rule->every = (unsigned)atoi(when + (rule->is_once || rule->is_scattered));
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
            if (strcmp(errors[i].name, error) == 0)
                rule->error = errors[i].number;
        if (rule->error == 0 || rule->every == 0)
            abort();
        n_rules++;
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
}

__attribute__((destructor)) static void end(void)
{
    char text[64 * N_RULES] = "faults:";
    for (size_t i = 0; i < n_rules; i++)
        sprintf(text + strlen(text), " %s=%u", rules[i].call, rules[i].n_failed);
    memcpy(text + strlen(text), "\n", 2);
    ssize_t n = writev(STDERR_FILENO, &(struct iovec){text, strlen(text)}, 1);
    (void)n;
}

static bool is_its_turn(const struct rule *rule, unsigned n)
{
    if (rule->is_once)
        return n == rule->every;
    if (rule->is_scattered) {
        n = (n ^ n >> 16) * 0x45d9f3bu;
        n = (n ^ n >> 16) * 0x45d9f3bu;
        n ^= n >> 16;
    }
    return n % rule->every == 0;
}

/* Does this call fail? 0 or the error. */
static int fault(const char *call)
{
    for (size_t i = 0; i < n_rules; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->call, call) != 0 || !(rule->is_always || is_armed))
            continue;
        if (!is_its_turn(rule, ++rule->n_calls))
            continue;
        rule->n_failed++;
        return rule->error;
    }
    return 0;
}

#define FAIL(call)                      \
    int error = fault(call);            \
    if (error != 0 && error != SHORT) { \
        errno = error;                  \
        return -1;                      \
    }

static size_t shortened(int error, size_t n)
{
    return error == SHORT && n > 1 ? n / 3 + 1 : n;
}

ssize_t read(int fd, void *p, size_t n)
{
    REAL(read);
    FAIL("read");
    return real(fd, p, shortened(error, n));
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    REAL(recv);
    FAIL("recv");
    return real(fd, p, shortened(error, n), flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    FAIL("recvmsg");
    return real(fd, message, flags);
}

/* libevent's signal handler writes one byte and cannot try again. */
ssize_t write(int fd, const void *p, size_t n)
{
    REAL(write);
    if (n == 1)
        return real(fd, p, n);
    struct stat status;
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    FAIL(is_file ? "filewrite" : "write");
    return real(fd, p, shortened(error, n));
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    REAL(send);
    FAIL("send");
    return real(fd, p, shortened(error, n), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    FAIL("sendmsg");
    struct msghdr first = *message;
    if (error == SHORT && first.msg_iovlen > 1)
        first.msg_iovlen = 1;
    return real(fd, &first, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    REAL(epoll_wait);
    FAIL("epoll_wait");
    return real(fd, events, n, timeout);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    REAL(poll);
    FAIL("poll");
    return real(fds, n, timeout);
}

int fsync(int fd)
{
    REAL(fsync);
    FAIL("fsync");
    return real(fd);
}

int accept4(int fd, struct sockaddr *address, socklen_t *n, int flags)
{
    REAL(accept4);
    FAIL("accept4");
    int accepted = real(fd, address, n, flags);
    if (accepted >= 0)
        is_armed = true;
    return accepted;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    REAL(setsockopt);
    FAIL("setsockopt");
    return real(fd, level, name, value, n);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
    REAL(getsockopt);
    FAIL("getsockopt");
    return real(fd, level, name, value, n);
}

int socket(int family, int type, int protocol)
{
    REAL(socket);
    FAIL("socket");
    return real(family, type, protocol);
}

ssize_t recvfrom(int fd, void *p, size_t n, int flags, struct sockaddr *address,
                 socklen_t *n_address)
{
    REAL(recvfrom);
    FAIL("recvfrom");
    return real(fd, p, n, flags, address, n_address);
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *address,
               socklen_t n_address)
{
    REAL(sendto);
    FAIL("sendto");
    return real(fd, p, n, flags, address, n_address);
}

int epoll_ctl(int fd, int operation, int what, struct epoll_event *event)
{
    REAL(epoll_ctl);
    FAIL("epoll_ctl");
    return real(fd, operation, what, event);
}

/* ---- files ---- */

static mode_t mode_of(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    FAIL("open");
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(open64);
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    FAIL("open");
    return real(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen);
    int error = fault("open");
    errno = error;
    return error != 0 ? NULL : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    REAL(fopen64);
    int error = fault("open");
    errno = error;
    return error != 0 ? NULL : real(path, mode);
}

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && clock_error != NULL)
        now->tv_sec += *clock_error;
    return result;
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise = {0};
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
    return 0;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *n)
{
    REAL(getpeername);
    FAIL("getpeername");
    return real(fd, address, n);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *n)
{
    REAL(getsockname);
    FAIL("getsockname");
    return real(fd, address, n);
}

/* glibc has two names for it; which one is used depends on how a file was compiled. */
#define FCNTL(name)                            \
    int name(int fd, int command, ...)         \
    {                                          \
        REAL(name);                            \
        va_list list;                          \
        va_start(list, command);               \
        void *argument = va_arg(list, void *); \
        va_end(list);                          \
        FAIL("fcntl");                         \
        return real(fd, command, argument);    \
    }
FCNTL(fcntl)
FCNTL(fcntl64)
#undef FCNTL

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *arg)
{
    REAL(pthread_create);
    int error = fault("pthread_create");
    return error != 0 ? error : real(thread, attributes, run, arg);
}

/* The C library's own names: looking for them must not allocate. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static bool has_memory(void)
{
    if (n_rules == 0 || fault("malloc") == 0)
        return true;
    errno = ENOMEM;
    return false;
}

void *malloc(size_t n)
{
    return has_memory() ? __libc_malloc(n) : NULL;
}

void *calloc(size_t n, size_t size)
{
    return has_memory() ? __libc_calloc(n, size) : NULL;
}

void *realloc(void *p, size_t n)
{
    return has_memory() ? __libc_realloc(p, n) : NULL;
}
