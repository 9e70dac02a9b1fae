"""For tests of faults: a server whose calls fail by t/live/fault.c, and traffic whose answers are known."""

import os
import random
import re
import time

from harness import BUILDDIR, PROGRAM_TIMEOUT_S, Skip, in_threads, packet, show, store_packet

LIBRARY = os.path.join(BUILDDIR, "t", "live", "fault.so")
LOST = (EOFError, ConnectionError, OSError)


def faulty(rules):
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("the sanitizer's own calls would fail")
    return {"LD_PRELOAD": LIBRARY, "KEEPD_FAULTS": rules}


def injected(server):
    """How many calls failed, by name; the server has ended."""
    found = re.search(r"^faults:(.*)$", server.log(), re.M)
    assert found, server.log()
    show("failed calls:" + found[1])
    return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", found[1])}


def exchange(c, rng, name):
    """A few requests of all dialects but binary; every answer is known."""
    value = rng.randbytes(rng.choice((1, 100, 5000, 60000)))
    key = b"%s-%d" % (name, rng.randrange(20))
    assert c.set(key, value) == b"STORED"
    assert c.get(key) == value
    c.send(b"mg %s v\r\nmn\r\nset %s-n 0 0 1\r\n5\r\nincr %s-n 2\r\n" % (key, name, name))
    assert c.line() == b"VA %d" % len(value)
    assert c.read(len(value) + 2) == value + b"\r\n"
    assert [c.line() for _ in range(3)] == [b"MN", b"STORED", b"7"]


def exchange_binary(c, rng, name):
    value = rng.randbytes(rng.choice((1, 100, 5000, 60000)))
    c.send(store_packet(1, name, value) + packet(0, name) + packet(0x0a, opaque=9))
    assert c.reply().status == 0
    assert c.reply().value == value
    assert c.reply().opaque == 9


def traffic(connect, n_rounds=60, may_lose=False, may_fail=False, n_kept=1000):
    """Four clients, new connections after n_kept rounds; returns how many were lost."""
    def work(i):
        rng, lost, done, c = random.Random(i), 0, 0, None
        name = b"client%d" % i
        deadline = time.monotonic() + PROGRAM_TIMEOUT_S
        while done < n_rounds:
            assert time.monotonic() < deadline, "%d rounds only, %d lost" % (done, lost)
            try:
                c = connect() if c is None or done % n_kept == 0 else c
                (exchange_binary if i % 2 else exchange)(c, rng, name)
                done += 1
            except LOST:
                if not may_lose:
                    raise
                lost += 1
                c = None
            except AssertionError:
                if not may_fail:
                    raise
                done += 1
                c = None
        return lost
    return sum(in_threads(4, work))
