#include "server/sandbox.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool enter(void)
{
    if (!sandbox_is_built_in())
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    return sandbox_enter() == 0;
}

/* The frame's own clock needs calls that the filter refuses: the body runs in a process of its own,
 * which ends with the number of the line that failed. */
static void check_inside(void (*body)(void))
{
    int status;
    if (!sandbox_is_built_in())
        return;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (!enter())
            _exit(1);
        body();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "line %d", WEXITSTATUS(status));
}

#define INSIDE(condition)    \
    do {                     \
        if (!(condition))    \
            _exit(__LINE__); \
    } while (0)
#define REFUSED(call) INSIDE((call) == -1 && errno == EPERM)

static void *return_argument(void *arg)
{
    return arg;
}

static void use_what_serving_needs(void)
{
    pthread_t thread;
    void *result;
    int mark;
    INSIDE(pthread_create(&thread, NULL, return_argument, &mark) == 0);
    INSIDE(pthread_join(thread, &result) == 0 && result == &mark);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    INSIDE(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INSIDE(fd >= 0 && close(fd) == 0);
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    INSIDE(p != MAP_FAILED);
    INSIDE(mprotect(p, 4096, PROT_READ) == 0 && munmap(p, 1 << 20) == 0);
}

START_TEST(what_serving_needs_is_allowed)
{
    check_inside(use_what_serving_needs);
}
END_TEST

static void use_what_it_does_not_need(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct rlimit limit = {100, 100};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INSIDE(fd >= 0);
    REFUSED(bind(fd, (struct sockaddr *)&any, sizeof any));
    REFUSED(listen(fd, 1));
    REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
    REFUSED(fork());
    REFUSED(kill(getppid(), 0));
    REFUSED(setrlimit(RLIMIT_NOFILE, &limit));
    REFUSED(chmod("/nowhere", 0));
}

START_TEST(what_serving_does_not_need_is_refused)
{
    check_inside(use_what_it_does_not_need);
}
END_TEST

static void make_memory_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    INSIDE(p != MAP_FAILED);
    REFUSED(mprotect(p, 4096, PROT_READ | PROT_EXEC));
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    INSIDE(p == MAP_FAILED && errno == EPERM);
}

START_TEST(memory_is_not_writable_and_executable)
{
    check_inside(make_memory_executable);
}
END_TEST

/* These end the process by SIGSYS, as tcase_add_test_raise_signal asks. */
static void end_as_asked(void)
{
    if (!sandbox_is_built_in())
        raise(SIGSYS);
}

START_TEST(a_program_cannot_be_started)
{
    char *const arguments[] = {(char *)"true", NULL};
    if (enter())
        execv("/bin/true", arguments);
    end_as_asked();
}
END_TEST

START_TEST(nobody_is_traced)
{
    if (enter())
        ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    end_as_asked();
}
END_TEST

static void *try_to_execute(void *arg)
{
    char *const arguments[] = {(char *)"true", NULL};
    pthread_mutex_t *gate = arg;
    pthread_mutex_lock(gate);
    execv("/bin/true", arguments);
    return NULL;
}

START_TEST(threads_that_run_already_are_filtered)
{
    static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    pthread_mutex_lock(&gate);
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, try_to_execute, &gate), 0);
    bool is_in = enter();
    if (is_in)
        pthread_mutex_unlock(&gate);
    if (is_in)
        pthread_join(thread, NULL);
    end_as_asked();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *tcase = tcase_create("sandbox");
    tcase_add_test(tcase, what_serving_needs_is_allowed);
    tcase_add_test(tcase, what_serving_does_not_need_is_refused);
    tcase_add_test(tcase, memory_is_not_writable_and_executable);
    if (sandbox_is_built_in()) { /* not in sanitizer builds, whose tests share one process */
        tcase_add_test_raise_signal(tcase, a_program_cannot_be_started, SIGSYS);
        tcase_add_test_raise_signal(tcase, nobody_is_traced, SIGSYS);
        tcase_add_test_raise_signal(tcase, threads_that_run_already_are_filtered, SIGSYS);
    }
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
