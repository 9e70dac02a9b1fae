#include "auth/edit.h"

#include "auth/instant.h"
#include "auth/sections.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64u << 20)

/* ---- the text ---- */

static char *join(const char *a, size_t n_a, const char *b, const char *c, size_t *n_out)
{
    size_t n_b = strlen(b), n_c = strlen(c);
    char *text = malloc(n_a + n_b + n_c + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, a, n_a);
    memcpy(text + n_a, b, n_b);
    memcpy(text + n_a + n_b, c, n_c + 1);
    *n_out = n_a + n_b + n_c;
    return text;
}

bool edit_has(const struct edit *edit, const char *kind, const char *title)
{
    const char *start, *end;
    return section_find(edit->text, kind, title, &start, &end);
}

bool edit_put(struct edit *edit, const char *kind, const char *title, const char *text)
{
    const char *start, *end;
    char *changed;
    size_t n;
    if (section_find(edit->text, kind, title, &start, &end)) {
        if (text == NULL && *end == '\n')
            end++;
        changed = join(edit->text, (size_t)(start - edit->text), text != NULL ? text : "", end, &n);
    } else {
        bool needs_line = edit->n > 0 && edit->text[edit->n - 1] != '\n';
        char *before = join(edit->text, edit->n, needs_line ? "\n" : "", "", &n);
        changed = before != NULL ? join(before, n, text != NULL ? text : "", "\n", &n) : NULL;
        free(before);
    }
    if (changed == NULL) {
        users_error(&edit->error, edit->path, 0, "out of memory");
        return false;
    }
    free(edit->text);
    edit->text = changed;
    edit->n = n;
    return true;
}

/* ---- the file ---- */

static bool resolve(struct edit *edit, const char *path, bool may_create)
{
    char resolved[PATH_MAX];
    if (realpath(path, resolved) != NULL) {
        snprintf(edit->path, sizeof edit->path, "%s", resolved);
        return true;
    }
    snprintf(edit->path, sizeof edit->path, "%s", path);
    if (errno == ENOENT && may_create)
        return true;
    users_error(&edit->error, path, 0, "cannot be opened: %s", strerror(errno));
    return false;
}

/* The folder is what is locked: the file itself is replaced by each editor. */
static bool lock_folder(struct edit *edit)
{
    char copy[sizeof edit->path];
    memcpy(copy, edit->path, sizeof copy);
    edit->lock_fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (edit->lock_fd >= 0 && flock(edit->lock_fd, LOCK_EX) == 0)
        return true;
    users_error(&edit->error, edit->path, 0, "its folder cannot be locked: %s", strerror(errno));
    return false;
}

bool edit_open(struct edit *edit, const char *path, bool is_for_writing, bool may_create)
{
    static const struct users_keys keys;
    memset(edit, 0, sizeof *edit);
    edit->lock_fd = -1;
    if (!resolve(edit, path, may_create) || (is_for_writing && !lock_folder(edit)))
        return false;
    bool is_there = access(edit->path, F_OK) == 0;
    if (is_there)
        edit->text = users_read_file(edit->path, FILE_MAX_BYTES, &edit->n, &edit->error);
    else
        edit->text = strdup("");
    if (edit->text == NULL)
        return false;
    edit->users = users_load(is_there ? edit->path : NULL, NULL, &keys, &edit->error);
    return edit->users != NULL;
}

void edit_close(struct edit *edit)
{
    if (edit->text != NULL)
        secret_wipe(edit->text, edit->n);
    free(edit->text);
    if (edit->users != NULL)
        users_drop(&edit->users);
    if (edit->lock_fd >= 0)
        close(edit->lock_fd);
}

static bool write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        text += done;
        n -= (size_t)done;
    }
    return true;
}

/* The new file takes over mode and owner of the old one: the server must still be able to read it.
 */
static bool write_temporary(struct edit *edit, const char *temporary)
{
    struct stat st;
    bool has_old = stat(edit->path, &st) == 0;
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool is_good = write_all(fd, edit->text, edit->n);
    if (has_old && is_good) {
        is_good = fchmod(fd, st.st_mode & 07777) == 0;
        if (st.st_uid != geteuid() || st.st_gid != getegid())
            is_good = fchown(fd, st.st_uid, st.st_gid) == 0 && is_good;
    }
    is_good = is_good && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0)
        is_good = false;
    errno = saved;
    return is_good;
}

bool edit_save(struct edit *edit)
{
    char temporary[sizeof edit->path + 16];
    snprintf(temporary, sizeof temporary, "%s.keepctl-new", edit->path);
    if (!write_temporary(edit, temporary)) {
        users_error(&edit->error, temporary, 0, "cannot be written: %s", strerror(errno));
        (void)unlink(temporary);
        return false;
    }
    if (auth_check_file(temporary, &edit->error) != AUTH_OK) {
        (void)unlink(temporary);
        return false;
    }
    if (rename(temporary, edit->path) != 0 || fsync(edit->lock_fd) != 0) {
        users_error(&edit->error, edit->path, 0, "cannot be replaced: %s", strerror(errno));
        (void)unlink(temporary);
        return false;
    }
    return true;
}

/* ---- rendering ---- */

const char *edit_name_fault(const char *name)
{
    const char *fault = users_name_fault(slice_str(name));
    if (fault == NULL && strpbrk(name, "\"'\\$") != NULL)
        fault = "the name holds a quote, a backslash or a dollar";
    return fault;
}

void edit_rights_text(uint32_t rights, const char *separator, char *out)
{
    size_t n = 0;
    out[0] = '\0';
#define RIGHT(name, word, index)           \
    if ((rights & AUTH_RIGHT_##name) != 0) \
        n += (size_t)snprintf(out + n, 80 - n, "%s%s", n > 0 ? separator : "", word);
#include "auth/rights.def"
#undef RIGHT
}

bool edit_rights_parse(const char *list, uint32_t *rights_out)
{
    uint32_t rights = 0;
    for (const char *at = list; *at != '\0';) {
        size_t n = strcspn(at, ", ");
        uint32_t bit = 0;
#define RIGHT(name, word, index)         \
    if (slice_is(slice_of(at, n), word)) \
        bit = AUTH_RIGHT_##name;
#include "auth/rights.def"
#undef RIGHT
        if (n > 0 && bit == 0)
            return false;
        rights |= bit;
        at += n > 0 ? n : 1;
    }
    *rights_out = rights;
    return true;
}

static void render_size(FILE *f, const char *key, uint64_t value)
{
    static const char suffixes[] = "\0kmgt";
    unsigned step = 0;
    if (value == 0)
        return;
    while (step < 4 && value % 1024 == 0) {
        value /= 1024;
        step++;
    }
    fprintf(f, "    %s = %llu", key, (unsigned long long)value);
    if (step > 0)
        fputc(suffixes[step], f);
    fputc('\n', f);
}

static void render_number(FILE *f, const char *key, uint64_t value)
{
    if (value != 0)
        fprintf(f, "    %s = %llu\n", key, (unsigned long long)value);
}

char *edit_render_tenant(const struct auth_tenant *tenant)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return NULL;
    fprintf(f, "tenant \"%s\" {\n", tenant->name);
    render_size(f, "memory-min", tenant->memory_min);
    render_size(f, "memory-max", tenant->memory_max);
    render_size(f, "item-max", tenant->item_max);
    render_number(f, "connections", tenant->connections);
    render_number(f, "ops", tenant->ops);
    render_size(f, "bytes", tenant->bytes);
    fputs("}", f);
    return fclose(f) == 0 ? text : NULL;
}

static void render_secret(FILE *f, const struct user_secret *secret)
{
    char text[VERIFIER_TEXT_MAX], when[INSTANT_TEXT_MAX];
    fprintf(f, "    secret \"%s\" {\n        verifiers = {\n", secret->label);
    for (unsigned i = 0; i < secret->n_verifiers; i++) {
        verifier_format(&secret->verifiers[i], text);
        fprintf(f, "            \"%s\"%s\n", text, i + 1 < secret->n_verifiers ? "," : "");
    }
    fputs("        }\n", f);
    secret_wipe(text, sizeof text);
    if (secret->not_before != 0) {
        instant_format(secret->not_before, when);
        fprintf(f, "        not-before = \"%s\"\n", when);
    }
    if (secret->not_after != 0) {
        instant_format(secret->not_after, when);
        fprintf(f, "        not-after = \"%s\"\n", when);
    }
    fputs("    }\n", f);
}

char *edit_render_user(const struct users *users, const struct user *user)
{
    char *text = NULL;
    char rights[80];
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return NULL;
    edit_rights_text(user->rights, ", ", rights);
    fprintf(f, "user \"%s\" {\n    tenant = \"%s\"\n    rights = {%s}\n", user->name,
            users->tenants[user->tenant].name, rights);
    if (user->is_disabled)
        fputs("    disabled = true\n", f);
    for (size_t i = 0; i < user->n_secrets; i++)
        render_secret(f, &user->secrets[i]);
    fputs("}", f);
    return fclose(f) == 0 ? text : NULL;
}
