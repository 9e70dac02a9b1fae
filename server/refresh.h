/* refresh.h - certificates, users and files read again while serving.
 * Owns: nothing.   Thread: as said at each function.
 * Never: leaves a half-new configuration: what cannot be read whole changes nothing. */
#ifndef SERVER_REFRESH_H
#define SERVER_REFRESH_H

#include "server/server.h"

#define REFRESH_REASON_MAX 1024

/* Everything that SIGHUP reads again; what fails is logged and stays as it was. False: reason says
 * what, as FILE:LINE: REASON where it is a line's fault. Any thread that may wait. */
bool refresh_all(struct server *server, char *reason, size_t n_reason);

/* What certificates need as time passes: at the start, and about once a minute. Master. */
void refresh_tend(struct server *server);

#endif
