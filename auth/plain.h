/* plain.h - the message of SASL PLAIN, and the line of a text login.
 * Owns: nothing; parts are slices of the message.   Thread: any.
 * Never: accepts what is not exactly one user and one password. */
#ifndef AUTH_PLAIN_H
#define AUTH_PLAIN_H

#include "auth/users.h"

struct plain_parts {
    struct slice user;
    struct slice password;
};

/* authzid NUL authcid NUL password (RFC 4616); authzid empty or equal to authcid.
 * NULL: parts_out is filled; otherwise what is wrong, for the operator. */
const char *plain_parse(struct slice message, struct plain_parts *parts_out);

/* user SP password, the line of a text login. NULL, or what is wrong, for the operator; parts_out
 * is filled in any case. */
const char *plain_parse_line(struct slice line, struct plain_parts *parts_out);

#endif
