/* wake.h - eventfds by which one thread wakes the loop of another.
 * Owns: nothing.   Thread: any.
 * Never: waits: a full counter refuses, and then the other is awake anyway. */
#ifndef SERVER_WAKE_H
#define SERVER_WAKE_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/* After what the other thread is to find was published. */
static inline void wake_signal(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Before looking for what was published: what comes in between wakes again. */
static inline void wake_clear(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

#endif
