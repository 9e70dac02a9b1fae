#include "server/command.h"

/* No login is configured: the answer that clients take for "not required". */
enum execute_result command_login(const struct command *c)
{
    return command_end(answer_status(c->conn, c->request, STATUS_UNKNOWN_OPCODE));
}
