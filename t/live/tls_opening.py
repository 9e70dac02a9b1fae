#!/usr/bin/python3
"""The first bytes of a connection: who speaks TLS to a plain port, or plain to a TLS port, is told
from them however they are cut, named in the log once, and closed. Nothing of it is executed."""

import random
import socket

from harness import TIMEOUT_S, Conn, Server, case, free_port, packet, run, store_packet, wait_for
from tls_link import VERSIONS, RecordClient, TlsServer, client_context

TEXT = (b"set a 0 0 1\r\nx\r\n", b"get a\r\n", b"mg a v\r\n", b"flush_all\r\n", b"\r\n", b"\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"me", b"~")
BINARY = (store_packet(1, b"a", b"x"), packet(0x0a), packet(0x08), b"\x80")
SSL_2 = bytes.fromhex("802e0100020015000000100100800700c0030080")
NO_DIALECT = (b"\x81" + b"\0" * 23, b"\0" * 100, b"\xff" * 100, random.Random(1).randbytes(200), SSL_2)
ALMOST_TLS = (b"\x16\x02\x00", b"\x15\x03\x01\0\2\2\0", b"\x16\x03\x01\0\0",
              b"\x16\x03\x01\0\4\2\0\0\0")


def lines_of(server, event):
    """Its lines in the log of a server that has ended."""
    return [line for line in server.log().splitlines() if "event=" + event in line]


def is_told_once(server, event, address="127.0.0.1"):
    """One line for the address, and one with the sum of the others, if there were others."""
    lines = lines_of(server, event)
    assert 1 <= len(lines) <= 2 and all("address=" + address in n for n in lines), lines
    assert "repeated=" not in lines[0] and (len(lines) == 1 or "repeated=" in lines[1]), lines


def ways_to_cut(data):
    """The pieces of data, one way after the other: whole, byte by byte, and cut once at each byte."""
    yield [data]
    if len(data) > 1:
        yield [data[i:i + 1] for i in range(len(data))]
    for at in range(1, min(len(data), 24)):
        yield [data[:at], data[at:]]


def answer_to(c, pieces):
    """Sends a piece for each segment, then the end, and gives what comes until the server closes,
    which may be before the last piece."""
    try:
        for piece in pieces:
            c.send(piece)
        c.finish_sending()
    except OSError:
        pass
    return c.wait_closed()


def is_refusal(answer):
    """Nothing, or an alert of TLS."""
    return answer == b"" or answer[:2] == b"\x15\x03"


def hello_of(version):
    return RecordClient(None, client_context(version)).hello()


@case
def plaintext_to_tls_port():
    with TlsServer("-m", 64) as server, server.connect() as witness:
        assert witness.set(b"a", b"kept") == b"STORED"
        n = 0
        for data in TEXT + BINARY + NO_DIALECT:
            for pieces in ways_to_cut(data):
                with server.raw() as c:
                    assert is_refusal(answer_to(c, pieces)), pieces
                n += 1
        assert witness.get(b"a") == b"kept"
        wait_for(lambda: int(server.stats(b"tls")["handshakes_plain"]) == n, "the count of plain ones")
        with server.tls() as c:
            assert c.get(b"a") == b"kept"
    is_told_once(server, "plaintext_on_tls_port")


@case
def neither_on_a_tls_port():
    """Begins like a record of TLS, and is none."""
    with TlsServer("-m", 64) as server:
        for data in ALMOST_TLS:
            for pieces in ways_to_cut(data):
                with server.raw() as c:
                    assert is_refusal(answer_to(c, pieces)), pieces
        with server.tls() as c:
            assert c.ask(b"mn") == b"MN"


@case
def tls_to_plain_port():
    for protocol in ("auto", "ascii", "binary"):
        with Server("-m", 64, "-B", protocol) as server:
            for version in VERSIONS:
                for pieces in ways_to_cut(hello_of(version)):
                    with server.connect() as c:
                        assert answer_to(c, pieces) == b"", pieces
            with server.connect() as c:
                noop = packet(0x0a) if protocol == "binary" else b"mn\r\n"
                assert answer_to(c, [noop]), "it serves on"
        is_told_once(server, "tls_on_plain_port")


@case
def tls_on_a_unix_socket():
    with Server("-m", 64, unix=True) as server:
        for version in VERSIONS:
            for pieces in ways_to_cut(hello_of(version)):
                with server.connect_unix() as c:
                    assert answer_to(c, pieces) == b"", pieces
        server.check_alive()
    is_told_once(server, "tls_on_plain_port", "unix")


@case
def almost_a_hello_on_a_plain_port():
    """A line may begin with the byte that a hello begins with; it is answered as any bad line."""
    with Server("-m", 64) as server:
        for line in (b"\x16", b"\x16\x03", b"\x16\x04\x01", b"\x16get a"):
            for pieces in ways_to_cut(line + b"\r\nmn\r\n"):
                with server.connect() as c:
                    answer = answer_to(c, pieces)
                    assert b"ERROR" in answer and answer.endswith(b"\r\nMN\r\n"), (pieces, answer)
    assert not lines_of(server, "tls_on_plain_port")


@case
def almost_a_hello_on_a_binary_port():
    with Server("-m", 64, "-B", "binary") as server:
        for data in ALMOST_TLS[:2] + (b"\x16\x03\5\1", b"\x16\x02", b"\x16", b"get a\r\n"):
            for pieces in ways_to_cut(data):
                with server.connect() as c:
                    assert answer_to(c, pieces) == b"", pieces
        for pieces in ways_to_cut(packet(0x0a)):
            with server.connect() as c:
                assert len(answer_to(c, pieces)) == 24, pieces
    assert not lines_of(server, "tls_on_plain_port")


@case
def one_byte_and_silence():
    """Who has shown one byte of a dialect is told apart already; one byte of TLS has the time of a
    handshake, one byte of a plain dialect that of an idle client."""
    with TlsServer("-m", 64, "--auth-timeout", 2, "-o", "idle_timeout=2") as server:
        for byte in (b"g", b"\x80", b"\n", b"\0"):
            with server.raw() as c:
                c.send(byte)
                assert c.wait_closed() == b""
        wait_for(lambda: server.stats(b"tls")["handshakes_failed"] == "4", "the failures' count")
        clients = [server.raw(), server.connect(), server.connect(), server.connect()]
        for c, byte in zip(clients, (b"\x16", b"\x16", b"g", b"\x80")):
            c.send(byte)
        for c in clients:
            assert c.wait_closed() == b""
            c.close()
        server.check_alive()


@case
def datagrams_are_not_looked_at():
    """UDP stays in the clear, and no datagram is taken for a hello."""
    port = free_port()
    with TlsServer("-m", 64, "-U", port) as server, socket.socket(socket.AF_INET,
                                                                  socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT_S)
        s.connect(("127.0.0.1", port))
        frame = b"\0\7\0\0\0\1\0\0"
        for data in (hello_of(None), frame + hello_of(None), b"\x16", b"\x16\x03\x01"):
            s.send(data)

        def answered():
            s.send(frame + b"version\r\n")
            return b"VERSION" in s.recv(2000)
        wait_for(answered, "an answer to a good datagram")
        server.check_alive()
    assert not lines_of(server, "tls_on_plain_port") and not lines_of(server, "plaintext_on_tls")


@case
def each_address_is_told():
    with TlsServer("-m", 64) as server:
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            for _ in range(5):
                with server.raw(source=source) as c:
                    c.try_send(b"get a\r\n")
                    c.wait_closed()
                with Conn(("127.0.0.1", server.port), source=source) as c:
                    c.try_send(hello_of(None))
                    c.wait_closed()
    for event in ("plaintext_on_tls_port", "tls_on_plain_port"):
        lines = lines_of(server, event)
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            mine = [n for n in lines if "address=%s " % source in n]
            assert len(mine) == 2 and "repeated=4" in mine[1], lines


run()
