#!/usr/bin/python3
"""Guarantees and limits of memory, under the pressure of other tenants."""

from accounts import GET, NOOP, OK, SET, Accounts, ask, logged_in, stats_binary
from harness import MIB, SLACK, Server, case, packet, run, show


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
