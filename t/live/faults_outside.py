#!/usr/bin/python3
"""Faults of what keepd stands on: descriptors, disks, the wall clock, saslauthd."""

import os
import signal
import socket
import struct
import threading
import time

from accounts import OK, REFUSED, SET, START, Accounts, plain
from faults_frame import LOST, faulty, injected, traffic
from harness import Conn, Server, Skip, case, folder, free_port, packet, run, wait_for
from tls_link import TlsServer

HOUR = 3600


# ---------------------------------------------------------------- descriptors

def answers(port):
    try:
        with Conn(("127.0.0.1", port)) as c:
            return c.ask(b"mn") == b"MN"
    except LOST:
        return False


@case
def socket_option_errors():
    """After the start nothing but the identity of a local peer is asked for: a connection whose
    peer is not known has no rights. At the start: it serves, or says why not."""
    accounts = Accounts().tenant("t").user("local", "t", password=None)
    accounts.keepctl("identity", "add", "i", "--user", "local", "--unix-uid", os.getuid())
    rules = ",".join("%s:1:EINVAL" % name for name in
                     ("getsockopt", "setsockopt", "getpeername", "getsockname", "fcntl"))
    with Server("-m", 64, "-t", 2, accounts.option, unix=True, env=faulty(rules)) as server:
        for _ in range(60):
            with server.connect_unix() as c:
                c.send(packet(START, b"EXTERNAL"))
                assert c.reply().status == REFUSED
            with server.connect_unix() as c:
                c.send(packet(SET, b"k", bytes(8), b"v"))
                assert c.reply().status == REFUSED
    assert injected(server)["getsockopt"] >= 100
    for n in range(1, 12):
        rules = "!setsockopt:=%d:EINVAL,!getsockname:=%d:EINVAL,!getsockopt:=%d:EINVAL" % (n, n, n)
        port = free_port()
        server = Server("-m", 64, "-t", 2, listen="127.0.0.1:%d" % port, wait=False,
                        expect_exit=None, env=faulty(rules))
        wait_for(lambda s=server, p=port: not s.is_running() or answers(p), "an end or a start")
        if server.is_running():
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 0
        else:
            assert server.wait_end() > 0 and server.log().strip()


@case
def no_socket_at_the_start():
    for name in ("EMFILE", "ENFILE", "ENOBUFS", "EPERM"):
        server = Server("-m", 64, wait=False, expect_exit=None, env=faulty("!socket:1:" + name))
        assert server.wait_end() == 71, server.log()
        assert "socket" in server.log() or "listen" in server.log(), server.log()


@case
def no_descriptor_for_a_reload():
    """Files that cannot be opened when they are to be read again: all goes on as before."""
    accounts = Accounts().tenant("t").user("alice", "t", "apw")
    log = os.path.join(folder(), "log")
    for name in ("EMFILE", "ENFILE", "EIO"):
        with TlsServer("-m", 64, "-t", 2, accounts.option, "--log-file", log, "-v",
                       env=faulty("open:1:" + name)) as server:
            with server.connect() as c:
                assert c.set(b"login", b"alice apw") == b"STORED"
                for _ in range(3):
                    server.signal(signal.SIGHUP)
                    assert c.set(b"k", b"v") == b"STORED"

                def text():
                    with open(log) as f:
                        return f.read()
                wait_for(lambda: "event=tls_reload_failed" in text() or "reload" in text(),
                         "the failure in the log")
                assert c.get(b"k") == b"v"
            with server.tls() as c:
                assert c.set(b"login", b"alice apw") == b"STORED"
                assert c.get(b"k") == b"v"
        counts = injected(server)
        assert counts["open"] >= 3, counts


@case
def datagrams_fail():
    rules = "recvfrom:3:EINTR,recvmsg:3:EAGAIN,sendmsg:4:ENOBUFS,sendto:4:ENOBUFS"
    with Server("-m", 64, "-t", 2, "-U", "-1", env=faulty(rules)) as server:
        wait_for(lambda: "UDP" in open(server.port_file).read(), "the port")
        with open(server.port_file) as f:
            port = int([line for line in f if line.startswith("UDP")][0].split()[-1])
        server.check_alive()
        n_answers = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", port))
            s.settimeout(0.1)
            for i in range(1000):
                if i >= 80 and n_answers >= 20:
                    break
                s.send(struct.pack(">4H", i, 0, 1, 0) + b"mn\r\n")
                try:
                    answer = s.recv(2000)
                except socket.timeout:
                    continue
                assert answer[8:] == b"MN\r\n", answer
                n_answers += 1
        assert n_answers >= 20, n_answers
        server.check_alive()
    assert sum(injected(server).values()) >= 5


# ---------------------------------------------------------------- logs

@case
def log_file_on_a_bad_disk():
    """Lines are lost and counted; nobody waits for them."""
    for rule in ("filewrite:2:ENOSPC", "filewrite:2:EIO", "filewrite:3:SHORT", "filewrite:2:EINTR"):
        path = os.path.join(folder(), "log")
        with Server("-m", 64, "-t", 2, "-vvv", "--log-file", path, env=faulty(rule)) as server:
            traffic(server.connect, n_rounds=20, n_kept=5)
            wait_for(lambda: os.path.getsize(path) > 1000, "lines that do arrive")
        assert injected(server)["filewrite"] >= 1
        with open(path, "rb") as f:
            lines = f.read().split(b"\n")
        # A line that was cut is the last one before a loss; each begins with its time.
        assert sum(not line.startswith(b"time=") for line in lines if line) <= len(lines) // 2


# ---------------------------------------------------------------- the wall clock

def check_left(c, key, stored):
    """Of its 1000 seconds the key has lived as many as passed since it was stored, by the clock of
    this test."""
    c.send(b"mg %s t\r\n" % key)
    left = int(c.line().split(b"t")[1])
    passed = time.monotonic() - stored
    assert 1000 - passed - 3 <= left <= 1000, (left, passed)


class Clock:
    """The wall clock of a server, and how wrong it is."""

    def __init__(self):
        self.path = os.path.join(folder(), "clock")
        self.jump(0)

    def jump(self, seconds):
        if not os.path.exists(self.path):
            with open(self.path, "wb") as f:
                f.write(bytes(8))
        with open(self.path, "r+b") as f:
            f.write(struct.pack("=q", seconds))

    def env(self):
        return dict(faulty("none:1:EIO"), KEEPD_CLOCK=self.path)


@case
def clock_jumps():
    """Times to live follow the monotonic clock, whatever happens to the other."""
    clock = Clock()
    with Server("-m", 64, "-t", 2, env=clock.env()) as server, server.connect() as c:
        stored = time.monotonic()
        assert c.set(b"long", b"v", exptime=1000) == b"STORED"
        for jump in (5 * HOUR, -5 * HOUR, 400 * 24 * HOUR, 0, -1000 * 24 * HOUR):
            clock.jump(jump)
            assert c.set(b"short", b"v", exptime=1) == b"STORED"
            began, uptime = time.monotonic(), int(c.stats()["uptime"])
            wait_for(lambda: c.get(b"short") is None, "the end of a second")
            assert c.get(b"long") == b"v", jump
            check_left(c, b"long", stored)
            passed = int(c.stats()["uptime"]) - uptime
            assert 0 <= passed <= time.monotonic() - began + 3, passed
            traffic(server.connect, n_rounds=3)


@case
def clock_jumps_before_a_login():
    """A secret's dates are judged by the clock of the start; TLS and logins go on."""
    clock = Clock()
    accounts = Accounts().tenant("t").user("alice", "t", "apw")
    accounts.keepctl("passwd", "alice", "--label", "tomorrow", "--not-before", "2100-01-01",
                     "--password-stdin", password="later")
    with TlsServer("-m", 64, "-t", 2, accounts.option, env=clock.env()) as server:
        for jump in (0, 100 * 24 * HOUR, -2 * HOUR):
            clock.jump(jump)
            with server.tls() as c:
                c.send(packet(START, b"PLAIN", value=plain("alice", "apw")))
                assert c.reply().status == OK
            with server.tls() as c:
                c.send(packet(START, b"PLAIN", value=plain("alice", "later")))
                assert c.reply().status == REFUSED


@case
def clock_jumps_between_two_servers():
    """With -e the time that is left is what is kept, by the clock that both can see."""
    clock, path = Clock(), os.path.join(folder(), "memory")
    for jump in (5 * HOUR, -3 * HOUR):
        with Server("-m", 64, "-e", path, env=clock.env()) as server:
            with server.connect() as c:
                stored = time.monotonic()
                assert c.set(b"a", b"v", exptime=1000) == b"STORED"
            clock.jump(jump)
            server.signal(signal.SIGUSR1)
            assert server.wait_end() == 0
        with Server("-m", 64, "-e", path, env=clock.env()) as server, server.connect() as c:
            assert c.get(b"a") == b"v"
            check_left(c, b"a", stored)


# ---------------------------------------------------------------- saslauthd

class FakeSaslauthd:
    """What pwcheck_method: saslauthd talks to: four counted strings, one back. manner: "right",
    "silent", "vanish" (ends after the question), "half" (half an answer) or "noise"."""

    def __init__(self, path):
        self.path, self.manner, self.held = path, "right", []
        self.begin()

    def begin(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self.listener.listen(64)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def serve(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                self.answer(connection)
            except OSError:
                pass

    def answer(self, connection):
        stream = connection.makefile("rb")
        words = [stream.read(struct.unpack(">H", stream.read(2))[0]) for _ in range(4)]
        if self.manner == "silent":
            self.held.append(connection)
            return
        said = b"OK" if words[:2] == [b"alice", b"apw"] else b"NO"
        whole = struct.pack(">H", len(said)) + said
        connection.sendall({"right": whole, "vanish": b"", "half": whole[:3],
                            "noise": b"\xff\xff\0\r\n!"}[self.manner])
        connection.close()


@case
def saslauthd_disappears():
    path = folder()
    daemon = FakeSaslauthd(os.path.join(path, "mux"))
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("mech_list: plain\npwcheck_method: saslauthd\nsaslauthd_path: %s\n" % daemon.path)

    def status(server, password="apw"):
        with server.connect() as c:
            c.send(packet(START, b"PLAIN", value=plain("alice", password)))
            return c.reply().status

    with Server("-S", "-m", 64, "-t", 2, env={"SASL_CONF_PATH": path}) as server:
        with server.connect() as working:
            working.send(packet(START, b"PLAIN", value=plain("alice", "apw")))
            assert working.reply().status == OK

            def works():
                working.send(packet(SET, b"k", bytes(8), b"v"))
                return working.reply().status == OK
            for manner in ("vanish", "half", "noise"):
                daemon.manner = manner
                assert status(server) == REFUSED, manner
                assert works()
            daemon.end()
            assert status(server) == REFUSED
            assert works()
            daemon.manner = "right"
            daemon.begin()
            wait_for(lambda: status(server) == OK, "logins to work again")
            assert status(server, "wrong") == REFUSED
            # Silent for ever: those who are in work on, and those who wait can leave.
            # cyrus forgets the socket of each question without a good answer: those do not count.
            before = server.n_descriptors()
            daemon.manner = "silent"
            waiting = []
            for _ in range(4):
                waiting.append(server.connect())
                waiting[-1].send(packet(START, b"PLAIN", value=plain("alice", "apw")))
            wait_for(lambda: daemon.held, "a question")
            assert all(works() for _ in range(100))
            for c in waiting:
                c.reset()
            daemon.manner = "right"

            def release():
                while daemon.held:
                    held = daemon.held.pop()
                    held.sendall(struct.pack(">H", 2) + b"NO")
                    held.close()
                return server.n_descriptors() <= before
            wait_for(release, "the descriptors of those who left")
            wait_for(lambda: status(server) == OK, "logins to work again")


def login_amid_a_stop(path):
    """The reply to a login that is with saslauthd when the server is told to stop, or None, and how
    long all that took since."""
    daemon = FakeSaslauthd(os.path.join(path, "mux"))
    daemon.manner = "silent"
    with Server("-S", "-m", 64, env={"SASL_CONF_PATH": path}) as server, server.connect() as c:
        other = server.connect()
        other.send(packet(0x0b))
        assert other.reply().status == OK
        c.send(packet(START, b"PLAIN", value=plain("alice", "apw")))
        wait_for(lambda: daemon.held, "the question to saslauthd")
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        assert other.wait_closed() == b""
        daemon.held[0].sendall(struct.pack(">H", 2) + b"OK")
        daemon.held.pop().close()
        data = c.wait_closed()
        took_s = time.monotonic() - started
        assert server.wait_end() == 0
    daemon.end()
    return data, took_s


@case
def login_ends_before_the_server():
    path = folder()
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("mech_list: plain\npwcheck_method: saslauthd\nsaslauthd_path: %s/mux\n" % path)
    for _ in range(10):
        data, took_s = login_amid_a_stop(path)
        if data:
            assert data[:2] == b"\x81\x21" and data[6:8] == b"\0\0", data
            return
        assert took_s > 2, "the connection was cut off"
    raise Skip("this machine is too slow for the seconds of a stop")


run()
