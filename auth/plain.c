#include "auth/plain.h"

static bool cut_nul(struct slice *rest, struct slice *part_out)
{
    const uint8_t *at = rest->n > 0 ? memchr(rest->p, '\0', rest->n) : NULL;
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - rest->p);
    *part_out = slice_of(rest->p, n);
    *rest = slice_of(at + 1, rest->n - n - 1);
    return true;
}

const char *plain_parse(struct slice message, struct plain_parts *parts_out)
{
    struct slice authzid, user, rest = message;
    if (!cut_nul(&rest, &authzid) || !cut_nul(&rest, &user))
        return "PLAIN: a part is missing";
    if (rest.n > 0 && memchr(rest.p, '\0', rest.n) != NULL)
        return "PLAIN: a part too many";
    if (users_name_fault(user) != NULL)
        return "PLAIN: the user is empty, too long or malformed";
    if (rest.n == 0 || rest.n > USERS_PASSWORD_MAX)
        return "PLAIN: the password is empty or too long";
    if (authzid.n > 0 && !slice_equal(authzid, user))
        return "PLAIN: acting for another user is not allowed";
    *parts_out = (struct plain_parts){.user = user, .password = rest};
    return NULL;
}

const char *plain_parse_line(struct slice line, struct plain_parts *parts_out)
{
    const uint8_t *space = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
    size_t n = space != NULL ? (size_t)(space - line.p) : line.n;
    *parts_out = (struct plain_parts){.user = slice_of(line.p, n)};
    if (space == NULL || n > AUTH_NAME_MAX || memchr(line.p, '\0', line.n) != NULL)
        return "malformed user or password";
    parts_out->password = slice_of(space + 1, line.n - n - 1);
    return NULL;
}
