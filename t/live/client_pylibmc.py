#!/usr/bin/python3
"""pylibmc (Debian python3-pylibmc): libmemcached in binary and in text mode."""

import pylibmc

from harness import Server, case, in_threads, run


def refused(store, *args):
    """libmemcached tells some refusals by False and some by an exception."""
    try:
        return not store(*args)
    except pylibmc.Error:
        return True


def exercise(binary):
    with Server("-m", 64) as server:
        behaviors = {"cas": True, "tcp_nodelay": True}
        c = pylibmc.Client(["127.0.0.1:%d" % server.port], binary=binary, behaviors=behaviors)
        assert c.set("a", b"1") and c.get("a") == b"1"
        assert c.get("absent") is None
        assert c.set("empty", b"") and c.get("empty") == b""
        assert c.add("b", "2") and not c.add("b", "3")
        assert c.replace("b", b"3") and refused(c.replace, "no", b"3")
        assert c.append("b", b"x") and c.prepend("b", b"y") and c.get("b") == b"y3x"
        assert refused(c.append, "no", b"x")
        assert c.delete("b") and not c.delete("b")

        values = {"k%d" % i: b"value %d " % i * (i % 50) for i in range(1000)}
        assert c.set_multi(values) == []
        assert c.get_multi(list(values) + ["absent"]) == values
        assert c.delete_multi(list(values))
        assert c.get_multi(list(values)) == {}

        value, token = c.gets("a")
        assert value == b"1" and c.cas("a", b"2", token)
        assert not c.cas("a", b"3", token)
        assert c.get("a") == b"2"

        c.set("n", 10)
        assert c.incr("n", 5) == 15 and c.decr("n", 6) == 9 and c.decr("n", 100) == 0
        try:
            c.incr("absent", 1)
            raise AssertionError("incr of an absent key")
        except pylibmc.NotFound:
            pass
        assert c.touch("n", 100)
        assert c.set("t", b"1", time=1000) and c.get("t") == b"1"

        big = bytes(range(256)) * 4095
        assert c.set("big", big) and c.get("big") == big
        assert refused(c.set, "toobig", b"x" * 2000000)
        assert c.get("a") == b"2", "the client goes on"
        assert c.set("k" * 250, b"1") and c.get("k" * 250) == b"1"

        (name, stats), = c.get_stats()
        assert int(stats["curr_items"]) >= 5, stats
        assert c.flush_all() and c.get("a") is None
        c.disconnect_all()


@case
def binary_mode():
    exercise(True)


@case
def text_mode():
    exercise(False)


@case
def keys_with_any_byte():
    with Server("-m", 64) as server:
        c = pylibmc.Client(["127.0.0.1:%d" % server.port], binary=True)
        for key in (b"with space", b"with\r\nline", bytes(range(1, 200)), b"\xff" * 250):
            assert c.set(key, b"v " + key) and c.get(key) == b"v " + key
        assert len(c.get_multi([b"with space", b"with\r\nline", b"\xff" * 250])) == 3


@case
def shared_by_threads():
    with Server("-m", 64) as server:
        def work(i):
            c = pylibmc.Client(["127.0.0.1:%d" % server.port], binary=True)
            for n in range(300):
                key = "t%d-%d" % (i, n)
                assert c.set(key, key) and c.get(key) == key
        in_threads(8, work)


@case
def quiet_pipelines():
    with Server("-m", 64) as server:
        c = pylibmc.Client(["127.0.0.1:%d" % server.port], binary=True,
                           behaviors={"no_block": True})
        for n in range(2000):
            c.set("q%d" % n, b"%d" % n)
        keys = ["q%d" % n for n in range(2000)]
        found = c.get_multi(keys)
        assert len(found) == 2000 and found["q1999"] == b"1999"


run()
