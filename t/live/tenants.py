#!/usr/bin/python3
"""Tenants in one process: the same key in two tenants never meets, each sees its own world, and each
has its own limits."""

import os
import re
import signal
import statistics
import time

from accounts import (ADD, DELETE, FLUSH, GET, INCR, MISS, NOOP, NOT_STORED, OK, REFUSED,
                      SET, STAT, VERSION, Accounts, ask, logged_in, logged_in_text, login, plain,
                      two_tenants)
from harness import (MIB, SLACK, Server, case, folder, packet, run, run_program, show, user_args,
                     wait_for)

OTHERS = b"of-the-other"


def stats_binary(conn, what=b""):
    conn.send(packet(STAT, what))
    found = {}
    while True:
        reply = conn.reply()
        if not reply.key:
            return reply.status, found
        found[reply.key.decode()] = reply.value.decode("latin-1")


def dump_lines(conn, command, ends):
    conn.send(command + b"\r\n")
    found = []
    while True:
        line = conn.line()
        if line in ends or line.startswith(b"ERROR"):
            return found
        found.append(line)


# ---------------------------------------------------------------- apart

@case
def tenants_are_separate():
    """Every command of every dialect, on a key that the other tenant has too."""
    with Server(two_tenants().option) as server:
        red, blue = logged_in_text(server, "alice", "apw"), logged_in_text(server, "bob", "bpw")
        red_binary = logged_in(server, "alice", "apw")
        assert red.set(b"k", b"red") == b"STORED" and red.set(b"n", b"5") == b"STORED"
        for command, answer in (
                (b"get k", b"END"), (b"gets k", b"END"), (b"gat 0 k", b"END"),
                (b"gats 0 k", b"END"), (b"delete k", b"NOT_FOUND"), (b"incr n 1", b"NOT_FOUND"),
                (b"decr n 1", b"NOT_FOUND"), (b"touch k 1", b"NOT_FOUND"), (b"mg k v", b"EN"),
                (b"md k", b"NF"), (b"ma n", b"NF"), (b"me k", b"EN"),
                (b"replace k 0 0 1\r\n1", b"NOT_STORED"), (b"append k 0 0 1\r\n1", b"NOT_STORED"),
                (b"prepend k 0 0 1\r\n1", b"NOT_STORED"), (b"cas k 0 0 1 1\r\n1", b"NOT_FOUND"),
                (b"ms k 1 MR\r\n1", b"NS"), (b"add k 0 0 4\r\nblue", b"STORED"),
                (b"set n 0 0 2\r\n50", b"STORED"), (b"ms m 4\r\nblue", b"HD"),
                (b"incr n 1", b"51")):
            assert blue.ask(command) == answer, command
        with logged_in(server, "bob", "bpw") as binary:
            assert ask(binary, DELETE, b"k").status == OK
            for opcode in (0x00, 0x0c, 0x04, 0x1c, 0x1d, 0x23):
                reply = ask(binary, opcode, b"k",
                            extras=b"\0" * 4 if opcode in (0x1c, 0x1d, 0x23) else b"")
                assert reply.status == MISS, reply
            for opcode in (0x03, 0x0e, 0x0f):
                reply = ask(binary, opcode, b"k", b"1", b"\0" * 8 if opcode == 3 else b"")
                assert reply.status in (MISS, NOT_STORED), reply
            assert ask(binary, INCR, b"k", extras=b"\0" * 16 + b"\xff" * 4).status == MISS
            assert ask(binary, ADD, b"k", b"blue", b"\0" * 8).status == OK
        assert red.get(b"k") == b"red" and red.get(b"n") == b"5"
        assert ask(red_binary, GET, b"k").value == b"red"
        assert blue.get(b"k") == b"blue"


@case
def nothing_of_the_other_is_listed():
    with Server(two_tenants().option, "-o", "track_sizes") as server:
        red, blue = logged_in_text(server, "alice", "apw"), logged_in_text(server, "bob", "bpw")
        binary = logged_in(server, "bob", "bpw")
        assert red.ask(b"stats detail on") == b"OK"
        for i in range(100):
            assert red.set(OTHERS + b":%d" % i, b"v" * 100) == b"STORED"
            assert red.get(OTHERS + b":%d" % i)
        assert blue.set(b"own:1", b"x") == b"STORED"
        assert blue.ask(b"get absent") == b"END"
        texts = {}
        for command, ends in ((b"lru_crawler metadump all", (b"END",)),
                              (b"lru_crawler metadump hash", (b"END",)),
                              (b"lru_crawler mgdump all", (b"EN",)),
                              (b"stats cachedump 1 0", (b"END",)),
                              (b"stats detail dump", (b"END",)), (b"stats items", (b"END",)),
                              (b"stats slabs", (b"END",)), (b"stats sizes", (b"END",)),
                              (b"stats", (b"END",)), (b"stats tenants", (b"END",)),
                              (b"stats denials", (b"END",)), (b"stats authlog", (b"END",)),
                              (b"stats auth", (b"END",)), (b"stats conns", (b"END",)),
                              (b"stats settings", (b"END",))):
            with logged_in_text(server, "bob", "bpw") as conn:
                lines = dump_lines(conn, command, ends)
            texts[command] = b"\n".join(lines)
            assert OTHERS not in texts[command], (command, texts[command][:300])
            for word in (b"red", b"alice"):
                assert not re.search(rb"\b%s\b" % word, texts[command]), (
                    command, texts[command][:2000])
        assert b"own%3A1" in texts[b"lru_crawler metadump all"], texts
        assert b"mg own:1" in texts[b"lru_crawler mgdump all"], texts
        for what in (b"", b"items", b"slabs", b"sizes", b"tenants", b"detail dump"):
            status, found = stats_binary(binary, what)
            assert not re.search(r"of-the-other|\b(red|alice)\b", str(found)), (what, found)
        stats = blue.stats()
        assert stats["curr_items"] == "1" and stats["cmd_set"] == "1", stats
        assert stats["get_misses"] == "1" and stats["get_hits"] == "0", stats
        assert int(red.stats()["curr_items"]) == 100


@case
def watch_shows_the_own_tenant():
    with Server(two_tenants().option) as server:
        watcher = logged_in_text(server, "bob", "bpw")
        assert watcher.ask(b"watch fetchers mutations deletions evictions connevents") == b"OK"
        red, blue = logged_in_text(server, "alice", "apw"), logged_in_text(server, "bob", "bpw")
        red.set(OTHERS, b"v")
        red.get(OTHERS)
        red.ask(b"delete " + OTHERS)
        blue.set(b"own", b"v")
        blue.get(b"own")
        blue.ask(b"delete own")
        lines = []
        wait_for(lambda: lines.append(watcher.line()) or
                 any(b"item_get" in line and b"own" in line for line in lines), "own events")
        assert not any(OTHERS in line for line in lines), lines


@case
def flush_empties_the_own_tenant():
    with Server(two_tenants().option) as server:
        red, blue = logged_in_text(server, "alice", "apw"), logged_in_text(server, "bob", "bpw")
        binary = logged_in(server, "bob", "bpw")
        for flush in (lambda: blue.ask(b"flush_all") == b"OK",
                      lambda: ask(binary, FLUSH).status == OK,
                      lambda: ask(binary, FLUSH, extras=b"\0" * 4).status == OK):
            red.set(b"k", b"red")
            blue.set(b"k", b"blue")
            assert flush()
            assert blue.get(b"k") is None and red.get(b"k") == b"red"
        blue.set(b"k", b"blue")
        assert blue.ask(b"flush_all 1") == b"OK"
        wait_for(lambda: blue.get(b"k") is None, "the delayed flush")
        assert red.get(b"k") == b"red"
        blue.set(b"k", b"blue")
        assert ask(binary, FLUSH, extras=b"\0\0\0\1").status == OK
        wait_for(lambda: blue.get(b"k") is None, "the delayed flush")
        assert red.get(b"k") == b"red"


@case
def stats_are_those_of_the_tenant():
    accounts = two_tenants(memory_max="16m")
    with Server(accounts.option, "-m", 64) as server:
        red, root = logged_in_text(server, "alice", "apw"), logged_in_text(server, "root", "rpw")
        red.set(b"k", b"v")
        red.get(b"k")
        with server.connect(source="127.3.3.3") as conn:
            assert login(conn, "alice", "no") == REFUSED
        own, total = red.stats(), root.stats()
        assert own["limit_maxbytes"] == str(16 * MIB), own["limit_maxbytes"]
        assert own["auth_errors"] == "1" and int(own["auth_cmds"]) >= 2, own
        assert total["limit_maxbytes"] == str(64 * MIB), total["limit_maxbytes"]
        # An operator sees the sum of all tenants.
        assert total["curr_items"] == "1" and total["cmd_set"] == "1", total
        assert root.stats(b"tenants")["red:curr_items"] == "1"
        assert "blue:curr_items" in root.stats(b"tenants")
        assert set(name.split(":")[0] for name in red.stats(b"tenants")) == {"red"}
        assert red.ask(b"stats reset") == b"RESET"
        assert red.stats()["cmd_set"] == "0"


# ---------------------------------------------------------------- limits

@case
def item_max():
    with Server(two_tenants(item_max="10k").option) as server:
        red = logged_in_text(server, "alice", "apw")
        assert red.set(b"k", b"v" * 5000) == b"STORED"
        assert red.set(b"k", b"v" * 20000) == b"SERVER_ERROR object too large for cache"
        assert red.ask(b"version").startswith(b"VERSION")
        with logged_in(server, "alice", "apw") as binary:
            assert ask(binary, SET, b"k", b"v" * 20000, b"\0" * 8).status == 3
            assert ask(binary, NOOP).status == OK
        root = logged_in_text(server, "root", "rpw")
        assert root.set(b"k", b"v" * 20000) == b"STORED"


@case
def connection_limit():
    with Server(two_tenants(connections=3).option) as server:
        red = [logged_in(server, "alice", "apw") for _ in range(3)]
        with server.connect(source="127.3.0.1") as late:
            assert login(late, "alice", "apw") == REFUSED
            assert late.wait_closed() == b""
        blue = logged_in(server, "bob", "bpw")
        assert ask(blue, NOOP).status == OK
        assert ask(red[0], NOOP).status == OK
        # A second login gives up the first one's place.
        assert login(red[1], "bob", "bpw") == OK
        red.append(logged_in(server, "alice", "apw"))
        red.pop().close()
        wait_for(lambda: not refused(server), "the place")
        server.wait_log("tenant_full")


def refused(server):
    with server.connect() as conn:
        return login(conn, "alice", "apw") != OK


LEGACY = {OK, MISS, NOT_STORED}


def over(server, tenant="red"):
    """How many requests were refused over the limits, as an operator sees it."""
    with logged_in_text(server, "root", "rpw") as root:
        return int(root.stats(b"tenants")[tenant + ":refused_over_limits"])


@case
def connections_are_counted_without_logins():
    with Server("-U", 0) as server:
        conns = [server.connect() for _ in range(5)]
        for conn in conns:
            assert conn.ask(b"mn") == b"MN"
        count = "default:curr_connections"
        assert conns[0].stats(b"tenants")[count] == conns[0].stats()["curr_connections"] == "5"
        conns.pop().close()
        wait_for(lambda: conns[0].stats(b"tenants")[count] == "4", "the connection to go")


@case
def connections_are_counted_by_login():
    with Server(two_tenants().option) as server:
        root = logged_in_text(server, "root", "rpw")
        red = [logged_in(server, "alice", "apw") for _ in range(3)]
        strangers = [server.connect() for _ in range(4)]
        for conn in strangers:
            assert ask(conn, VERSION).status == OK

        def counts():
            found = root.stats(b"tenants")
            return [found[name + ":curr_connections"] for name in ("default", "red", "blue")]
        assert counts() == ["1", "3", "0"], counts()
        assert login(red[0], "bob", "bpw") == OK
        assert counts() == ["1", "2", "1"], counts()
        assert login(red[1], "alice", "no") == REFUSED
        assert counts() == ["1", "1", "1"], counts()
        for conn in red:
            conn.close()
        wait_for(lambda: counts() == ["1", "0", "0"], "the connections to go")


@case
def ops_limit():
    """Over the limit: delayed, then refused by statuses that old clients know."""
    with Server(two_tenants(ops=200).option) as server:
        red, blue = logged_in(server, "alice", "apw"), logged_in(server, "bob", "bpw")
        began = time.monotonic()
        statuses, waits, n = set(), [], 0
        while time.monotonic() - began < 3:
            t = time.monotonic()
            red.send(packet(SET, b"k", b"\0" * 8, b"v") * 20 + packet(GET, b"k") * 20)
            for _ in range(40):
                statuses.add(red.reply().status)
            waits.append(time.monotonic() - t)
            n += 40
        took = time.monotonic() - began
        n_refused = over(server)
        wait = statistics.median(waits)
        show("%d served, %d refused in %.1f s; median wait %.3f s" % (n - n_refused, n_refused, took,
                                                                      wait))
        assert statuses <= LEGACY, statuses
        assert n - n_refused <= 200 * (took + 2), n - n_refused
        assert wait < 0.5 * SLACK, wait
        assert ask(blue, SET, b"k", b"v", b"\0" * 8).status == OK, "the other owes nothing"


# Requests of each kind and their refusal, as text and as binary.
OVER_TEXT = (
    (b"get k", b"END"), (b"get k l", b"END"), (b"gets k", b"END"), (b"gat 0 k", b"END"),
    (b"set k 0 0 1\r\n1", b"NOT_STORED"), (b"add l 0 0 1\r\n1", b"NOT_STORED"),
    (b"replace k 0 0 1\r\n1", b"NOT_STORED"), (b"append k 0 0 1\r\n1", b"NOT_STORED"),
    (b"prepend k 0 0 1\r\n1", b"NOT_STORED"), (b"cas k 0 0 1 1\r\n1", b"NOT_STORED"),
    (b"delete k", b"NOT_FOUND"), (b"incr k 1", b"NOT_FOUND"), (b"decr k 1", b"NOT_FOUND"),
    (b"touch k 0", b"NOT_FOUND"), (b"mg k v", b"EN"), (b"mg k v q\r\nmn", b"MN"),
    (b"ms k 1\r\n1", b"NS"), (b"md k", b"NF"), (b"ma k v", b"NS"),
    (b"set k 0 0 1 noreply\r\n1\r\nmn", b"MN"), (b"delete k noreply\r\nmn", b"MN"),
)
QUIET = {0x09, 0x0d, 0x1e, 0x24}  # a miss is silent
OVER_BINARY = tuple(
    [(opcode, b"", b"", MISS) for opcode in (GET, 0x0c, 0x09, 0x0d, DELETE, 0x14)] +
    [(opcode, b"\0" * 8, b"1", NOT_STORED) for opcode in (0x01, 0x02, 0x03, 0x11, 0x12, 0x13)] +
    [(opcode, b"", b"1", NOT_STORED) for opcode in (0x0e, 0x0f, 0x19, 0x1a)] +
    [(opcode, b"\0" * 20, b"", NOT_STORED) for opcode in (0x05, 0x06, 0x15, 0x16)] +
    [(opcode, b"\0" * 4, b"", MISS) for opcode in (0x1c, 0x1d, 0x1e, 0x23, 0x24)])


@case
def over_the_limit_every_request_has_its_refusal():
    """A tenant deep in debt: each request for a key is refused as if it found nothing, and counted;
    what names no key, statistics and logins go on; a higher limit ends the debt."""
    accounts = two_tenants(bytes=1000)
    with Server(accounts.option) as server:
        text, binary = logged_in_text(server, "alice", "apw"), logged_in(server, "alice", "apw")
        assert text.set(b"k", b"7" * 400000) == b"STORED"  # paid for in 400 seconds
        before = over(server)
        n_keys = len(OVER_TEXT) + 1 + len(OVER_BINARY)  # one of the gets has two
        text.send(b"".join(command + b"\r\n" for command, _ in OVER_TEXT))
        for command, refusal in OVER_TEXT:
            assert text.line() == refusal, command
        binary.send(b"".join(packet(opcode, b"k", extras, value, opaque=7) + packet(NOOP, opaque=8)
                             for opcode, extras, value, _ in OVER_BINARY))
        for opcode, _, _, status in OVER_BINARY:
            found = [binary.reply() for _ in range(1 if opcode in QUIET else 2)]
            wanted = ([] if opcode in QUIET else [(opcode, status, 7)]) + [(NOOP, OK, 8)]
            assert [(r.opcode, r.status, r.opaque) for r in found] == wanted, (hex(opcode), found)
        text.send(b"set k 0 0 300000\r\n" + b"x" * 300000 + b"\r\nmn\r\n")
        assert (text.line(), text.line()) == (b"NOT_STORED", b"MN"), "a large value is swallowed"
        assert over(server) == before + n_keys + 1
        # What is no request for a key.
        assert text.ask(b"version").startswith(b"VERSION ") and text.ask(b"stats items")
        text.lines()
        status, found = stats_binary(binary, b"tenants")
        assert status == OK and found["red:refused_over_limits"] == str(before + n_keys + 1)
        assert b"PLAIN" in ask(binary, 0x20).value
        assert login(binary, "alice", "no") == REFUSED, "not another status"
        assert login(binary, "alice", "apw") == OK
        assert over(server) == before + n_keys + 1
        # Blue owes nothing.
        with logged_in_text(server, "bob", "bpw") as blue:
            assert blue.set(b"k", b"v") == b"STORED"
        with open(accounts.path) as f:
            changed = f.read().replace("bytes = 1000", "bytes = 100m")
        with open(accounts.path, "w") as f:
            f.write(changed)
        accounts.keepctl("reload", "--pid", server.pid)
        wait_for(lambda: text.get(b"k") == b"7" * 400000, "the debt to end")
        assert ask(binary, GET, b"k").value == b"7" * 400000


@case
def a_crowd_over_the_ops_limit_is_refused():
    """The delay of a crowd covers less than it asks for: most is refused, on every dialect, what is
    served keeps to the limit, and every connection lives on."""
    limit, n_conns, turns = 5, 48, 5
    with Server(two_tenants(ops=limit).option, "-t", 2) as server:
        logged_in_text(server, "root", "rpw").close()
        binary = [logged_in(server, "alice", "apw") for _ in range(n_conns // 2)]
        text = [logged_in_text(server, "alice", "apw") for _ in range(n_conns // 2)]
        began = time.monotonic()
        n_served = n_refused = 0
        for turn in range(turns):
            for i, conn in enumerate(text):
                conn.send(b"set k 0 0 1\r\n1\r\n" if i % 2 else b"ms k 1\r\n1\r\n")
            for conn in binary:
                conn.send(packet(SET, b"k", b"\0" * 8, b"v"))
            for i, conn in enumerate(text):
                line = conn.line()
                n_served += line == (b"STORED" if i % 2 else b"HD")
                n_refused += line == (b"NOT_STORED" if i % 2 else b"NS")
            for conn in binary:
                status = conn.reply().status
                n_served += status == OK
                n_refused += status == NOT_STORED
        took = time.monotonic() - began
        show("%d served, %d refused in %.1f s" % (n_served, n_refused, took))
        assert n_served + n_refused == n_conns * turns
        assert n_refused == over(server), (n_refused, over(server))
        # A second's worth at once, the debt that a delay covers, and one for each worker's race.
        assert 1 <= n_served <= limit * (took + 1.2) + 3, (n_served, took)
        for conn in text:
            assert conn.ask(b"mn") == b"MN"
        for conn in binary:
            assert ask(conn, NOOP).status == OK


@case
def a_crowd_over_the_bytes_limit_is_refused():
    """Both directions count: what is stored, and what is read back."""
    limit, size, n_conns = 20000, 1000, 30
    accounts = two_tenants(bytes=limit)
    with Server(accounts.option, "-t", 2) as server:
        with logged_in_text(server, "alice", "apw") as conn:
            assert conn.set(b"k", b"v" * size) == b"STORED"
        for name, request, is_served in (
                ("write", b"set k 0 0 %d\r\n%s\r\n" % (size, b"v" * size),
                 {b"STORED": True, b"NOT_STORED": False}.get),
                ("read", b"get k\r\n", {b"VALUE k 0 %d" % size: True, b"END": False}.get)):
            conns = [logged_in_text(server, "alice", "apw") for _ in range(n_conns)]
            refused_before = over(server)
            began, served, refused = time.monotonic(), 0, 0
            for turn in range(5):
                for conn in conns:
                    conn.send(request)
                for conn in conns:
                    answer = is_served(conn.line())
                    assert answer is not None
                    served, refused = served + answer, refused + (not answer)
                    if answer and name == "read":
                        assert conn.line() == b"v" * size and conn.line() == b"END"
            took = time.monotonic() - began
            show("%s: %d served, %d refused in %.1f s" % (name, served, refused, took))
            assert refused == over(server) - refused_before > 0, (name, served, refused)
            assert served * size <= limit * (took + 1.2) + 3 * size, (name, served, took)
            for conn in conns:
                assert conn.ask(b"mn") == b"MN"
                conn.close()


# ---------------------------------------------------------------- rights

ALL = ("read", "write", "delete", "incr", "touch", "flush", "stats", "dump")
# Right, text command, its refusal, opcode, extras, value, its refusal's status.
REFUSALS = (
    ("read", b"get k", b"END", 0x00, b"", b"", MISS),
    ("read", b"mg k v", b"EN", 0x0c, b"", b"", MISS),
    ("write", b"set k 0 0 1\r\n1", b"NOT_STORED", 0x01, b"\0" * 8, b"1", NOT_STORED),
    ("write", b"add k 0 0 1\r\n1", b"NOT_STORED", 0x02, b"\0" * 8, b"1", NOT_STORED),
    ("write", b"append k 0 0 1\r\n1", b"NOT_STORED", 0x0e, b"", b"1", NOT_STORED),
    ("write", b"ms k 1\r\n1", b"NS", 0x03, b"\0" * 8, b"1", NOT_STORED),
    ("write", b"cas k 0 0 1 1\r\n1", b"NOT_STORED", 0x0f, b"", b"1", NOT_STORED),
    ("delete", b"delete k", b"NOT_FOUND", 0x04, b"", b"", MISS),
    ("delete", b"md k", b"NF", 0x04, b"", b"", MISS),
    ("incr", b"incr k 1", b"NOT_FOUND", 0x05, b"\0" * 20, b"", NOT_STORED),
    ("incr", b"ma k", b"NS|NF", 0x06, b"\0" * 20, b"", NOT_STORED),
    ("touch", b"touch k 0", b"NOT_FOUND", 0x1c, b"\0" * 4, b"", MISS),
    ("flush", b"flush_all", b"CLIENT_ERROR flush_all not allowed", 0x08, b"", b"", NOT_STORED),
    ("stats", b"stats", b"END", 0x10, b"", b"", OK),
    ("stats", b"stats items", b"END", 0x10, b"", b"", OK),
    ("dump", b"lru_crawler metadump all", b"CLIENT_ERROR .*", None, b"", b"", None),
    ("dump", b"lru_crawler mgdump all", b"CLIENT_ERROR .*", None, b"", b"", None),
    ("dump", b"watch fetchers", b"CLIENT_ERROR .*", None, b"", b"", None),
    ("admin", b"cache_memlimit 64", b"CLIENT_ERROR .*", None, b"", b"", None),
    ("admin", b"verbosity 1", b"CLIENT_ERROR .*", 0x1b, b"\0" * 4, b"", NOT_STORED),
    ("admin", b"shutdown", b"CLIENT_ERROR .*", None, b"", b"", None),
)


def users_without():
    accounts = Accounts().tenant("red").user("all", "red", "pw")
    for right in ALL:
        accounts.user("no-" + right, "red", "pw", ",".join(r for r in ALL if r != right))
    accounts.user("no-admin", "red", "pw")
    return accounts.user("root", "default", "pw", ",".join(ALL) + ",admin")


def keyed(opcode):
    return b"" if opcode in (0x08, 0x10, 0x1b) else b"k"


@case
def rights_are_refused_softly():
    """In words and statuses that old clients survive, and nothing is done; the connection goes on."""
    with Server(users_without().option) as server:
        owner = logged_in_text(server, "all", "pw")
        for right, command, answer, opcode, extras, value, status in REFUSALS:
            owner.set(b"k", b"7")
            with logged_in_text(server, "no-" + right, "pw") as conn:
                found = conn.ask(command)
                assert re.fullmatch(answer, found), (right, command, found)
                assert conn.ask(b"version").startswith(b"VERSION"), command
            if opcode is not None:
                with logged_in(server, "no-" + right, "pw") as conn:
                    reply = ask(conn, opcode, keyed(opcode), value, extras)
                    assert reply.status == status, (right, hex(opcode), reply)
                    if opcode == STAT:
                        assert (reply.key, reply.value) == (b"", b""), reply
                    assert ask(conn, NOOP).status == OK
            assert owner.get(b"k") == b"7", (right, command)
        denials = owner.stats(b"denials")
        rows = [dict(w.split("=", 1) for w in row.split(" ")) for row in denials.values()]
        assert any(r["user"] == "no-read" and r["key"] == "k" and r["class"] == "read" and
                   r["address"] == "127.0.0.1" for r in rows), rows
        assert int(logged_in_text(server, "root", "pw").stats(b"auth")["denials"]) >= len(REFUSALS)


@case
def quiet_refusals():
    with Server(users_without().option) as server:
        with logged_in(server, "no-read", "pw") as conn:
            conn.send(packet(0x09, b"k") + packet(0x0d, b"k") + packet(NOOP, opaque=9))
            assert conn.reply().opaque == 9, "a quiet get that is refused is a quiet miss"
        with logged_in(server, "no-write", "pw") as conn:
            conn.send(packet(0x11, b"k", b"\0" * 8, b"1", opaque=8) + packet(NOOP, opaque=9))
            reply = conn.reply()
            assert (reply.opaque, reply.status) == (8, NOT_STORED), reply
            assert conn.reply().opaque == 9
        with logged_in_text(server, "no-write", "pw") as conn:
            conn.send(b"set k 0 0 1 noreply\r\n1\r\nms k 1 q\r\n1\r\nmn\r\n")
            lines = [conn.line()]
            while lines[-1] != b"MN":
                lines.append(conn.line())
            assert set(lines) <= {b"NS", b"MN"}, lines
        with logged_in_text(server, "no-write", "pw") as conn:
            big = b"x" * 300000
            assert conn.set(b"k", big) == b"NOT_STORED" and conn.ask(b"mn") == b"MN"


@case
def rights_mode_warn():
    with Server(users_without().option, "--rights-mode=warn") as server:
        with logged_in_text(server, "no-write", "pw") as conn:
            assert conn.set(b"k", b"v") == b"STORED"
            assert "mode=warn" in str(conn.stats(b"denials"))
        auth = logged_in_text(server, "root", "pw").stats(b"auth")
        assert auth["warnings"] == "1" and auth["denials"] == "0", auth


@case
def lists_of_events():
    with Server(two_tenants().option) as server:
        red = logged_in_text(server, "alice", "apw")
        with server.connect(source="127.3.4.5") as conn:
            login(conn, "alice", "no")
            login(conn, "al ice\n\x01", "no")
        log = str(red.stats(b"authlog"))
        assert "event=login " in log and "event=login_failed" in log and "127.3.4.5" in log, log
        assert "al ice" not in log
        root = logged_in_text(server, "root", "rpw").stats(b"auth")
        assert root["failures"] == "2" and any(n.startswith("PLAIN:") for n in root), root
        assert not any(":" in n for n in red.stats(b"auth"))


# ---------------------------------------------------------------- reload

@case
def reload_changes_limits_and_rights():
    accounts = two_tenants(memory_max="16m")
    with Server(accounts.option) as server:
        red = logged_in_text(server, "alice", "apw")
        red.set(b"k", b"v")
        with open(accounts.path) as f:
            text = f.read()
        text = re.sub(r"memory-max = .*", "memory-max = 32m", text)
        text = re.sub("rights = .*", "rights = {read, stats}", text, count=1)
        with open(accounts.path, "w") as f:
            f.write(text)
        accounts.keepctl("reload", "--pid", server.pid)
        wait_for(lambda: red.stats()["limit_maxbytes"] == str(32 * MIB), "the new limit")
        wait_for(lambda: red.set(b"k", b"v") == b"NOT_STORED", "the new rights")
        assert red.get(b"k") == b"v"


@case
def removed_users_and_secrets_end():
    """Within about a second: one 0x20, and the end; what stays, stays."""
    accounts = two_tenants()
    accounts.keepctl("passwd", "bob", "--label", "second", "--password-stdin", password="second")
    with Server(accounts.option) as server:
        alice = logged_in(server, "alice", "apw")
        first, second = logged_in(server, "bob", "bpw"), logged_in(server, "bob", "second")
        idle = logged_in_text(server, "bob", "bpw")
        for words, ended, kept in (
                (("passwd", "bob", "--label", "main", "--remove"), [first], [second, alice]),
                (("user", "disable", "alice"), [alice], [second]),
                (("user", "del", "bob"), [second], [])):
            accounts.keepctl(*words)
            began = time.monotonic()
            server.signal(signal.SIGHUP)
            for conn in ended:
                data = conn.wait_closed()
                assert len(data) == 37 and data[7] == REFUSED, data
            assert time.monotonic() - began < 2.5 * SLACK
            for conn in kept:
                assert ask(conn, NOOP).status == OK
        assert idle.wait_closed() == b"CLIENT_ERROR unauthenticated\r\n"


@case
def logins_by_password_files_end_with_their_lines():
    """-Y and MEMCACHED_SASL_PWDB: who is gone, or whose password changed, is out after SIGHUP."""
    conf = folder()
    file = os.path.join(conf, "passwords")
    before, after = "alice:apw\nbob:bpw\ncarol:cpw\n", "alice:apw\nbob:new\n"
    with open(os.path.join(conf, "memcached.conf"), "w") as f:
        f.write("mech_list: plain\n")
    for words, env in ((("-Y", file), {}),
                       (("-S",), {"SASL_CONF_PATH": conf, "MEMCACHED_SASL_PWDB": file})):
        with open(file, "w") as f:
            f.write(before)
        with Server(*words, env=env) as server:
            conns = [logged_in_text(server, user, user[0] + "pw") for user in ("alice", "bob", "carol")]
            server.signal(signal.SIGHUP)
            wait_for(lambda: "users_reloaded" in server.log(), "the reload")
            assert [conn.ask(b"mn") for conn in conns] == [b"MN"] * 3
            with open(file, "w") as f:
                f.write(after)
            server.signal(signal.SIGHUP)
            for conn in conns[1:]:
                assert conn.wait_closed() == b"CLIENT_ERROR unauthenticated\r\n"
            assert conns[0].ask(b"mn") == b"MN"
            logged_in_text(server, "bob", "new").close()


@case
def a_tenant_that_goes_gives_its_memory_back():
    accounts = two_tenants()
    with Server(accounts.option) as server:
        red = logged_in_text(server, "alice", "apw")
        for i in range(100):
            red.set(b"k%d" % i, b"v" * 10000)
        accounts.keepctl("user", "del", "alice")
        accounts.keepctl("tenant", "del", "red")
        accounts.keepctl("reload", "--pid", server.pid)
        assert red.wait_closed() == b"CLIENT_ERROR unauthenticated\r\n"
        accounts.tenant("red").user("alice", "red", "apw")
        accounts.keepctl("reload", "--pid", server.pid)

        def back():
            with server.connect() as conn:
                if login(conn, "alice", "apw") != OK:
                    return False
                assert ask(conn, GET, b"k1").status == MISS, "what was there is gone"
                return True
        wait_for(back, "the tenant")


@case
def what_is_stored_after_its_end_does_not_come_back_with_a_tenant():
    """A connection lives up to a second longer than its user, and goes on storing."""
    accounts = two_tenants()
    with Server(accounts.option) as server:
        red = logged_in_text(server, "alice", "apw")
        accounts.keepctl("user", "del", "alice")
        accounts.keepctl("tenant", "del", "red")
        accounts.keepctl("reload", "--pid", server.pid)
        wait_for(lambda: "users_reloaded" in server.log(), "the reload")
        try:
            while red.set(b"k", b"late") == b"STORED":
                pass
        except (EOFError, OSError):
            pass
        accounts.tenant("red").user("alice", "red", "apw")
        accounts.keepctl("reload", "--pid", server.pid)
        wait_for(lambda: server.log().count("users_reloaded") == 2, "the second reload")
        with logged_in_text(server, "alice", "apw") as again:
            wait_for(lambda: again.get(b"k") is None, "an empty tenant")


@case
def broken_files_keep_the_old_set():
    accounts = two_tenants()
    with open(accounts.path) as f:
        good = f.read()
    broken = {
        "unknown key": good.replace("tenant \"red\" {", "tenant \"red\" {\n    colour = red"),
        "double user": good + good[good.index('user "alice"'):],
        "guarantees": good.replace('tenant "red" {', 'tenant "red" {\n    memory-min = 900g'),
        "verifier": good.replace("SCRAM-SHA-256$", "SCRAM-SHA-256$x"),
        "no tenant": good.replace('tenant = "red"', 'tenant = "green"'),
        "half": good[:len(good) // 2],
        "binary": "\0\1\2",
    }
    with Server(accounts.option) as server:
        red = logged_in_text(server, "alice", "apw")
        n_failed = 0
        for name, text in broken.items():
            assert text != good, name
            with open(accounts.path, "w") as f:
                f.write(text)
            done = accounts.keepctl("check", check=False)
            if name != "guarantees":  # keepctl does not know the server's -m
                assert done.returncode != 0, name
                assert re.search(rb"tenants.conf:\d+: ", done.stdout), (name, done.stdout)
            server.signal(signal.SIGHUP)
            n_failed += 1
            wait_for(lambda: server.log().count("users_reload_failed") +
                     repeated(server.log(), "users_reload_failed") >= n_failed, "the complaint")
            assert red.ask(b"mn") == b"MN"
            logged_in(server, "bob", "bpw").close()
        os.unlink(accounts.path)
        server.signal(signal.SIGHUP)
        logged_in(server, "bob", "bpw").close()


@case
def odd_files_keep_the_old_set():
    """A directory, a FIFO, a file that is not to be read, too large, with a NUL: each is told, in a
    server's answer too, and changes nothing. Other line ends, and 5 MB, are read."""
    accounts = two_tenants()
    with open(accounts.path, "rb") as f:
        good = f.read()

    def fifo(path):
        os.mkfifo(path)

    def unreadable(path):
        with open(path, "wb") as f:
            f.write(good)
        os.chmod(path, 0)

    def hole(path):
        with open(path, "wb") as f:
            f.truncate(100 * MIB)

    def nul(path):
        with open(path, "wb") as f:
            f.write(good + b"\0")
    odd = (("regular", os.mkdir, os.rmdir), ("regular", fifo, os.unlink), ("File too large", hole, os.unlink),
           ("NUL", nul, os.unlink), ("Permission denied", unreadable, os.unlink),
           ("No such file", lambda path: None, lambda path: None))
    with Server(accounts.option) as server:
        root, red = logged_in_text(server, "root", "rpw"), logged_in(server, "alice", "apw")
        for reason, make, remove in odd:
            os.unlink(accounts.path)
            make(accounts.path)
            answer = root.ask(b"reload")
            assert reason.encode() in answer, (reason, answer)
            if reason != "Permission denied":  # root may read it
                status, _, err = run_program(accounts.option, "--check-config", *user_args())
                assert status != 0 and reason in err, (status, err)
            remove(accounts.path)
            with open(accounts.path, "wb") as f:
                f.write(good)
            assert ask(red, NOOP).status == OK
            logged_in(server, "bob", "bpw").close()
        many = b"".join(b"user u%d { tenant = red\n}\n# %s\n" % (i, b"x" * 500) for i in range(11000))
        assert len(many) > 5 * MIB, len(many)
        for text in (good.replace(b"\n", b"\r\n"), good.rstrip(), good + many, good):
            with open(accounts.path, "wb") as f:
                f.write(text)
            answer = root.ask(b"reload")
            assert answer == b"OK", (text[:40], len(text), answer)
            assert ask(red, NOOP).status == OK
            logged_in(server, "alice", "apw").close()
        # A tenant that left keeps its place: at most 4096 different ones until a restart.
        for first, is_taken in ((0, True), (1000, True), (2000, True), (3000, True), (4000, False)):
            with open(accounts.path, "wb") as f:
                f.write(good + b"".join(b"tenant t%d {\n}\n" % i for i in range(first, first + 1000)))
            answer = root.ask(b"reload")
            assert (answer == b"OK") == is_taken and (is_taken or b"too many" in answer), answer
            logged_in(server, "bob", "bpw").close()
        open(accounts.path, "wb").close()  # nobody is left
        root.send(b"reload\r\n")
        assert red.wait_closed()[6:8] == b"\0\x20"
        with server.connect(source="127.3.3.9") as conn:
            assert login(conn, "alice", "apw") == REFUSED


@case
def guarantees_that_segments_cannot_hold_are_refused():
    """The sum fits in bytes; in whole segments it does not. Refused at start, at a reload, and when
    the memory is made smaller; what was promised before is kept."""
    accounts = two_tenants()
    with open(accounts.path) as f:
        good = f.read()
    n_lines = good.count("\n")

    def write(n, guarantee):
        with open(accounts.path, "w") as f:
            f.write(good)
            f.writelines('tenant "t%d" {\n memory-min = %s\n}\n' % (i, guarantee) for i in range(n))

    def refuses(answer, last):
        line = n_lines + 3 * last + 2
        place = ("%s:%d: " % (accounts.path, line)).encode()
        assert place in answer and b'"t%d" goes beyond it' % last in answer, answer

    with Server(accounts.option, "-m", 64) as server:  # 1024 segments of 64 KiB
        root = logged_in_text(server, "root", "rpw")
        write(512, "64k")
        assert root.ask(b"reload") == b"OK"
        assert root.ask(b"cache_memlimit 31") == \
            b"MEMLIMIT_ADJUST_FAILED below what the tenants are guaranteed"
        assert root.stats()["limit_maxbytes"] == str(64 * MIB)
        assert root.ask(b"cache_memlimit 32") == b"OK"
        write(513, "64k")
        refuses(root.ask(b"reload"), 512)
        assert root.ask(b"cache_memlimit 33") == b"OK"
        assert root.ask(b"reload") == b"OK"
        assert root.ask(b"cache_memlimit 1000000000") == \
            b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust"
        write(900, "65k")  # of 33 MiB each has two segments
        refuses(root.ask(b"reload"), 264)
        assert root.ask(b"cache_memlimit 64") == b"OK"
        refuses(root.ask(b"reload"), 512)  # 57 MiB of 64, if bytes were counted
        assert logged_in_text(server, "alice", "apw").set(b"k", b"v") == b"STORED"
    write(3000, "17k")  # 50 MiB of 64; 6000 segments of 4096
    for more in ((), ("--check-config",)):
        status, _, err = run_program(accounts.option, "-m", "64", *more, *user_args())
        assert status != 0
        refuses(err.encode(), 2048)
    write(2000, "17k")
    with Server(accounts.option, "-m", 64) as server:
        logged_in(server, "alice", "apw").close()


def repeated(log, event):
    return sum(int(n) for n in re.findall(r"event=%s .*repeated=(\d+)" % event, log))


@case
def login_races_on_one_connection():
    """Logins of two users pipelined with work: each command is done by who was logged in then."""
    with Server(two_tenants().option) as server:
        with server.connect() as conn:
            n, data, wanted = 30, b"", []
            for i in range(n):
                for user, password in (("alice", "apw"), ("bob", "bpw")):
                    data += packet(0x21, b"PLAIN", value=plain(user, password))
                    data += packet(SET, b"who", b"\0" * 8, user.encode())
                    data += packet(GET, b"who")
                    wanted.append(user.encode())
            conn.send(data)
            for user in wanted:
                assert conn.reply().status == OK and conn.reply().status == OK
                assert conn.reply().value == user
        assert logged_in_text(server, "alice", "apw").get(b"who") == b"alice"
        assert logged_in_text(server, "bob", "bpw").get(b"who") == b"bob"


# ---------------------------------------------------------------- memory

def fill(conn, prefix, n, size):
    """n keys of size bytes by quiet sets, in pieces."""
    value = b"v" * size
    for at in range(0, n, 200):
        conn.send(b"".join(packet(0x11, b"%s%d" % (prefix, i), b"\0" * 8, value)
                           for i in range(at, min(at + 200, n))) + packet(NOOP))
        while conn.reply().opcode != NOOP:
            pass


def hits(conn, prefix, n):
    found = 0
    for at in range(0, n, 200):
        conn.send(b"".join(packet(0x09, b"%s%d" % (prefix, i))
                           for i in range(at, min(at + 200, n))) + packet(NOOP))
        while conn.reply().opcode != NOOP:
            found += 1
    return found


@case
def pressure_of_others_takes_nothing_below_the_guarantee():
    """Blue fills memory several times over while red works within its guarantee: red's hit ratio is
    as alone, and none of its items goes."""
    accounts = Accounts().tenant("red", memory_min="40m").tenant("blue")
    accounts.user("alice", "red", "apw").user("bob", "blue", "bpw")
    n, size = 20000, 1000
    with Server(accounts.option, "-m", 96) as server:
        red, blue = logged_in(server, "alice", "apw"), logged_in(server, "bob", "bpw")
        fill(red, b"r", n, size)
        alone = hits(red, b"r", n)
        together, asked = 0, 0
        for turn in range(5):
            fill(blue, b"b%d-" % turn, 60000, size)
            together += hits(red, b"r", n)
            asked += n
        _, own = stats_binary(red)
        _, other = stats_binary(blue)
        show("hit ratio alone %.2f %%, under pressure %.2f %%; evictions red %s, blue %s" % (
            100 * alone / n, 100 * together / asked, own["evictions"], other["evictions"]))
        assert alone == n, alone
        assert together / asked > alone / n - 0.005, (together, asked)
        assert own["evictions"] == "0" and int(own["curr_items"]) == n, own
        assert int(other["evictions"]) > 100000, other


@case
def the_own_limit_evicts_the_own_items():
    accounts = Accounts().tenant("red", memory_max="16m").tenant("blue")
    accounts.user("alice", "red", "apw").user("bob", "blue", "bpw")
    with Server(accounts.option, "-m", 96) as server:
        red, blue = logged_in(server, "alice", "apw"), logged_in(server, "bob", "bpw")
        fill(blue, b"b", 10000, 1000)
        fill(red, b"r", 60000, 1000)
        _, own = stats_binary(red)
        _, other = stats_binary(blue)
        show("red keeps %s bytes of 16 MiB, evictions %s" % (own["bytes"], own["evictions"]))
        assert int(own["bytes"]) <= 16 * MIB and int(own["evictions"]) > 30000, own
        assert other["evictions"] == "0" and hits(blue, b"b", 10000) == 10000


@case
def thousands_of_tenants_keep_their_items():
    """Each of 2,000 tenants keeps the one item it has, in little memory."""
    accounts = Accounts().tenant("t").user("u", "t", "pw")
    with open(accounts.path) as f:
        text = f.read()
    secret = text[text.index('    secret "main"'):]
    with open(accounts.path, "a") as f:
        for i in range(2000):
            f.write('tenant "t%d" {\n}\nuser "u%d" {\n    tenant = "t%d"\n%s' % (i, i, i, secret))
    with Server(accounts.option, "-m", 1024) as server:
        idle = server.rss()
        for way in (SET, GET):
            for i in range(2000):
                with logged_in(server, "u%d" % i, "pw") as conn:
                    reply = ask(conn, way, b"k", *((b"%d" % i, b"\0" * 8) if way == SET else ()))
                    assert reply.status == OK and (way == SET or reply.value == b"%d" % i), (i, reply)
        show("idle %d MiB, each with an item %d MiB" % (idle // MIB, server.rss() // MIB))
        assert idle < 40 * MIB * SLACK and server.rss() < 400 * MIB * SLACK


run()
