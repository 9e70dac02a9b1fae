#!/usr/bin/python3
"""Attacks on memory: the limit with mixed sizes, a shift of sizes, no evictions."""

import random

from harness import MIB, SLACK, Server, case, in_threads, run, wait_for


@case
def memory_limit_mixed_sizes():
    with Server("-m", 64, "-t", 2) as server:
        def work(seed):
            rng = random.Random(seed)
            total, sizes = 0, []
            with server.connect() as c:
                while total < 300 * MIB:
                    n, size = len(sizes), int(10 * 90000 ** rng.random())
                    sizes.append(size)
                    value = b"%c" % (65 + n % 26) * size
                    answer = c.set(b"m%d-%d" % (seed, n), value)
                    assert answer == b"STORED", (n, size, answer)
                    if n % 5 == 0:
                        assert c.get(b"m%d-%d" % (seed, n)) in (value, None)
                    if n % 7 == 0 and n:
                        old = rng.randrange(n)
                        got = c.get(b"m%d-%d" % (seed, old))
                        assert got in (None, b"%c" % (65 + old % 26) * sizes[old]), (seed, old)
                    total += size
        in_threads(2, work)
        assert server.rss() < (64 + 48) * MIB * SLACK, server.rss() // MIB
        server.check_alive()


@case(keepd_only="pages stay with the small class")
def size_shift_is_followed():
    with Server("-m", 64, "-t", 2) as server, server.connect() as c:
        for i in range(700):
            c.send(b"".join(b"set s%d-%d 0 0 60 noreply\r\n%s\r\n" % (i, j, b"x" * 60)
                            for j in range(1000)))
        assert c.ask(b"mn") == b"MN"
        value = b"y" * 300000

        def large_values_stay():
            n_kept = 0
            for i in range(100):
                if c.get(b"l%d" % i) == value:
                    n_kept += 1
                else:
                    assert c.set(b"l%d" % i, value) == b"STORED", i
            return n_kept >= 95
        # Twenty seconds on a machine of its own, where a round takes as long as a hundred copies.
        assert any(large_values_stay() for _ in range(1000)), "large values never stay"


@case
def no_evict_mode():
    with Server("-m", 32, "-M", "-t", 2) as server, server.connect() as c:
        kept = []
        for n in range(100000):
            value = b"%06d" % n * 200
            answer = c.set(b"k%d" % n, value)
            if answer == b"STORED":
                kept.append(n)
                continue
            assert answer.startswith(b"SERVER_ERROR out of memory"), answer
            break
        assert len(kept) > 10000, len(kept)
        for n in kept[::7]:
            assert c.get(b"k%d" % n) == b"%06d" % n * 200, n
        assert c.stats()["evictions"] == "0"
        for n in kept[:5000]:
            assert c.ask(b"delete k%d" % n) == b"DELETED"
        wait_for(lambda: c.set(b"again", b"x" * 1200) == b"STORED", "room after the deletes")
        for n in kept[5000::7]:
            assert c.get(b"k%d" % n) == b"%06d" % n * 200, n


@case
def flushed_memory_is_used_again():
    with Server("-m", 32) as server, server.connect() as c:
        for _ in range(5):
            for i in range(25):
                assert c.set(b"f%d" % i, b"x" * 900000) == b"STORED"
            assert c.ask(b"flush_all") == b"OK"
            assert all(c.get(b"f%d" % i) is None for i in range(25))
        assert server.rss() < 80 * MIB * SLACK


@case
def overwriting_one_key_needs_no_eviction_of_others():
    with Server("-m", 32) as server, server.connect() as c:
        for i in range(100):
            assert c.set(b"keep%d" % i, b"k" * 1000) == b"STORED"
        for i in range(20000):
            c.send(b"set hot 0 0 5000 noreply\r\n%s\r\n" % (b"%05d" % i * 1000))
        assert c.get(b"hot") == b"19999" * 1000
        kept = sum(c.get(b"keep%d" % i) == b"k" * 1000 for i in range(100))
        assert kept == 100, kept


run()
