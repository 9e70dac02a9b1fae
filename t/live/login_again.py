#!/usr/bin/python3
"""A second login on one connection: the first one's rights end when it begins."""

import os
import subprocess

from harness import BUILDDIR, Server, TIMEOUT_S, case, folder, packet, run

KEEPCTL = os.environ.get("KEEPCTL") or os.path.join(BUILDDIR, "keepctl")
LIST, START, STEP, GET, SET, NOOP = 0x20, 0x21, 0x22, 0x00, 0x01, 0x0a
RIGHT, WRONG = b"\0alice\0pw", b"\0alice\0no"


def tenants():
    path = os.path.join(folder(), "tenants.conf")
    for words, password in ((("tenant", "add", "shop"), b""),
                            (("user", "add", "alice", "--tenant", "shop", "--password-stdin"),
                             b"pw\n")):
        subprocess.run([KEEPCTL, "--tenants", path, *words], input=password, check=True,
                       timeout=TIMEOUT_S)
    return path


def ask(conn, opcode, key=b"", value=b"", extras=b""):
    conn.send(packet(opcode, key, extras, value))
    return conn.reply()


def login(conn, message, opcode=START):
    return ask(conn, opcode, b"PLAIN", message).status


@case
def a_failed_second_login_takes_the_rights():
    with Server("--tenants=" + tenants()) as server, server.connect() as conn:
        assert login(conn, RIGHT) == 0
        assert ask(conn, SET, b"k", b"v", b"\0" * 8).status == 0
        assert login(conn, WRONG) == 0x20
        refused = ask(conn, GET, b"k")
        assert refused.status == 0x20, refused


@case
def pipelined_too():
    with Server("--tenants=" + tenants()) as server, server.connect() as conn:
        conn.send(packet(START, b"PLAIN", b"", RIGHT) + packet(SET, b"k", b"\0" * 8, b"v") +
                  packet(START, b"PLAIN", b"", WRONG) + packet(SET, b"k", b"\0" * 8, b"w"))
        assert [conn.reply().status for _ in range(4)] == [0, 0, 0x20, 0x20]


@case
def pipelined_behind_a_password_of_a_file():
    """What follows a login in one packet is done, or refused, as the login came out; whole and cut
    anywhere."""
    path = os.path.join(folder(), "users")
    with open(path, "w") as f:
        f.write("alice:pw\n")
    behind = b"set k 0 0 1\r\nv\r\nget k\r\n"
    rows = ((b"alice pw", b"STORED\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n"),
            # The second set is an attempt too, for nobody is in.
            (b"alice no", b"CLIENT_ERROR authentication failure\r\n"
             b"CLIENT_ERROR bad authentication token format\r\nCLIENT_ERROR unauthenticated\r\n"))
    with Server("-Y", path) as server:
        for line, expected in rows:
            sent = b"set auth 0 0 %d\r\n%s\r\n" % (len(line), line) + behind
            for cut in range(0, len(sent), 7):
                with server.connect(source="127.7.0.%d" % (cut + 1)) as conn:
                    conn.send(sent[:cut])
                    conn.send(sent[cut:])
                    answer = conn.read(len(expected))
                    assert answer == expected, (cut, answer)


@case
def an_unfinished_second_login_takes_them_too():
    with Server("--tenants=" + tenants()) as server, server.connect() as conn:
        assert login(conn, RIGHT) == 0
        assert login(conn, b"") == 0x21
        assert ask(conn, GET, b"k").status == 0x20


@case
def a_right_second_login_goes_on():
    with Server("--tenants=" + tenants()) as server, server.connect() as conn:
        assert login(conn, RIGHT) == 0
        assert ask(conn, SET, b"k", b"v", b"\0" * 8).status == 0
        assert login(conn, WRONG) == 0x20
        assert login(conn, RIGHT) == 0
        assert ask(conn, GET, b"k").value == b"v"


@case
def lists_and_stray_steps_change_nothing():
    with Server("--tenants=" + tenants()) as server, server.connect() as conn:
        assert login(conn, RIGHT, STEP) == 0x20
        assert login(conn, RIGHT) == 0
        assert b"PLAIN" in ask(conn, LIST).value.split(b" ")
        assert login(conn, RIGHT, STEP) == 0x20
        assert ask(conn, NOOP).status == 0


run()
