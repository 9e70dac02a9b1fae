/* refresh.h - certificates, users and files read again while serving.
 * Owns: nothing.   Thread: as said at each function.
 * Never: leaves a half-new configuration: what cannot be read whole changes nothing. */
#ifndef SERVER_REFRESH_H
#define SERVER_REFRESH_H

#include "server/server.h"

/* Everything that SIGHUP reads again; what fails is logged and stays as it was. Master. */
void refresh_all(struct server *server);

/* What certificates need as time passes: at the start, and about once a minute. Master. */
void refresh_tend(struct server *server);

#endif
