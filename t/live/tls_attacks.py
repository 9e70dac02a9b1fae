#!/usr/bin/python3
"""Peers that do not speak TLS, stop half way, or damage what they send. Others are served meanwhile,
and memory and descriptors come back."""

import os
import random
import signal
import ssl
import struct
import subprocess

from harness import MIB, SLACK, TIMEOUT_S, case, in_threads, packet, run, wait_for
from tls_link import V12, VERSIONS, RecordClient, TlsServer, cert, client_context

N_ABORTED = 10000 // SLACK


def counter(server, name):
    return int(server.stats(b"tls")[name])


def end_by(c, data):
    """Sends, and reads what still comes; the server may have ended the connection already."""
    try:
        c.send(data)
        c.finish_sending()
        return c.wait_closed()
    except OSError:
        return b""


@case
def handshake_timeout():
    """-auth-timeout bounds handshakes, whatever is sent meanwhile."""
    with TlsServer("-m", 64, "--auth-timeout", 2) as server:
        context = client_context()
        clients = []
        for i in range(9):
            c = server.raw()
            hello = RecordClient(c, context).hello()
            c.send(hello[:(0, len(hello) // 2, len(hello))[i % 3]])
            clients.append(c)
        def shake():
            """None when a busy machine needs more than the two seconds."""
            try:
                return server.tls()
            except OSError:
                return None
        done = wait_for(shake, "a handshake")
        for c in clients:
            c.wait_closed()
        # The time is not counted behind the handshake: no login is required.
        assert done.ask(b"mn") == b"MN"


@case
def broken_records():
    def damage(kind, record, rng):
        if kind == "truncated":
            return record[:-3]
        if kind == "empty":
            return b"\x17\x03\x03\x00\x00"
        if kind == "oversized":
            return b"\x17\x03\x03\xff\xff" + record[5:] * 1000
        if kind == "longer than allowed":
            return b"\x17\x03\x03" + struct.pack(">H", 16384 + 257) + os.urandom(16384 + 257)
        if kind == "wrong type":
            return b"\x63" + record[1:]
        if kind == "wrong version":
            return record[:1] + b"\x02\x00" + record[3:]
        if kind == "bit flipped":
            at = rng.randrange(5, len(record))
            return record[:at] + bytes([record[at] ^ 1 << rng.randrange(8)]) + record[at + 1:]
        if kind == "in the clear":
            return b"incr n 1\r\n"
        if kind == "alert in the clear":
            return b"\x15\x03\x03\x00\x02\x02\x28"
        if kind == "hello again":
            return b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
        return record + record  # replayed

    kinds = ("truncated", "empty", "oversized", "longer than allowed", "wrong type",
             "wrong version", "bit flipped", "in the clear", "alert in the clear", "hello again",
             "replayed")
    with TlsServer("-m", 64, "-t", 2) as server, server.tls() as witness:
        for version in VERSIONS:
            context = client_context(version)
            for seed, kind in enumerate(kinds * 3):
                assert witness.set(b"n", b"0") == b"STORED"
                with server.raw() as c:
                    link = RecordClient(c, context).handshake()
                    c.send(link.seal(b"mn\r\n"))
                    assert link.read(4) == b"MN\r\n"
                    end_by(c, damage(kind, link.seal(b"incr n 1\r\n"), random.Random(seed)))
                # Of the replayed two the first is good.
                assert witness.get(b"n") == (b"1" if kind == "replayed" else b"0"), kind
        wait_for(lambda: counter(server, "proto_errors") > 20, "the errors' count")
        server.check_alive()


@case
def truncated_close():
    """An end without close_notify may be an attacker's: what is not whole is not executed. Answers to
    what is whole are sent, since many clients just stop."""
    with TlsServer("-m", 64) as server, server.connect() as witness:
        for version in VERSIONS:
            context = client_context(version)
            for data, n_cut in ((b"set t 0 0 10\r\n01234", 0), (b"set t 0 0 1\r\nx\r", 0),
                                (b"set t 0 0 1\r\nx\r\n", 3), (b"flush_all", 0), (packet(0x08)[:23], 0),
                                (b"set t 0 0 20000\r\n" + b"y" * 16000, 0)):
                assert witness.set(b"k", b"kept") == b"STORED"
                before = counter(server, "cut_ends")
                with server.raw() as c:
                    link = RecordClient(c, context).handshake()
                    sealed = link.seal(data)
                    c.send(sealed[:len(sealed) - n_cut])
                    c.finish_sending()
                    c.wait_closed()
                assert witness.get(b"t") is None and witness.get(b"k") == b"kept", data
                # The worker may count after the close that the client sees.
                wait_for(lambda b=before: counter(server, "cut_ends") == b + 1, "the end's count")
            with server.raw() as c:
                link = RecordClient(c, context).handshake()
                c.send(link.seal(b"get k\r\nmn\r\n"))
                c.finish_sending()
                assert link.read(28) == b"VALUE k 0 4\r\nkept\r\nEND\r\nMN\r\n"
        assert counter(server, "proto_errors") == 0


@case
def handshake_random_damage():
    n = 3000 // SLACK
    with TlsServer("-m", 64, "-t", 2) as server, server.tls() as witness:
        contexts = [client_context(version) for version in VERSIONS]

        def attack(i):
            rng = random.Random(i)
            for _ in range(n // 4):
                with server.raw() as c:
                    hello = bytearray(RecordClient(c, contexts[rng.randrange(2)]).hello())
                    for _ in range(rng.randrange(1, 10)):
                        hello[rng.randrange(len(hello))] = rng.randrange(256)
                    if rng.random() < 0.3:
                        del hello[rng.randrange(len(hello)):]
                    if rng.random() < 0.2:
                        hello = hello + hello
                    end_by(c, bytes(hello))
        in_threads(4, attack)
        assert witness.ask(b"mn") == b"MN"
        with server.tls() as c:
            assert c.ask(b"mn") == b"MN"


@case
def aborted_handshakes_leave_nothing():
    """Issue 538 of memcached: what a handshake held is given back wherever it ends."""
    with TlsServer("-m", 64, "-t", 2, "-c", 2000, words=["ssl_session_cache"]) as server:
        contexts = [client_context(version) for version in VERSIONS]

        def wave(n):
            def abort(i):
                rng = random.Random(i)
                for k in range(n // 4):
                    c = server.raw()
                    link = RecordClient(c, contexts[k % 2])
                    stage = rng.randrange(5)
                    hello = link.hello()
                    c.try_send(hello[:rng.randrange(len(hello))] if stage == 0 else hello)
                    try:
                        if stage >= 2:
                            link.incoming.write(c.socket.recv(1 << 16))
                        if stage == 3:
                            try:
                                link.tls.do_handshake()
                            except ssl.SSLError:
                                pass
                            c.send(link.outgoing.read()[:rng.randrange(1, 60)])
                        if stage == 4:
                            link.handshake()
                    except OSError:
                        pass
                    (c.reset if rng.random() < 0.5 else c.close)()
            in_threads(4, abort)
            wait_for(lambda: int(server.stats()["curr_connections"]) <= 3, "the connections' end")

        descriptors = server.n_descriptors()
        wave(N_ABORTED // 4)
        before = server.rss()
        wave(N_ABORTED)
        grown = server.rss() - before
        # AddressSanitizer keeps what was freed, and tells of leaks at the end.
        assert grown < 4 * MIB * SLACK or os.environ.get("KEEPD_SANITIZED"), grown
        wait_for(lambda: server.n_descriptors() <= descriptors + 2, "descriptors to come back")
        wait_for(lambda: counter(server, "sessions") <= 1, "the sessions' end")
        with server.tls() as c:
            assert c.ask(b"mn") == b"MN"


@case
def early_failures_while_everything_is_logged():
    """5609673ed of memcached: a handshake that fails at once while watchers look."""
    with TlsServer("-m", 64, "-vvv", "-t", 2) as server:
        watchers = [server.connect() for _ in range(3)]
        for c in watchers:
            assert c.ask(b"watch connevents fetchers mutations") == b"OK"
        context = client_context()

        def fail(i):
            rng = random.Random(i)
            for _ in range(100):
                with server.raw() as c:
                    hello = RecordClient(c, context).hello()
                    c.try_send(rng.choice((b"get a\r\n", b"\x16\x03\x01\xff\xff", hello[:9], b"")))
                    if rng.random() < 0.5:
                        c.reset()
        in_threads(4, fail)
        with server.tls() as c:
            assert c.ask(b"mn") == b"MN"


@case
def connection_reuse_tls_then_junk():
    """461d8737e, 9c81709c6 of memcached: slots of TLS connections taken by others, and back."""
    with TlsServer("-m", 64, "-t", 1) as server:
        for i in range(150):
            with server.tls(version=VERSIONS[i % 2]) as c:
                assert c.set(b"r", b"%d" % i) == b"STORED"
            with server.raw() as c:
                c.try_send((b"get r\r\n", b"\x80" + b"\0" * 30, b"\x16\x03\x01\0\x04\1\0\0\0")[i % 3])
                if i % 2:
                    c.reset()
            with server.connect() as c:
                assert c.get(b"r") == b"%d" % i
            with server.tls(version=VERSIONS[i % 2]) as c:
                assert c.get(b"r") == b"%d" % i


@case
def descriptor_numbers_are_reused():
    """A worker forgets a closed connection after its number may belong to another worker's: nobody is
    forgotten in its place."""
    with TlsServer("-m", 64, "-t", 4) as server:
        contexts = [client_context(version) for version in VERSIONS]

        def come_and_go(i):
            lasting = [server.tls(context=contexts[i % 2]), server.connect()]
            for k in range(400 // SLACK):
                for c in lasting:
                    c.send(b"mn\r\n")
                with (server.tls(context=contexts[k % 2]) if k % 4 == 0 else server.connect()) as c:
                    assert c.ask(b"mn") == b"MN"
                    lasting.append(server.connect())
                for c in lasting[:2]:
                    assert c.line() == b"MN"
                assert lasting[-1].ask(b"mn") == b"MN"
                if len(lasting) > 6:
                    lasting.pop(random.randrange(2, 6)).close()
            for c in lasting:
                c.close()
        in_threads(8, come_and_go)


@case
def no_compression_no_renegotiation():
    with TlsServer("-m", 64) as server:
        with server.tls(version=V12) as c:
            assert c.socket.compression() is None
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.tls_port, "-tls1_2",
                   "-CAfile", cert("ca.pem"), "-servername", "localhost", "-comp"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
        # A line of a single R is s_client's command to renegotiate.
        client.stdin.write(b"version\n")
        client.stdin.flush()
        out = b""
        while b"\nVERSION " not in out:
            piece = client.stdout.read1(4096)
            assert piece, out
            out += piece
        assert b"Compression: NONE" in out, out
        client.stdin.write(b"R\n")
        client.stdin.flush()
        out += client.stdout.read()
        client.wait(TIMEOUT_S)
        client.stdin.close()
        client.stdout.close()
        assert b"RENEGOTIATING" in out and b"no renegotiation" in out, out
        server.check_alive()


@case
def close_notify_sent():
    """A client can tell the end from a connection that was cut."""
    with TlsServer("-m", 64) as server:
        for version in VERSIONS:
            for name in ("quit", "binary quit", "a line without end", "the client's own"):
                with server.raw() as c:
                    link = RecordClient(c, client_context(version)).handshake()
                    if name == "binary quit":
                        c.send(link.seal(packet(7)))
                        assert len(link.read(24)) == 24
                    elif name == "quit":
                        c.send(link.seal(b"quit\r\n"))
                    elif name == "a line without end":
                        c.send(link.seal(b"x" * 9000))
                    else:
                        c.send(link.seal(b"mn\r\n"))
                        assert link.read(4) == b"MN\r\n"
                        try:
                            link.tls.unwrap()
                        except ssl.SSLWantReadError:
                            pass
                        c.send(link.outgoing.read())
                    rest = c.wait_closed()
                    link.incoming.write(rest)
                    link.incoming.write_eof()
                    try:
                        while link.tls.read(4096):
                            pass
                    except ssl.SSLZeroReturnError:
                        pass  # close_notify; an end without it is SSLEOFError
    with TlsServer("-m", 64) as server:
        c = server.tls()
        assert c.ask(b"mn") == b"MN"
        server.signal(signal.SIGTERM)
        assert c.end() == "closed"
        assert server.wait_end() == 0


run()
