#!/usr/bin/python3
"""memccapable (libmemcached-tools) asks a server for every capability of a dialect; each is a case."""

import subprocess

from harness import TIMEOUT_S, Server, case, result, run, show


def capable(dialect):
    with Server("-m", 64) as server:
        def ask(*options):
            return subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(server.port),
                                   "-t", str(TIMEOUT_S), dialect] + list(options), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=10 * TIMEOUT_S)
        done = ask()
        words = [line.rsplit(None, 1) for line in done.stdout.splitlines()
                 if line.rstrip().endswith(("[pass]", "[FAIL]"))]
        for name, verdict in words:
            result(verdict == "[pass]", "memccapable: " + name)
            if verdict != "[pass]":
                show(ask("-v", "-T", name).stdout)
        assert len(words) > 15 and "All tests passed" in done.stdout, done.stdout


@case
def memccapable_ascii():
    capable("-a")


@case
def memccapable_binary():
    capable("-b")


run()
