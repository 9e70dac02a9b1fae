/* Any bytes as a tenants file, as a -Y file, as a PLAIN message, as a verifier and as a time: taken
 * or refused with a reason, and what is taken is within its bounds. */
#include "auth/instant.h"
#include "auth/plain.h"
#include "auth/users.h"
#include "t/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_users(const struct users *users)
{
    HOLDS(users->n_tenants >= 1);
    for (size_t i = 0; i < users->n_users; i++) {
        const struct user *user = &users->users[i];
        HOLDS(user->tenant < users->n_tenants);
        HOLDS(users_find(users, slice_str(user->name)) == user);
        HOLDS((user->rights & ~USERS_RIGHTS_ALL) == 0);
        for (size_t s = 0; s < user->n_secrets; s++)
            HOLDS(user->secrets[s].n_verifiers >= 1);
    }
    for (size_t i = 0; i < users->n_rules; i++)
        HOLDS(users->rules[i].user < users->n_users);
}

static void try_files(const char *path)
{
    static const uint8_t bytes[VERIFIER_TAG_SIZE] = {1};
    struct users_keys keys = {.tag = tag_key_create(bytes)};
    struct auth_error error = {.line = 0};
    HOLDS(keys.tag != NULL);
    for (int is_text = 0; is_text < 2; is_text++) {
        struct users *users =
            users_load(is_text ? NULL : path, is_text ? path : NULL, &keys, &error);
        if (users != NULL) {
            check_users(users);
            users_drop(&users);
        } else {
            HOLDS(error.text[0] != '\0');
        }
    }
    tag_key_destroy(&keys.tag);
}

static void try_bytes(struct slice bytes)
{
    struct plain_parts parts;
    struct verifier verifier;
    const char *reason = NULL;
    char text[VERIFIER_TEXT_MAX], when_text[INSTANT_TEXT_MAX];
    int64_t when;
    if (plain_parse(bytes, &parts) == NULL) {
        HOLDS(parts.user.n >= 1 && parts.user.n <= AUTH_NAME_MAX);
        HOLDS(parts.password.n >= 1 && parts.password.n <= USERS_PASSWORD_MAX);
    }
    if (verifier_parse(bytes, &verifier, &reason)) {
        size_t n = verifier_format(&verifier, text);
        HOLDS(n <= bytes.n);
    } else {
        HOLDS(reason != NULL);
    }
    if (instant_parse(bytes, &when))
        instant_format(when, when_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    HOLDS(fd >= 0);
    HOLDS(write(fd, data, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    try_files(path);
    close(fd);
    try_bytes(slice_of(data, n));
    return 0;
}
