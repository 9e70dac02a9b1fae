#!/usr/bin/python3
"""Crowds: thousands of connections with mixed traffic, and what they cost.

KEEPD_CROWD connections (2000; 10000 where descriptors allow): doc/memory.md has the formula that
the memory is checked against."""

import os
import resource

from accounts import Accounts, logged_in
from harness import MIB, SLACK, Server, case, packet, run, show, store_packet, wait_for
from tls_link import TlsServer

CROWD = min(int(os.environ.get("KEEPD_CROWD", "2000")),
            resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)

# doc/memory.md: bytes of an idle connection, and of a worker.
PER_CONNECTION, PER_LOGIN, PER_TLS_CONNECTION = 1024, 2048, 28 * 1024
PER_WORKER, FIXED = 3 * MIB // 2, 12 * MIB
WORKERS = 4
IS_SANITIZED = "KEEPD_SANITIZED" in os.environ # such a build has memory of its own for everything
MEMORY = 8 # -m: little, so that it hides nothing


def bound(n_plain, n_tls, n_logins):
    return (MEMORY * MIB + n_plain * PER_CONNECTION + n_tls * (PER_CONNECTION + PER_TLS_CONNECTION) +
            n_logins * PER_LOGIN + WORKERS * PER_WORKER + FIXED)


def check_memory(server, n_plain, n_tls=0, n_logins=0):
    rss, most = server.rss(), bound(n_plain, n_tls, n_logins)
    show("%d connections, %d of TLS: %.1f MiB resident, bound %.1f MiB" %
         (n_plain + n_tls, n_tls, rss / MIB, most / MIB))
    assert IS_SANITIZED or rss < most, (rss // MIB, most // MIB)


def ask(c, i):
    """One request in the dialect of this number; nothing is read yet."""
    if i % 3 == 0:
        c.send(b"set k%d 0 0 5\r\n%05d\r\nget k%d\r\n" % (i, i, i))
    elif i % 3 == 1:
        c.send(b"ms k%d 5\r\n%05d\r\nmg k%d v\r\n" % (i, i, i))
    else:
        c.send(store_packet(0x11, b"k%d" % i, b"%05d" % i) + packet(0, b"k%d" % i))


def check(c, i):
    if i % 3 == 0:
        assert [c.line() for _ in range(4)] == [b"STORED", b"VALUE k%d 0 5" % i, b"%05d" % i,
                                                b"END"]
    elif i % 3 == 1:
        assert [c.line() for _ in range(3)] == [b"HD", b"VA 5", b"%05d" % i]
    else:
        assert c.reply().value == b"%05d" % i


def mixed(clients, dialect=None):
    """All ask before any reads: every connection has something under way."""
    for _ in range(2):
        for i, c in enumerate(clients):
            ask(c, i if dialect is None else 3 * i + dialect)
        for i, c in enumerate(clients):
            check(c, i if dialect is None else 3 * i + dialect)


@case
def many_connections():
    with Server("-m", MEMORY, "-t", WORKERS, "-c", CROWD + 100) as server:
        clients = [server.connect() for _ in range(CROWD)]
        mixed(clients)
        assert int(server.stats()["curr_connections"]) >= CROWD
        check_memory(server, CROWD)
        for c in clients:
            c.close()
        server.check_alive()


@case
def many_sasl_connections():
    accounts = Accounts()
    accounts.tenant("t").user("alice", "t")
    n = CROWD // 2 if CROWD > 2000 else CROWD // 4
    with Server("-m", MEMORY, "-t", WORKERS, "-c", n + 100, accounts.option) as server:
        clients = [logged_in(server, "alice", "pw") for _ in range(n)]
        mixed(clients, dialect=2)
        check_memory(server, n, n_logins=n)
        for c in clients:
            c.close()


@case
def many_tls_connections():
    n = CROWD // 5
    with TlsServer("-m", MEMORY, "-t", WORKERS, "-c", n + 100) as server:
        clients = [server.tls() for _ in range(n)]
        mixed(clients)
        check_memory(server, 0, n)
        for c in clients:
            c.close()


@case
def rss_after_many_connections():
    with Server("-m", MEMORY, "-t", WORKERS, "-c", CROWD + 100) as server:
        waves = []
        for _ in range(4):
            clients = [server.connect() for _ in range(CROWD)]
            mixed(clients)
            waves.append(server.rss())
            for c in clients:
                c.close()
            wait_for(lambda: server.n_descriptors() < 100, "the wave to end")
        show("waves: %s MiB" % ", ".join("%.1f" % (rss / MIB) for rss in waves))
        assert waves[3] <= waves[1] * 1.1 + 2 * MIB * SLACK, waves


@case
def idle_connection_is_small():
    with Server("-m", MEMORY, "-t", WORKERS, "-c", CROWD + 100) as server:
        server.check_alive()
        before = server.rss()
        clients = [server.connect() for _ in range(CROWD)]
        for c in clients:
            assert c.ask(b"mn") == b"MN"
        each = (server.rss() - before) / CROWD
        show("%.0f bytes for each idle connection" % each)
        assert IS_SANITIZED or each < PER_CONNECTION, each
        for c in clients:
            c.close()


run()
