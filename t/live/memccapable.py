#!/usr/bin/python3
"""memccapable (libmemcached-tools) asks a server for every capability of a dialect; each is a case."""

import subprocess

from harness import TIMEOUT_S, Server, case, run, _result


def capable(dialect):
    with Server("-m", 64) as server:
        done = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(server.port),
                               "-t", str(TIMEOUT_S), "-v", dialect],
                              capture_output=True, text=True, timeout=10 * TIMEOUT_S)
        words = [line.rsplit(None, 1) for line in done.stdout.splitlines()
                 if line.rstrip().endswith(("[pass]", "[FAIL]"))]
        for name, verdict in words:
            _result(verdict == "[pass]", "memccapable: " + name)
        assert len(words) > 15, done.stdout + done.stderr
        assert all(verdict == "[pass]" for _, verdict in words), done.stdout + done.stderr
        assert "All tests passed" in done.stdout, done.stdout + done.stderr


@case
def memccapable_ascii():
    capable("-a")


@case
def memccapable_binary():
    capable("-b")


run()
