#include "server/sandbox.h"

#include <errno.h>

bool sandbox_is_built_in(void)
{
    return false;
}

int sandbox_enter(void)
{
    return ENOSYS;
}
