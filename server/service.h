/* service.h - the service manager's side: sockets that it opened, and what it is told.
 * Owns: nothing.   Thread: main.
 * Never: fails because there is no service manager. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#define SERVICE_FIRST_FD 3 /* sd_listen_fds(3) */

/* How many sockets were handed over, from SERVICE_FIRST_FD on; the environment forgets them. */
unsigned service_take_sockets(void);

/* The lines of sd_notify(3), to the socket that NOTIFY_SOCKET names, if it does. */
void service_notify_ready(void);
void service_notify_reloading(void);
void service_notify_stopping(void);

#endif
