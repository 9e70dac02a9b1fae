#!/usr/bin/python3
"""What clients do inside TLS: every protocol, sizes from one byte to a megabyte, records of any
size, readers who are slow or never read. TLS 1.2 and 1.3."""

import random
import ssl

from harness import MIB, SLACK, case, in_threads, packet, run, store_packet, wait_for
from tls_link import V12, V13, VERSIONS, RecordClient, TlsServer, client_context

SIZES = (1, 2, 100, 1000, 4000, 8191, 16000, 16383, 16384, 16385, 20000, 32768, 50000, 65536, 100000,
         262144, 500000, 1000000)


def value_of(n):
    return random.Random(n).randbytes(n)


@case
def works():
    with TlsServer("-m", 256) as server:
        for version in VERSIONS:
            with server.tls(version=version) as c:
                assert c.socket.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
                for n in SIZES:
                    value = value_of(n)
                    assert c.set(b"t%d" % n, value) == b"STORED"
                    assert c.get(b"t%d" % n) == value, n
                    c.send(b"ms m%d %d\r\n%s\r\nmg m%d s v\r\n" % (n, n, value, n))
                    assert c.line() == b"HD" and c.line() == b"VA %d s%d" % (n, n)
                    assert c.read(n + 2) == value + b"\r\n", n
            with server.tls(version=version) as c:
                for n in SIZES:
                    value = value_of(n)
                    c.send(store_packet(1, b"b%d" % n, value) + packet(0, b"b%d" % n))
                    assert c.reply().status == 0 and c.reply().value == value, n


@case
def pipelined_sets():
    with TlsServer("-m", 256) as server:
        for version in VERSIONS:
            with server.tls(version=version) as c:
                values = [value_of(n * 37) for n in range(1, 201)]
                c.send(b"".join(b"set p%d 0 0 %d\r\n%s\r\n" % (i, len(v), v)
                                for i, v in enumerate(values)))
                assert all(c.line() == b"STORED" for _ in values)
                c.send(b"get " + b" ".join(b"p%d" % i for i in range(200)) + b"\r\n")
                for i, v in enumerate(values):
                    assert c.line() == b"VALUE p%d 0 %d" % (i, len(v))
                    assert c.read(len(v) + 2) == v + b"\r\n"
                assert c.line() == b"END"


@case
def many_records_in_one_segment():
    """Nothing that OpenSSL has read ahead may wait for the socket."""
    with TlsServer("-m", 256) as server:
        for version in VERSIONS:
            with server.tls(version=version) as c:
                for n in (70000, 130000, 200000, 700000):
                    value = value_of(n)
                    for _ in range(5):
                        c.send(b"set w 0 0 %d\r\n%s\r\nset tail 0 0 1\r\nx\r\nmn\r\n" % (n, value))
                        assert c.line() == b"STORED" and c.line() == b"STORED"
                        assert c.line() == b"MN"
                    assert c.get(b"w") == value
                huge = b"x" * (2 * MIB)
                for _ in range(5):
                    c.send(b"set toobig 0 0 %d\r\n%s\r\nmn\r\n" % (len(huge), huge))
                    assert c.line() == b"SERVER_ERROR object too large for cache"
                    assert c.line() == b"MN"


@case
def tiny_records():
    with TlsServer("-m", 64) as server, server.tls() as c:
        for _ in range(100):
            for i in range(1000):
                c.socket.send(b"mn\r\n"[i % 4:i % 4 + 1])
            assert c.read(1000) == b"MN\r\n" * 250
    with TlsServer("-m", 64) as server:
        for version in VERSIONS:
            with server.tls(version=version) as c:
                c.send_slowly(b"set a 0 0 10\r\n0123456789\r\nget a\r\n")
                assert c.line() == b"STORED" and c.line() == b"VALUE a 0 10"
                assert c.line() == b"0123456789" and c.line() == b"END"
            with server.tls(version=version) as c:
                c.send_slowly(store_packet(1, b"b", b"0123456789") + packet(0, b"b"))
                assert c.reply().status == 0 and c.reply().value == b"0123456789"


def records_for(link, request, n_answer):
    """How many records the answer of n_answer bytes came in."""
    link.conn.send(link.seal(request))
    raw, answer = b"", b""
    while len(answer) < n_answer:
        data = link.conn.socket.recv(1 << 16)
        assert data, "closed by the server"
        raw += data
        link.incoming.write(data)
        try:
            while True:
                answer += link.tls.read(1 << 16)
        except ssl.SSLWantReadError:
            pass
    assert len(answer) == n_answer, answer[-100:]
    n_records = 0
    while raw:
        n_records += raw[0] == 0x17
        raw = raw[5 + int.from_bytes(raw[3:5], "big"):]
    return n_records


@case
def answers_fill_records():
    """Of what goes out together a record holds 16 KiB, not one item."""
    with TlsServer("-m", 64) as server, server.connect() as c:
        keys = [b"k%03d" % i for i in range(400)]
        for key in keys:
            assert c.set(key, b"v" * 100) == b"STORED"
        each = len(b"VALUE k000 0 100\r\n") + 102
        for version in VERSIONS:
            with server.raw() as raw:
                link = RecordClient(raw, client_context(version)).handshake()
                # The first answer of TLS 1.3 has the ticket in front, which looks like data.
                assert records_for(link, b"mn\r\n", 4) <= 2
                n = 400 * each + 5
                multiget = b"get " + b" ".join(keys) + b"\r\n"
                assert records_for(link, multiget, n) <= n // 16384 + 2
                pipelined = b"".join(b"get %s\r\n" % key for key in keys[:64])
                assert records_for(link, pipelined, 64 * (each + 5)) <= 2


@case
def backpressure():
    with TlsServer("-m", 256, "-t", 2, "-I", "4m") as server:
        value = value_of(2 * MIB)
        with server.connect() as c:
            assert c.set(b"big", value) == b"STORED"
        before = server.rss()
        idle = []
        for i in range(20):
            c = server.tls(receive_buffer=4096, version=VERSIONS[i % 2])
            c.send(b"get big\r\n" * 50)
            idle.append(c)
        wait_for(lambda: server.n_in("conn_mwrite", "conn_write") == 20, "all to be answered in part")
        for version in VERSIONS:
            with server.tls(version=version) as c:
                assert c.ask(b"mn") == b"MN"
        grown = server.rss() - before
        assert grown < 96 * MIB * SLACK, grown
        slow = server.tls(receive_buffer=4096)
        slow.send(b"get big\r\n" * 3)
        for _ in range(3):
            assert slow.line() == b"VALUE big 0 %d" % len(value)
            at = 0
            while at < len(value):
                piece = slow.read(min(4096, len(value) - at))
                assert piece == value[at:at + len(piece)]
                at += len(piece)
            assert slow.line() == b"" and slow.line() == b"END"
        # Those who did not read lost nothing.
        c = idle[0]
        assert c.line() == b"VALUE big 0 %d" % len(value)
        assert c.read(len(value)) == value
        for c in idle + [slow]:
            c.reset()
        server.check_alive()


@case
def values_under_load():
    """Each client reads back exactly what it wrote last."""
    with TlsServer("-m", 256, "-t", 2) as server:
        context = client_context()

        def work(i):
            rng = random.Random(i)
            with server.tls(context=context) as c:
                last = {}
                for _ in range(300):
                    key = b"l%d-%d" % (i, rng.randrange(20))
                    if rng.random() < 0.5:
                        last[key] = rng.randbytes(rng.choice((1, 100, 5000, 20000)))
                        assert c.set(key, last[key]) == b"STORED"
                    assert c.get(key) == last.get(key)
        in_threads(16, work)


@case
def kernel_tls_or_not():
    """Where the kernel cannot, nothing changes."""
    with TlsServer("-m", 64, words=["ssl_kernel_tls"]) as server:
        for version in VERSIONS:
            with server.tls(version=version) as c:
                for n in SIZES[:14]:
                    assert c.set(b"k", value_of(n)) == b"STORED" and c.get(b"k") == value_of(n)


@case
def larger_writes():
    with TlsServer("-m", 64, words=["ssl_wbuf_size=64"]) as server, server.tls() as c:
        assert c.stats(b"settings")["ssl_wbuf_size"] == "65536"
        value = value_of(900000)
        assert c.set(b"k", value) == b"STORED" and c.get(b"k") == value


run()
