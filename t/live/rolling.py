#!/usr/bin/python3
"""A rolling restart (--takeover=PATH): the next server gets the sockets, and with -e the content; no
request of a client that connects again when its connection has ended is lost."""

import os
import signal
import socket
import threading

from harness import TIMEOUT_S, Conn, Server, case, folder, free_port, run, run_program, user_args, wait_for


class Worker(threading.Thread):
    """Sets and gets, one after the other, over a connection that it makes again when it has ended
    before an answer began."""

    def __init__(self, number, port, stop, keeps):
        super().__init__(daemon=True)
        self.number, self.port, self.stop, self.keeps = number, port, stop, keeps
        self.done, self.refused, self.wrong = 0, 0, []
        self.connections, self.socket = 0, None

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
        self.connections += 1

    def try_ask(self, request, end):
        self.socket.sendall(request)
        answer = b""
        while not answer.endswith(end):
            data = self.socket.recv(65536)
            if not data:
                if answer:
                    self.wrong.append("cut off: %r" % answer)
                raise EOFError
            answer += data
        return answer

    def ask(self, request, end):
        for _ in range(3):
            try:
                if self.socket is None:
                    self.connect()
                return self.try_ask(request, end)
            except ConnectionRefusedError:
                self.refused += 1
                raise
            except (EOFError, ConnectionResetError, BrokenPipeError):
                self.socket.close()
                self.socket = None
        raise AssertionError("three connections ended in a row")

    def run(self):
        try:
            while not self.stop.is_set():
                key, value = b"w%d-%d" % (self.number, self.done % 100), b"%d" % self.done
                answer = self.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"\r\n")
                if answer != b"STORED\r\n":
                    self.wrong.append(answer)
                answer = self.ask(b"get %s\r\n" % key, b"END\r\n")
                wanted = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)
                if answer != wanted and (self.keeps or answer != b"END\r\n"):
                    self.wrong.append(answer)
                self.done += 1
        except Exception as error:  # told by the case
            self.wrong.append(repr(error))


def work_over(port, restart, keeps):
    """Four clients work while restart() runs three times."""
    stop = threading.Event()
    workers = [Worker(i, port, stop, keeps) for i in range(4)]
    for worker in workers:
        worker.start()

    def all_go_on():
        before = [w.done for w in workers]
        wait_for(lambda: all(w.done > b + 50 or w.wrong for w, b in zip(workers, before)),
                 "all clients to go on")
    all_go_on()
    for _ in range(3):
        restart()
        all_go_on()
    stop.set()
    for worker in workers:
        worker.join()
        assert not worker.wrong, worker.wrong[:3]
        assert worker.refused == 0
        assert worker.connections >= 2


def chain(*args, keeps):
    path = os.path.join(folder(), "takeover")
    servers = [Server("-m", 64, "--takeover", path, *args)]
    port = servers[0].port

    def restart():
        new = Server("-m", 64, "--takeover", path, *args, wait=False)
        assert servers[-1].wait_end() == 0, servers[-1].log()
        wait_for(lambda: new.ports() or not new.is_running(), "the new server to write its ports")
        assert new.is_running(), new.log()
        assert new.ports()[0][1] == port
        new.port = port
        servers.append(new)
    try:
        with servers[0].connect() as c:
            assert c.set(b"old", b"content") == b"STORED"
        work_over(port, restart, keeps)
        with servers[-1].connect() as c:
            assert c.get(b"old") == (b"content" if keeps else None)
    finally:
        for server in servers:
            with server:
                pass


@case(keepd_only="has no such option")
def no_request_is_lost():
    chain(keeps=False)


@case(keepd_only="has no such option")
def no_request_and_no_item_is_lost():
    chain("-e", os.path.join(folder(), "memory"), keeps=True)


@case(keepd_only="has no such option")
def metrics_go_on():
    chain("--metrics", "127.0.0.1:%d" % free_port(), keeps=False)


@case(keepd_only="has no such option")
def a_successor_that_fails_changes_nothing():
    path = os.path.join(folder(), "takeover")
    with Server("--takeover", path) as server, server.connect() as c:
        assert c.set(b"a", b"1") == b"STORED"
        status, _, _ = run_program(*user_args(), "--takeover", path, "-p", -1, "-l", "127.0.0.1",
                                   "-e", "/nowhere/memory")
        assert status == 1
        wait_for(lambda: "takeover_failed" in server.log(), "the failure to show")
        assert c.get(b"a") == b"1"
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"nonsense")
            s.settimeout(TIMEOUT_S)
            while s.recv(100):
                pass
        server.check_alive()
        assert c.get(b"a") == b"1"


def is_answered(address):
    try:
        with Conn(address) as c:
            return c.ask(b"mn") == b"MN"
    except ConnectionRefusedError:
        return False


def answers_datagrams(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        s.connect(("127.0.0.1", port))
        try:
            s.send(b"\0\1\0\0\0\1\0\0version\r\n")
            return b"VERSION" in s.recv(1500)
        except (ConnectionRefusedError, socket.timeout):
            return False


def follow(server, *args):
    """A successor with these options, when it serves and the other has ended."""
    new = Server(*args, listen=None)
    assert server.wait_end() == 0, server.log()
    with server:
        return new


@case(keepd_only="has no such option")
def other_addresses_than_before():
    path, port, more = os.path.join(folder(), "takeover"), free_port(), free_port()
    begin = ["-m", 64, "--takeover", path, "-p", port]
    one, two, other = ("127.0.0.1", port), ("127.0.0.2", port), ("127.0.0.1", more)
    server = Server(*begin, "-l", "127.0.0.1", listen=None)
    for args, answered, refused in (
            (["-l", "127.0.0.1,127.0.0.2"], (one, two), (other,)),
            (["-l", "127.0.0.2,127.0.0.1:%d" % more], (two, other), (one,)),
            (["-l", "127.0.0.1", "-U", port], (one,), (two, other)),
            (["-l", "127.0.0.1", "-U", port, "-b", 7], (one,), (two, other)),
            (["-l", "127.0.0.1"], (one,), (two, other))):
        server = follow(server, *begin, *args)
        for address in answered:
            assert is_answered(address), (args, address)
        for address in refused:
            assert not is_answered(address), (args, address)
        if "-U" in args:
            wait_for(lambda: answers_datagrams(port), "an answer to a datagram")
        else:
            assert not answers_datagrams(port), args
        assert len(server.ports()) == len(answered), server.ports()
    with server:
        # What cannot be bound beside the first one's is refused, and that one goes on.
        status, _, err = run_program(*user_args(), *begin, "-l", "0.0.0.0")
        assert status == 71 and "failed to listen on one of interface(s) 0.0.0.0" in err, err
        assert is_answered(one)


@case(keepd_only="has no such option")
def as_many_sockets_as_go_over():
    path, port = os.path.join(folder(), "takeover"), free_port()
    hosts = ["127.0.%d.1" % i for i in range(250)]
    begin = ["-m", 64, "--takeover", path, "-p", port, "-l"]
    server = Server(*begin, ",".join(hosts[:249]), listen=None)
    server = follow(server, *begin, ",".join(hosts[:249]))
    with server:
        assert len(server.ports()) == 249
        assert is_answered((hosts[0], port)) and is_answered((hosts[248], port))
    status, _, err = run_program(*user_args(), *begin, ",".join(hosts))
    assert status == 71 and "249 listening sockets" in err, err


@case(keepd_only="has no such option")
def a_unix_socket_goes_over():
    path, places = os.path.join(folder(), "takeover"), folder()
    first, second = os.path.join(places, "first"), os.path.join(places, "second")
    server = Server("--takeover", path, "-s", first, listen=None, wait=False)
    for args, answered in ((["-s", first], first), (["-s", second], second)):
        wait_for(lambda: os.path.exists(path) and server.is_running(), "the first one to serve")
        new = Server("--takeover", path, *args, listen=None, wait=False)
        assert server.wait_end() == 0, server.log()
        with server:
            server = new
        assert is_answered(answered)
    with server:
        assert not is_answered(first)


@case(keepd_only="has no such option")
def the_path_is_for_the_owner_only():
    path = os.path.join(folder(), "takeover")
    with Server("--takeover", path):
        assert os.stat(path).st_mode & 0o077 == 0
    # The socket of a process that is gone is no obstacle.
    with Server("--takeover", path) as server:
        server.check_alive()
        server.signal(signal.SIGKILL)
        server.wait_end()
        server.expect_exit = None
    with Server("--takeover", path) as server:
        server.check_alive()


run()
