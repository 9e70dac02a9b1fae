#include "server/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* names of mappings, which allocators may set */
#endif

struct name_row {
    const char *name;
    bool is_deadly;
};

static const struct name_row names[] = {
#define ALLOW(name)  {#name, false},
#define DEADLY(name) {#name, true},
#include "server/syscalls.def"
#undef ALLOW
#undef DEADLY
};

/* Allowed when (argument & mask) == value. */
struct condition_row {
    const char *name;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

static const struct condition_row conditions[] = {
    /* Memory is never writable and executable, nor becomes executable; a plug-in may be loaded. */
    {"mmap", 2, PROT_WRITE, 0},
    {"mmap", 2, PROT_EXEC, 0},
    {"mprotect", 2, PROT_EXEC, 0},
    /* Threads, but no process. */
    {"clone", 0, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWUSER,
     CLONE_THREAD | CLONE_VM | CLONE_SIGHAND},
    /* saslauthd, syslog, the service manager; directories behind a SASL mechanism. */
    {"socket", 0, UINT32_MAX, AF_UNIX},
    {"socket", 0, UINT32_MAX, AF_INET},
    {"socket", 0, UINT32_MAX, AF_INET6},
    {"ioctl", 1, UINT32_MAX, FIONBIO},
    {"ioctl", 1, UINT32_MAX, FIONREAD},
    {"ioctl", 1, UINT32_MAX, TIOCOUTQ},
    {"ioctl", 1, UINT32_MAX, TCGETS},
    {"prctl", 0, UINT32_MAX, PR_SET_NAME},
    {"prctl", 0, UINT32_MAX, PR_GET_NAME},
    {"prctl", 0, UINT32_MAX, PR_GET_DUMPABLE},
    {"prctl", 0, UINT32_MAX, PR_SET_VMA},
    {"prlimit64", 2, UINT64_MAX, 0},              /* limits are read, not set */
    {"setpriority", 0, UINT32_MAX, PRIO_PROCESS}, /* threads of jobs are nicer than workers */
};

static int add_condition(scmp_filter_ctx filter, const struct condition_row *row)
{
    int number = seccomp_syscall_resolve_name(row->name);
    if (number < 0)
        return 0;
    struct scmp_arg_cmp compare =
        SCMP_CMP64(row->argument, SCMP_CMP_MASKED_EQ, row->mask, row->value);
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &compare);
}

static int add_rows(scmp_filter_ctx filter)
{
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < sizeof names / sizeof *names; i++) {
        int number = seccomp_syscall_resolve_name(names[i].name);
        uint32_t action = names[i].is_deadly ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW;
        if (number >= 0)
            failed = seccomp_rule_add_array(filter, action, number, 0, NULL);
    }
    for (size_t i = 0; failed == 0 && i < sizeof conditions / sizeof *conditions; i++)
        failed = add_condition(filter, &conditions[i]);
    return failed;
}

static int add_special(scmp_filter_ctx filter)
{
    struct condition_row self = {"tgkill", 0, UINT32_MAX, (uint64_t)getpid()};
    int failed = add_condition(filter, &self);
    int clone3 = seccomp_syscall_resolve_name("clone3");
    /* Its flags are behind a pointer, out of the filter's sight: the C library then uses clone. */
    if (failed == 0 && clone3 >= 0)
        failed = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), clone3, 0, NULL);
    return failed;
}

static int load(scmp_filter_ctx filter)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (failed != 0)
        return failed;
    /* Both only better it: what is refused is logged, and the search is a tree, not a list. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return seccomp_load(filter);
}

bool sandbox_is_built_in(void)
{
    return true;
}

int sandbox_enter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return ENOMEM;
    int failed = add_rows(filter);
    if (failed == 0)
        failed = add_special(filter);
    if (failed == 0)
        failed = load(filter);
    seccomp_release(filter);
    return -failed;
}
