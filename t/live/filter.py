#!/usr/bin/python3
"""Behind the system call filter, and as a user without rights: what reads files, opens sockets or
asks another daemon while serving goes on working."""

import os
import signal
import socket
import ssl
import struct
import subprocess
import threading

from harness import (BUILDDIR, SRCDIR, TIMEOUT_S, Server, Skip, case, folder, run,
                     wait_for)

KEEPCTL = os.environ.get("KEEPCTL") or os.path.join(BUILDDIR, "keepctl")
SASL_AUTH = 0x21


def need_filter(server):
    with server.connect() as c:
        c.send(b"mn\r\n")
        c.socket.recv(1)  # answered or closed: the filter is there before anybody is served
    with open("/proc/%d/status" % server.pid) as f:
        if "Seccomp:\t2" not in f.read():
            raise Skip("built without a filter")


def certificates():
    path = folder()
    subprocess.run([os.path.join(SRCDIR, "t", "certs"), path], check=True, timeout=TIMEOUT_S,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def serial(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as s, \
            context.wrap_socket(s) as tls:
        tls.sendall(b"mn\r\n")
        assert tls.recv(100) == b"MN\r\n"
        return tls.getpeercert(True)


@case(keepd_only="SIGHUP takes a second")
def certificates_are_read_again():
    path = certificates()
    live = {name: os.path.join(path, "live" + name) for name in (".pem", ".key")}

    def install(name):
        for ending, target in live.items():
            with open(os.path.join(path, name + ending), "rb") as f, \
                    open(target + ".new", "wb") as new:
                new.write(f.read())
            os.rename(target + ".new", target)
    install("server")
    with Server("-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (live[".pem"], live[".key"])) as server:
        need_filter(server)
        first = serial(server)
        install("named")
        server.signal(signal.SIGHUP)
        wait_for(lambda: serial(server) != first, "the new certificate")


def keepctl(path, *words, password=None):
    subprocess.run([KEEPCTL, "--tenants", path, *words], input=password, check=True,
                   timeout=TIMEOUT_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def login(server, user, password):
    with server.connect() as c:
        message = b"\0" + user + b"\0" + password
        return c.ask_binary(SASL_AUTH, b"PLAIN", b"", message).status


@case(keepd_only="has no tenants")
def tenants_are_read_again():
    path = os.path.join(folder(), "tenants.conf")
    keepctl(path, "tenant", "add", "shop")
    keepctl(path, "user", "add", "alice", "--tenant", "shop", "--password-stdin", password=b"pw\n")
    with Server("--tenants=" + path) as server:
        need_filter(server)
        assert login(server, b"alice", b"pw") == 0
        assert login(server, b"bob", b"pw") == 0x20
        keepctl(path, "user", "add", "bob", "--tenant", "shop", "--password-stdin",
                password=b"pw\n")
        server.signal(signal.SIGHUP)
        wait_for(lambda: login(server, b"bob", b"pw") == 0, "the new user")


class Saslauthd:
    """What cyrus-sasl's client of saslauthd talks to: four counted texts in, one out."""

    def __init__(self, user, password):
        self.folder = folder()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.join(self.folder, "mux"))
        os.chmod(os.path.join(self.folder, "mux"), 0o777)
        self.socket.listen(16)
        self.wanted = (user, password)
        self.n_asked = 0
        threading.Thread(target=self.serve, daemon=True).start()
        with open(os.path.join(self.folder, "memcached.conf"), "w") as f:
            f.write("pwcheck_method: saslauthd\nmech_list: PLAIN\nsaslauthd_path: %s\n" %
                    os.path.join(self.folder, "mux"))

    def serve(self):
        while True:
            client, _ = self.socket.accept()
            with client, client.makefile("rb") as f:
                texts = [f.read(struct.unpack(">H", f.read(2))[0]) for _ in range(4)]
                self.n_asked += 1
                answer = b"OK" if (texts[0], texts[1]) == self.wanted else b"NO"
                client.sendall(struct.pack(">H", len(answer)) + answer)


@case
def saslauthd_is_asked():
    daemon = Saslauthd(b"alice", b"pw")
    with Server("-S", env={"SASL_CONF_PATH": daemon.folder}) as server:
        need_filter(server)
        assert login(server, b"alice", b"pw") == 0
        assert login(server, b"alice", b"no") == 0x20
        assert daemon.n_asked == 2


@case
def passwords_of_pwdb_are_read_at_each_login():
    path = os.path.join(folder(), "pwdb")
    conf = folder()
    with open(os.path.join(conf, "memcached.conf"), "w") as f:
        f.write("mech_list: PLAIN\n")
    with open(path, "w") as f:
        f.write("alice:pw\n")
    with Server("-S", env={"SASL_CONF_PATH": conf, "MEMCACHED_SASL_PWDB": path}) as server:
        need_filter(server)
        assert login(server, b"alice", b"pw") == 0
        with open(path, "a") as f:
            f.write("bob:pw2\n")
        assert login(server, b"bob", b"pw2") == 0


@case
def datagrams_are_answered():
    with Server("-U", "-1") as server:
        need_filter(server)
        with open(server.port_file) as f:
            port = int(f.read().split("UDP INET: ")[1].split()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(TIMEOUT_S)
            s.sendto(b"\0\1\0\0\0\1\0\0mn\r\n", ("127.0.0.1", port))
            assert s.recv(100) == b"\0\1\0\0\0\1\0\0MN\r\n"


run()
