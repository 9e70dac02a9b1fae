#!/usr/bin/python3
"""Logins as a table: mechanism, user, secret, transport, and the status that has to come; and every
command of every dialect in every state of the login."""

import re

from accounts import (ADD, DELETE, FLUSH, GET, GO_ON, INCR, LIST, NOOP, OK, REFUSED, SET, START, STAT,
                      STEP, TOUCH, VERSION, Accounts, ask, login, new_source, plain, start, step,
                      text_login, two_tenants)
from harness import HEADER, Server, case, packet, result, run
from tls_link import TlsServer

SCRAMS = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA1", "SCRAM-SHA256",
          "SCRAM-SHA512")
NEVER = ("ANONYMOUS", "LOGIN", "NTLM", "CRAM-MD5", "DIGEST-MD5", "GSSAPI", "EXTERNAL", "OTP",
         "SCRAM-SHA-224", "SCRAM-SHA-256-PLUS", "plain", "Plain", " PLAIN", "PLAIN ", "PLAIN\0",
         "PLAIN-PLUS", "SCRAM-SHA-256\n", "%s%n", "X" * 20, "X" * 21, "X" * 250, "")

# User, password, is it right?
USERS = (
    ("alice", "apw", True),
    ("alice", "second secret", True),
    ("alice", "apw ", False),
    ("alice", "APW", False),
    ("alice", "", False),
    ("alice", "a" * 1000, False),
    ("ALICE", "apw", False),
    ("alice ", "apw", False),
    (" alice", "apw", False),
    ("ünïcode", "pässwörd €", True),
    ("nobody", "apw", False),
    ("nobody", "", False),
    ("", "apw", False),
    ("u" * 128, "apw", False),
    ("u" * 129, "apw", False),
    ("%s%n%s", "apw", False),
    ("off", "apw", False),
    ("over", "apw", False),
    ("early", "apw", False),
    ("without", "apw", False),
)


def accounts():
    a = Accounts().tenant("red")
    for name in ("alice", "off", "over", "early"):
        a.user(name, "red", "apw")
    a.user("ünïcode", "red", "pässwörd €").user("without", "red", None)
    a.keepctl("passwd", "alice", "--label", "second", "--password-stdin", password="second secret")
    a.keepctl("user", "disable", "off")
    a.keepctl("passwd", "over", "--not-after", "2020-01-01", "--password-stdin", password="apw")
    a.keepctl("passwd", "early", "--not-before", "2090-01-01", "--password-stdin", password="apw")
    return a


def transports(a):
    """[(name, connect)] and the servers to end."""
    tcp, local = TlsServer(a.option), Server(a.option, unix=True)
    return [("loopback", lambda: tcp.connect(source=new_source())),
            ("tls", lambda: tcp.tls(source=new_source())),
            ("unix", local.connect_unix)], (tcp, local)


def expect(name, found, wanted):
    result(found == wanted, name if found == wanted else
            "%s: %r instead of %r" % (name, found, wanted))


@case
def mechanism_user_secret_transport():
    rows, servers = transports(accounts())
    with servers[0], servers[1]:
        for where, connect in rows:
            for mechanism in ("PLAIN", "text") + SCRAMS:
                bad = []
                for user, password, is_right in USERS:
                    if where == "unix" and not is_right and password:
                        continue  # all of them come from one address, and would be slowed down
                    if mechanism in SCRAMS and password == "apw" and user == "alice":
                        continue  # SCRAM takes the newest secret
                    with connect() as conn:
                        if mechanism == "text":
                            answer = text_login(conn, user, password)
                            wanted = b"STORED" if is_right else None
                            good = answer == wanted if is_right else (
                                answer.startswith(b"CLIENT_ERROR "))
                        else:
                            answer = login(conn, user, password, mechanism)
                            good = answer == (OK if is_right else REFUSED)
                        if not good:
                            bad.append((user, password[:20], answer))
                expect("%s over %s" % (mechanism, where), bad, [])


@case
def other_mechanisms_are_refused():
    rows, servers = transports(accounts())
    with servers[0], servers[1]:
        for where, connect in rows[:2]:
            bad = []
            for mechanism in NEVER:
                with connect() as conn:
                    reply = start(conn, mechanism, plain("alice", "apw"))
                    wanted = REFUSED if 0 < len(mechanism) <= 32 else 4  # no such message
                    if reply.status != wanted:
                        bad.append((mechanism, reply))
                    elif wanted == REFUSED and ask(conn, GET, b"k").status != REFUSED:
                        bad.append((mechanism, "let in"))
            expect("never offered over " + where, bad, [])


@case
def the_list_names_what_works():
    rows, servers = transports(accounts())
    with servers[0], servers[1]:
        for where, connect in rows:
            with connect() as conn:
                names = ask(conn, LIST).value.decode().split(" ")
                assert {"PLAIN", "SCRAM-SHA-256"} <= set(names), (where, names)
                for name in names:
                    assert re.fullmatch(r"(PLAIN|SCRAM-SHA-(1|256|512)(-PLUS)?)", name), name
                    assert ("PLUS" in name) <= (where == "tls"), name


@case
def plain_messages():
    """What is no right PLAIN message fails like a wrong password, byte for byte."""
    bodies = [b"", b"\0", b"\0\0", b"\0\0\0", b"alice", b"alice\0apw", b"\0alice", b"\0alice\0",
              b"\0\0apw", b"\0alice\0apw\0", b"\0alice\0\0apw", b"\0alice\0apw\0x", b"\0ali\0ce\0apw",
              b"bob\0alice\0apw", b"\0alice\0" + b"p" * 65000, b"\0" + b"u" * 16000 + b"\0apw",
              b"\0alice\xff\0apw", b"\0alice\0apw\n", b"\0\nalice\0apw", plain("alice", "wrong")]
    with Server(accounts().option) as server:
        answers = set()
        for body in bodies:
            with server.connect(source=new_source()) as conn:
                conn.send(packet(START, b"PLAIN", value=body, opaque=7))
                reply = conn.reply()
                # An empty message asks for the client's turn.
                if body == b"" and reply.status == GO_ON:
                    reply = ask(conn, STEP, b"PLAIN", b"\0alice\0wrong")._replace(opcode=START,
                                                                                 opaque=7)
                answers.add(reply)
        assert len(answers) == 1, answers
        with server.connect() as conn:
            assert start(conn, "PLAIN", plain("alice", "apw", "alice")).status == OK
            assert start(conn, "PLAIN", b"").status == GO_ON
            assert step(conn, "PLAIN", plain("alice", "apw")).status == OK


# ---------------------------------------------------------------- commands and states

def extras_of(opcode):
    if opcode in (0x01, 0x02, 0x03, 0x11, 0x12, 0x13):
        return b"\0" * 8
    if opcode in (0x05, 0x06, 0x15, 0x16):
        return b"\0" * 20
    return b"\0" * 4 if opcode in (0x1b, 0x1c, 0x1d, 0x1e, 0x23, 0x24) else b""


QUITQ = 0x17


def is_unknown(opcode):
    return not (opcode <= 0x1e or 0x20 <= opcode <= 0x24)


def request_of(opcode, opaque=0):
    """A well-formed request of this opcode."""
    without_key = (0x07, 0x08, 0x0a, 0x0b, 0x10, 0x17, 0x18, 0x1b, LIST)
    with_value = (0x01, 0x02, 0x03, 0x0e, 0x0f, 0x11, 0x12, 0x13, 0x19, 0x1a)
    return packet(opcode, b"" if opcode in without_key else b"key", extras_of(opcode),
                  b"1" if opcode in with_value else b"", opaque=opaque)


# Command, what it answers when it is done (a pattern), as text after a login with all rights.
TEXT = (
    (b"get key\r\n", b"END"),
    (b"gets key key\r\n", b"END"),
    (b"gat 0 key\r\n", b"END"),
    (b"gats 0 key\r\n", b"END"),
    (b"add key 0 0 1\r\n1\r\n", b"STORED"),
    (b"replace key 0 0 1\r\n1\r\n", b"NOT_STORED|STORED"),
    (b"append key 0 0 1\r\n1\r\n", b"NOT_STORED|STORED"),
    (b"prepend key 0 0 1\r\n1\r\n", b"NOT_STORED|STORED"),
    (b"cas key 0 0 1 1\r\n1\r\n", b"NOT_FOUND|EXISTS"),
    (b"delete key\r\n", b"NOT_FOUND|DELETED"),
    (b"incr key 1\r\n", b"NOT_FOUND|[0-9]+"),
    (b"decr key 1\r\n", b"NOT_FOUND|[0-9]+"),
    (b"touch key 0\r\n", b"NOT_FOUND|TOUCHED"),
    (b"mg key v\r\n", b"EN|VA .*"),
    (b"ms key 1\r\n1\r\n", b"HD"),
    (b"md key\r\n", b"NF|HD"),
    (b"ma key\r\n", b"NF|HD"),
    (b"me key\r\n", b"EN|ME .*"),
    (b"mn\r\n", b"MN"),
    (b"flush_all\r\n", b"OK"),
    (b"flush_all 0\r\n", b"OK"),
    (b"stats\r\n", b"STAT .*"),
    (b"stats items\r\n", b"STAT .*|END"),
    (b"stats tenants\r\n", b"STAT .*"),
    (b"stats auth\r\n", b"STAT .*"),
    (b"stats authlog\r\n", b"STAT .*"),
    (b"stats conns\r\n", b"STAT .*"),
    (b"stats cachedump 1 1\r\n", b"ITEM .*|END"),
    (b"stats detail on\r\n", b"OK"),
    (b"stats reset\r\n", b"RESET"),
    (b"lru_crawler metadump all\r\n", b"OK|END|key=.*"),
    (b"lru_crawler mgdump all\r\n", b"OK|EN|mg .*"),
    (b"watch fetchers\r\n", b"OK"),
    (b"verbosity 0\r\n", b"OK"),
    (b"cache_memlimit 64\r\n", b"OK"),
    (b"slabs automove 0\r\n", b"OK"),
    (b"lru mode flat\r\n", b"OK"),
    (b"shutdown\r\n", b"SERVER_ERROR: shutdown not enabled"),
    (b"refresh_certs\r\n", b".*"),
)
# Quiet commands answer too before a login.
TEXT_QUIET = (b"add key 0 0 1 noreply\r\n1\r\n", b"delete key noreply\r\n", b"incr key 1 noreply\r\n",
              b"touch key 0 noreply\r\n", b"mg key v q\r\n", b"ms key 1 q\r\n1\r\n", b"md key q\r\n",
              b"flush_all noreply\r\n", b"verbosity 1 noreply\r\n")


def server_is_untouched(server):
    """Nothing that a stranger sent has reached a cache."""
    with server.connect() as conn:
        assert text_login(conn, "root", "rpw") == b"STORED"
        stats = conn.stats(b"tenants")
    for name, value in stats.items():
        if re.search(r":(cmd_set|cmd_flush|cmd_touch|get_misses|curr_items|incr_misses)$", name):
            assert value == "0", (name, value)


@case
def every_opcode_before_auth():
    with Server(two_tenants().option) as server:
        bad = []
        for opcode in range(256):
            if opcode in (START, STEP):
                continue
            with server.connect() as conn:
                conn.send(request_of(opcode, 9) + request_of(SET))
                data = conn.wait_closed()
            # The refusal of the set, or already that of the opcode, is the last that comes.
            status = HEADER.unpack_from(data)[5] if data else None
            last = HEADER.unpack_from(data, len(data) - 24 - 13)[5] if len(data) >= 37 else None
            wanted = OK if opcode in (LIST, VERSION) else 0x81 if is_unknown(opcode) else REFUSED
            if status != wanted or last != REFUSED:
                bad.append((hex(opcode), data))
        assert not bad, bad[:5]
        server_is_untouched(server)


@case
def text_and_meta_before_auth():
    with Server(two_tenants().option) as server:
        for command in [row[0] for row in TEXT] + list(TEXT_QUIET):
            with server.connect() as conn:
                conn.send(command + b"version\r\n")
                answers = conn.line(), conn.line()
                assert answers[0] == b"CLIENT_ERROR unauthenticated", (command, answers)
                assert answers[1].startswith(b"VERSION "), (command, answers)
        with server.connect() as conn:
            conn.send(b"quit\r\n")
            assert conn.wait_closed() in (b"", b"CLIENT_ERROR unauthenticated\r\n")
        server_is_untouched(server)


@case
def text_and_meta_behind_a_pending_login():
    """The login's answer comes first, and what stood behind it is done as by a user."""
    with Server(two_tenants().option) as server:
        for command, pattern in TEXT:
            with server.connect() as conn:
                conn.send(b"set x 0 0 8\r\nroot rpw\r\n" + command)
                assert conn.line() == b"STORED", command
                answer = conn.line()
                if command.startswith(b"watch"):
                    pattern = b"OK|ERROR cannot pipeline.*"
                assert re.fullmatch(pattern, answer), (command, answer)


@case
def text_and_meta_behind_a_failed_login():
    with Server(two_tenants().option) as server:
        for command, _ in TEXT:
            with server.connect(source=new_source()) as conn:
                conn.send(b"set x 0 0 8\r\nroot bad\r\n" + command)
                assert conn.line() == b"CLIENT_ERROR authentication failure", command
                assert conn.line() == b"CLIENT_ERROR unauthenticated", command
        server_is_untouched(server)


@case
def every_opcode_behind_a_login():
    """Pipelined behind START: first the login's answer, then the command's, never 0x20 after OK."""
    with Server(two_tenants().option, "-t", 2) as server:
        bad = []
        for opcode in range(256):
            if opcode in (START, STEP):
                continue
            for password, wanted in (("rpw", OK), ("bad", REFUSED)):
                with server.connect(source=new_source()) as conn:
                    conn.send(packet(START, b"PLAIN", value=plain("root", password), opaque=1) +
                              request_of(opcode, 2) + packet(NOOP, opaque=3))
                    first = conn.reply()
                    if (first.opcode, first.status, first.opaque) != (START, wanted, 1):
                        bad.append((hex(opcode), first))
                        continue
                    second = None
                    try:
                        second = conn.reply()
                    except EOFError:
                        pass
                    if wanted == REFUSED:
                        public = opcode in (LIST, VERSION)
                        wanted = OK if public else 0x81 if is_unknown(opcode) else REFUSED
                        good = second is not None and second.status == wanted
                    else:
                        good = opcode == QUITQ if second is None else second.status != REFUSED
                    if not good:
                        bad.append((hex(opcode), password, second))
        assert not bad, bad[:5]


@case
def nothing_is_answered_while_a_login_is_pending():
    """The delay of a failure keeps it pending: neither LIST nor VERSION overtakes it."""
    with Server(two_tenants().option) as server:
        source = new_source()
        for _ in range(6):
            with server.connect(source=source) as conn:
                assert login(conn, "alice", "no") == REFUSED
        with server.connect(source=source) as conn:
            conn.send(packet(START, b"PLAIN", value=plain("alice", "no")))
            conn.send(packet(VERSION) + packet(LIST) + packet(START, b"PLAIN",
                                                              value=plain("alice", "apw")) +
                      packet(SET, b"k", b"\0" * 8, b"v") + packet(GET, b"k"))
            found = [(r.opcode, r.status) for r in (conn.reply() for _ in range(6))]
        assert found == [(START, REFUSED), (VERSION, OK), (LIST, OK), (START, OK), (SET, OK),
                         (GET, OK)], found


@case
def every_command_after_revocation():
    """The user is removed: each kind of connection gets one refusal, and is closed."""
    a = two_tenants()
    with Server(a.option) as server:
        conns = []
        for _ in range(3):
            conn = server.connect()
            assert login(conn, "alice", "apw") == OK
            conns.append(conn)
        text = server.connect()
        assert text_login(text, "alice", "apw") == b"STORED"
        other = server.connect()
        assert login(other, "bob", "bpw") == OK
        a.keepctl("user", "del", "alice")
        a.keepctl("reload", "--pid", server.pid)
        for conn in conns:
            data = conn.wait_closed()
            assert len(data) == 24 + 13 and HEADER.unpack_from(data)[5] == REFUSED, data
        assert text.wait_closed() == b"CLIENT_ERROR unauthenticated\r\n"
        for opcode in (GET, SET, ADD, DELETE, INCR, FLUSH, STAT, TOUCH, NOOP):
            other.send(request_of(opcode))
            reply = other.reply()
            assert reply.status != REFUSED, reply
            while opcode == STAT and reply.key:
                reply = other.reply()
        with server.connect() as conn:
            assert login(conn, "alice", "apw") == REFUSED


run()
