#include "server/privileges.h"

#include "server/options.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITIES_MAX 64 /* the kernel's sets have two words of 32 bits */

static int refuse_user(const struct settings *settings)
{
    fprintf(stderr, "failed to assume identity of user %s: %s\n", settings->user, strerror(errno));
    return EXIT_NO_RESOURCE;
}

static bool is_root(void)
{
    return getuid() == 0 || geteuid() == 0;
}

int privileges_find_user(const struct settings *settings, struct user *user_out)
{
    *user_out = (struct user){.uid = getuid(), .gid = getgid()};
    if (!is_root())
        return 0;
    MUST(settings->user != NULL); /* options_parse refuses root without -u */
    const struct passwd *found = getpwnam(settings->user);
    if (found == NULL) {
        fprintf(stderr, "can't find the user %s to switch to\n", settings->user);
        return EXIT_NO_USER;
    }
    *user_out = (struct user){.uid = found->pw_uid, .gid = found->pw_gid};
    return 0;
}

static int become_user(const struct settings *settings, struct user user)
{
    if (setgroups(0, NULL) != 0 || setresgid(user.gid, user.gid, user.gid) != 0 ||
        setresuid(user.uid, user.uid, user.uid) != 0)
        return refuse_user(settings);
    MUST(user.uid == 0 || setuid(0) != 0); /* there is no way back */
    return 0;
}

/* Needs CAP_SETPCAP, so it comes before the change of user; who never was root has none of these
 * to gain, since no_new_privs is set. */
static void empty_bounding_set(void)
{
    for (unsigned long capability = 0; capability < CAPABILITIES_MAX; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

/* A service manager that gives none may also forbid the call that gives them up. */
static bool has_capabilities(void)
{
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capget, &header, data) != 0 || memcmp(data, none, sizeof none) != 0;
}

static int empty_capabilities(void)
{
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    bool is_empty = !has_capabilities() || syscall(SYS_capset, &header, none) == 0;
    if (is_empty && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return 0;
    fprintf(stderr, "keepd: capabilities cannot be given up: %s\n", strerror(errno));
    return EXIT_NO_RESOURCE;
}

int privileges_drop(const struct settings *settings, struct user user)
{
    empty_bounding_set();
    int failed = is_root() ? become_user(settings, user) : 0;
    if (failed == 0)
        failed = empty_capabilities();
    if (failed == 0 && !settings->wants_core)
        (void)prctl(PR_SET_DUMPABLE, 0); /* changing user has reset it */
    return failed;
}
