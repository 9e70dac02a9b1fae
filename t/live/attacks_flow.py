#!/usr/bin/python3
"""Attacks by volume and by slowness: back-pressure, references, stalled uploads, fairness, garbage."""

import random
import statistics
import threading
import time

from harness import (MIB, SLACK, Server, case, in_threads, packet, run, store_packet, wait_for)

# What `stats conns` calls a connection whose client does not read its answers.
UNREAD = ("conn_mwrite", "conn_write")


@case
def cve_2018_1000127_refcount_overflow():
    with Server("-m", 64, "-t", 2, "-c", 600) as server:
        with server.connect() as c:
            c.set(b"ref", b"v" * 20000)
        request = b"get " + b"ref " * 500 + b"\r\n"
        clients = [server.connect(receive_buffer=4096) for _ in range(300)]
        for c in clients:
            c.send(request * 2)
        wait_for(lambda: server.n_in(*UNREAD) == 300, "all to hold what they asked for")
        with server.connect() as c:
            for i in range(100):
                assert c.set(b"ref", b"w%d" % i * 2000) == b"STORED"
                assert c.get(b"ref") == b"w%d" % i * 2000
        for c in clients[::2]:
            c.close()
        for c in clients[1::2]:
            c.reset()
        server.check_alive()


@case
def cve_2018_1000127_refcount_overflow_idle_reader():
    with Server("-m", 64, "-t", 2) as server:
        with server.connect() as c:
            c.set(b"r", b"%0100d" % 0)
        clients = [server.connect(receive_buffer=4096) for _ in range(10)]
        request = b"get " + b"r " * 8000 + b"\r\n"

        def all_are_full():
            """Asked for more than the kernel takes: the server holds answers."""
            for c in clients:
                c.send_until_stuck(request, 2 * len(request), 0.02)
            return server.n_in(*UNREAD) == 10
        wait_for(all_are_full, "the server to hold answers of all")
        with server.connect() as c:
            for i in range(1000):
                assert c.set(b"r", b"%0100d" % i) == b"STORED"
                assert c.get(b"r") == b"%0100d" % i
        for c in clients:
            c.close()
        server.check_alive()


def backpressure(request, limit, prepare=None):
    """20 clients ask by request, up to limit bytes of it, and never read."""
    with Server("-m", 64, "-t", 2) as server:
        if prepare:
            prepare(server)
        before = server.rss()

        def hog(_):
            c = server.connect(receive_buffer=4096)
            return c, c.send_until_stuck(request, limit, 0.5)
        hogs = in_threads(20, hog)
        with server.connect() as c:
            for _ in range(200):
                assert c.set(b"other", b"1") == b"STORED"
                assert c.get(b"other") == b"1"
        grown = server.rss() - before
        assert grown < 128 * MIB * SLACK, "%d MiB more" % (grown // MIB)
        for c, _ in hogs:
            c.close()
        server.check_alive()
        return [sent for _, sent in hogs]


@case
def backpressure_big_values():
    def prepare(server):
        with server.connect() as c:
            for i in range(20):
                assert c.set(b"big%d" % i, b"x" * 1000000) == b"STORED"
    keys = b" ".join(b"big%d" % i for i in range(20))
    backpressure(b"get " + keys + b"\r\n", 25 * (len(keys) + 6), prepare)


@case
def backpressure_small_replies():
    sent = backpressure(b"get a\r\n" * 5000, 64 * MIB)
    assert max(sent) < 64 * MIB, "reading never stopped"


@case
def backpressure_small_binary_replies():
    sent = backpressure(packet(0x0a) * 2000, 64 * MIB)
    assert max(sent) < 64 * MIB, "reading never stopped"


@case
def backpressure_stats():
    backpressure(b"stats\r\n" * 1000, 100000 * 7)


GIGABYTE = (1 << 30) - 1000  # room for the item's head


@case
def claimed_gigabytes():
    with Server("-m", 2049, "-I", "1024m", "-t", 2) as server:
        before = server.rss()
        clients = []
        for i in range(25):
            c = server.connect()
            c.send(b"set huge%d 0 0 %d\r\n" % (i, GIGABYTE) + b"x" * 1000)
            clients.append(c)
            c = server.connect()
            c.send(store_packet(1, b"huge", b"", n_body=GIGABYTE) + b"x" * 1000)
            clients.append(c)
        wait_for(lambda: server.n_in("conn_nread") == 50, "all to be amid their values")
        server.check_alive()
        grown = server.rss() - before
        assert grown < 64 * MIB * SLACK, "%d MiB more" % (grown // MIB)
        for c in clients:
            c.close()
        server.check_alive()


@case(keepd_only="announced values take their memory at once")
def stalled_uploads_do_not_starve_others():
    with Server("-m", 64, "-t", 2) as server:
        clients = []
        for i in range(200):
            c = server.connect()
            c.send(b"set stalled%d 0 0 1000000\r\n" % i + b"x" * 100)
            clients.append(c)
        wait_for(lambda: server.n_in("conn_nread") == 200, "all to be amid their values")
        with server.connect() as c:
            for i in range(50):
                assert c.set(b"small%d" % i, b"s" * 100) == b"STORED"
                assert c.set(b"large%d" % i, b"l" * 500000) == b"STORED", i
            assert c.get(b"large49") == b"l" * 500000
        for c in clients:
            c.close()
        server.check_alive()


@case
def slowloris():
    with Server("-m", 64, "-t", 2) as server:
        clients = [server.connect() for _ in range(400)]
        texts = [b"set slow%d 0 0 5\r\nhello\r\n" % i for i in range(400)]
        took = []
        with server.connect() as other:
            for at in range(max(map(len, texts))):
                for c, text in zip(clients, texts):
                    if at < len(text):
                        c.send(text[at:at + 1])
                started = time.monotonic()
                assert other.ask(b"mn") == b"MN"
                took.append(time.monotonic() - started)
            assert all(c.line() == b"STORED" for c in clients)
            assert all(other.get(b"slow%d" % i) == b"hello" for i in range(400))
        # The middle one: the machine may be busy with something else for a while.
        assert statistics.median(took) < 2 * SLACK, took
        for c in clients:
            c.close()


@case
def random_garbage():
    with Server("-m", 64, "-t", 2) as server:
        def work(seed):
            rng = random.Random(seed)
            starts = (b"", b"\x80", b"get ", b"set k 0 0 10\r\n", b"mg k ", b"ms k 5 ", b"\x80\x01",
                      b"\x16\x03\x01", b"ma n ", b"gat 0 ")
            for _ in range(750):
                with server.connect() as c:
                    c.try_send(rng.choice(starts) + rng.randbytes(rng.randrange(3000)))
                    if rng.random() < 0.3:
                        c.try_send(b"\r\n" + rng.randbytes(500) + b"\n\n")
                    if rng.random() < 0.5:  # half of them stay for what is answered
                        try:
                            c.finish_sending()
                        except OSError:
                            pass
                        c.wait_closed()
        in_threads(4, work)
        server.check_alive()


@case
def many_commands_fairness():
    with Server("-m", 64, "-t", 1) as server:
        stop, n_read = [], []

        def hog(_):
            """Sends without end; another thread reads, so that the server never waits for either."""
            with server.connect() as c:
                c.set(b"f", b"v" * 100)

                def drain():
                    while c.socket.recv(1 << 20):
                        n_read.append(1)
                reader = threading.Thread(target=drain, daemon=True)
                reader.start()
                while not stop:
                    c.send(b"get f\r\n" * 10000)
                c.finish_sending()
                reader.join()

        def polite(_):
            def is_in_time():
                """One round in time will do: the machine may be busy with something else."""
                took = []
                for _ in range(200):
                    started = time.monotonic()
                    assert c.ask(b"mn") == b"MN"
                    took.append(time.monotonic() - started)
                return statistics.quantiles(took, n=100)[98] < 0.25 * SLACK
            try:
                wait_for(lambda: len(n_read) > 10, "the hog")
                with server.connect() as c:
                    wait_for(is_in_time, "a p99 under 250 ms")
            finally:
                stop.append(1)
        in_threads(2, lambda i: polite(i) if i else hog(i))


@case
def binary_multiget_never_read():
    def prepare(server):
        with server.connect() as c:
            assert c.set(b"big", b"x" * 500000) == b"STORED"
    backpressure(packet(0x0d, b"big") * 50 + packet(0x0a), 4000, prepare)


@case
def values_change_while_being_sent():
    with Server("-m", 64, "-t", 2) as server:
        def write(i):
            with server.connect() as c:
                for n in range(300):
                    letter = b"%c" % (65 + (n + i) % 26)
                    assert c.set(b"v", letter * 200000) == b"STORED"

        def read(_):
            with server.connect(receive_buffer=16384) as c:
                for _ in range(300):
                    value = c.get(b"v")
                    assert value is None or value == value[:1] * 200000
        in_threads(4, lambda i: (read if i % 2 else write)(i))


run()
