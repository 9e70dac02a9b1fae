/* sasl_conf.h - memcached.conf: the options that users of memcached's -S have.
 * Owns: the options read.   Thread: one while reading, then any.
 * Never: lets cyrus look for files itself. */
#ifndef AUTH_SASL_CONF_H
#define AUTH_SASL_CONF_H

#include "auth/auth.h"

struct sasl_conf;

/* path: SASL_CONF_PATH (a file, a directory, or directories with ':'), or NULL for /etc/sasl,
 * /etc/sasl2 and their memcached.conf. An empty set when there is no file. NULL: memory, or the
 * file cannot be read (error_out). */
MUST_USE struct sasl_conf *sasl_conf_open(const char *path, struct auth_error *error_out);
void sasl_conf_close(struct sasl_conf **conf);

/* The file that was read; NULL when none was found. */
const char *sasl_conf_path(const struct sasl_conf *conf);

/* NULL when the option is not set. Names without regard to case. */
const char *sasl_conf_get(const struct sasl_conf *conf, const char *option);

#endif
