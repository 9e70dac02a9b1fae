#include "server/service.h"

#include "base/bytes.h"
#include "base/number.h"
#include "server/listen_socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static unsigned number_in(const char *name, unsigned max)
{
    const char *text = getenv(name);
    uint64_t number;
    if (text == NULL || !number_parse_u64(slice_str(text), max, &number))
        return 0;
    return (unsigned)number;
}

unsigned service_take_sockets(void)
{
    unsigned n = 0;
    if (number_in("LISTEN_PID", INT32_MAX) == (unsigned)getpid())
        n = number_in("LISTEN_FDS", LISTEN_HANDED_MAX);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (unsigned i = 0; i < n; i++)
        (void)fcntl(SERVICE_FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
    return n;
}

/* A path, or with '@' in front a name without a file (unix(7)). */
static socklen_t fill_address(struct sockaddr_un *address, const char *name)
{
    size_t n = strlen(name);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof address->sun_path)
        return 0;
    memcpy(address->sun_path, name, n);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static void notify(const char *text)
{
    struct sockaddr_un address;
    const char *name = getenv("NOTIFY_SOCKET");
    socklen_t n_address = name != NULL ? fill_address(&address, name) : 0;
    if (n_address == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                  n_address);
    close(fd);
}

void service_notify_ready(void)
{
    char text[64];
    snprintf(text, sizeof text, "READY=1\nMAINPID=%ld\n", (long)getpid());
    notify(text);
}

void service_notify_reloading(void)
{
    char text[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify(text);
}

void service_notify_stopping(void)
{
    notify("STOPPING=1\n");
}
