#!/usr/bin/python3
"""pymemcache (Debian python3-pymemcache), a text client."""

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheIllegalInputError

from harness import TIMEOUT_S, Server, case, in_threads, run


def client(server, **options):
    return Client(("127.0.0.1", server.port), timeout=TIMEOUT_S, connect_timeout=TIMEOUT_S,
                  **options)


@case
def stores_and_fetches():
    with Server("-m", 64) as server:
        c = client(server)
        assert c.set("a", b"1", noreply=False) and c.get("a") == b"1"
        assert c.get("missing") is None and c.get("missing", default=7) == 7
        assert c.set("empty", b"", noreply=False) and c.get("empty") == b""
        assert not c.add("a", b"2", noreply=False) and c.add("b", b"2", noreply=False)
        assert c.replace("b", b"3", noreply=False) and not c.replace("no", b"3", noreply=False)
        assert c.append("b", b"x", noreply=False) and c.prepend("b", b"y", noreply=False)
        assert c.get("b") == b"y3x"
        assert not c.append("no", b"x", noreply=False)
        assert c.delete("b", noreply=False) and not c.delete("b", noreply=False)


@case
def noreply_is_the_default():
    with Server("-m", 64) as server:
        c = client(server)
        for i in range(500):
            c.set("n%d" % i, b"%d" % i)
        assert c.get("n499") == b"499"
        c.delete("n499")
        assert c.get("n499") is None


@case
def many_keys():
    with Server("-m", 64) as server:
        c = client(server)
        values = {"k%d" % i: b"value %d " % i * (i % 50) for i in range(1000)}
        assert c.set_many(values, noreply=False) == []
        assert c.get_many(list(values) + ["absent"]) == values
        assert c.delete_many(list(values), noreply=False)
        assert c.get_many(list(values)) == {}


@case
def cas():
    with Server("-m", 64) as server:
        c = client(server)
        c.set("c", b"1", noreply=False)
        value, token = c.gets("c")
        assert value == b"1" and token.isdigit()
        assert c.cas("c", b"2", token) is True
        assert c.cas("c", b"3", token) is False
        assert c.cas("absent", b"3", token) is None
        assert c.get("c") == b"2"
        assert c.gets_many(["c"])["c"][0] == b"2"


@case
def counters():
    with Server("-m", 64) as server:
        c = client(server)
        c.set("n", b"10", noreply=False)
        assert c.incr("n", 5) == 15 and c.decr("n", 6) == 9 and c.decr("n", 100) == 0
        assert c.incr("absent", 1) is None
        assert c.incr("n", 2 ** 64 - 1) == 2 ** 64 - 1 and c.incr("n", 1) == 0


@case
def touch_and_expiry():
    with Server("-m", 64) as server:
        c = client(server)
        c.set("t", b"1", noreply=False)
        assert c.touch("t", 100, noreply=False) and not c.touch("absent", 100, noreply=False)
        assert c.touch("t", -1, noreply=False) and c.get("t") is None
        c.set("gone", b"1", expire=-1, noreply=False)
        assert c.get("gone") is None


@case
def flush_version_and_stats():
    with Server("-m", 64) as server:
        c = client(server)
        c.set("f", b"1", noreply=False)
        assert c.version().count(b".") == 2
        assert c.stats()[b"curr_items"] == 1
        assert c.stats("settings")[b"maxbytes"] == 64 * 1024 * 1024
        assert c.flush_all(noreply=False) and c.get("f") is None
        assert c.cache_memlimit(32)


@case
def large_values():
    with Server("-m", 64) as server:
        c = client(server)
        value = bytes(range(256)) * 4095
        assert c.set("big", value, noreply=False) and c.get("big") == value
        try:
            c.set("toobig", b"x" * 2000000, noreply=False)
            raise AssertionError("2 MB were stored")
        except Exception as e:
            assert "too large" in str(e), e


@case
def keys_and_flags():
    with Server("-m", 64) as server:
        c = client(server, allow_unicode_keys=True)
        key = "k" * 250
        assert c.set(key, b"1", noreply=False) and c.get(key) == b"1"
        assert c.set("clé€", b"2", noreply=False) and c.get("clé€") == b"2"
        assert c.set("f", b"3", flags=4294967295, noreply=False) and c.get("f") == b"3"
        try:
            c.get("k" * 251)
            raise AssertionError("a key of 251 bytes was sent")
        except MemcacheIllegalInputError:
            pass


@case
def pooled_from_threads():
    with Server("-m", 64) as server:
        pool = PooledClient(("127.0.0.1", server.port), timeout=TIMEOUT_S, max_pool_size=8)

        def work(i):
            for n in range(200):
                key = "p%d-%d" % (i, n)
                assert pool.set(key, b"%d" % n, noreply=False)
                assert pool.get(key) == b"%d" % n
        in_threads(8, work)


run()
