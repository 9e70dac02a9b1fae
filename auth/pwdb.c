#include "auth/pwdb.h"

#include <stdlib.h>

#define PWDB_MAX (16u << 20)

/* One line: each of the names goes with each of the passwords. */
struct pwdb_line {
    struct slice names[2]; /* as it stands, and without our realm; the second may be empty */
    struct slice passwords[2];
    unsigned n_passwords;
};

static bool line_parse(struct slice line, const char *realm, struct pwdb_line *out)
{
    const uint8_t *colon = line.n > 0 ? memchr(line.p, ':', line.n) : NULL;
    if (colon == NULL)
        return false;
    struct slice user = slice_of(line.p, (size_t)(colon - line.p));
    struct slice rest = slice_of(colon + 1, line.n - user.n - 1);
    const uint8_t *at = user.n > 0 ? memchr(user.p, '@', user.n) : NULL;
    const uint8_t *end = rest.n > 0 ? memchr(rest.p, ':', rest.n) : NULL;
    *out = (struct pwdb_line){.names = {user}, .passwords = {rest}, .n_passwords = 1};
    if (at != NULL && slice_is(slice_of(at + 1, (size_t)(colon - at - 1)), realm))
        out->names[1] = slice_of(user.p, (size_t)(at - user.p));
    if (end != NULL)
        out->passwords[out->n_passwords++] = slice_of(rest.p, (size_t)(end - rest.p));
    return true;
}

/* The next line without its end; false after the last one. */
static bool line_next(struct slice *text, struct slice *line_out)
{
    if (text->n == 0)
        return false;
    const uint8_t *end = memchr(text->p, '\n', text->n);
    size_t n = end != NULL ? (size_t)(end - text->p) : text->n;
    *line_out = slice_of(text->p, n);
    *text = slice_of(text->p + n + (end != NULL), text->n - n - (end != NULL));
    if (n > 0 && line_out->p[n - 1] == '\r')
        line_out->n--;
    return true;
}

static bool line_matches(const struct pwdb_line *line, struct slice name, struct slice password)
{
    bool is_user = slice_equal(line->names[0], name) ||
                   (line->names[1].n > 0 && slice_equal(line->names[1], name));
    bool is_password = false;
    for (unsigned i = 0; i < line->n_passwords; i++)
        is_password |= secret_equal(password, line->passwords[i]);
    return is_user && is_password && password.n > 0;
}

bool pwdb_check(const char *path, const char *realm, const struct users_keys *keys,
                struct slice name, struct slice password, uint64_t generation,
                struct proof *proof_out)
{
    struct auth_error ignored;
    struct pwdb_line parts;
    struct slice line;
    size_t n = 0;
    bool is_right = false;
    char *text = users_read_file(path, PWDB_MAX, &n, &ignored);
    if (text == NULL)
        return false;
    for (struct slice rest = slice_of(text, n); line_next(&rest, &line);)
        is_right |= line_parse(line, realm, &parts) && line_matches(&parts, name, password);
    secret_wipe(text, n);
    free(text);
    *proof_out = (struct proof){.kind = PROOF_PWDB, .generation = generation};
    /* Without a tag, for want of memory, nobody is let in. */
    return is_right && verifier_tag(keys->tag, name, password, proof_out->key);
}

/* ---- tags ---- */

static bool add_tag(struct users *users, const struct users_keys *keys, struct slice name,
                    struct slice password)
{
    size_t n = users->n_pwdb;
    if (name.n == 0 || password.n == 0)
        return true;
    if ((n & (n - 1)) == 0) { /* a power of two, or none: the array is full */
        struct pwdb_tag *larger = realloc(users->pwdb, (n == 0 ? 1 : n * 2) * sizeof *larger);
        if (larger == NULL)
            return false;
        users->pwdb = larger;
    }
    if (!verifier_tag(keys->tag, name, password, users->pwdb[n].bytes))
        return false;
    users->n_pwdb++;
    return true;
}

static bool add_line(struct users *users, const struct users_keys *keys,
                     const struct pwdb_line *line)
{
    for (unsigned p = 0; p < line->n_passwords; p++) {
        if (!add_tag(users, keys, line->names[0], line->passwords[p]) ||
            !add_tag(users, keys, line->names[1], line->passwords[p]))
            return false;
    }
    return true;
}

static int compare_tags(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct pwdb_tag));
}

bool pwdb_load(struct users *users, const char *path, const char *realm,
               const struct users_keys *keys, struct auth_error *error_out)
{
    struct pwdb_line parts;
    struct slice line;
    size_t n = 0;
    bool is_good = true;
    char *text = users_read_file(path, PWDB_MAX, &n, error_out);
    if (text == NULL)
        return false;
    for (struct slice rest = slice_of(text, n); is_good && line_next(&rest, &line);)
        is_good = !line_parse(line, realm, &parts) || add_line(users, keys, &parts);
    secret_wipe(text, n);
    free(text);
    if (!is_good)
        users_error(error_out, path, 0, "out of memory");
    else if (users->n_pwdb > 0)
        qsort(users->pwdb, users->n_pwdb, sizeof *users->pwdb, compare_tags);
    return is_good;
}

bool pwdb_holds(const struct users *users, const struct proof *proof)
{
    if (proof->generation == users->generation)
        return true;
    return users->n_pwdb > 0 && bsearch(proof->key, users->pwdb, users->n_pwdb, sizeof *users->pwdb,
                                        compare_tags) != NULL;
}
