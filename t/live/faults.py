#!/usr/bin/python3
"""Faults: calls that fail, memory and threads that run out, a server that is replaced."""

import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

from accounts import OK, START, plain, two_tenants
from faults_frame import LOST, faulty, injected, traffic
from harness import (KEEPD, MIB, TIMEOUT_S, Conn, Server, Skip, case, folder, free_port, packet,
                     run, store_packet, user_args, wait_for)
from tls_link import TlsServer

def under(rules, *args, n_min=20, **options):
    with Server("-m", 64, "-t", 2, *args, env=faulty(rules)) as server:
        lost = traffic(server.connect, **options)
        assert server.is_running()
    counts = injected(server)
    assert sum(counts.values()) >= n_min, counts
    return lost


@case
def eintr_on_io():
    under("recv:5:EINTR,send:5:EINTR,sendmsg:5:EINTR,read:5:EINTR,write:5:EINTR")


@case
def eintr_on_waiting():
    under("epoll_wait:2:EINTR,poll:2:EINTR")


@case
def eagain_on_io():
    under("recv:4:EAGAIN,send:4:EAGAIN,sendmsg:4:EAGAIN")


@case
def eagain_on_read_write():
    under("read:5:EAGAIN,recv:5:EAGAIN,recvmsg:5:EAGAIN", n_min=10)


@case
def short_reads_and_writes():
    under("recv:2:SHORT,send:2:SHORT,sendmsg:2:SHORT,read:2:SHORT")


@case
def eagain_tls():
    with TlsServer("-m", 64, "-t", 2,
                   env=faulty("recv:5:EAGAIN,read:5:EAGAIN,send:4:EAGAIN,sendmsg:4:EAGAIN")) as server:
        traffic(server.tls, n_rounds=30)
    assert sum(injected(server).values()) >= 20


def accept_fails(name):
    with Server("-m", 64, "-t", 2, env=faulty("!accept4:3:%s" % name)) as server:
        for _ in range(40):
            with server.connect() as c:
                assert c.ask(b"mn") == b"MN"
        began, before = time.monotonic(), server.cpu_s()
        time.sleep(0.3)
        used_s = server.cpu_s() - before
        assert used_s < (time.monotonic() - began) / 2, "%s: it spins" % name
    assert injected(server)["accept4"] >= 10


@case
def accept_errors():
    for name in ("EMFILE", "ENFILE", "ECONNABORTED", "ENOBUFS", "ENOMEM", "EINTR", "EPERM"):
        accept_fails(name)


def scrape(port):
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as s:
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(4096), b""))


@case
def metrics_accept_errors():
    """A pause follows each failure, and then another try."""
    port = free_port()
    with Server("--metrics=127.0.0.1:%d" % port, env=faulty("!accept4:2:EMFILE")) as server:
        for _ in range(5):
            assert scrape(port).endswith(b"ok\n")
    assert injected(server)["accept4"] >= 4
    with Server("--metrics=127.0.0.1:%d" % port, env=faulty("!accept4:1:EMFILE")) as server:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)):
            time.sleep(0.5)
    # Pauses of 100 ms, had they but half their length.
    n_most = 2 + (time.monotonic() - began) / 0.05
    assert injected(server)["accept4"] <= n_most, "it spins"


@case
def write_errors_end_one_connection():
    for name in ("EPIPE", "ECONNRESET", "ETIMEDOUT", "EIO"):
        with Server("-m", 64, "-t", 2,
                    env=faulty("send:50:%s,sendmsg:50:%s" % (name, name))) as server:
            before = server.n_descriptors()
            lost = traffic(server.connect, n_rounds=60, may_lose=True)
            assert 0 < lost < 60, lost
            wait_for(lambda: server.n_descriptors() <= before + 8, "descriptors to come back")
        assert sum(injected(server).values()) >= lost


@case
def a_socket_that_cannot_be_watched_is_closed():
    """epoll takes no more (max_user_watches, kernel memory): nobody waits for an answer for ever."""
    for rules in ("epoll_ctl:~5:ENOSPC", "epoll_ctl:~7:ENOMEM"):
        with Server("-m", 64, "-t", 2, env=faulty(rules)) as server:
            before = server.n_descriptors()
            lost = traffic(server.connect, n_rounds=60, may_lose=True, n_kept=2)
            assert lost > 0
            wait_for(lambda: server.n_descriptors() <= before + 8, "descriptors to come back")
        assert injected(server)["epoll_ctl"] >= lost


@case
def allocations_fail_now_and_then():
    with Server("-m", 64, "-t", 2, env=faulty("malloc:~9:ENOMEM")) as server:
        traffic(server.connect, n_rounds=60, may_lose=True, may_fail=True, n_kept=2)
        assert server.is_running()
    assert injected(server)["malloc"] >= 5


@case
def allocations_fail_under_tls():
    with TlsServer("-m", 64, "-t", 2, env=faulty("malloc:~700:ENOMEM")) as server:
        traffic(server.tls, n_rounds=20, may_lose=True, may_fail=True, n_kept=5)
        assert server.is_running()
    assert injected(server)["malloc"] >= 5


@case
def allocations_fail_at_logins():
    """Of every library that a login goes through: the one who asks is refused, or lost."""
    accounts = two_tenants()
    for every in (7, 29, 101):
        with TlsServer("-m", 64, "-t", 2, accounts.option,
                       env=faulty("malloc:~%d:ENOMEM" % every)) as server:
            for i in range(30):
                try:
                    with (server.tls() if i % 2 else server.connect()) as c:
                        c.send(packet(START, b"PLAIN", value=plain("alice", "apw")))
                        is_in = c.reply().status == OK
                        c.send(store_packet(1, b"k", b"v"))
                        assert is_in or c.reply().status != OK
                except LOST:
                    pass
            assert server.is_running()
        assert injected(server)["malloc"] >= 5


def address_space(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[0]) * resource.getpagesize()


@case
def no_memory_later():
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("sanitizers end the process when their own memory is short")
    with Server("-m", 128, "-t", 2) as server:
        traffic(server.connect, n_rounds=10)
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_AS)
        frozen = address_space(server.pid)
        resource.prlimit(server.pid, resource.RLIMIT_AS, (frozen, unlimited[1]))
        held = []
        for i in range(300):
            try:
                c = server.connect()
                c.send(b"set held%d 0 0 900000\r\n" % i + b"x" * 100000)
                held.append(c)
            except LOST:
                pass
        traffic(server.connect, n_rounds=40, may_lose=True, may_fail=True)
        for c in held:
            c.close()
        assert server.is_running()
        resource.prlimit(server.pid, resource.RLIMIT_AS, unlimited)
        traffic(server.connect, n_rounds=20)


def is_started(server):
    """Whether it came to serve, with -v, or ended; its ports are told before its threads begin."""
    wait_for(lambda: "event=started" in server.log() or not server.is_running(), "an end or a start")
    return server.is_running()


@case
def no_memory_at_start():
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("sanitizers need much address space")
    for mib in (20, 30, 40, 60, 80, 100, 120, 150, 200, 300, 600):
        def limit(n=mib * MIB):
            resource.setrlimit(resource.RLIMIT_AS, (n, n))
        server = Server("-m", 64, "-t", 4, "-v", limits=limit, wait=False, expect_exit=None)
        if is_started(server):
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 0
            continue
        status = server.wait_end()
        assert status > 0, "%d MiB: ended by signal %d\n%s" % (mib, -status, server.log())
        assert server.log().strip(), "%d MiB: no message" % mib


@case
def thread_creation_fails():
    for n in range(1, 10):
        server = Server("-m", 64, "-t", 4, "-v", wait=False, expect_exit=None,
                        env=faulty("!pthread_create:=%d:EAGAIN" % n))
        if is_started(server):
            # Then that thread is not needed for serving.
            server.port = server.ports()[0][1]
            server.check_alive()
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 0
            continue
        status = server.wait_end()
        assert status > 0, "thread %d: status %d\n%s" % (n, status, server.log())


@case
def log_pipe_closed():
    reader, writer = os.pipe()
    with Server("-vv", stderr=writer) as server:
        os.close(writer)
        os.close(reader)
        traffic(server.connect, n_rounds=10)


@case
def clients_killed_in_every_state():
    with Server("-m", 64, "-t", 2) as server:
        before = server.n_descriptors()
        big = b"x" * 500000
        with server.connect() as c:
            assert c.set(b"big", big) == b"STORED"
        starts = (b"", b"get", b"get big\r\n" * 50, b"set a 0 0 500000\r\n" + big[:1000],
                  b"set a 0 0 9000000\r\n" + big, b"lru_crawler metadump all\r\n",
                  b"watch fetchers\n", packet(0, b"big") * 20,
                  struct.pack(">BB", 0x80, 1), store_packet(1, b"a", b"", n_body=400000) + big[:9],
                  b"get big\r\n" * 5 + b"quit\r\n")
        for start in starts * 5:
            c = server.connect(receive_buffer=4096)
            c.try_send(start)
            c.reset()
        wait_for(lambda: server.n_descriptors() <= before, "descriptors to come back")
        with server.connect() as c:
            assert c.get(b"a") is None
        server.check_alive()


@case
def rolling_restart():
    """A new instance takes over the inherited socket while the old one drains."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    port = listening.getsockname()[1]

    def start():
        path = folder()
        log_path = os.path.join(path, "log")

        def hand_over():
            os.dup2(listening.fileno(), 3)
            os.set_inheritable(3, True)
        # The process must know its own id in LISTEN_PID: a shell tells it.
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', KEEPD] + user_args() +
                ["-m", "64", "-t", "2", "-v"], cwd=path, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log, pass_fds=(3,), preexec_fn=hand_over)

        def serves():
            with open(log_path) as f:
                return "event=started" in f.read() or process.poll() is not None
        wait_for(serves, "a server to serve")
        return process
    servers = [start()]
    over = threading.Event()
    failures = []

    def work(i):
        while not over.is_set():
            began = time.monotonic()
            try:
                with Conn(("127.0.0.1", port)) as c:
                    answer = c.set(b"r%d" % i, b"v")
                    if answer != b"STORED":
                        failures.append(answer)
            except LOST as e:
                # One who connects and says nothing for a second of the stop is not waited for.
                if time.monotonic() - began < 0.8:
                    failures.append(e)
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
    try:
        for t in threads:
            t.start()
        for _ in range(3):
            servers.append(start())
            servers[0].send_signal(signal.SIGUSR1)
            assert servers.pop(0).wait(TIMEOUT_S) == 0
        over.set()
        for t in threads:
            t.join()
    finally:
        over.set()
        for s in servers:
            s.kill()
            s.wait()
    assert not failures, failures[:5]


run()
