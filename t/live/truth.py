#!/usr/bin/python3
"""Truth under load: no wrong value, no answer out of order, no lost update, by t/live/truth.

Each case runs for KEEPD_TRUTH_SECONDS (2; those with everything at once for at least 10); bench and
release runs set it to minutes, and KEEPD_FILE_SECONDS to more than that. With KEEPD_TRUTH_CLIENTS it
has so many clients instead of 36."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import threading

from accounts import Accounts
from harness import (BUILDDIR, PROGRAM_TIMEOUT_S, SLACK, Server, case, folder, free_port, run, show,
                     wait_for)
from tls_link import TlsServer, cert

SECONDS = int(os.environ.get("KEEPD_TRUTH_SECONDS", "2"))
CLIENTS = int(os.environ.get("KEEPD_TRUTH_CLIENTS", "36"))
ALL_RIGHTS = "read,write,delete,incr,touch,flush,stats,dump,admin"
PROGRAM = os.path.join(BUILDDIR, "t", "live", "truth")


def clients(name, port, *options, seconds=SECONDS):
    """Runs the clients to their end."""
    command = [PROGRAM, name, "--port", port, "--seconds", seconds,
               "--clients", CLIENTS] + list(options)
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True,
                          timeout=2 * seconds * SLACK + PROGRAM_TIMEOUT_S)
    assert done.returncode == 0, done.stderr.decode()
    show(done.stdout.decode().strip())


def check(server, name, *options, port=None, hangs_up=False):
    """Runs the clients; with hangs_up the server gets SIGHUP all the time."""
    over = threading.Event()

    def hang_up():
        while not over.wait(0.1):
            server.signal(signal.SIGHUP)
    thread = threading.Thread(target=hang_up, daemon=True)
    if hangs_up:
        thread.start()
    try:
        clients(name, port or server.port, *options)
    finally:
        over.set()
        if hangs_up:
            thread.join()
    assert server.is_running()


@case
def values_all_fit():
    with Server("-m", 256, "-t", 4) as server:
        check(server, "values", "--keys", 100, "--ttl")
        stats = server.stats()
        assert stats["evictions"] == "0", stats["evictions"]


@case
def values_evictions():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "values", "--keys", 4000, "--size", 200000, "--may-miss")
        if SECONDS >= 10:
            assert int(server.stats()["evictions"]) > 0


@case
def values_flush():
    with Server("-m", 256, "-t", 4) as server:
        check(server, "values", "--keys", 100, "--flush")


@case
def values_evictions_slab_moves():
    """Limits that change take the place of pages that are moved."""
    with Server("-m", 64, "-t", 4) as server:
        check(server, "values", "--keys", 2000, "--size", 200000, "--flush", "--limits",
              hangs_up=True)


@case
def values_tls():
    with TlsServer("-m", 256, "-t", 4) as server:
        check(server, "values", "--keys", 100, "--tls", port=server.tls_port, hangs_up=True)


@case
def values_sasl():
    accounts = Accounts()
    accounts.tenant("t")
    accounts.user("alice", "t")
    with Server("-m", 256, "-t", 4, accounts.option) as server:
        check(server, "values", "--keys", 100, "--user", "alice", "--password", "pw",
              hangs_up=True)


def updates(*what):
    """Clients that change the same few items: no change may be lost, none done twice."""
    with Server("-m", 64, "-t", 4) as server:
        check(server, *what)


@case
def counters_add_up():
    updates("counters")


@case
def counters_with_flush():
    updates("counters", "--flush")


@case
def cas_never_loses():
    updates("cas")


@case
def cas_with_flush():
    updates("cas", "--flush")


@case
def add_has_one_winner():
    updates("add")


@case
def append_is_atomic():
    updates("append")


class Changing:
    """A server that is reloaded, replaced and killed under its clients; each next one has the same
    ports and files."""

    def __init__(self, *args):
        path = folder()
        self.accounts = Accounts().tenant("red", memory_max="40m")
        self.accounts.user("alice", "red", rights=ALL_RIGHTS)
        self.accounts.user("root", "default", rights=ALL_RIGHTS)
        self.pem, self.key = os.path.join(path, "server.pem"), os.path.join(path, "server.key")
        self.certificates = itertools.cycle(("server", "server-rsa"))
        self.change_files(0)
        self.port, self.tls_port = free_port(), free_port()
        self.listen = "127.0.0.1:%d,notls:127.0.0.1:%d" % (self.tls_port, self.port)
        self.args = ("-m", 64, "-t", 4, "-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" %
                     (self.pem, self.key), "--takeover", os.path.join(path, "takeover"),
                     self.accounts.option) + args
        self.servers = [self.start()]
        self.n_reloads = self.n_restarts = 0

    def start(self, wait=True):
        return Server(*self.args, listen=self.listen, wait=wait)

    def change_files(self, n):
        """Another certificate, and other limits of the tenant, for the next reload."""
        name = next(self.certificates)
        shutil.copyfile(cert(name + ".key"), self.key)
        shutil.copyfile(cert(name + ".pem"), self.pem)
        if n % 8 == 0:
            self.limit_tenant(("40m", "24m", "32m")[n // 8 % 3])

    def limit_tenant(self, limit):
        with open(self.accounts.path) as f:
            text = f.read()
        with open(self.accounts.path + ".new", "w") as f:
            f.write(re.sub(r"memory-max = \w+", "memory-max = " + limit, text))
        os.replace(self.accounts.path + ".new", self.accounts.path)

    def take_over(self):
        new = self.start(wait=False)
        assert self.servers[-1].wait_end() == 0, self.servers[-1].log()
        wait_for(lambda: new.ports() or not new.is_running(), "the successor to write its ports")
        return new

    def restart(self, number):
        old = self.servers[-1]
        old.expect_exit = None if number == signal.SIGKILL else 0
        old.signal(number)
        assert old.wait_end() == (-number if number == signal.SIGKILL else 0), old.log()
        return self.start()

    def change_until(self, over):
        """Reloads all the time; there is a new server after the first and every eighth then."""
        ways = itertools.cycle((self.take_over, lambda: self.restart(signal.SIGUSR1),
                                self.take_over, lambda: self.restart(signal.SIGTERM),
                                self.take_over, lambda: self.restart(signal.SIGKILL)))
        while not over.wait(0.1):
            self.change_files(self.n_reloads)
            self.servers[-1].signal(signal.SIGHUP)
            self.n_reloads += 1
            if self.n_reloads % 8 == 1:
                self.servers.append(next(ways)())
                self.n_restarts += 1

    def end(self):
        for server in self.servers:
            with server:
                pass


def everything(user, *args):
    changing, over, failures = Changing(*args), threading.Event(), []

    def serve_clients():
        try:
            clients("everything", changing.port, "--tls-port", changing.tls_port, "--losses",
                    "--ttl", "--flush", "--limits", "--keys", 1500, "--size", 200000,
                    "--user", user, "--password", "pw", seconds=max(SECONDS, 10))
        except BaseException as e:
            failures.append(e)
        over.set()
    # The thread that starts a server must outlive it: this one.
    thread = threading.Thread(target=serve_clients, daemon=True)
    thread.start()
    changing.change_until(over)
    thread.join()
    changing.end()
    show("%d reloads, %d restarts" % (changing.n_reloads, changing.n_restarts))
    assert not failures, failures
    assert changing.n_restarts >= 1  # as many more as the machine is fast


@case(keepd_only="has neither tenants nor a rolling restart")
def everything_at_once():
    """cache_memlimit too; what is stored ends with each server."""
    everything("root")


@case(keepd_only="has neither tenants nor a rolling restart")
def everything_and_warm_restarts():
    """Items go from server to server, the limits that change are the tenant's."""
    everything("alice", "-e", os.path.join(folder(), "memory"))


run()
