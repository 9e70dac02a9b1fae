#!/usr/bin/python3
"""Handshakes that are cut, damaged, offered with broken ciphers, or made in crowds: each ends by
itself, what it held comes back, and others are served meanwhile."""

import os
import random
import struct
import time

from harness import MIB, SLACK, Conn, case, in_threads, run, wait_for
from tls_link import VERSIONS, RecordClient, TlsServer, cert, client_context

GONE = ("close", "reset", "end")


def go(c, way):
    """Leaves without a word; the server has to end the connection itself."""
    if way == "reset":
        c.reset()
        return
    if way == "end":
        try:
            c.finish_sending()
            c.wait_closed()
        except OSError:
            pass
    c.close()


def counter(server, name):
    return int(server.stats(b"tls")[name])


def second_flight(c, link):
    """Sends the hello and gives what the client would answer to the server's flight, not sent."""
    c.send(link.hello())
    while True:
        link.incoming.write(c.socket.recv(1 << 16))
        try:
            link.tls.do_handshake()
        except OSError:  # wants to read on
            pass
        flight = link.outgoing.read()
        if flight:
            return flight


def cut_at(server, context, at, way):
    """A handshake of which the client sends at bytes. False: it has no more than that."""
    c = server.raw()
    link = RecordClient(c, context)
    hello = link.hello()
    if at < len(hello):
        c.send(hello[:at])
    else:
        link = RecordClient(c, context)
        flight = second_flight(c, link)
        at -= len(hello)
        if at >= len(flight):
            c.close()
            return False
        c.send(flight[:at])
    go(c, way)
    return True


@case
def cut_at_every_byte():
    """And so at every record."""
    ca = "ssl_ca_cert=" + cert("ca.pem")
    with TlsServer("-m", 64, "-t", 2, "-c", 2000, words=[ca, "ssl_verify_mode=1"]) as server:
        witness, n_descriptors = server.tls(), server.n_descriptors()
        assert witness.set(b"a", b"kept") == b"STORED"
        before = counter(server, "handshakes_failed")

        def cut(i):
            context = client_context(VERSIONS[i % 2], None if i < 2 else "client")
            # The first flight is the same with a certificate, the second is long.
            at, step, n = 0, SLACK if i < 2 else 3 * SLACK, 0
            while cut_at(server, context, at, GONE[at % 3]):
                at += step
                n += 1
            return n + 1
        n = sum(in_threads(4, cut))
        print("# %d handshakes cut" % n)
        wait_for(lambda: counter(server, "handshakes_failed") == before + n, "the failures' count")
        wait_for(lambda: counter(server, "sessions") == 1, "the sessions' end")
        assert witness.get(b"a") == b"kept"
        wait_for(lambda: server.n_descriptors() <= n_descriptors + 1, "descriptors to come back")
        with server.tls(certificate="client") as c:
            assert c.get(b"a") == b"kept"


def record(kind, body, version=0x0301):
    return struct.pack(">BHH", kind, version, len(body)) + body


def damages():
    rng = random.Random(1)
    return (
        ("garbage", rng.randbytes(4096)),
        ("garbage as a handshake", record(0x16, rng.randbytes(4096))),
        ("an oversized record", b"\x16\x03\x01\xff\xff" + b"\0" * 0xffff),
        ("a byte more than a record may have", record(0x16, b"\1" + b"\0" * 16384)),
        ("a hello of 16 MiB", record(0x16, b"\1\xff\xff\xff" + b"\0" * 16380) * 20),
        ("empty records", record(0x16, b"") * 2000),
        ("warnings", record(0x15, b"\1\x5a") * 2000),
        ("changes of ciphers", record(0x14, b"\1", 0x0303) * 2000),
        ("data too early", record(0x17, b"get a\r\n", 0x0303)),
        ("a fatal alert", record(0x15, b"\2\x28")),
        ("the end told", record(0x15, b"\1\0")),
        ("SSL 2", bytes.fromhex("802e0100020015000000100100800700c0030080")),
        ("a certificate unasked", record(0x16, b"\x0b\0\0\3\0\0\0", 0x0303)),
        ("a Finished unasked", record(0x16, b"\x14\0\0\x0c" + b"\0" * 12, 0x0303)),
        ("a request to renegotiate", record(0x16, b"\0\0\0\0", 0x0303)),
        ("a key update", record(0x16, b"\x18\0\0\1\1", 0x0303)),
    )


@case
def damaged_in_the_handshake():
    """Before the hello, in its place, and behind it."""
    with TlsServer("-m", 64, "-t", 2) as server, server.tls() as witness:
        assert witness.set(b"a", b"kept") == b"STORED"

        def attack(context, data, place, whole):
            with server.raw() as c:
                link = RecordClient(c, context)
                if place == "behind":
                    c.send(link.hello())
                    link.incoming.write(c.socket.recv(1 << 16))
                elif place == "inside":
                    c.send(link.hello()[:40])
                try:
                    c.send(data)
                    if whole:
                        c.send(link.hello())
                    c.finish_sending()
                    c.wait_closed()
                except OSError:
                    pass

        def wave():
            for version in VERSIONS:
                context = client_context(version)
                for _, data in damages():
                    for place in ("before", "inside", "behind"):
                        attack(context, data, place, place == "before")
                assert witness.get(b"a") == b"kept"
        wave()
        before = server.rss()
        for _ in range(5 // SLACK or 1):
            wave()
        # AddressSanitizer keeps what was freed, and tells of leaks at the end.
        assert server.rss() - before < 4 * MIB or os.environ.get("KEEPD_SANITIZED")
        wait_for(lambda: counter(server, "sessions") == 1, "the sessions' end")
        assert counter(server, "handshakes_full") == 1


@case
def hello_in_records_of_one_byte():
    """Odd, and allowed."""
    with TlsServer("-m", 64) as server:
        for version in VERSIONS:
            with server.raw() as c:
                link = RecordClient(c, client_context(version))
                hello = link.hello()
                c.send(b"".join(record(0x16, hello[i:i + 1]) for i in range(5, len(hello))))
                link.handshake()
                c.send(link.seal(b"mn\r\n"))
                assert link.read(4) == b"MN\r\n"


# ---------------------------------------------------------------- ciphers, by their numbers

GOOD = (0xc02b, 0xc02c, 0xcca9)  # ECDHE, ECDSA, AEAD
BROKEN = {
    "NULL": (0x0001, 0x0002, 0x003b, 0xc006, 0xc010), "anonymous": (0x0018, 0x0034, 0x00a6, 0xc018),
    "export": (0x0003, 0x0006, 0x0008, 0x0014), "RC4": (0x0004, 0x0005, 0xc007, 0xc011),
    "DES": (0x0009, 0x0015), "3DES": (0x000a, 0x0016, 0xc008, 0xc012), "IDEA": (0x0007,),
    "SEED": (0x0096, 0x009a), "Camellia": (0x0041, 0x0045, 0x0084, 0xc072),
    "CBC": (0xc009, 0xc00a, 0xc013, 0xc023), "without forward secrecy": (0x002f, 0x0035, 0x009c),
    "CCM with a short tag": (0xc0ae, 0xc0af), "PSK": (0x00a8, 0x008c),
}


def extension(kind, body):
    return struct.pack(">HH", kind, len(body)) + body


def words_of(*numbers):
    return struct.pack(">H%dH" % len(numbers), 2 * len(numbers), *numbers)


def hello_with(*ciphers):
    """A ClientHello of TLS 1.2 that offers these and nothing else."""
    more = (extension(10, words_of(0x001d, 0x0017)) + extension(11, b"\1\0") +
            extension(13, words_of(0x0403, 0x0804, 0x0401, 0x0203, 0x0201)) + extension(23, b""))
    body = (b"\3\3" + os.urandom(32) + b"\0" + words_of(*ciphers) + b"\1\0" +
            struct.pack(">H", len(more)) + more)
    return record(0x16, b"\1" + struct.pack(">L", len(body))[1:] + body)


def answer_to_hello(server, *ciphers):
    """The cipher that the server chose, or the number of its alert as a negative one."""
    with server.raw() as c:
        c.send(hello_with(*ciphers))
        head = c.read(5)
        body = c.read(struct.unpack(">H", head[3:])[0])
        if head[0] == 0x15:
            return -body[1]
        assert head[0] == 0x16 and body[0] == 2, (head, body)
        at = 4 + 2 + 32
        return struct.unpack(">H", body[at + 1 + body[at]:][:2])[0]


@case
def no_broken_ciphers():
    """One by one, whether the OpenSSL of this test still knows them or not."""
    with TlsServer("-m", 64) as server:
        for good in GOOD:
            assert answer_to_hello(server, good) == good
        everything = [n for row in BROKEN.values() for n in row]
        for kind, numbers in BROKEN.items():
            for number in numbers:
                assert answer_to_hello(server, number) == -40, (kind, hex(number))
        # The server's choice, not the client's.
        assert answer_to_hello(server, *everything, 0xc02c, 0xc02b) == 0xc02b
    with TlsServer("-m", 64, chain="server-rsa.pem", key="server-rsa.key") as server:
        assert answer_to_hello(server, 0xc02f) == 0xc02f
        for kind, numbers in BROKEN.items():
            for number in numbers:
                assert answer_to_hello(server, number) == -40, (kind, hex(number))


# ---------------------------------------------------------------- crowds

def fastest(attempt, limit_s):
    """The machine may be busy with something else for a while: one attempt in time will do."""
    def is_in_time():
        started = time.monotonic()
        attempt()
        return time.monotonic() - started < limit_s * SLACK
    wait_for(is_in_time, "one of many attempts to take less than %s s" % limit_s)


@case
def silent_handshakes():
    with TlsServer("-m", 64, "-t", 2, "-c", 2000) as server:
        silent, context = [], client_context()
        for i in range(600):
            c = server.raw()
            hello = RecordClient(c, context).hello()
            c.send(hello[:(0, len(hello) // 2, len(hello))[i % 3]])
            silent.append(c)

        def new_client():
            with server.tls() as c:
                assert c.set(b"a", b"1") == b"STORED" and c.get(b"a") == b"1"
        fastest(new_client, 1)
        assert int(server.stats()["curr_connections"]) > 600
        for c in silent:
            c.close()


@case
def silence_costs_no_session():
    """What TLS takes is taken when a client speaks."""
    with TlsServer("-m", 64, "-t", 1) as server, server.tls() as c:
        assert c.ask(b"mn") == b"MN"
        silent = [server.raw() for _ in range(20)]
        wait_for(lambda: int(server.stats()["curr_connections"]) > 20, "the connections")
        assert counter(server, "sessions") == 1, "more than the one that has spoken"
        for s in silent:
            s.close()


def latencies(c, n):
    """The median and the 99th of 100, in seconds."""
    found = []
    for _ in range(n):
        started = time.monotonic()
        assert c.ask(b"mn") == b"MN"
        found.append(time.monotonic() - started)
    found.sort()
    return found[len(found) // 2], found[len(found) * 99 // 100]


@case
def handshake_flood_keeps_service():
    """Four threads handshake as fast as they can; an open connection keeps its p99 under 50 ms, and
    the master accepts meanwhile."""
    with TlsServer("-m", 64, "-t", 2, "-c", 2000) as server, server.tls() as c:
        idle = latencies(c, 1000)
        done, counts = [], [0] * 4

        def flood(i):
            contexts = [client_context(version) for version in VERSIONS]
            while not done:
                with server.tls(context=contexts[counts[i] % 2]):
                    counts[i] += 1

        def measure(_):
            found = []

            def is_fast():
                found[:] = latencies(c, 2000)
                with Conn(("127.0.0.1", server.port)) as new:
                    assert new.ask(b"mn") == b"MN"
                return found[1] < 0.05 * SLACK
            try:
                wait_for(lambda: sum(counts) > 20, "the flood")
                wait_for(is_fast, "a p99 under 50 ms")
                return found
            finally:
                done.append(True)
        busy = in_threads(5, lambda i: flood(i) if i < 4 else measure(i))[4]
        print("# us p50, p99: idle %.0f, %.0f; in the flood of %d handshakes %.0f, %.0f" %
              (*(1e6 * s for s in idle), sum(counts), *(1e6 * s for s in busy)))


run()
