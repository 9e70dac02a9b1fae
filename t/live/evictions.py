#!/usr/bin/python3
"""What `watch evictions` shows: each item that leaves because room is needed, and only those, to
those who may know of it; and what one is told who reads too slowly."""

import re

from accounts import logged_in_text, two_tenants
from harness import Server, case, run, wait_for

EVICTION = re.compile(rb"ts=\d+\.\d{6} gid=\d+ type=eviction key=(\S+) fetch=(yes|no) ttl=(-?\d+) "
                      rb"la=\d+ clsid=(\d+) size=(\d+)")
VALUE = b"v" * 1000


def watcher_of(conn):
    answer = conn.ask(b"watch evictions")
    assert answer == b"OK", answer
    return conn


def fill(conn, first, last, name=b"key"):
    """Every other is read once, every third lives for an hour."""
    for i in range(first, last):
        conn.send(b"set %s-%d 0 %d %d noreply\r\n%s\r\n" %
                  (name, i, 3600 if i % 3 == 0 else 0, len(VALUE), VALUE))
        if i % 2 == 0:
            assert conn.get(b"%s-%d" % (name, i)) == VALUE, i
    assert conn.ask(b"mn") == b"MN"


def parse(line):
    found = EVICTION.fullmatch(line)
    assert found, line
    key, fetch, ttl, item_class, size = found.groups()
    return key, fetch == b"yes", int(ttl), int(item_class), int(size)


def n_evicted(conn):
    return int(conn.stats()["evictions"])


def is_gone(conn, key):
    """Without fetching it."""
    return conn.ask(b"mg %s u" % key) == b"EN"


def read_all(watcher, conn):
    """A line for each eviction that the statistics of conn tell: what they say, by key."""
    told = {}
    while len(told) < n_evicted(conn):
        key, *rest = parse(watcher.line())
        assert key not in told, key
        told[key] = rest
    return told


@case(keepd_only="its buffer for the lines of a worker is small")
def each_eviction_is_a_line():
    with Server("-m", 4, "-o", "watcher_logbuf_size=16384") as server:
        with watcher_of(server.connect()) as w, server.connect() as c:
            fill(c, 0, 10000)
            absent = {key for key in (b"key-%d" % i for i in range(10000)) if is_gone(c, key)}
            told = read_all(w, c)
            assert len(absent) > 5000 and absent <= set(told)
            assert all(is_gone(c, key) for key in told)
            n_fetched = 0
            for key, (is_fetched, ttl, item_class, size) in told.items():
                i = int(key.split(b"-")[1])
                assert 3000 < ttl <= 3600 if i % 3 == 0 else ttl == -1, (key, ttl)
                assert size == len(VALUE) and item_class > 0, (size, item_class)
                assert not is_fetched or i % 2 == 0, key
                n_fetched += is_fetched
            assert 0 < n_fetched < len(told)


@case(keepd_only="one tenant is all it has")
def what_leaves_otherwise_is_not_shown():
    """Deleted, replaced, expired and flushed items are no evictions."""
    with Server("-m", 16) as server, watcher_of(server.connect()) as w, server.connect() as c:
        for i in range(1000):
            assert c.set(b"key-%d" % (i % 500), VALUE, exptime=-1 if i % 7 == 0 else 0) == b"STORED"
            if i % 3 == 0:
                assert c.ask(b"delete key-%d" % (i % 500)) in (b"DELETED", b"NOT_FOUND")
        assert c.ask(b"flush_all") == b"OK"
        fill(c, 0, 1000)
        assert n_evicted(c) == 0 and w.is_silent()


@case(keepd_only="tenants")
def a_tenant_sees_only_its_own():
    accounts = two_tenants(memory_max="2m")
    with Server(accounts.option, "-m", 64, "-o", "watcher_logbuf_size=16384") as server:
        red, blue = logged_in_text(server, "alice", "apw"), logged_in_text(server, "bob", "bpw")
        red_watcher = watcher_of(logged_in_text(server, "alice", "apw"))
        blue_watcher = watcher_of(logged_in_text(server, "bob", "bpw"))
        operator = watcher_of(logged_in_text(server, "root", "rpw"))
        fill(red, 0, 5000, b"of-red")
        for watcher in (red_watcher, operator):
            told = read_all(watcher, red)
            assert len(told) > 1000 and all(key.startswith(b"of-red-") for key in told)
        fill(blue, 0, 5000, b"of-blue")
        told = read_all(blue_watcher, blue)
        assert len(told) > 1000 and all(key.startswith(b"of-blue-") for key in told)
        assert n_evicted(red) > 0 and red_watcher.is_silent()


@case(keepd_only="lines are lost in two places")
def a_slow_watcher_is_told_what_it_lost():
    """Every eviction is a line, or is counted in the line that tells how many were lost."""
    with Server("-m", 4, "-o", "watcher_logbuf_size=4") as server:
        with server.connect(receive_buffer=4096) as w, server.connect() as c:
            watcher_of(w)
            n_stored = 0

            def more():
                nonlocal n_stored
                fill(c, n_stored, n_stored + 1000)
                n_stored += 1000
                return int(c.stats()["log_watcher_skipped"])

            wait_for(lambda: more() > 1000, "lines that do not fit")
            w.socket.setblocking(False)
            told = lost = 0

            def is_told():
                """Makes evictions until one shows how many lines were lost before it."""
                nonlocal told, lost
                more()
                try:
                    while True:
                        data = w.socket.recv(1 << 16)
                        assert data
                        w.buffer += data
                except BlockingIOError:
                    pass
                *lines, w.buffer = w.buffer.split(b"\n")
                for line in lines:
                    skipped = re.fullmatch(rb"skipped=(\d+)", line)
                    lost += int(skipped[1]) if skipped else 0
                    told += 0 if skipped else len(parse(line)[0]) > 0
                return lost > 1000

            wait_for(is_told, "the number of lines that were lost")
            stats = {name: int(c.stats()[name])
                     for name in ("log_watcher_sent", "log_watcher_skipped", "evictions")}
            assert 0 < told <= stats["log_watcher_sent"], (told, stats)
            assert lost <= stats["log_watcher_skipped"], (lost, stats)

            def is_complete():
                stats = c.stats()
                return int(stats["log_watcher_sent"]) + int(stats["log_watcher_skipped"]) == \
                    int(stats["evictions"])

            wait_for(is_complete, "every eviction sent or counted")


run()
