/* login.h - a connection's login: from the request, over the auth threads, to its session.
 * Owns: the auth session and what is needed to answer when the check is done.
 * Thread: the connection's worker.
 * Never: decides; auth does. Keeps no password: it goes to auth in a struct secret. */
#ifndef SERVER_LOGIN_H
#define SERVER_LOGIN_H

#include "server/execute.h"

struct auth_identity;

/* Puts a new connection into the default tenant, with the rights of somebody who is not logged in
 * (all of them when no login is configured); tries what the transport proves by itself. False when
 * memory is short. */
MUST_USE bool login_begin(struct conn *conn);

/* After a TLS handshake: the certificate may be a login. */
void login_by_transport(struct conn *conn);

/* SASL requests. */
MUST_USE enum execute_result login_sasl(struct conn *conn, const struct request *request);

/* Requests that the session's mask does not allow. Answers, or lets them be done (*is_allowed_out,
 * rights mode "warn"). A text client's set is its login. */
MUST_USE enum execute_result login_refuse(struct conn *conn, struct request *request,
                                          bool *is_allowed_out);

/* The refusal that old client libraries survive, for a request that may not be done. */
enum status login_status_denied(const struct request *request);

/* May it see the whole server (right admin, or no login is configured)? */
bool login_is_operator(const struct conn *conn);

/* Does the connection still have to log in? Its time is limited then. */
bool login_is_due(const struct conn *conn);

/* The users have changed, or a second has passed: false when the session has ended; it has been
 * told then, and the connection is to be closed. */
MUST_USE bool login_is_current(struct conn *conn);

/* Drops the session and leaves the tenant; no callback of a check comes after it. */
void login_end(struct conn *conn);

#endif
