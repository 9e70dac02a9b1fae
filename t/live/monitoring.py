#!/usr/bin/python3
"""Monitoring: plain `stats` as the strictest readers take it, under every option that adds lines, and
libmemcached's tools."""

import os
import re
import subprocess

from accounts import two_tenants
from harness import IS_REFERENCE, TIMEOUT_S, Conn, Server, case, folder, run

# The Prometheus exporter says the server is down without these.
EXPORTER_FATAL = {"cmd_set", "cas_misses", "cas_hits", "cas_badval"}
COLLECTD = """bytes limit_maxbytes curr_connections curr_items threads rusage_user rusage_system
    cmd_get cmd_set cmd_flush get_hits get_misses incr_hits incr_misses decr_hits decr_misses
    evictions bytes_read bytes_written listen_disabled_num""".split()
MUNIN = """bytes_read bytes_written limit_maxbytes bytes curr_connections total_connections
    curr_items total_items cmd_get cmd_set get_hits get_misses evictions""".split()
TELEGRAF = COLLECTD + """accepting_conns auth_cmds auth_errors cas_badval cas_hits cas_misses
    cmd_touch conn_yields connection_structures decr_hits delete_hits delete_misses
    expired_unfetched get_expired get_flushed hash_bytes hash_is_expanding hash_power_level
    evicted_unfetched max_connections reclaimed rejected_connections store_no_memory
    store_too_large touch_hits touch_misses total_connections total_items uptime""".split()
# rusage is seconds; all other figures are whole.
SECONDS = {"rusage_user", "rusage_system"}


def certificate():
    where = folder()
    chain, key = os.path.join(where, "chain.pem"), os.path.join(where, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", key, "-out", chain], check=True,
                   capture_output=True, timeout=TIMEOUT_S)
    return ["-o", "ssl_chain_cert=%s,ssl_key=%s" % (chain, key)]


def variants():
    """Command lines, and the port a monitor without TLS asks: each switches on more lines."""
    yield "plain", []
    yield "busy", ["-o", "idle_timeout=60,track_sizes,maxconns_fast", "-D", ":", "-M"]
    if IS_REFERENCE:
        return
    tls = ["-Z"] + certificate()
    yield "TLS", tls
    yield "logins", [two_tenants(memory_max="64m").option]
    yield "everything", tls + [two_tenants(memory_max="64m").option, "-o", "idle_timeout=60",
                               "-A", "-D", ":"]


def servers():
    for name, args in variants():
        args = list(args)
        if "-Z" in args:
            server = Server("-p", "-1", "-l", "127.0.0.1,notls:127.0.0.2", *args, listen=None)
            address = ("127.0.0.2", server.ports()[-1][1])
        else:
            server = Server(*args)
            address = ("127.0.0.1", server.port)
        with server:
            yield name, server, address


def raw_stats(address, end=b"\r\n", login=None):
    with Conn(address) as c:
        if login:
            assert c.set(b"login", login) == b"STORED"
        for i in range(200):
            c.set(b"k%d" % i, b"v" * i)
            c.get(b"k%d" % (i * 2))
        c.send(b"stats" + end)
        data = b""
        while not data.endswith(b"END\r\n"):
            data += c.read(1)
        return data


def strict(data):
    """metricbeat's, telegraf's and gomemcache's demands at once."""
    found = {}
    assert data.endswith(b"\r\nEND\r\n") and data.count(b"\n") == data.count(b"\r\n")
    for line in data[:-7].decode("ascii").split("\r\n"):
        words = line.split(" ")
        assert len(words) == 3 and words[0] == "STAT" and words[1] and words[2], repr(line)
        assert words[1] not in found, "twice: " + words[1]
        assert re.fullmatch(r"[a-z][a-z0-9_]*", words[1]), words[1]
        found[words[1]] = words[2]
    return found


def check(data):
    found = strict(data)
    assert EXPORTER_FATAL <= set(found)
    for name in MUNIN + TELEGRAF:
        assert name in found, name
        pattern = r"\d+\.\d{6}" if name in SECONDS else r"\d+"
        assert re.fullmatch(pattern, found[name]), (name, found[name])
        if name not in SECONDS:
            assert int(found[name]) < 1 << 63, name
    sets = int(found["cmd_set"]) - sum(int(found["cas_" + n]) for n in ("hits", "misses", "badval"))
    assert sets >= 0, "the exporter's figure of sets"
    # collectd reads 4096 bytes and loses what follows.
    assert len(data) < 4096, len(data)


@case
def strict_readers_of_plain_stats():
    for name, server, address in servers():
        login = b"root rpw" if name in ("logins", "everything") else None
        for end in (b"\r\n", b"\n"):
            check(raw_stats(address, end, login))


@case(keepd_only="it has no tenants")
def tenants_users_see_the_same_form():
    with Server(two_tenants(memory_max="64m").option) as server:
        check(raw_stats(("127.0.0.1", server.port), login=b"alice apw"))


@case
def figures_stay_short_after_use():
    with Server() as server, server.connect() as c:
        c.send(b"".join(b"set k%d 0 0 100\r\n%s\r\n" % (i, b"v" * 100) for i in range(20000)))
        for _ in range(20000):
            assert c.line() == b"STORED"
        check(raw_stats(("127.0.0.1", server.port)))


# ---------------------------------------------------------------- libmemcached's tools

def tool(server, name, *args, status=0, stdin=None):
    done = subprocess.run([name, "--servers=127.0.0.1:%d" % server.port] + [str(a) for a in args],
                          input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S * 2)
    assert done.returncode == status, (name, args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def each_protocol():
    yield []
    yield ["--binary"]


@case
def copy_read_and_remove():
    for more in each_protocol():
        with Server("-m", 64) as server:
            path = os.path.join(folder(), "file.txt")
            with open(path, "w") as f:
                f.write("contents " * 1000)
            tool(server, "memccp", path, *more)
            assert tool(server, "memccat", "file.txt", *more).rstrip("\n") == "contents " * 1000
            tool(server, "memcexist", "file.txt", *more)
            tool(server, "memctouch", "--expire=1000", "file.txt", *more)
            tool(server, "memcrm", "file.txt", *more)
            tool(server, "memcexist", "file.txt", *more, status=1)
            tool(server, "memccat", "file.txt", *more, status=1)


@case
def flush_and_ping():
    for more in each_protocol():
        with Server() as server, server.connect() as c:
            assert c.set(b"a", b"1") == b"STORED"
            tool(server, "memcping")
            tool(server, "memcflush", *more)
            assert c.get(b"a") is None


@case
def statistics():
    for more in each_protocol():
        with Server() as server:
            out = tool(server, "memcstat", *more)
            assert re.search(r"curr_items: 0\b", out), out
            assert re.search(r"rusage_user: \d+\.\d{6}\b", out), out
            assert set(strict(raw_stats(("127.0.0.1", server.port)))) <= set(
                re.findall(r"^\s*(\w+): ", out, re.M)), out


@case
def load():
    for more in each_protocol():
        with Server("-m", 64) as server:
            for test in ("get", "set", "mget"):
                tool(server, "memcslap", "--concurrency=2", "--execute-number=200",
                     "--initial-load=200", "--test=" + test, *more)
            server.check_alive()


@case
def capability():
    with Server() as server:
        tool(server, "memcdump")


run()
