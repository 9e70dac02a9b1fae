#include "auth/keepctl.h"

#include <stdio.h>
#include <string.h>

int call_identity_add(struct call *call)
{
    const char *user = call_value(call, KEEPCTL_OPTION_USER), *value = NULL, *key = NULL;
    char *text = NULL;
    for (unsigned i = KEEPCTL_OPTION_CERT_CN; i <= KEEPCTL_OPTION_UNIX_GID; i++) {
        const char *given = call_value(call, i);
        if (given != NULL && value != NULL)
            return call_complain("identity add takes one of --cert-... and --unix-...");
        value = given != NULL ? given : value;
        key = given != NULL ? call_option_word(i) : key;
    }
    if (user == NULL || value == NULL)
        return call_complain("identity add needs --user and one of --cert-... and --unix-...");
    if (edit_name_fault(call->name) != NULL || edit_name_fault(user) != NULL ||
        strpbrk(value, "\"'\\$\n") != NULL)
        return call_complain("a name or value holds a quote, a backslash or a dollar");
    if (edit_has(&call->edit, "identity", call->name))
        return call_complain("identity \"%s\" is there already", call->name);
    if (asprintf(&text, "identity \"%s\" {\n    %s = \"%s\"\n    user = \"%s\"\n}", call->name, key,
                 value, user) < 0)
        text = NULL;
    return call_save(call, "identity", text);
}

int call_identity_del(struct call *call)
{
    if (!edit_has(&call->edit, "identity", call->name))
        return call_complain("there is no identity \"%s\"", call->name);
    return call_remove(call, "identity");
}
