/* probes.h - USDT probes for bpftrace, perf and systemtap, under memcached's names.
 * Owns: nothing.   Thread: any.
 * Never: costs more than a no-op instruction; is anything without <sys/sdt.h>.
 *
 * provider keepd
 *   conn__create(conn)  conn__allocate(fd)  conn__dispatch(fd, worker)  conn__release(fd)
 *   process__command__start(fd, bytes, size)  process__command__end(fd, NULL, 0)
 *   command__get(fd, key, keylen, size, cas)  size -1: not found
 *   command__set, __add, __replace, __append, __prepend, __cas (fd, key, keylen, size, cas)
 *                                             size -1: not stored
 *   command__touch(fd, key, keylen, size, cas)
 *   command__incr, command__decr(fd, key, keylen, value)
 *   command__delete(fd, key, keylen)
 * A key is not ended by a NUL. */
#ifndef SERVER_PROBES_H
#define SERVER_PROBES_H

#include "config.h"

#ifdef HAVE_SDT
#include <sys/sdt.h>
#define PROBE(n_arguments, name, ...) DTRACE_PROBE##n_arguments(keepd, name, __VA_ARGS__)
#else
#define PROBE(n_arguments, name, ...) ((void)0)
#endif

#endif
