#!/usr/bin/python3
"""Truth under load: no wrong value, no answer out of order, no lost update, by t/live/truth.

Each case runs for KEEPD_TRUTH_SECONDS (2); bench and release runs set it to minutes. With
KEEPD_TRUTH_CLIENTS it has so many clients instead of 18."""

import os
import signal
import subprocess
import threading

from accounts import Accounts
from harness import BUILDDIR, SLACK, Server, case, run, show
from tls_link import TlsServer

SECONDS = int(os.environ.get("KEEPD_TRUTH_SECONDS", "2"))
CLIENTS = int(os.environ.get("KEEPD_TRUTH_CLIENTS", "18"))
PROGRAM = os.path.join(BUILDDIR, "t", "live", "truth")


def check(server, name, *options, port=None, hangs_up=False):
    """Runs the clients; with hangs_up the server gets SIGHUP all the time."""
    over = threading.Event()

    def hang_up():
        while not over.wait(0.1):
            server.signal(signal.SIGHUP)
    thread = threading.Thread(target=hang_up, daemon=True)
    if hangs_up:
        thread.start()
    command = [PROGRAM, name, "--port", port or server.port, "--seconds", SECONDS,
               "--clients", CLIENTS] + list(options)
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=(SECONDS + 60) * SLACK)
    finally:
        over.set()
        if hangs_up:
            thread.join()
    assert done.returncode == 0, done.stderr.decode()
    show(done.stdout.decode().strip())
    assert server.is_running()


@case
def values_all_fit():
    with Server("-m", 256, "-t", 4) as server:
        check(server, "values", "--keys", 100)
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


@case
def counters_add_up():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "counters")


@case
def counters_with_flush():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "counters", "--flush")


@case
def cas_never_loses():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "cas")


@case
def cas_with_flush():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "cas", "--flush")


@case
def add_has_one_winner():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "add")


@case
def append_is_atomic():
    with Server("-m", 64, "-t", 4) as server:
        check(server, "append")


run()
