#!/usr/bin/python3
"""memcached-tool, the script operators have: its modes print what they should and end well."""

import re
import subprocess

from harness import TIMEOUT_S, Server, case, run

TOOL = "/usr/share/memcached/scripts/memcached-tool"


def tool(server, mode):
    done = subprocess.run([TOOL, "127.0.0.1:%d" % server.port, mode], capture_output=True,
                          text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert "uninitialized" not in done.stderr, done.stderr
    return done.stdout


def filled(*args):
    server = Server("-m", 64, *args)
    with server.connect() as c:
        for i in range(100):
            assert c.set(b"tool:%d" % i, b"v" * (10 * i), flags=i, exptime=1000) == b"STORED"
    return server


@case
def stats():
    with filled() as server:
        out = tool(server, "stats")
        assert re.search(r"^\s*curr_items\s+100$", out, re.M), out
        assert re.search(r"^\s*cmd_set\s+100$", out, re.M), out


@case
def settings():
    with filled() as server:
        out = tool(server, "settings")
        assert re.search(r"^\s*maxbytes\s+67108864$", out, re.M), out
        assert re.search(r"^\s*item_size_max\s+1048576$", out, re.M), out


@case
def dump():
    with filled() as server:
        out = tool(server, "dump")
        assert len(re.findall(r"^add tool:\d+ \d+ \d+ \d+\r?$", out, re.M)) == 100, out[:2000]
        assert "add tool:7 7 " in out and "v" * 990 in out


@case
def display():
    with filled() as server:
        out = tool(server, "display")
        assert "Item_Size" in out.splitlines()[0].replace("  ", " "), out
        counts = [int(line.split()[4]) for line in out.splitlines()[1:]]
        assert sum(counts) == 100, out


@case
def sizes():
    with filled("-o", "track_sizes") as server:
        out = tool(server, "sizes")
        rows = [line.split() for line in out.splitlines()[1:]]
        assert sum(int(r[1]) for r in rows) == 100, out


@case
def sizes_disabled():
    with filled() as server:
        assert "disabled" in tool(server, "sizes")


run()
