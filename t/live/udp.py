#!/usr/bin/python3
"""Requests in datagrams: the frame, what is answered and how, and what is not."""

import os
import re
import socket
import struct

from harness import (MIB, TIMEOUT_S, Server, case, folder, free_port, need_ipv6, packet, run,
                     run_program, store_packet, user_args, wait_for)

FRAME = struct.Struct(">HHHH")
PAYLOAD_MAX = 1392
UNLIMITED = ("-o", "udp_reply_limit=0")


class Client:
    """A UDP client of this server; each request has an id of its own."""

    def __init__(self, server, family=socket.AF_INET):
        with open(server.port_file) as f:
            name = "INET6" if family == socket.AF_INET6 else "INET"
            port = int(re.search(r"^UDP %s: (\d+)$" % name, f.read(), re.M)[1])
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        self.socket.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
        self.socket.settimeout(TIMEOUT_S)
        self.id = 0x1233

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def send(self, data, sequence=0, total=1, reserved=0):
        self.id = (self.id + 1) & 0xffff
        self.socket.send(FRAME.pack(self.id, sequence, total, reserved) + data)

    def datagram(self):
        """(id, sequence, total, reserved, payload) of the next datagram."""
        data = self.socket.recv(65536)
        assert len(data) <= 1400, len(data)
        return FRAME.unpack(data[:8]) + (data[8:],)

    def series(self):
        """The next answer, put together; its datagrams' sizes are in self.sizes."""
        parts = {}
        total = None
        while total is None or len(parts) < total:
            number, sequence, count, reserved, payload = self.datagram()
            assert number == self.id and reserved == 0 and count > 0, (number, count, reserved)
            assert total in (None, count) and sequence < count and sequence not in parts
            total = count
            parts[sequence] = payload
        self.sizes = [len(parts[i]) for i in range(total)]
        return b"".join(parts[i] for i in range(total))

    def ask(self, data):
        self.send(data)
        return self.series()

    def check_silent(self):
        """Nothing is waiting: a later request is answered first."""
        self.send(b"mn\r\n")
        answer = self.datagram()
        assert answer[0] == self.id and answer[4] == b"MN\r\n", answer


def udp_server(*args, **options):
    return Server("-U", "-1", *args, **options)


@case
def get_and_set():
    with udp_server() as server, Client(server) as c, server.connect() as tcp:
        assert c.ask(b"set a 0 0 5\r\nhello\r\n") == b"STORED\r\n"
        assert tcp.get(b"a") == b"hello"
        c.id = 0x1233
        c.send(b"get a\r\n")
        assert c.socket.recv(2000) == b"\x12\x34\0\0\0\1\0\0VALUE a 0 5\r\nhello\r\nEND\r\n"
        assert c.ask(b"get missing\r\n") == b"END\r\n"
        assert c.ask(b"incr a 1\r\n").startswith(b"CLIENT_ERROR cannot increment")
        assert c.ask(b"delete a\r\n") == b"DELETED\r\n"
        assert c.ask(b"version\r\n").startswith(b"VERSION ")
        assert c.ask(b"nonsense\r\n") == b"ERROR\r\n"


@case
def every_protocol():
    with udp_server() as server, Client(server) as c:
        assert c.ask(b"ms a 1\r\nx\r\n") == b"HD\r\n"
        assert c.ask(b"mg a v\r\n") == b"VA 1\r\nx\r\n"
        answer = c.ask(store_packet(0x01, b"b", b"value", opaque=7))
        assert answer[0] == 0x81 and answer[6:8] == b"\0\0" and answer[12:16] == b"\0\0\0\7"
        answer = c.ask(packet(0x00, b"b"))
        assert answer.endswith(b"value"), answer
        assert c.ask(b"get b\r\n") == b"VALUE b 0 5\r\nvalue\r\nEND\r\n"


@case
def both_families():
    need_ipv6()
    with Server("-U", "-1", "-p", "-1", "-l", "127.0.0.1,::1", listen=None) as server:
        with Client(server) as four, Client(server, socket.AF_INET6) as six:
            assert four.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"
            assert six.ask(b"get a\r\n") == b"VALUE a 0 1\r\nx\r\nEND\r\n"


@case
def what_is_no_request_is_dropped():
    with udp_server() as server, Client(server) as c:
        for data in (b"", b"\0", b"\0" * 7, FRAME.pack(1, 0, 1, 0)):
            c.socket.send(data)
        for total in (0, 2, 65535):
            c.send(b"version\r\n", total=total)
        c.check_silent()
        c.send(b"version\r\n", sequence=77, reserved=999)
        assert c.series().startswith(b"VERSION ")


@case
def half_requests():
    with udp_server() as server, Client(server) as c, server.connect() as tcp:
        c.send(b"get a")
        c.send(packet(0x00, b"abc", n_key=200, n_body=200))
        c.send(packet(0x00, b"abc")[:20])
        c.check_silent()
        assert c.ask(b"set a 0 0 10\r\nhello") == b"CLIENT_ERROR bad data chunk\r\n"
        assert c.ask(b"set a 0 0 900000\r\nhello") == b"CLIENT_ERROR bad data chunk\r\n"
        c.send(b"set a 0 0 10 noreply\r\nhello")
        c.send(store_packet(0x01, b"a", b"12345", n_body=100000))
        c.check_silent()
        assert tcp.get(b"a") is None
        # Two datagrams are never joined.
        c.send(b"set a 0 0 5\r\nhe")
        assert c.series() == b"CLIENT_ERROR bad data chunk\r\n"
        c.send(b"llo\r\n")
        assert c.series() == b"ERROR\r\n"


@case(keepd_only="an empty datagram for each")
def no_empty_datagrams():
    with udp_server() as server, Client(server) as c:
        c.send(b"set a 0 0 1 noreply\r\nx\r\n")
        c.send(b"quit\r\n")
        c.send(b"mg missing q\r\n")
        c.send(packet(0x09, b"missing"))
        c.check_silent()
        assert c.ask(b"get a\r\n") == b"VALUE a 0 1\r\nx\r\nEND\r\n"
        assert c.ask(b"get missing a\r\n") == b"VALUE a 0 1\r\nx\r\nEND\r\n"
        assert c.ask(b"get missing missing\r\n") == b"END\r\n"


@case(keepd_only="each hit is a series of its own")
def multiget_is_one_series():
    with udp_server(*UNLIMITED) as server, Client(server) as c:
        wanted = b""
        for i in range(150):
            value = b"%d" % i * 10
            assert c.ask(b"set k%d 0 0 %d\r\n%s\r\n" % (i, len(value), value)) == b"STORED\r\n"
            wanted += b"VALUE k%d 0 %d\r\n%s\r\n" % (i, len(value), value)
        keys = b" ".join(b"k%d" % i for i in range(150))
        assert c.ask(b"get " + keys + b"\r\n") == wanted + b"END\r\n"
        assert len(c.sizes) > 1 and c.sizes[:-1] == [PAYLOAD_MAX] * (len(c.sizes) - 1)


@case
def several_commands_are_answered_each():
    with udp_server() as server, Client(server) as c:
        c.send(b"set a 0 0 1\r\nx\r\nget a\r\nget b\r\nversion\r\nget a")
        assert c.series() == b"STORED\r\n"
        assert c.series() == b"VALUE a 0 1\r\nx\r\nEND\r\n"
        assert c.series() == b"END\r\n"
        assert c.series().startswith(b"VERSION ")
        c.check_silent()
        c.send(packet(0x0a, opaque=1) + packet(0x0a, opaque=2) + packet(0x0a, magic=0x79))
        assert c.series()[12:16] == b"\0\0\0\1" and c.series()[12:16] == b"\0\0\0\2"
        c.check_silent()


@case
def long_answers_are_series():
    with udp_server(*UNLIMITED) as server, Client(server) as c, server.connect() as tcp:
        for n in (1380, 1390, 5000, 20000, 100000, 900000):
            value = bytes(i * 7 % 251 for i in range(n))
            assert tcp.set(b"big", value) == b"STORED"
            if n > 100000:
                continue
            assert c.ask(b"get big\r\n") == b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (n, value)
            assert c.sizes[:-1] == [PAYLOAD_MAX] * (len(c.sizes) - 1)
            if n == 5000:
                assert len(c.sizes) == 4
        stats = c.ask(b"stats\r\n")
        assert stats.startswith(b"STAT pid") and stats.endswith(b"END\r\n") and len(c.sizes) >= 2


@case
def long_requests():
    with udp_server() as server, Client(server) as c, server.connect() as tcp:
        value = b"v" * 58000
        assert c.ask(b"set long 0 0 %d\r\n%s\r\n" % (len(value), value)) == b"STORED\r\n"
        assert tcp.get(b"long") == value
        assert c.ask(b"get " + b"k " * 29000 + b"\r\n") == b"END\r\n"


@case(keepd_only="no bound")
def answers_are_bounded_by_the_request():
    with udp_server() as server, Client(server) as c, server.connect() as tcp:
        assert tcp.set(b"big", b"x" * 5000) == b"STORED"
        refused = b"SERVER_ERROR response too large for UDP\r\n"
        assert c.ask(b"get big\r\n") == refused
        assert c.ask(b"mg big v\r\n") == refused
        assert c.ask(b"stats\r\n") == refused
        assert c.ask(packet(0x00, b"big"))[6:8] == b"\0\3"
        # Who sends more may have more.
        assert len(c.ask(b"get big" + b" big" * 200 + b"\r\n")) <= 20 * 900
        assert c.ask(b"get " + b"m" * 250 + b" big\r\n").startswith(b"VALUE big 0 5000")
        # All answers to one datagram together.
        c.send(b"version\r\n" * 100)
        n_request, n_answers = 8 + 900, len(c.socket.recv(2000))
        c.socket.settimeout(0.3)
        try:
            while True:
                n_answers += len(c.socket.recv(2000))
        except socket.timeout:
            pass
        assert 0 < n_answers <= 20 * n_request, n_answers


@case(keepd_only="no bound")
def cve_2022_48571_udp_packets():
    """Requests in several datagrams, in every order, short and odd ones: no crash, and no answer is
    larger than twenty times its request."""
    frames = [b""] + [FRAME.pack(7, 0, 1, 0)[:n] for n in range(8)]
    frames += [FRAME.pack(7, sequence, total, reserved) + data
               for total in (0, 1, 2, 3, 255, 65535) for sequence in (0, 1, 2, 65535)
               for reserved in (0, 65535)
               for data in (b"", b"\r\n", b"get big\r\n", b"get big", b"set a 0 0 9\r\n", b"gat 0 big\r\n",
                            b"stats\r\n", packet(0x00, b"big"), packet(0x10), packet(0x00)[:9])]
    with udp_server() as server, server.connect() as tcp:
        assert tcp.set(b"big", b"x" * 900000) == b"STORED"
        for frame in frames:
            with Client(server) as c:
                c.socket.send(frame)
                c.send(b"mn\r\n")
                n = 0
                while (answer := c.datagram())[0] != c.id:  # a later request is answered after it
                    n += FRAME.size + len(answer[4])
                assert answer[4] == b"MN\r\n" and n <= 20 * len(frame), (frame, n, answer)
        server.check_alive()


@case(keepd_only="everything is allowed")
def what_governs_the_server_is_not_for_datagrams():
    with udp_server("-A") as server, Client(server) as c:
        for line in (b"watch fetchers", b"lru_crawler metadump all", b"lru_crawler mgdump all",
                     b"shutdown", b"shutdown graceful", b"cache_memlimit 8", b"verbosity 2",
                     b"stats cachedump 1 10", b"refresh_certs", b"slabs automove 0"):
            c.send(line + b"\r\n")
        c.send(packet(0x20))
        c.send(packet(0x21, b"PLAIN", b"", b"\0u\0p"))
        c.check_silent()
        server.check_alive()
        assert server.stats()["limit_maxbytes"] == str(64 * MIB)


@case
def refused_beside_any_login():
    path = os.path.join(folder(), "users")
    with open(path, "w") as f:
        f.write("user:password\n")
    common = user_args() + ["-p", "-1", "-l", "127.0.0.1", "-U", "11999"]
    for args in (["-Y", path], ["-S"], ["-S", "-B", "binary"]):
        status, _, err = run_program(*common, *args)
        assert status == 64 and "UDP" in err, (status, err)


@case(keepd_only="UDP does not count")
def datagrams_are_open_for_require_auth():
    status, _, err = run_program(*user_args(), "-p", "-1", "-l", "0.0.0.0", "-U", "-1",
                                 "--require-auth")
    assert status == 64, (status, err)


@case
def off_by_default_and_with_a_unix_socket():
    with Server() as server:
        assert "UDP" not in open(server.port_file).read()
    with Server("-U", "-1", unix=True) as server:
        links = [os.readlink("/proc/%d/fd/%s" % (server.pid, fd))
                 for fd in os.listdir("/proc/%d/fd" % server.pid)]
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        for table in ("udp", "udp6"):
            with open("/proc/net/" + table) as f:
                assert not inodes & {line.split()[9] for line in f.readlines()[1:]}


@case
def port_in_use():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        status, _, err = run_program(*user_args(), "-p", "-1", "-l", "127.0.0.1", "-U",
                                     s.getsockname()[1])
        assert status == 71 and "Address already in use" in err, (status, err)


@case
def the_udp_port_is_the_tcp_port_without_p():
    port = free_port()
    with Server("-U", port, "-l", "127.0.0.1", listen=None) as server:
        assert server.port == port
        with Client(server) as c:
            assert c.ask(b"mn\r\n") == b"MN\r\n"


@case
def odd_datagrams_change_nothing():
    """A storm of torn, mixed and random datagrams; then all works."""
    seed = 12345
    pieces = [b"get a\r\n", b"set a 0 0 3\r\nabc\r\n", packet(0x00, b"a"), b"mg a v\r\n", b"\x80" * 30,
              b"\r\n", b"gets", b"a" * 3000, store_packet(0x01, b"k", b"v" * 100), b"quit\r\n"]
    with udp_server() as server, Client(server) as c:
        for _ in range(3000):
            data = b""
            for _ in range(4):
                seed = (seed * 1103515245 + 12345) & 0x7fffffff
                piece = pieces[seed >> 16 & 7 if seed & 1 else (seed >> 20) % len(pieces)]
                data += piece[:(seed >> 8) % (len(piece) + 1)] if seed & 2 else piece
            c.send(data, total=seed >> 12 & 1)
        c.socket.setblocking(False)
        try:
            while True:
                c.socket.recv(65536)
        except BlockingIOError:
            pass
        c.socket.settimeout(0.3)

        def answered():
            c.send(b"version\r\n")
            while True:
                try:
                    number, _, _, _, payload = c.datagram()
                except socket.timeout:
                    return False
                if number == c.id:
                    return payload.startswith(b"VERSION")
        wait_for(answered, "an answer after the storm")
        server.check_alive()


@case(keepd_only="each thread has a copy")
def stats_conns_lists_the_sockets():
    with Server("-U", -1, listen="127.0.0.1") as server, Client(server) as c:
        assert c.ask(b"version\r\n").startswith(b"VERSION")
        conns = server.stats(b"conns")
        fds = [name.split(":")[0] for name in conns if name.endswith(":UDP")]
        assert len(fds) == 1 and conns[fds[0] + ":UDP"] == "UDP", conns
        port = c.socket.getpeername()[1]
        assert conns[fds[0] + ":addr"] == "udp:127.0.0.1:%d" % port, conns
        assert conns[fds[0] + ":state"] == "conn_read", conns
        assert int(conns[fds[0] + ":secs_since_last_cmd"]) <= 60, conns


run()
