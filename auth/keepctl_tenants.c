#include "auth/keepctl.h"
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool size_option(const struct call *call, enum keepctl_option option, uint64_t *out)
{
    const char *text = call_value(call, option);
    if (text == NULL || number_parse_size(slice_str(text), UINT64_C(1) << 50, out))
        return true;
    call_complain("--%s: \"%s\" is not a number or a size such as 64m", call_option_word(option),
                  text);
    return false;
}

int call_tenant_add(struct call *call)
{
    struct auth_tenant tenant = {.id = 0};
    const char *fault = edit_name_fault(call->name);
    if (fault != NULL)
        return call_complain("tenant \"%s\": %s", call->name, fault);
    bool is_default = strcmp(call->name, "default") == 0;
    if (!is_default && users_find_tenant(call->edit.users, slice_str(call->name)) != NULL)
        return call_complain("tenant \"%s\" is there already", call->name);
    snprintf(tenant.name, sizeof tenant.name, "%s", call->name);
    if (!size_option(call, KEEPCTL_OPTION_MEMORY_MIN, &tenant.memory_min) ||
        !size_option(call, KEEPCTL_OPTION_MEMORY_MAX, &tenant.memory_max) ||
        !size_option(call, KEEPCTL_OPTION_ITEM_MAX, &tenant.item_max) ||
        !size_option(call, KEEPCTL_OPTION_CONNECTIONS, &tenant.connections) ||
        !size_option(call, KEEPCTL_OPTION_OPS, &tenant.ops) ||
        !size_option(call, KEEPCTL_OPTION_BYTES, &tenant.bytes))
        return EXIT_USAGE;
    return call_save(call, "tenant", edit_render_tenant(&tenant));
}

int call_tenant_del(struct call *call)
{
    const struct users *users = call->edit.users;
    const struct auth_tenant *tenant = users_find_tenant(users, slice_str(call->name));
    if (tenant == NULL)
        return call_complain("there is no tenant \"%s\"", call->name);
    for (size_t i = 0; i < users->n_users; i++) {
        if (&users->tenants[users->users[i].tenant] == tenant)
            return call_complain("tenant \"%s\" still has user \"%s\"", call->name,
                                 users->users[i].name);
    }
    return call_remove(call, "tenant");
}

int call_tenant_list(struct call *call)
{
    const struct users *users = call->edit.users;
    printf("%-24s %14s %14s %12s %11s %10s %12s\n", "TENANT", "MEMORY-MIN", "MEMORY-MAX",
           "ITEM-MAX", "CONNECTIONS", "OPS", "BYTES");
    for (size_t i = 0; i < users->n_tenants; i++) {
        const struct auth_tenant *t = &users->tenants[i];
        printf("%-24s %14llu %14llu %12llu %11llu %10llu %12llu\n", t->name,
               (unsigned long long)t->memory_min, (unsigned long long)t->memory_max,
               (unsigned long long)t->item_max, (unsigned long long)t->connections,
               (unsigned long long)t->ops, (unsigned long long)t->bytes);
    }
    return EXIT_SUCCESS;
}
