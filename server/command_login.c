#include "server/command.h"

#include "server/login.h"

enum execute_result command_login(const struct command *c)
{
    return login_sasl(c->conn, c->request);
}
