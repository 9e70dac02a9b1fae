#!/usr/bin/python3
"""What a user may do: each refusal is one that client libraries survive, and is listed."""

import re

from accounts import (MISS, NOOP, NOT_STORED, OK, STAT, Accounts, ask, logged_in, logged_in_text,
                      login, two_tenants)
from harness import Server, case, packet, run

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


run()
