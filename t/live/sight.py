#!/usr/bin/python3
"""What the server learns about its own requests: stats latency, topkeys, advisor."""

from harness import Server, case, run


@case(keepd_only="memcached has no such statistics")
def latencies_by_verb():
    with Server("-t", "1") as server:
        with server.connect() as c:
            for i in range(400):
                c.set(b"k%d" % i, b"v")
                c.get(b"k%d" % i)
        stats = server.stats(b"latency")
        assert stats["sampled_every"] == "16", stats
        assert int(stats["get:samples"]) + int(stats["set:samples"]) >= 40, stats
        for verb in ("get", "set"):
            p50, p99 = int(stats[verb + ":p50_ns"]), int(stats[verb + ":p99_ns"])
            assert 64 <= p50 <= p99 < 10 ** 10, stats
        assert "delete:samples" not in stats
        with server.connect() as c:
            assert c.ask(b"stats reset") == b"RESET"
        assert "set:samples" not in server.stats(b"latency")


@case(keepd_only="memcached has no such statistics")
def hot_keys():
    with Server("-t", "1") as server:
        with server.connect() as c:
            c.set(b"hot/%1", b"v")
            for i in range(100):
                c.send(b"".join(b"get hot/%1\r\n" + b"get other%d\r\n" % (i * 100 + j)
                                for j in range(100)))
                for j in range(100):
                    for _ in range(3):
                        c.line()
                    assert c.line() == b"END"
        top = server.stats(b"topkeys")
        assert top["1:key"] == "hot%2F%251", top
        assert 5000 <= int(top["1:gets"]) <= 20000, top
        assert "2:key" not in top, top


@case(keepd_only="memcached has no such statistics")
def advice():
    with Server("-t", "1", "-m", "64") as server:
        with server.connect() as c:
            for turn in range(3):
                for first in range(0, 20000, 100):
                    if turn == 0:
                        for i in range(first, first + 100):
                            c.set(b"key%d" % i, b"v" * 100)
                    c.send(b"get " + b" ".join(b"key%d" % i for i in range(first, first + 100)) +
                           b"\r\n")
                    for _ in range(200):
                        c.line()
                    assert c.line() == b"END"
        advice = server.stats(b"advisor")
        assert advice["is_full"] == "no", advice
        assert int(advice["sampled_gets"]) > 100, advice
        for name in ("hit_ratio", "hit_ratio_estimated", "hit_ratio_twice_memory"):
            assert float(advice[name]) > 0.9, advice


run()
