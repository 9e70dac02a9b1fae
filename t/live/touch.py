#!/usr/bin/python3
"""Touches of items that never expired, which take some memory, where memory is short."""

import os
import struct
import time

from harness import Server, case, folder, run, wait_for

VALUE = b"v" * 400
BATCH = 200  # sets sent at once
NO_MEMORY = b"SERVER_ERROR out of memory"


def key(i):
    return b"key-%06d" % i


def fill(conn, first, last):
    """How many were stored, until one was refused."""
    for begin in range(first, last, BATCH):
        conn.send(b"".join(b"set %s 0 0 %d\r\n%s\r\n" % (key(i), len(VALUE), VALUE)
                           for i in range(begin, begin + BATCH)))
        answers = [conn.line() for _ in range(BATCH)]
        n = next((i for i, answer in enumerate(answers) if answer != b"STORED"), BATCH)
        if n < BATCH:
            assert answers[n] == NO_MEMORY + b" storing object", answers[n]
            return begin + n
    return last


def touch_status(conn, opcode, name, exptime):
    return conn.ask_binary(opcode, name, struct.pack(">L", exptime)).status


@case
def while_others_are_evicted():
    """Every way to touch; what it finds then lives so long."""
    with Server("-m", 8) as server, server.connect() as c, server.connect() as b:
        for begin in range(0, 60000, BATCH):
            assert fill(c, begin, begin + BATCH) == begin + BATCH
            names, began = [key(begin + i) for i in range(5)], time.monotonic()
            assert c.ask(b"touch %s 100" % names[0]) == b"TOUCHED"
            c.send(b"gat 200 %s %s\r\n" % (names[1], names[2]))
            assert c.lines() == [b"VALUE %s 0 400" % names[1], VALUE,
                                 b"VALUE %s 0 400" % names[2], VALUE]
            assert c.ask(b"mg %s T300 s" % names[3]) == b"HD s400"
            assert touch_status(b, 0x1c, names[4], 400) == 0
            for name, most in zip(names, (100, 200, 200, 300, 400)):
                left = int(c.ask(b"mg %s t" % name).split()[1][1:])
                passed = time.monotonic() - began
                assert most - passed - 3 <= left <= most, (name, left, passed)
        assert int(c.stats()["evictions"]) > 20000


@case(keepd_only="-m 8 holds next to nothing without eviction")
def full_without_eviction():
    with Server("-m", 8, "-M") as server, server.connect() as c:
        n = fill(c, 0, 60000)
        assert 10000 < n < 60000, n
        for begin in range(0, n, BATCH):
            names = [key(i) for i in range(begin, min(begin + BATCH, n))]
            c.send(b"".join(b"touch %s 1000\r\n" % name for name in names))
            for name in names:
                assert c.line() == b"TOUCHED", name
        assert c.get(key(0)) == VALUE and c.get(key(n - 1)) == VALUE


def restart_without_eviction(path):
    with Server("-m", 8, "-e", path) as server, server.connect() as c:
        assert fill(c, 0, 1000) == 1000
        assert c.set(b"number", b"5") == b"STORED" and c.ask(b"incr number 1") == b"6"
        server.signal(15)
        assert server.wait_end() == 0, server.log()
    return Server("-m", 8, "-M", "-e", path)


@case(keepd_only="it copies nothing for a touch")
def without_room_it_is_refused():
    """The items come from a server that could evict, to one that cannot and is full."""
    with restart_without_eviction(os.path.join(folder(), "memory")) as server, \
            server.connect() as c, server.connect() as b:
        assert server.stats()["curr_items"] == "1001"
        n = fill(c, 1000, 60000)
        assert n < 60000
        for name in (key(0), key(1)):
            assert c.ask(b"touch %s 100" % name) == NO_MEMORY
            assert c.ask(b"gat 100 %s" % name) == NO_MEMORY
            assert c.ask(b"mg %s T100 v" % name) == NO_MEMORY
            assert c.ask(b"mg %s T100 N30 v" % name) == NO_MEMORY
            assert touch_status(b, 0x1c, name, 100) == 0x82
            assert touch_status(b, 0x1d, name, 100) == 0x82
            assert c.ask(b"mg %s t" % name) == b"HD t-1" and c.get(name) == VALUE
        c.send(b"gat 100 %s %s\r\nmn\r\n" % (key(0), key(1)))
        assert c.line() == b"END" and c.line() == b"MN"
        c.send(b"gat 100 %s %s %s\r\nmn\r\n" % (key(0), key(1000), key(1)))
        assert [c.line() for _ in range(4)] == [b"VALUE %s 0 400" % key(1000), VALUE, b"END", b"MN"]
        stats = c.stats()
        for i in range(1000, n):
            c.send(b"delete %s noreply\r\n" % key(i))
        assert c.ask(b"mn") == b"MN"
        wait_for(lambda: c.ask(b"touch %s 100" % key(0)) == b"TOUCHED", "room for a touch")
        assert c.get(key(0)) == VALUE
        assert int(c.stats()["touch_hits"]) == int(stats["touch_hits"]) + 1


run()
