#include "server/address.h"

#include <arpa/inet.h>
#include <stdio.h>

void address_render(const union address *address, char *out, size_t n_out)
{
    char host[INET6_ADDRSTRLEN];
    switch (address->family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(out, n_out, "tcp:%s:%u", host, ntohs(address->v4.sin_port));
        return;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        snprintf(out, n_out, "tcp6:[%s]:%u", host, ntohs(address->v6.sin6_port));
        return;
    default:
        snprintf(out, n_out, "unix");
    }
}

void address_render_host(const union address *address, char *out, size_t n_out)
{
    const void *ip = address->family == AF_INET ? (const void *)&address->v4.sin_addr
                                                : (const void *)&address->v6.sin6_addr;
    bool is_ip = address->family == AF_INET || address->family == AF_INET6;
    if (!is_ip || inet_ntop(address->family, ip, out, (socklen_t)n_out) == NULL)
        snprintf(out, n_out, "unix");
}

int address_port(const union address *address)
{
    if (address->family == AF_INET)
        return ntohs(address->v4.sin_port);
    return address->family == AF_INET6 ? ntohs(address->v6.sin6_port) : 0;
}

bool address_is_loopback(const union address *address)
{
    if (address->family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return address->family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}
