#!/usr/bin/python3
"""The load program against the server: every kind of request, a thousand times, values verified."""

import json
import os
import subprocess

from accounts import Accounts
from harness import BUILDDIR, PROGRAM_TIMEOUT_S, Server, case, run

LOAD = os.path.join(BUILDDIR, "bench", "load")
REPLAY = os.path.join(BUILDDIR, "bench", "replay")
KINDS = ("get", "set", "touch", "mget", "mg", "ms", "bget", "bset", "bgetkq", "bsetq", "connect")


def load(server, *arguments):
    command = [LOAD, "--address", f"127.0.0.1:{server.port}", "--requests", "1000", "--warmup", "0",
               "--keys", "500", "--connections", "5", "--server-pid", str(server.pid), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ops"] >= 1000 and result["misses"] == 0, result
    return result


@case
def every_kind_is_answered_with_the_right_value():
    with Server("-m", 64) as server:
        for kind in KINDS:
            load(server, "--kind", kind, "--depth", "1")
            load(server, "--kind", kind, "--depth", "17", "--batch", "10")


@case
def a_mix_with_large_values_is_right():
    with Server("-m", 128) as server:
        for size in ("1", "20k", "300k"):
            load(server, "--value-bytes", size, "--set-every", "10", "--keys", "50", "--depth", "4",
                 "--zipf", "1.1")


@case
def a_wrong_reply_ends_the_load():
    with Server("-m", 64) as server:
        load(server, "--value-bytes", "100")
        command = [LOAD, "--address", f"127.0.0.1:{server.port}", "--no-preload", "--keys", "500",
                   "--value-bytes", "99", "--seconds", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S)
        assert done.returncode == 1 and "GET" in done.stderr, done.stderr


@case
def logins_are_right_and_wrong_as_asked_for():
    accounts = Accounts().tenant("t").user("bench", "t", "bench")
    with Server(accounts.option) as server:
        for kind in ("login", "scram-login"):
            load(server, "--kind", kind, "--wrong-every", "2", "--requests", "1000")
        load(server, "--kind", "get", "--log-in")
        with server.connect() as conn:
            assert conn.set(b"login", b"bench bench") == b"STORED"
            counts = conn.stats(b"auth")
        assert int(counts["logins"]) > 1000 and int(counts["failures"]) >= 1000, counts
        command = [LOAD, "--address", f"127.0.0.1:{server.port}", "--kind", "scram-login",
                   "--password", "no", "--seconds", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S)
        assert done.returncode == 1 and "Auth failure" in done.stderr, done.stderr


@case
def a_trace_is_replayed():
    with Server("-m", 64) as server:
        command = [REPLAY, f"127.0.0.1:{server.port}", "zipf:1.0:1000", "1", "5000", "0", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert 0 < result["misses"] <= 1000 and result["gets"] == 5000, result


run()
