/* config.h - copies of the configuration that outlive the caller's strings.
 * Owns: a copy owns its strings.   Thread: any.
 * Never: reads a file. */
#ifndef TLS_CONFIG_H
#define TLS_CONFIG_H

#include "tls/tls.h"

/* False when memory is short; nothing is held then. */
MUST_USE bool config_copy(const struct tls_config *from, struct tls_config *copy_out);

void config_fini(struct tls_config *config);

#endif
