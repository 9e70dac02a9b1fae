#!/usr/bin/python3
"""Tenants in one process: the same key in two tenants never meets, and each sees its own world."""

import re

from accounts import (ADD, DELETE, FLUSH, GET, INCR, MISS, NOT_STORED, OK, REFUSED, SET, ask,
                      logged_in, logged_in_text, login, plain, stats_binary, two_tenants)
from harness import MIB, Server, case, packet, run, wait_for

OTHERS = b"of-the-other"


def dump_lines(conn, command, ends):
    conn.send(command + b"\r\n")
    found = []
    while True:
        line = conn.line()
        if line in ends or line.startswith(b"ERROR"):
            return found
        found.append(line)


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


run()
