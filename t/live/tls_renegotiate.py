#!/usr/bin/python3
"""Renegotiation of TLS 1.2, asked for by a client that does not stop at a refusal: its records are
made here, from the keys that the handshake left."""

import hashlib
import hmac
import os
import struct

from harness import MIB, TIMEOUT_S, case, folder, run
from tls_link import V12, RecordClient, TlsServer, client_context

HELLO, ALERT, DATA = 0x16, 0x15, 0x17
CHACHA = "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305"
N_REFUSED = 40
N_FLOOD = 3000
FRUITLESS = 64 * 1024  # bytes; and what lies in the socket when that is noticed
READ = 40 * 1024


# ---------------------------------------------------------------- RFC 8439, RFC 5246

def rotate(n, by):
    return (n << by | n >> 32 - by) & 0xffffffff


def quarter(s, a, b, c, d):
    for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xffffffff
        s[z] = rotate(s[z] ^ s[x], by)


def chacha_block(key, counter, nonce):
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    s = list(start)
    for _ in range(10):
        for column in range(4):
            quarter(s, column, 4 + column, 8 + column, 12 + column)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(s, start)))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    sum_ = 0
    for i in range(0, len(message), 16):
        sum_ = (sum_ + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((sum_ + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def seal(key, nonce, head, text):
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range((len(text) + 63) // 64))
    sealed = bytes(a ^ b for a, b in zip(text, stream))
    padded = b"".join(part + b"\0" * (-len(part) % 16) for part in (head, sealed))
    lengths = struct.pack("<QQ", len(head), len(sealed))
    return sealed + poly1305(chacha_block(key, 0, nonce)[:32], padded + lengths)


def prf(secret, label, seed, n):
    out, a = b"", label + seed
    while len(out) < n:
        a = hmac.digest(secret, a, hashlib.sha256)
        out += hmac.digest(secret, a + label + seed, hashlib.sha256)
    return out[:n]


def known_answers():
    """RFC 8439, 2.8.2, without its additional data's name."""
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " \
           b"sunscreen would be it."
    sealed = seal(bytes(range(0x80, 0xa0)), bytes.fromhex("070000004041424344454647"),
                  bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), text)
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691", sealed[-16:].hex()


# ---------------------------------------------------------------- the client

class Renegotiator:
    """Has done a handshake, and sends records of any kind inside it."""

    def __init__(self, conn):
        path = os.path.join(folder(), "keys")
        context = client_context(V12, ciphers=CHACHA)
        context.keylog_filename = path
        self.conn, self.number = conn, 1  # the client's Finished was the record 0
        link = RecordClient(conn, context)
        feed, seen = link.incoming, []
        link.incoming = type("Tap", (), {"write": lambda _, data: (seen.append(data), feed.write(data))})()
        link.handshake()
        assert "CHACHA20" in link.tls.cipher()[0], link.tls.cipher()
        server_random = b"".join(seen)[11:43]  # behind the heads of record and message, and the version
        with open(path) as f:
            words = [line.split() for line in f if line.startswith("CLIENT_RANDOM")][0]
        client_random, master = bytes.fromhex(words[1]), bytes.fromhex(words[2])
        block = prf(master, b"key expansion", server_random + client_random, 88)
        self.key, self.iv = block[:32], block[64:76]
        self.buffer = b""

    def record(self, kind, body):
        number = struct.pack(">Q", self.number)
        self.number += 1
        nonce = bytes(a ^ b for a, b in zip(self.iv, b"\0" * 4 + number))
        head = number + struct.pack(">BHH", kind, 0x0303, len(body))
        sealed = seal(self.key, nonce, head, body)
        return struct.pack(">BHH", kind, 0x0303, len(sealed)) + sealed

    def hello(self):
        body = b"\3\3" + os.urandom(32) + b"\0" + b"\0\2\xcc\xa8" + b"\1\0"
        return self.record(HELLO, b"\1" + struct.pack(">I", len(body))[1:] + body)

    def answers(self):
        """The kinds of the records that come, up to the server's end."""
        while True:
            while len(self.buffer) < 5 or len(self.buffer) < 5 + int.from_bytes(self.buffer[3:5], "big"):
                try:
                    data = self.conn.socket.recv(1 << 16)
                except ConnectionError:
                    return
                if not data:
                    return
                self.buffer += data
            kind, n = self.buffer[0], int.from_bytes(self.buffer[3:5], "big")
            self.buffer = self.buffer[5 + n:]
            yield kind


def cpu_s(server):
    with open("/proc/%d/stat" % server.pid) as f:
        words = f.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@case
def each_request_to_renegotiate_is_refused():
    """By one alert, and the connection goes on."""
    known_answers()
    with TlsServer("-m", 64) as server:
        with server.raw() as c:
            client = Renegotiator(c)
            answers = client.answers()
            for _ in range(N_REFUSED):
                c.send(client.hello())
                assert next(answers) == ALERT
                c.send(client.record(DATA, b"mn\r\n"))
                assert next(answers) == DATA
        stats = server.stats(b"tls")
        assert stats["handshakes_full"] == "1" and stats["proto_errors"] == "0", stats
        server.check_alive()


@case
def a_flood_of_them_ends_the_connection():
    """64 KiB without a byte of data are enough; others are served meanwhile."""
    with TlsServer("-m", 64, "-t", 1) as server, server.tls(version=V12) as witness:
        with server.raw() as c:
            client = Renegotiator(c)
            flood = [client.hello() for _ in range(N_FLOOD)]
            n_each = len(flood[0])
            assert N_FLOOD * n_each > 1.5 * (FRUITLESS + READ)
            before, memory = cpu_s(server), server.rss()
            for i in range(0, N_FLOOD, 50):
                if not c.try_send(b"".join(flood[i:i + 50])):
                    break
            n_refused = sum(kind == ALERT for kind in client.answers())
            assert 0 < n_refused <= (FRUITLESS + READ) // n_each, n_refused
            assert cpu_s(server) - before < TIMEOUT_S / 10
            # AddressSanitizer keeps what was freed, and tells of leaks at the end.
            assert server.rss() < memory + 8 * MIB or os.environ.get("KEEPD_SANITIZED")
        assert witness.ask(b"mn") == b"MN"
        stats = server.stats(b"tls")
        assert stats["proto_errors"] == "1" and stats["handshakes_full"] == "2", stats
        server.check_alive()


run()
