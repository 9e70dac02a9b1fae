#include "auth/users.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_FILE_MAX  (64u << 20)
#define LINE_MAX_BYTES (AUTH_NAME_MAX + 1 + USERS_PASSWORD_MAX)

static const char *text_name_of(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->text[index].name;
}

static bool text_reserve(struct users *users)
{
    /* Capacities are 1, 3, 7 ...: full when n + 1 is a power of two. */
    if ((users->n_text & (users->n_text + 1)) != 0)
        return true;
    size_t n = users->n_text == 0 ? 1 : users->n_text * 2 + 1;
    struct text_user *larger = realloc(users->text, n * sizeof *larger);
    if (larger == NULL)
        return false;
    users->text = larger;
    return true;
}

static bool text_add(struct users *users, struct slice name, struct slice password,
                     const struct users_keys *keys, bool *is_double_out)
{
    *is_double_out = false;
    if (!text_reserve(users))
        return false;
    struct text_user *user = &users->text[users->n_text];
    user->name = strndup((const char *)name.p, name.n);
    if (user->name == NULL)
        return false;
    if (!verifier_tag(keys->tag, name, password, user->tag) ||
        !name_table_add(&users->text_names, name, (uint32_t)users->n_text, text_name_of, users,
                        is_double_out)) {
        secret_wipe(user->tag, sizeof user->tag);
        free(user->name);
        return false;
    }
    users->n_text++;
    return true;
}

/* One line without its end. The first of two equal names counts, as memcached has it. */
static bool text_line(struct users *users, struct slice line, const struct users_keys *keys,
                      const char **reason_out)
{
    bool is_double;
    const uint8_t *colon = line.n > 0 ? memchr(line.p, ':', line.n) : NULL;
    if (colon == NULL) {
        *reason_out = "malformed entry, should be 'user:password'";
        return false;
    }
    if (line.n > LINE_MAX_BYTES) {
        *reason_out = "the line is too long";
        return false;
    }
    struct slice name = slice_of(line.p, (size_t)(colon - line.p));
    struct slice password = slice_of(colon + 1, line.n - name.n - 1);
    if (name.n > AUTH_NAME_MAX || memchr(line.p, '\0', line.n) != NULL) {
        *reason_out = "the name is longer than 128 bytes or the line holds a NUL byte";
        return false;
    }
    if (!text_add(users, name, password, keys, &is_double) && !is_double) {
        *reason_out = "out of memory";
        return false;
    }
    return true;
}

static bool text_lines(struct users *users, const char *path, struct slice text,
                       const struct users_keys *keys, struct auth_error *error_out)
{
    const char *reason;
    for (unsigned number = 1; text.n > 0; number++) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
        struct slice line = slice_of(text.p, n);
        size_t n_used = end != NULL ? n + 1 : n;
        text = slice_of(text.p + n_used, text.n - n_used);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (!text_line(users, line, keys, &reason)) {
            users_error(error_out, path, number, "%s", reason);
            return false;
        }
    }
    if (users->n_text == 0) {
        users_error(error_out, path, 1, "malformed entry, should be 'user:password'");
        return false;
    }
    return true;
}

bool text_file_load(struct users *users, const char *path, const struct users_keys *keys,
                    struct auth_error *error_out)
{
    size_t n = 0;
    char *text = users_read_file(path, TEXT_FILE_MAX, &n, error_out);
    if (text == NULL)
        return false;
    bool is_good = text_lines(users, path, slice_of(text, n), keys, error_out);
    secret_wipe(text, n);
    free(text);
    return is_good;
}
