#!/usr/bin/python3
"""What a tenant may use: size of items, connections, requests and bytes per second."""

import statistics
import time

from accounts import (DELETE, GET, MISS, NOOP, NOT_STORED, OK, REFUSED, SET, VERSION, ask,
                      logged_in, logged_in_text, login, stats_binary, two_tenants)
from harness import SLACK, Server, case, packet, run, show, wait_for


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
        assert wait < SLACK, wait
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


run()
