#!/usr/bin/python3
"""Where the server listens: TCP lists, IPv6, unix sockets, the port file."""

import os
import re
import socket
import stat

from harness import (TIMEOUT_S, Conn, Server, case, folder, free_port, need_ipv6, run, run_program,
                     user_args)


@case
def unix_socket():
    with Server(unix=True) as server:
        with server.connect_unix() as c:
            assert c.set(b"a", b"1") == b"STORED" and c.get(b"a") == b"1"
            assert c.stats(b"settings")["domain_socket"] == server.path
        mode = stat.S_IMODE(os.stat(server.path).st_mode)
        assert mode == 0o700, oct(mode)


@case
def unix_socket_mask():
    with Server("-a", "0666", unix=True) as server:
        assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o666


@case
def unix_socket_of_a_dead_server_is_replaced():
    path = os.path.join(folder(), "left")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    with Server("-s", path, listen=None, wait=False) as server:
        server.path = path
        server.wait_ready(unix=True)
        server.check_alive()


@case
def a_file_in_the_way_of_a_unix_socket_is_kept():
    path = os.path.join(folder(), "precious")
    with open(path, "w") as f:
        f.write("data")
    status, _, text = run_program(*user_args(), "-s", path)
    assert status == 71 and "failed to listen on UNIX socket" in text, (status, text)
    with open(path) as f:
        assert f.read() == "data"


@case
def unix_socket_means_no_tcp():
    with Server(unix=True) as server:
        with open("/proc/%d/net/tcp" % server.pid):
            pass
        inodes = set()
        for name in os.listdir("/proc/%d/fd" % server.pid):
            try:
                inodes.add(os.readlink("/proc/%d/fd/%s" % (server.pid, name)))
            except FileNotFoundError:
                pass
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with open("/proc/net/" + table) as f:
                for line in f.readlines()[1:]:
                    assert "socket:[%s]" % line.split()[9] not in inodes, line


@case
def no_udp_by_default():
    with Server() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.connect(("127.0.0.1", server.port))
            s.send(b"\x12\x34\x00\x00\x00\x01\x00\x00version\r\n")
            try:
                assert not s.recv(100)
            except (socket.timeout, ConnectionRefusedError):
                pass


@case
def port_zero_is_free_port_of_the_list():
    with Server("-l", "127.0.0.1:0", listen=None, wait=False) as server:
        server.wait_ready()
        server.check_alive()


@case
def several_addresses():
    one, two = free_port(), free_port()
    with Server("-l", "127.0.0.1:%d,127.0.0.2:%d" % (one, two), listen=None) as server:
        assert sorted(p for _, p in server.ports()) == sorted([one, two])
        with Conn(("127.0.0.1", one)) as a, Conn(("127.0.0.2", two)) as b:
            assert a.set(b"k", b"v") == b"STORED" and b.get(b"k") == b"v"


@case
def several_l_options():
    one, two = free_port(), free_port()
    with Server("-l", "127.0.0.1:%d" % one, "-l", "127.0.0.1:%d" % two, listen=None) as server:
        for port in (one, two):
            with Conn(("127.0.0.1", port)) as c:
                assert c.ask(b"mn") == b"MN"
        assert len(server.ports()) == 2


@case
def ipv6():
    need_ipv6()
    with Server(listen="[::1]") as server:
        family, port = server.ports()[0]
        assert family == "INET6", family
        with Conn(("::1", port)) as c:
            assert c.set(b"k", b"v") == b"STORED" and c.get(b"k") == b"v"
            c.send(b"stats conns\r\n")
            assert any(b"addr tcp6:[::1]:" in line for line in c.lines())


@case
def both_families():
    need_ipv6()
    port = free_port()
    with Server("-p", port, "-l", "127.0.0.1,::1", listen=None) as server:
        assert sorted(server.ports()) == [("INET", port), ("INET6", port)], server.ports()
        for address in ("127.0.0.1", "::1"):
            with Conn((address, port)) as c:
                assert c.ask(b"mn") == b"MN"


@case
def port_file():
    with Server() as server:
        with open(server.port_file) as f:
            assert f.read() == "TCP INET: %d\n" % server.port
        assert not os.path.exists(server.port_file + ".lck")


@case
def used_port_is_refused():
    with Server() as first:
        status, _, text = run_program(*user_args(), "-p", first.port, "-l", "127.0.0.1")
        assert status == 71, (status, text)
        assert "failed to listen on" in text and "Address already in use" in text, text
        first.check_alive()


@case
def stats_conns():
    with Server() as server, server.connect() as c:
        c.send(b"stats conns\r\n")
        lines = [line.decode() for line in c.lines()]
        assert any(":state conn_listening" in line for line in lines), lines
        assert any(re.search(":state conn_(read|parse_cmd)$", line) for line in lines), lines
        assert any(":addr tcp:127.0.0.1:%d" % c.socket.getsockname()[1] in line
                   for line in lines), lines
        assert any("secs_since_last_cmd" in line for line in lines), lines


@case
def restart_on_the_same_port():
    port = free_port()
    for _ in range(3):
        with Server("-p", port, "-l", "127.0.0.1", listen=None, expect_exit=None) as server:
            with server.connect() as c:
                assert c.ask(b"mn") == b"MN"
                server.kill()
                server.wait_end(TIMEOUT_S)


run()
