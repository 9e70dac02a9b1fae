#!/usr/bin/python3
"""Under a service manager: what it is told, the sockets it hands over, and the unit files."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import (KEEPD, SRCDIR, TIMEOUT_S, Conn, Server, Skip, case, folder, free_port, run,
                     user_args, wait_for)


class Manager:
    """Takes what a service tells; address is a path or, with @ in front, a name without a file."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.env = {"NOTIFY_SOCKET": address}

    def told(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


@case(keepd_only="tells nothing")
def ready_reloading_stopping():
    manager = Manager(os.path.join(folder(), "notify"))
    with Server(env=manager.env) as server:
        assert manager.told() == {"READY": "1", "MAINPID": str(server.pid)}
        server.check_alive()
        for _ in range(3):
            server.signal(signal.SIGHUP)
            told = manager.told()
            assert told["RELOADING"] == "1" and int(told["MONOTONIC_USEC"]) > 0, told
            assert manager.told()["READY"] == "1"
        server.signal(signal.SIGTERM)
        assert manager.told() == {"STOPPING": "1"}


@case(keepd_only="tells nothing")
def manager_without_a_file():
    manager = Manager("@keepd-live-%d" % os.getpid())
    with Server(env=manager.env):
        assert manager.told()["READY"] == "1"


@case
def manager_that_is_not_there():
    for address in ("/nowhere/notify", "@nobody-%d" % os.getpid(), "", "relative", "/" + "x" * 200):
        with Server(env={"NOTIFY_SOCKET": address}) as server:
            server.check_alive()


class Handed(Server):
    """A server to which sockets are handed over as descriptors 3 and following."""

    def __init__(self, sockets, *args, is_for_other=False, **options):
        def hand_over():
            copies = [os.dup(s.fileno()) for s in sockets]
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate(copies)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.environ["MEMCACHED_PORT_FILENAME"] = os.path.join(os.getcwd(), "ports")
            os.environ["LISTEN_FDS"] = str(len(sockets))
            os.environ["LISTEN_PID"] = str(os.getpid() + is_for_other)
            os.execv(KEEPD, self.command)
        super().__init__(*args, limits=hand_over, env=options.pop("env", None), **options)


def listening(address="127.0.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.bind((address, 0))
    s.listen(64)
    return s


@case(keepd_only="opens its own sockets only")
def sockets_are_taken_over():
    path = os.path.join(folder(), "socket")
    local = socket.socket(socket.AF_UNIX)
    local.bind(path)
    local.listen(8)
    port = free_port()
    with listening() as tcp, local:
        tcp_port = tcp.getsockname()[1]
        with Handed([tcp, local], "-p", port, "-l", "127.0.0.1", listen=None, wait=False) as server:
            for address in (("127.0.0.1", tcp_port), path):
                with Conn(address) as c:
                    assert c.set(b"a", b"1") == b"STORED"
                    assert c.get(b"a") == b"1"
            with Conn(path) as c:
                shown = {value for name, value in c.stats(b"conns").items()
                         if name.endswith(":addr") and "listen" not in name}
                assert "unix:" + path in " ".join(shown), shown
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port)) != 0
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 0
        # The manager still has it: who comes now waits for the next keepd.
        waiting = Conn(("127.0.0.1", tcp_port))
        waiting.send(b"mn\r\n")
        with Handed([tcp], listen=None, wait=False):
            assert waiting.line() == b"MN"
            waiting.close()


@case(keepd_only="opens its own sockets only")
def sockets_of_the_manager_in_a_rolling_restart():
    """They take the place of the predecessor's sockets as they take that of -l and -p."""
    path = os.path.join(folder(), "takeover")
    with listening() as tcp:
        server = Handed([tcp], "--takeover", path, listen=None, wait=False)
        for _ in range(2):
            wait_for(lambda: server.ports() or not server.is_running(), "the server to serve")
            new = Handed([tcp], "--takeover", path, "-p", free_port(), listen=None, wait=False)
            assert server.wait_end() == 0, server.log()
            with server:
                server = new
            with Conn(tcp.getsockname()) as c:
                assert c.ask(b"mn") == b"MN"
                conns = c.stats(b"conns")
            states = [value for name, value in conns.items() if name.endswith(":state")]
            assert states.count("conn_listening") == 1, conns
        with server:
            pass


@case(keepd_only="does not look at LISTEN_PID")
def sockets_for_another_process_are_not_touched():
    with listening() as tcp, Handed([tcp], is_for_other=True) as server:
        server.check_alive()
        with Conn(tcp.getsockname()) as c:
            c.send(b"mn\r\n")
            assert c.is_silent()


@case(keepd_only="opens its own sockets only")
def what_is_no_listening_socket_is_refused():
    with socket.socket() as s, Handed([s], wait=False, expect_exit=71) as server:
        assert server.wait_end() == 71
        assert "descriptor 3" in server.log(), server.log()


@case(keepd_only="opens its own sockets only")
def open_sockets_need_login_when_it_is_required():
    with listening("0.0.0.0") as s, \
            Handed([s], "--require-auth", wait=False, expect_exit=71) as server:
        assert server.wait_end() == 71
        assert "--require-auth" in server.log(), server.log()


@case(keepd_only="opens its own sockets only")
def real_activation():
    if not shutil.which("systemd-socket-activate"):
        raise Skip("no systemd-socket-activate here")
    port = free_port()
    process = subprocess.Popen(["systemd-socket-activate", "-l", "127.0.0.1:%d" % port, KEEPD,
                                *user_args()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        def connected():
            try:
                return Conn(("127.0.0.1", port))
            except ConnectionError:
                return None
        with wait_for(connected, "the socket") as c:
            assert c.set(b"a", b"1") == b"STORED"
            assert c.get(b"a") == b"1"
    finally:
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


# ---------------------------------------------------------------- units

def units():
    """The unit files, with this build's program in them."""
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze here")
    # Not in the harness's folder: systemd wants a path without surprises.
    path = tempfile.mkdtemp(prefix="keepd-units-")
    source = os.path.join(SRCDIR, "dist", "systemd")
    with open(os.path.join(source, "keepd.service.in")) as f:
        text = f.read().replace("@bindir@/keepd", KEEPD)
    with open(os.path.join(path, "keepd.service"), "w") as f:
        f.write(text)
    shutil.copy(os.path.join(source, "keepd.socket"), path)
    return path


def analyze(*args):
    return subprocess.run(["systemd-analyze", *args], stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()


@case
def units_are_right():
    path = units()
    try:
        for name in ("keepd.service", "keepd.socket"):
            said = analyze("verify", "--man=no", os.path.join(path, name))
            ours = [line for line in said.splitlines() if "keepd." in line]
            assert not ours, said
    finally:
        shutil.rmtree(path)


@case
def unit_is_hardened():
    path = units()
    try:
        said = analyze("security", "--offline=true", "--no-pager",
                       os.path.join(path, "keepd.service"))
        found = re.search(r"Overall exposure level for keepd.service: ([\d.]+)", said)
        if not found:
            raise Skip("this systemd-analyze knows no --offline")
        assert float(found[1]) < 2.0, said
    finally:
        shutil.rmtree(path)


run()
