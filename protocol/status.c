#include "protocol/status.h"

#include "base/must.h"

#include <stddef.h>

static const struct status_row rows[N_STATUSES] = {
#define STATUS(name, text, meta, code, body) [STATUS_##name] = {text, meta, code, body},
#include "protocol/status.def"
#undef STATUS
};

const struct status_row *status_row(enum status status)
{
    MUST((unsigned)status < N_STATUSES);
    return &rows[status];
}

bool status_is_success(enum status status)
{
    return status_row(status)->code == 0;
}
