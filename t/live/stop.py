#!/usr/bin/python3
"""How the server ends: signals, with and without load; signals that do not end it."""

import os
import select
import signal
import subprocess
import threading
import time

from harness import Server, Skip, case, folder, in_threads, run, wait_for
from tls_link import TlsServer


@case
def sigterm_ends_with_zero():
    with Server() as server:
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0


@case
def sigint_ends_with_zero():
    with Server() as server:
        server.signal(signal.SIGINT)
        assert server.wait_end() == 0


@case(keepd_only="the second signal may end it by its default action")
def second_sigterm_and_sigint():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
        with Server() as server:
            server.signal(first)
            server.signal(second)
            assert server.wait_end() == 0


@case
def sigusr1_ends_with_zero():
    with Server() as server:
        server.signal(signal.SIGUSR1)
        assert server.wait_end() == 0
        assert "Gracefully stopping" in server.log()


def worker(server, stop, torn):
    """Sets and gets until the server's end; a wrong or torn reply is noted, a clean end is not."""
    def body(i):
        value = b"%03d" % i * 700
        try:
            with server.connect() as c:
                while not stop.is_set():
                    c.send(b"set w%d 0 0 %d\r\n%s\r\nget w%d\r\n" % (i, len(value), value, i))
                    for wanted in (b"STORED", b"VALUE w%d 0 %d" % (i, len(value)), value, b"END"):
                        line = c.line()
                        if line != wanted:
                            torn.append(line[:100])
                            return
        except EOFError as e:
            if "unread: b''" not in str(e):
                torn.append(str(e))
        except OSError:
            pass
    return body


@case
def sigterm_under_load():
    stop, torn = threading.Event(), []
    with Server("-m", 64) as server:
        threads = [threading.Thread(target=worker(server, stop, torn), args=(i,), daemon=True)
                   for i in range(8)]
        for t in threads:
            t.start()
        while int(server.stats()["cmd_set"]) < 200:
            pass
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
        stop.set()
        for t in threads:
            t.join()
    assert not torn, torn[:5]


@case
def harmless_signals():
    with Server("-m", 64) as server:
        done = threading.Event()

        def storm():
            while not done.is_set():
                for s in (signal.SIGPIPE, signal.SIGHUP, signal.SIGWINCH, signal.SIGCHLD,
                          signal.SIGURG):
                    server.signal(s)
                server.signal(signal.SIGSTOP)
                server.signal(signal.SIGCONT)
                time.sleep(0.005)
        thread = threading.Thread(target=storm, daemon=True)
        thread.start()

        def work(i):
            with server.connect() as c:
                for n in range(1000):
                    assert c.set(b"s%d" % i, b"%d" % n) == b"STORED"
                    assert c.get(b"s%d" % i) == b"%d" % n
        try:
            in_threads(4, work)
        finally:
            done.set()
            thread.join()
        server.check_alive()


@case
def signals_at_the_very_start():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for wait_s in (0, 0.001, 0.003, 0.01):
            with Server(wait=False, expect_exit=None) as server:
                time.sleep(wait_s)
                server.signal(number)
                if number == signal.SIGHUP:
                    server.signal(signal.SIGTERM)
                try:
                    status = server.wait_end()
                except subprocess.TimeoutExpired:
                    raise AssertionError("hangs after an early signal %d" % number)
                assert status in (0, -number, -signal.SIGTERM), status


@case(keepd_only="a talkative log blocks the workers")
def log_reader_stuck():
    reader, writer = os.pipe()
    with Server("-vvv", stderr=writer, expect_exit=None) as server:
        os.close(writer)
        with server.connect() as c:
            for _ in range(3000):
                assert c.set(b"a" * 100, b"1") == b"STORED"
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
    os.close(reader)


@case
def log_to_full_disk():
    with open("/dev/full", "wb") as full:
        with Server("-vvv", stderr=full, wait=False,
                    limits=lambda: os.dup2(full.fileno(), 1)) as server:
            server.wait_ready()
            with server.connect() as c:
                for _ in range(200):
                    assert c.set(b"a", b"1") == b"STORED"


class Haste:
    """A stop gives its clients three seconds, and one to go on: a case cannot say anything when the
    machine kept its client from running for longer. begin() is called before the signal, and end()
    when the client has done its part."""

    def begin(self):
        self.began, self.ended = time.monotonic(), None

    def end(self):
        self.ended = self.ended or time.monotonic()

    def try_until_fast(self, work, *args):
        for _ in range(10):
            self.began = self.ended = None
            try:
                return work(*args, self)
            except (AssertionError, EOFError, OSError):
                if self.began is None or (self.ended or time.monotonic()) - self.began < 0.8:
                    raise
        raise Skip("this machine is too slow for the seconds of a stop")


def request_crosses_with_the_end(server_class, haste):
    """The client has not read its answer when the server stops, and sends once more."""
    value = b"v" * 60000
    with server_class() as server, server.connect() as other, \
            (server.tls if server_class is TlsServer else server.connect)(receive_buffer=4096) as c:
        assert c.set(b"big", value) == b"STORED"
        c.send(b"get big\r\n")
        # The answer is in the sockets' buffers.
        wait_for(lambda: other.stats()["cmd_get"] == "1" and
                 "conn_mwrite" not in other.stats(b"conns").values(), "the answer")
        haste.begin()
        server.signal(signal.SIGTERM)
        assert other.wait_closed() == b""
        c.try_send(b"get big\r\n")
        answer = b"VALUE big 0 60000\r\n" + value + b"\r\nEND\r\n"
        data = c.wait_closed()
        assert data in (answer, answer * 2), (len(data), len(answer))


@case(keepd_only="it cuts connections")
def answers_arrive_when_a_request_crosses_with_the_end():
    for server_class in (Server, TlsServer):
        Haste().try_until_fast(request_crosses_with_the_end, server_class)


def to_the_end(c):
    """What still comes until the server closes; a reset is a failure."""
    data = c.buffer
    c.buffer = b""
    while True:
        piece = c.socket.recv(1 << 18)
        if not piece:
            return data
        data += piece


def begin_upload(server, c, head, part, state="conn_nread"):
    """Earlier requests, then the head of a value and a part of it; returns when the server is in it,
    with the answers unread."""
    with server.connect() as other:
        c.send(b"set small 0 0 5\r\nhello\r\nget small\r\n" + head + part)
        wait_for(lambda: state in other.stats(b"conns").values(), "the upload")


EARLIER = b"STORED\r\nVALUE small 0 5\r\nhello\r\nEND\r\n"
N_VALUE = 8 << 20
WHOLE, HALF = b"v" * N_VALUE, b"v" * (N_VALUE // 2)
# What is being sent, the state that is seen, what it is answered with.
UPLOADS = (
    (b"set big 0 0 %d\r\n" % N_VALUE, b"\r\n", "conn_nread", b"STORED\r\n"),
    (b"ms big %d c k\r\n" % N_VALUE, b"\r\n", "conn_nread", None),
    (b"set big 0 0 5000\r\n", b"\r\n", "conn_read", b"STORED\r\n"),
    (b"set " + b"k" * 251 + b" 0 0 %d\r\n" % N_VALUE, b"\r\n", "conn_swallow",
     b"CLIENT_ERROR bad command line format\r\n"),
)


def sizes_of(head):
    """The half that is sent before the stop, and the rest."""
    return (WHOLE[:2500], WHOLE[:2500]) if b" 5000" in head else (HALF, HALF)


def stop_seen_by_another(server, number, haste):
    """Signals, and waits until the stop has ended an idle connection."""
    with server.connect() as other:
        assert other.ask(b"mn") == b"MN"
        haste.begin()
        server.signal(number)
        assert other.wait_closed() == b""


def upload_goes_on(row, number, haste):
    head, tail, state, answer = row
    with Server("-m", 64, "-I", "16m") as server, server.connect() as c:
        first, rest = sizes_of(head)
        begin_upload(server, c, head, first, state)
        stop_seen_by_another(server, number, haste)
        c.send(rest + tail)
        haste.end()
        data = to_the_end(c)
        assert data.startswith(EARLIER), (head[:20], data[:200])
        if answer is not None:
            assert data == EARLIER + answer, (head[:20], data[:300])
        assert server.wait_end() == 0


@case(keepd_only="it cuts connections")
def upload_that_goes_on_is_taken():
    """Whoever is amid a value when the server stops may end it, and gets every answer."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        for row in UPLOADS:
            Haste().try_until_fast(upload_goes_on, row, number)


def upload_pauses(since_start_s, haste):
    with Server("-m", 64) as server, server.connect() as c:
        time.sleep(since_start_s)
        begin_upload(server, c, b"set big 0 0 5000\r\n", WHOLE[:2500], "conn_read")
        stop_seen_by_another(server, signal.SIGTERM, haste)
        time.sleep(0.4)
        c.send(WHOLE[:2500] + b"\r\n")
        haste.end()
        assert to_the_end(c) == EARLIER + b"STORED\r\n"


@case(keepd_only="it cuts connections")
def upload_that_pauses_is_taken():
    """It has a whole second to go on, wherever in a second of its own the server is at the signal."""
    for tenths in (1, 4, 7, 10):
        Haste().try_until_fast(upload_pauses, tenths / 10)


def large_upload_goes_on(server, connect, haste):
    with server, connect() as c:
        begin_upload(server, c, b"set big 0 0 %d\r\n" % N_VALUE, HALF)
        stop_seen_by_another(server, signal.SIGTERM, haste)
        c.send(HALF + b"\r\n")
        haste.end()
        assert to_the_end(c) == EARLIER + b"STORED\r\n"
        assert server.wait_end() == 0


@case(keepd_only="it cuts connections")
def upload_inside_tls_is_taken():
    def work(haste):
        server = TlsServer("-m", 64, "-I", "16m")
        large_upload_goes_on(server, server.tls, haste)
    Haste().try_until_fast(work)


@case(keepd_only="it cuts connections")
def upload_kept_by_a_warm_restart():
    memory = os.path.join(folder(), "memory")

    def work(haste):
        server = Server("-m", 64, "-I", "16m", "-e", memory)
        large_upload_goes_on(server, server.connect, haste)
    Haste().try_until_fast(work)
    with Server("-m", 64, "-I", "16m", "-e", memory) as server, server.connect() as c:
        assert c.get(b"big") == WHOLE and c.get(b"small") == b"hello"


@case(keepd_only="it cuts connections")
def upload_that_stands_still_is_not_waited_for():
    """The server ends; its client has every answer and no reset, and nothing was stored."""
    for head, _, state, _ in UPLOADS:
        memory = os.path.join(folder(), "memory")
        with Server("-m", 64, "-I", "16m", "-e", memory) as server, server.connect() as c:
            begin_upload(server, c, head, sizes_of(head)[0], state)
            server.signal(signal.SIGTERM)
            refusal = b"CLIENT_ERROR bad command line format\r\n" if state == "conn_swallow" else b""
            assert to_the_end(c) == EARLIER + refusal, head[:20]
            assert server.wait_end() == 0
        with Server("-m", 64, "-I", "16m", "-e", memory) as server, server.connect() as c:
            assert c.get(b"small") == b"hello" and c.get(b"big") is None


def upload_never_ends(haste):
    with Server("-m", 64, "-I", "16m") as server, server.connect() as c:
        begin_upload(server, c, b"set big 0 0 %d\r\n" % N_VALUE, b"v" * 100000)
        haste.begin()
        server.signal(signal.SIGTERM)
        assert c.read(len(EARLIER)) == EARLIER
        while not select.select([c.socket], [], [], 0.05)[0]:
            c.send(b"v" * 100)
            if time.monotonic() - haste.began < 0.5:
                haste.begin()
        assert to_the_end(c) == b""
        c.close()
        assert server.wait_end() == 0


@case(keepd_only="it cuts connections")
def upload_that_never_ends_is_ended_orderly():
    """It sends on and on, slowly: the server says its end before it goes."""
    Haste().try_until_fast(upload_never_ends)


def dump_is_read(haste):
    with Server("-m", 64) as server, server.connect(receive_buffer=1 << 16) as c, server.connect() as other:
        n = 100000
        other.send(b"".join(b"set key-%d 0 0 1 noreply\r\nx\r\n" % i for i in range(n)) + b"mn\r\n")
        assert other.line() == b"MN"
        c.send(b"lru_crawler metadump all\r\n")
        wait_for(lambda: {"conn_mwrite", "conn_write"} & set(other.stats(b"conns").values()), "the dump")
        haste.begin()
        server.signal(signal.SIGTERM)
        assert other.wait_closed() == b""
        data = to_the_end(c)
        assert data.startswith(b"OK\r\n") and data.endswith(b"END\r\n"), data[-100:]
        assert data.count(b"key=key-") == n
        assert server.wait_end() == 0


@case(keepd_only="it cuts connections")
def dump_that_is_read_is_whole():
    Haste().try_until_fast(dump_is_read)


run()
