#!/usr/bin/python3
"""cache_memlimit moves the memory limit of a running server, up and down."""

import os

from harness import MIB, SLACK, Server, case, run, wait_for


def fill(c, n_mib, tag):
    block = os.urandom(8000)
    lines = []
    for i in range(n_mib * MIB // 8000):
        lines.append(b"set %s%d 0 0 8000 noreply\r\n%s\r\n" % (tag, i, block))
        if len(lines) == 200:
            c.send(b"".join(lines))
            lines = []
    c.send(b"".join(lines))
    assert c.ask(b"mn") == b"MN"


@case
def up_takes_more_items():
    with Server("-m", 16) as server, server.connect() as c:
        fill(c, 60, b"a")
        few = int(c.stats()["curr_items"])
        assert c.ask(b"cache_memlimit 64") == b"OK"
        assert c.stats()["limit_maxbytes"] == str(64 * MIB)
        fill(c, 60, b"b")
        assert int(c.stats()["curr_items"]) > 2.5 * few


@case(keepd_only="lowering frees slowly, if at all")
def down_gives_memory_back():
    with Server("-m", 128) as server, server.connect() as c:
        fill(c, 110, b"a")
        full = server.rss()
        assert full > 100 * MIB
        assert c.ask(b"cache_memlimit 32") == b"OK"
        assert c.stats()["limit_maxbytes"] == str(32 * MIB)
        if SLACK == 1:
            wait_for(lambda: server.rss() < 64 * MIB, "memory to be given back")
        wait_for(lambda: int(c.stats()["bytes"]) <= 32 * MIB, "items to leave")
        fill(c, 20, b"b")
        assert c.set(b"last", b"1") == b"STORED" and c.get(b"last") == b"1"


@case
def errors():
    with Server("-m", 64) as server, server.connect() as c:
        assert c.ask(b"cache_memlimit 1") == \
            b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m"
        assert c.ask(b"cache_memlimit 1000000001") == \
            b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes"
        assert c.ask(b"cache_memlimit") == b"ERROR"
        c.send(b"cache_memlimit 32 noreply\r\n")
        assert c.stats()["limit_maxbytes"] == str(32 * MIB)


@case
def limit_holds_for_mixed_sizes():
    with Server("-m", 64, "-t", 2) as server, server.connect() as c:
        sizes = [10, 100, 700, 3000, 20000, 150000, 900000]
        total = i = 0
        while total < 400 * MIB:
            size = sizes[i % len(sizes)]
            c.send(b"set m%d 0 0 %d noreply\r\n%s\r\n" % (i, size, b"x" * size))
            total += size
            i += 1
        assert c.ask(b"mn") == b"MN"
        assert c.set(b"last", b"1") == b"STORED" and c.get(b"last") == b"1"
        assert server.rss() < (64 + 48) * MIB * SLACK, server.rss() // MIB


run()
