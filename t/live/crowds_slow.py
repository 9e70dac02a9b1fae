#!/usr/bin/python3
"""Crowds that are slow, greedy or at their limits: what they cost, and that others are served."""

import os
import threading

from accounts import GET, Accounts
from harness import (MIB, TIMEOUT_S, Server, case, in_threads, packet, run, show, store_packet,
                     wait_for)
from tls_link import TlsServer

KIB = 1024
IS_SANITIZED = "KEEPD_SANITIZED" in os.environ # such a build has memory of its own for everything
N_SLOW = 40       # clients in each state
LARGE = 300000    # bytes of a value that stays where it is while it is sent
UNREAD = 400 * KIB # asked for by who reads nothing: more than the server composes

# name, what is sent, bytes that a client may cost. doc/memory.md has the bounds.
HALF = 2 * KIB
STATES = [
    ("silent", b"", HALF),
    ("half a line", b"set some_key 0 0", HALF),
    ("half a line of keys", b"get " + b"key " * 10000, 64 * KIB),
    ("half a large line of keys", b"get " + b"key " * 100000, 1088 * KIB),
    ("half a header", b"\x80\x01\0\x03", HALF),
    ("half a key", packet(GET, b"some_key")[:-3], HALF),
    ("half a value", b"set half 0 0 30000\r\n" + b"v" * 20000, 40 * KIB),
    ("half a binary value", store_packet(1, b"half", b"", n_body=30012) + b"v" * 20000, 40 * KIB),
    ("half a value that is refused", b"set huge 0 0 9000000\r\n" + b"v" * 50000, HALF),
    ("answers not read", b"get small\r\n" * (UNREAD // 40), 192 * KIB),
    ("binary answers not read", packet(GET, b"small") * (UNREAD // 40), 192 * KIB),
    ("large answers not read", b"get large\r\n" * 8, 1216 * KIB),
    ("quiet requests, no answer yet", packet(0x09, b"nothing") * 2000, 64 * KIB),
    ("statistics not read", b"stats\r\n" * 400, 192 * KIB),
    ("a dump not read", b"lru_crawler metadump all\r\n", 192 * KIB),
    ("a watcher that does not read", b"watch fetchers mutations\r\n", 320 * KIB),
]
PER_TLS_CONNECTION = 48 * KIB


def cost(server, connect, request):
    """Bytes of resident memory that each of N_SLOW clients costs which send this and read nothing."""
    with connect() as c:
        assert c.set(b"small", b"s" * 10) == b"STORED"
        assert c.set(b"large", b"l" * LARGE) == b"STORED"
        c.send(b"".join(b"set filler%d 0 0 2\r\nfi\r\n" % i for i in range(3000)))
        assert [c.line() for _ in range(3000)] == [b"STORED"] * 3000
        before = server.rss()
    clients = [connect() for _ in range(N_SLOW)]
    for c in clients:
        c.socket.settimeout(0.1)
        c.try_send(request)
    with connect() as good:
        for i in range(50):
            assert good.set(b"good", b"%d" % i) == b"STORED"
            assert good.get(b"good") == b"%d" % i
        each = (server.rss() - before) / N_SLOW
        for c in clients:
            c.close()
        wait_for(lambda: int(good.stats()["curr_connections"]) <= 2, "all to be gone")
    return each


def serve_slow(start, per_connection):
    """start() gives a server and a way to connect; a new one for each state."""
    rows, wrong = [], []
    for name, request, most in STATES:
        server, connect = start()
        with server:
            each = cost(server, connect, request)
        rows.append("%s %.1f" % (name, each / KIB))
        # What the workers themselves need for the first answers of this kind is shared by all.
        if each > most + per_connection + 2 * MIB / N_SLOW and not IS_SANITIZED:
            wrong.append(rows[-1])
    show("KiB for each client: " + ", ".join(rows))
    assert not wrong, wrong


@case
def slow_in_every_state():
    def start():
        server = Server("-m", 64, "-t", 2)
        return server, lambda: server.connect(receive_buffer=4096)
    serve_slow(start, KIB)


@case
def slow_in_every_state_unix():
    def start():
        server = Server("-m", 64, "-t", 2, unix=True)
        return server, lambda: server.connect_unix(receive_buffer=4096)
    serve_slow(start, KIB)


@case
def slow_in_every_state_tls():
    def start():
        server = TlsServer("-m", 64, "-t", 2)
        return server, server.tls
    serve_slow(start, PER_TLS_CONNECTION)


# ---------------------------------------------------------------- a million requests

def unread_requests(connect, server, n_total):
    """All are sent, and only then the answers are read: every one is there, in order."""
    with connect() as c:
        assert c.set(b"n", b"0") == b"STORED"
        before = server.rss()
        sent = []

        def send():
            for _ in range(n_total // 1000):
                c.socket.sendall(b"incr n 1\r\n" * 1000)
                sent.append(1000)
        c.socket.settimeout(TIMEOUT_S)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()

        def is_stuck(seen=[-1]):
            n, seen[0] = seen[0], len(sent)
            sender.join(0.2)
            return n == len(sent)
        wait_for(is_stuck, "the server to stop reading")
        n_sent = len(sent) * 1000
        assert n_sent < n_total, "reading never stopped"
        grown = server.rss() - before
        server.check_alive()
        for number in range(1, n_total + 1):
            line = c.line()
            assert line == b"%d" % number, (number, line)
        sender.join()
        show("%d requests, %d sent before the server stopped reading, %.1f MiB more" %
             (n_total, n_sent, grown / MIB))
        assert IS_SANITIZED or grown < 2 * MIB, grown


@case
def a_million_requests_before_reading():
    with Server("-m", 64, "-t", 2) as server:
        unread_requests(lambda: server.connect(receive_buffer=4096), server, 1000000)


@case
def requests_before_reading_inside_tls():
    with TlsServer("-m", 64, "-t", 2) as server:
        # OpenSSL's client cannot send and receive in two threads: it is cut after a while.
        hogs = [server.tls() for _ in range(8)]
        before = server.rss()
        sent = in_threads(8, lambda i: hogs[i].send_until_stuck(b"get a\r\n" * 5000, 64 * MIB, 0.3))
        assert max(sent) < 64 * MIB, "reading never stopped"
        grown = server.rss() - before
        with server.tls() as good:
            for _ in range(100):
                assert good.ask(b"mn") == b"MN"
        assert IS_SANITIZED or grown < 8 * (192 * KIB + PER_TLS_CONNECTION) + 2 * MIB, grown
        for c in hogs:
            c.close()


# ---------------------------------------------------------------- limits

@case
def a_storm_at_the_limit():
    """Eight threads open connections beyond the limit all the time; those that are in, work on."""
    with Server("-m", 64, "-t", 2, "-c", 120) as server:
        inside = [server.connect() for _ in range(100)]
        for c in inside:
            assert c.ask(b"mn") == b"MN"
        before, rss = server.n_descriptors(), server.rss()
        refused = []

        together = threading.Barrier(8)

        def storm(_):
            """All eight hold theirs at the same time: more than there is room for."""
            for _ in range(250):
                held = []
                for _ in range(4):
                    try:
                        held.append(server.connect())
                        if held[-1].ask(b"mn") != b"MN":
                            refused.append(1)
                    except (EOFError, ConnectionError):
                        refused.append(1)
                together.wait(TIMEOUT_S)
                for c in held:
                    c.close()

        def work(_):
            for i in range(300):
                for n, c in enumerate(inside[:10]):
                    assert c.set(b"in%d" % n, b"%d" % i) == b"STORED"
                    assert c.get(b"in%d" % n) == b"%d" % i
        in_threads(9, lambda i: storm(i) if i < 8 else work(i))
        assert len(refused) >= 250 * (8 * 4 - 20), len(refused)
        wait_for(lambda: server.n_descriptors() <= before, "descriptors to come back")
        grown = server.rss() - rss
        show("8000 connections, %d refused, %.1f MiB more" % (len(refused), grown / MIB))
        assert IS_SANITIZED or grown < 4 * MIB, grown
        for c in inside:
            assert c.ask(b"mn") == b"MN"


@case
def a_thousand_hot_keys():
    """Eight clients of four workers count the same thousand keys up: no step is lost."""
    n_rounds = 25
    with Server("-m", 64, "-t", 4) as server:
        with server.connect() as c:
            for i in range(1000):
                assert c.set(b"hot%d" % i, b"0") == b"STORED"
        before = server.rss()

        def work(number):
            order = [(i * 7919 + number * 125) % 1000 for i in range(1000)]
            request = b"".join(b"incr hot%d 1\r\n" % i for i in order)
            with server.connect() as c:
                last = {}
                for _ in range(n_rounds):
                    c.send(request)
                    for i in order:
                        value = int(c.line())
                        assert value > last.get(i, 0), "hot%d goes from %d to %d" % (i, last[i], value)
                        last[i] = value
        in_threads(8, work)
        with server.connect() as c:
            for i in range(1000):
                assert c.get(b"hot%d" % i) == b"%d" % (8 * n_rounds), i
        assert IS_SANITIZED or server.rss() - before < 8 * MIB


@case(keepd_only="has no tenants")
def a_tenant_at_its_limits():
    """Red is at its limits of memory, connections and traffic; blue does not notice."""
    accounts = Accounts().tenant("red", memory_max="8m", connections=20, ops=3000)
    accounts.tenant("blue").user("alice", "red", "apw").user("bob", "blue", "bpw")
    with Server("-m", 64, "-t", 2, accounts.option) as server:
        def log_in(user, password):
            c = server.connect()
            answer = c.set(b"login", b"%s %s" % (user, password))
            return c if answer == b"STORED" else c.close()
        blue = log_in(b"bob", b"bpw")
        for i in range(2000):
            assert blue.set(b"blue%d" % i, b"b" * 1000) == b"STORED"
        rss = server.rss()
        red = [log_in(b"alice", b"apw") for _ in range(20)]
        assert all(red)
        over, stored = threading.Event(), [0] * 8

        def press(number):
            c, n_refused = red[number], 0
            while not over.is_set():
                c.send(b"".join(b"set red%d-%d 0 0 4000\r\n%s\r\n" %
                                (number, stored[number] + i, b"r" * 4000) for i in range(20)))
                answers = [c.line() for _ in range(20)]
                n_refused += 20 - answers.count(b"STORED")
                stored[number] += 20
            return n_refused

        def work(_):
            try:
                while sum(stored) < 5000:
                    for i in range(2000):
                        assert blue.get(b"blue%d" % i) == b"b" * 1000, i
                        if i % 4 == 0:
                            assert blue.set(b"more%d" % (i % 100), b"m" * 100) == b"STORED"
            finally:
                over.set()
        results = in_threads(9, lambda i: press(i) if i < 8 else work(i))
        n_refused = sum(n or 0 for n in results)
        extra = server.connect()
        assert extra.set(b"login", b"alice apw") != b"STORED"
        grown = server.rss() - rss
        show("red: %d stores, %d refused; %.1f MiB more" % (sum(stored), n_refused, grown / MIB))
        # What grows besides red is what blue has replaced and nobody has needed again yet.
        assert int(red[8].stats()["bytes"]) <= 8 * MIB, red[8].stats()
        assert IS_SANITIZED or server.rss() < (64 + 12 + 2 * 1.5) * MIB, grown
        assert any(red[0].get(b"red%d-0" % i) is None for i in range(8)), "nothing was evicted"
        for c in red:
            c.close()


run()
