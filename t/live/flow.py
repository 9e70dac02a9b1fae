#!/usr/bin/python3
"""How bytes flow: pipelines, dribbles, half closes, clients that never read, lines without end."""

import random
import struct

from harness import MIB, SLACK, Server, case, packet, run, store_packet, wait_for


@case
def thousands_of_pipelined_requests():
    with Server("-m", 64) as server, server.connect() as c:
        n = 5000
        c.send(b"".join(b"set p%d 0 0 6\r\n%06d\r\n" % (i, i) for i in range(n)))
        assert all(c.line() == b"STORED" for _ in range(n))
        c.send(b"".join(b"get p%d\r\n" % i for i in range(n)))
        for i in range(n):
            assert c.line() == b"VALUE p%d 0 6" % i
            assert c.line() == b"%06d" % i
            assert c.line() == b"END"
        c.send(b"".join(b"mg p%d v O%d\r\n" % (i, i) for i in range(n)) + b"mn\r\n")
        for i in range(n):
            assert c.line() == b"VA 6 O%d" % i
            assert c.line() == b"%06d" % i
        assert c.line() == b"MN"


@case
def thousands_of_pipelined_binary_requests():
    with Server("-m", 64) as server, server.connect() as c:
        n = 5000
        c.send(b"".join(store_packet(0x11, b"p%d" % i, b"%06d" % i, opaque=i) for i in range(n)) +
               packet(0x0a, opaque=n))
        assert c.reply().opaque == n
        c.send(b"".join(packet(0x0d, b"p%d" % i, opaque=i) for i in range(n)) + packet(0x0a))
        for i in range(n):
            r = c.reply()
            assert (r.opcode, r.opaque, r.key, r.value) == (0x0d, i, b"p%d" % i, b"%06d" % i), r
        assert c.reply().opcode == 0x0a


@case
def one_multiget_of_thousands_of_keys():
    with Server("-m", 64) as server, server.connect() as c:
        n = 20000
        c.send(b"".join(b"set m%d 0 0 3 noreply\r\nabc\r\n" % i for i in range(0, n, 2)))
        c.send(b"get " + b" ".join(b"m%d" % i for i in range(n)) + b"\r\n")
        lines = c.lines()
        assert len(lines) == n and lines[-2] == b"VALUE m%d 0 3" % (n - 2)


@case
def byte_by_byte():
    with Server() as server, server.connect() as c:
        c.send_slowly(b"set slow 5 0 10\r\n0123456789\r\n")
        assert c.line() == b"STORED"
        c.send_slowly(b"get slow nothing\r\nmg slow v f\r\n")
        assert [c.line() for _ in range(5)] == [b"VALUE slow 5 10", b"0123456789", b"END",
                                                b"VA 10 f5", b"0123456789"]
    with Server() as server, server.connect() as c:
        c.send_slowly(store_packet(1, b"slow", b"0123456789", flags=5))
        assert c.reply().status == 0
        c.send_slowly(packet(0, b"slow"))
        r = c.reply()
        assert r.value == b"0123456789" and r.extras == struct.pack(">L", 5)


@case
def half_close_is_answered():
    with Server("-m", 64) as server:
        with server.connect() as c:
            c.set(b"h", b"x" * 100000)
            c.send(b"get h\r\n" * 20 + b"version\r\n")
            c.finish_sending()
            data = c.wait_closed()
            assert data.count(b"END\r\n") == 20 and b"VERSION " in data
            assert len(data) > 2000000
        with server.connect() as c:
            c.send(packet(0, b"h") * 5 + packet(0x0b))
            c.finish_sending()
            assert len(c.wait_closed()) > 500000
        server.check_alive()


@case(keepd_only="answers wait for the whole value")
def replies_are_not_withheld_behind_a_half_received_value():
    with Server() as server, server.connect() as c:
        c.send(b"version\r\nset a 0 0 10\r\nabc")
        assert c.line().startswith(b"VERSION ")
        c.send(b"defghij\r\n")
        assert c.line() == b"STORED"
        c.send(b"get a\r\nset b 0 0 2000000\r\nabc")
        assert c.lines() == [b"VALUE a 0 10", b"abcdefghij"]
    with Server() as server, server.connect() as c:
        c.send(packet(0x0b) + store_packet(1, b"a", b"0123456789")[:-4])
        assert c.reply().opcode == 0x0b
        c.send(b"6789")
        assert c.reply().status == 0


def fill_big(server, value=b"v" * 500000):
    with server.connect() as c:
        for i in range(4):
            assert c.set(b"big%d" % i, value) == b"STORED"


@case
def client_that_never_reads_costs_little():
    with Server("-m", 64, "-t", 2) as server:
        fill_big(server)
        before = server.rss()
        hogs = [server.connect(receive_buffer=4096) for _ in range(10)]
        for c in hogs:
            c.send_until_stuck(b"get big0 big1 big2 big3\r\n" * 100, 400000, 0.3)
        with server.connect() as c:
            for _ in range(100):
                assert c.ask(b"mn") == b"MN"
            assert len(c.get(b"big0")) == 500000
        grown = server.rss() - before
        assert grown < 64 * MIB * SLACK, "%d MiB more" % (grown // MIB)
        for c in hogs:
            c.close()
        server.check_alive()


@case
def client_that_never_reads_stops_being_read():
    with Server("-m", 64, "-t", 2) as server:
        fill_big(server)
        with server.connect(receive_buffer=4096) as c:
            sent = c.send_until_stuck(b"get big0\r\n" * 1000, 200 * MIB)
            assert sent < 100 * MIB, "%d MiB were read" % (sent // MIB)
        server.check_alive()


@case
def slow_reader_gets_every_byte():
    with Server("-m", 64) as server:
        values = [bytes([65 + i]) * 300000 for i in range(8)]
        with server.connect(receive_buffer=8192) as c:
            for i, value in enumerate(values):
                assert c.set(b"s%d" % i, value) == b"STORED"
            c.send(b"get " + b" ".join(b"s%d" % i for i in range(8)) + b"\r\n")
            got = c.line() # the answer is on its way; values not looked up yet may be new
            with server.connect() as other:
                for i in range(8):
                    assert other.set(b"s%d" % i, b"new") == b"STORED"
            for i, value in enumerate(values):
                wanted = b"new" if i > 0 and got.endswith(b" 3") else value
                assert got == b"VALUE s%d 0 %d" % (i, len(wanted)), got
                assert c.read(len(wanted) + 2) == wanted + b"\r\n"
                got = c.line()
            assert got == b"END"


@case(keepd_only="the line is buffered whole")
def get_line_of_10_mb_without_newline():
    with Server("-m", 64) as server:
        before = server.rss()
        with server.connect() as c:
            piece = b"get " + b"k" * 100 + b" "
            sent = piece
            c.try_send(sent)
            for _ in range(1000):
                if not c.try_send((b"k" * 100 + b" ") * 100):
                    break
            grown = server.rss() - before
            assert grown < 8 * MIB * SLACK, "%d MiB more" % (grown // MIB)
        server.check_alive()


@case
def line_of_2049_bytes_without_newline_is_cut():
    with Server() as server:
        with server.connect() as c:
            c.send(b"set " + b"k" * 2045)
            c.try_send(b"k" * 100)
            assert c.wait_closed() == b""
        with server.connect() as c:
            c.send(b"x" * 2040)
            assert c.is_silent()
            c.send(b"\r\n")
            assert c.line() == b"ERROR"
        server.check_alive()


@case
def yields_between_connections():
    with Server("-m", 64, "-t", 1, "-R", 5) as server:
        with server.connect() as hog, server.connect() as other:
            hog.set(b"a", b"v")
            hog.send(b"get a\r\n" * 5000)
            assert other.ask(b"mn") == b"MN"
            for _ in range(15000):
                hog.line()
            wait_for(lambda: int(other.stats()["conn_yields"]) > 0, "a yield to be counted")


@case
def quit_flushes_what_was_answered():
    with Server() as server:
        with server.connect() as c:
            c.send(b"set a 0 0 1\r\n1\r\nget a\r\nquit\r\nget a\r\n")
            assert c.wait_closed() == b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
        with server.connect() as c:
            c.send(packet(0, b"no") + packet(7, opaque=9))
            data = c.wait_closed()
            assert data[:2] == b"\x81\x00" and data[-24:-22] == b"\x81\x07", data


@case
def values_in_two_pieces():
    """What is kept between the pieces has any size, and the second piece must find room."""
    with Server("-m", 64, "-t", 1) as server, server.connect() as c, server.connect() as other:
        value = random.Random(1).randbytes(16384)
        request = b"set p 0 0 16384\r\n" + value + b"\r\n"
        many = b"get " + b" ".join(b"key%05d" % i for i in range(4000)) + b"\r\n"
        for at in (1, 300, 511, 512, 513, 8192, 16000, 16367, 16368, 16383, 16384, 16385, 16400):
            c.send(request[:at])
            assert other.ask(b"mn") == b"MN"  # the only worker has taken the first piece
            c.send(request[at:])
            assert c.line() == b"STORED" and c.get(b"p") == value, at
        for at in (10000, 16384, 16385, 20000, 30000, 32767, 32768, 35000):
            c.send(many[:at])
            assert other.ask(b"mn") == b"MN"
            c.send(many[at:])
            assert c.line() == b"END", at


@case
def what_follows_a_large_value():
    """The read that takes a value's end also takes what comes behind it, whole or cut."""
    with Server("-m", 64, "-t", 1) as server, server.connect() as c, server.connect() as other:
        value = random.Random(2).randbytes(100000)
        store = b"set big 0 0 100000\r\n" + value + b"\r\n"
        many = b"".join(b"set s%d 0 0 20\r\n%020d\r\n" % (i, i) for i in range(200))
        last = b"ms big 40000\r\n" + value[:40000] + b"\r\n"
        mixed = store + b"get big\r\n" + store + many + last
        for at in (len(store) - 3, len(store) - 2, len(store) - 1, len(store), len(store) + 4,
                   2 * len(store) + 9 + 1000, 2 * len(store) + 9 + 5000, len(mixed) - 1):
            c.send(mixed[:at])
            assert other.ask(b"mn") == b"MN"
            c.send(mixed[at:])
            assert c.line() == b"STORED"
            assert c.line() == b"VALUE big 0 100000" and c.read(100002) == value + b"\r\n", at
            assert c.line() == b"END" and c.line() == b"STORED"
            assert all(c.line() == b"STORED" for _ in range(200)) and c.line() == b"HD", at
            assert c.get(b"big") == value[:40000], at
        loads = b"".join(store_packet(1, b"b%d" % i, value) for i in range(30))
        with server.connect() as binary:
            binary.send(loads + packet(10))
            assert all(binary.reply().status == 0 for _ in range(31))
        assert other.get(b"b29") == value


@case
def values_that_end_where_a_read_ends():
    """64 KiB are read at once, 2 KiB when a large value went before; the engine's segments may be
    larger. A value's end, its line's end and the next request come in one read or in several."""
    for memory in (64, 256, 1024):
        with Server("-m", memory, "-t", 1) as server, server.connect() as c:
            source = random.Random(3).randbytes(300000)
            stores = b""
            lengths = [n + near for n in (65536, 65536 + 2048, 2 * 65536, 3 * 65536 + 2048)
                       for near in (*range(-30, -20), *range(-3, 4))]  # a head has 24 bytes
            for n in lengths:
                stores += b"set v%06d 0 0 %06d\r\n" % (n, n) + source[-n:] + b"\r\nmn\r\n"
            c.send(stores)
            for n in lengths:
                assert c.line() == b"STORED" and c.line() == b"MN", n
            for n in lengths:
                assert c.get(b"v%06d" % n) == source[-n:], n


run()
