#!/usr/bin/python3
"""Attacks and bad input on the binary protocol, and on connections that mix the dialects."""

import random
import struct

from harness import (HEADER, IS_REFERENCE, MIB, SLACK, Server, answers, case, in_threads, packet,
                     run, store_packet)

EXTRAS = {0x01: 8, 0x02: 8, 0x03: 8, 0x11: 8, 0x12: 8, 0x13: 8, 0x05: 20, 0x06: 20, 0x15: 20, 0x16: 20,
          0x1c: 4, 0x1d: 4, 0x1e: 4, 0x23: 4, 0x24: 4}
QUITS = (0x07, 0x17)
SIGN_BODIES = (0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 0xffffff00, 0x7ffffffe,
               0x40000001, 0xffffffe8, 0xffffffe7)


def statuses(data):
    """[(opcode, status, opaque)] of the replies. The end of a connection may cut the last."""
    found = []
    while len(data) >= HEADER.size:
        magic, opcode, _, _, kind, status, n_body, opaque, _ = HEADER.unpack_from(data)
        assert magic == 0x81 and kind == 0, data[:100]
        found.append((opcode, status, opaque))
        data = data[HEADER.size + n_body:]
    return found


@case
def cve_2011_4971_huge_body():
    with Server("-m", 64) as server:
        before = server.rss()

        def work(part):
            for opcode in range(part, 256, 4):
                for n_body in SIGN_BODIES:
                    for n_key in (0, 3):
                        data = answers(server, packet(opcode, b"key"[:n_key],
                                                      b"\0" * EXTRAS.get(opcode, 0),
                                                      n_body=n_body) + b"x" * 100)
                        found = statuses(data)
                        assert IS_REFERENCE or [(op, status != 0) for op, status, _ in found] == [
                            (opcode, True)], (opcode, n_body, found)
        in_threads(4, work)
        assert server.rss() - before < 32 * MIB * SLACK
        server.check_alive()


@case
def cve_2016_8704_append_lengths():
    lengths_refused(0x0e, 0x0f, 0x19, 0x1a)


@case
def cve_2016_8705_update_lengths():
    lengths_refused(0x01, 0x02, 0x03, 0x11, 0x12, 0x13)


def lengths_refused(*opcodes):
    with Server("-m", 64) as server:
        for opcode in opcodes:
            extras = b"\0" * EXTRAS.get(opcode, 0)
            for n_key, n_body in ((250, 0), (250, 1), (250, 249), (0xfa, 0xfa - 1), (1, 0), (10, 8),
                                  (65535, 0), (0xffff, 0xfffe), (3, len(extras) + 2)):
                data = answers(server, packet(opcode, b"k" * min(n_key, 250), extras, b"x" * 2000,
                                              n_key=n_key, n_body=n_body))
                found = statuses(data)
                assert IS_REFERENCE or found and all(status for _, status, _ in found), (opcode, found)
        with server.connect() as c:
            for n in (1, 3, 10, 250):
                assert c.ask_binary(0, b"k" * n).status == 1, "a key was stored"
        server.check_alive()


@case
def cve_2020_10931_extras_length():
    with Server("-m", 64) as server:
        def work(part):
            for opcode in range(part, 256, 4):
                for n_extras in (0, 1, 3, 4, 5, 7, 8, 9, 19, 20, 21, 24, 100, 127, 128, 254, 255):
                    data = packet(opcode, b"key", b"\xff" * n_extras, b"v" * (n_extras % 2))
                    found = statuses(answers(server, data + packet(0x0a, opaque=1)))
                    # The noop is served, or the extras were an error, which may end the connection.
                    assert (IS_REFERENCE or opcode in QUITS or (0x0a, 0, 1) in found[-1:] or
                            found[-1][0] == opcode and found[-1][1] != 0), (opcode, n_extras, found)
                for n_extras in (1, 21, 255):
                    found = statuses(answers(server, packet(opcode, b"key", n_extras=n_extras)))
                    assert IS_REFERENCE or all(status for _, status, _ in found), (opcode, found)
        in_threads(4, work)
        server.check_alive()


@case(keepd_only="repaired after 1.6.18")
def cve_2026_body_length_sign():
    evil = store_packet(1, b"evil", b"1")
    with Server("-m", 64) as server:
        for opcode in (0, 1, 4, 5, 7, 8, 0x0a, 0x0b, 0x0e, 0x10, 0x1b, 0x1c, 0x20, 0x21, 0x30, 0x40, 0xff):
            for n_body in SIGN_BODIES:
                for n_key in (0, 3):
                    extras = b"\0" * EXTRAS.get(opcode, 0)
                    answers(server, packet(opcode, b"key"[:n_key], extras, n_body=n_body) + evil * 3)
        with server.connect() as c:
            assert c.ask_binary(0, b"evil").status == 1


@case(keepd_only="an unknown opcode's body loses its length")
def binary_body_never_becomes_commands():
    evil = store_packet(1, b"evil", b"1")
    refused = [packet(1, b"k", b"\0" * 8, evil + b"x" * 2000000),
               packet(0x1b, b"", b"\0\0\0\1", evil), packet(0x30, b"key", b"", evil),
               packet(0x40, b"key", b"\0" * 8, evil), packet(0xff, b"", b"", evil),
               packet(0x10, b"", b"", evil), packet(0x1c, b"k", b"\0" * 4, evil),
               packet(0x1d, b"k", b"\0" * 4, evil), packet(0, b"k", b"", evil),
               packet(0x0a, b"", b"", evil), packet(0x0b, b"", b"", evil),
               packet(4, b"k", b"", evil), packet(8, b"", b"", evil), packet(7, b"", b"", evil),
               packet(5, b"k", b"\0" * 20, evil), packet(1, b"k", b"\0" * 4, evil),
               packet(1, b"k" * 251, b"\0" * 8, evil), packet(1, b"", b"\0" * 8, evil),
               packet(0x20, b"", b"", evil), packet(0x21, b"PLAIN", b"", evil),
               packet(0x22, b"PLAIN", b"", evil), packet(0x21, b"M" * 40, b"", evil)]
    with Server("-m", 64) as server:
        wrong = []
        for i, data in enumerate(refused):
            answers(server, data)
            with server.connect() as c:
                if c.ask_binary(0, b"evil").status != 1:
                    wrong.append((i, data[:40]))
                    c.ask_binary(4, b"evil")
        assert not wrong, wrong


@case(keepd_only="the next request is eaten")
def unknown_opcodes_keep_the_connection():
    with Server() as server, server.connect() as c:
        for opcode in [0x1f] + list(range(0x25, 0x30)) + list(range(0x30, 0x100)):
            c.send(packet(opcode, b"key", b"\0" * 4, b"value", opaque=opcode))
            r = c.reply()
            assert (r.opcode, r.status, r.opaque) == (opcode, 0x81, opcode), r
            assert c.ask_binary(0x0a).opcode == 0x0a
        # libmemcached sends a verbosity, which memcached never knew.
        assert c.ask_binary(0x1b, b"", b"\0\0\0\1").status == 0
        assert c.ask_binary(0x0a).opcode == 0x0a


@case
def random_binary_headers():
    with Server("-m", 64, "-t", 2) as server:
        def work(seed):
            rng = random.Random(seed)
            for _ in range(50):
                requests = []
                for _ in range(200):
                    opcode = rng.randrange(256)
                    n_extras = EXTRAS.get(opcode, 0) if rng.random() < 0.8 else rng.randrange(30)
                    key = rng.randbytes(rng.choice((0, 1, 3, 20, 250)))
                    value = rng.randbytes(rng.choice((0, 0, 1, 100, 3000)))
                    requests.append(packet(opcode, key, rng.randbytes(n_extras), value,
                                           opaque=rng.randrange(1 << 32),
                                           cas=rng.choice((0, 0, 1, rng.randrange(1 << 64)))))
                # An answer belongs to a request, and comes after those to earlier ones.
                asked = iter([struct.unpack_from(">B10xL", r, 1) for r in requests])
                last = None
                for opcode, _, opaque in statuses(answers(server, b"".join(requests))):
                    if (opcode, opaque) != last:
                        last = next((r for r in asked if r == (opcode, opaque)), None)
                        assert last, (seed, hex(opcode), opaque)
        in_threads(4, work)
        server.check_alive()


@case
def wrong_magic_closes():
    with Server() as server:
        for magic in (0x00, 0x81, 0x7f, 0xff, 0x67):
            with server.connect() as c:
                c.send(packet(0x0a) + packet(0x0a, magic=magic) + packet(0x0a) * 2)
                data = c.wait_closed()
                assert len(data) == 24, (magic, data)
        server.check_alive()


@case
def response_magic_as_first_byte_is_text():
    with Server() as server, server.connect() as c:
        c.send(packet(0x0a, magic=0x81).replace(b"\0", b"\1") + b"\r\n")
        assert b"ERROR" in c.line()


@case
def protocol_mixing():
    with Server() as server:
        for first, then in ((b"set a 0 0 1\r\n1\r\n", store_packet(1, b"evil", b"1")),
                            (packet(0x0a), b"set evil 0 0 1\r\n1\r\nset evil 0 0 1\r\n1\r\n"),
                            (b"get a\r\n", packet(0x0a) + b"\r\nset evil 0 0"),
                            (store_packet(1, b"a", b"1"), b"\r\n" * 50 + b"set evil 0 0 1\r\n1\r\n")):
            data = answers(server, first + then)
            assert data
            with server.connect() as c:
                assert c.get(b"evil") is None, (first, then)
        server.check_alive()


@case
def key_lengths():
    with Server() as server:
        with server.connect() as c:
            assert c.ask_binary(1, b"k" * 250, b"\0" * 8, b"v").status == 0
            assert c.ask_binary(0, b"k" * 250).value == b"v"
        for n in (251, 300, 16000, 20000, 65535):
            data = answers(server, packet(0, b"k" * n))
            assert not data or data[:8] == b"\x81\0\0\0\0\0\0\4", (n, data)
        data = answers(server, packet(0))
        assert data[6:8] == b"\0\4", data
        server.check_alive()


@case
def header_split_at_every_byte():
    with Server() as server, server.connect() as c:
        request = store_packet(1, b"split", b"value", flags=7, opaque=3)
        for at in range(1, len(request)):
            c.send(request[:at])
            c.send(request[at:])
            r = c.reply()
            assert (r.status, r.opaque) == (0, 3)


run()
