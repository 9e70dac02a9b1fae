#!/usr/bin/python3
"""What attackers of logins have tried elsewhere: messages out of order, out of form and out of
bounds, ten thousand guesses, and a look into the server's memory."""

import os
import socket
import struct
import subprocess
import threading

from accounts import (ADD, DELETE, FLUSH, GET, GO_ON, INCR, LIST, MISS, NOOP, OK, REFUSED, SET, START,
                      STAT, STEP, TOUCH, Accounts, Scram, ask, logged_in, login, new_source,
                      plain, sasldb, start, step, text_login, two_tenants)
from harness import (BUILDDIR, HEADER, MIB, PROGRAM_TIMEOUT_S, SLACK, Server, Skip, case, folder,
                     packet, run, show, wait_for)

LOAD = os.path.join(BUILDDIR, "bench", "load")
REALM = "keepd.test"
SECRET = "Correct-Horse-Battery-41"
MALFORMED = 4  # a packet that no SASL message can be


def password_file(text):
    path = os.path.join(folder(), "users")
    with open(path, "w") as f:
        f.write(text)
    return path


def sasl_folder(*lines):
    """SASL_CONF_PATH for a server with -S."""
    path = folder()
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("".join(line + "\n" for line in lines))
    return {"SASL_CONF_PATH": path}


def with_sasldb(*options, password="apw", mechanisms="plain scram-sha-256"):
    _, database = sasldb({"alice": password}, REALM)
    env = sasl_folder("mech_list: " + mechanisms, "sasldb_path: " + database)
    return Server("-S", "--realm=" + REALM, *options, env=env)


# ---------------------------------------------------------------- right and wrong

@case
def right_password():
    with Server(two_tenants().option) as server:
        with logged_in(server, "alice", "apw") as conn:
            conn.send(packet(0x11, b"k", b"\0" * 8, b"v") + packet(0x09, b"k", opaque=5) +
                      packet(0x09, b"absent") + packet(NOOP))
            found = [conn.reply(), conn.reply()]
            assert [(r.opcode, r.status, r.value) for r in found] == [(0x09, OK, b"v"),
                                                                      (NOOP, OK, b"")], found
            conn.send(packet(STAT))
            names = set()
            while (reply := conn.reply()).key:
                assert reply.status == OK
                names.add(reply.key)
            assert {b"auth_cmds", b"curr_items"} <= names, names
            with server.connect() as second:
                assert ask(second, GET, b"k").status == REFUSED and second.wait_closed() == b""
            assert ask(conn, GET, b"k").value == b"v"


@case
def cve_2013_7239_second_attempt():
    """A failure lets nobody in: not at once, not after another one, not with what is pipelined."""
    works = ((GET, b""), (SET, b"\0" * 8), (ADD, b"\0" * 8), (DELETE, b""), (INCR, b"\0" * 20),
             (FLUSH, b""), (STAT, b""), (TOUCH, b"\0" * 4), (NOOP, b""))
    wrong = [(b"PLAIN", plain("alice", "no")), (b"PLAIN", plain("nobody", "apw")), (b"PLAIN", b"x"),
             (b"X", plain("alice", "apw")), (b"SCRAM-SHA-256", b"n,,n=alice"),
             (b"CRAM-MD5", b"")]
    with Server(two_tenants().option) as server:
        for opcode, extras in works:
            key = b"" if opcode in (FLUSH, STAT, NOOP) else b"k"
            value = b"1" if opcode in (SET, ADD) else b""
            for n_wrong in (1, 2):
                with server.connect(source=new_source()) as conn:
                    for mechanism, data in wrong[:n_wrong]:
                        assert ask(conn, START, mechanism, data).status == REFUSED
                    assert ask(conn, opcode, key, value, extras).status == REFUSED, hex(opcode)
                    assert conn.wait_closed() == b""
        for mechanism, data in wrong:
            with server.connect(source=new_source()) as conn:
                conn.send(packet(START, mechanism, value=data) * 2 +
                          packet(SET, b"k", b"\0" * 8, b"v") + packet(GET, b"k"))
                assert [conn.reply().status for _ in range(3)] == [REFUSED] * 3, mechanism
                assert conn.wait_closed() == b""
        with logged_in(server, "alice", "apw") as conn:
            assert ask(conn, GET, b"k").status == MISS


@case
def step_without_start():
    with Server(two_tenants().option, "--auth-attempts=1000") as server:
        with server.connect(source=new_source()) as conn:
            for mechanism in ("PLAIN", "SCRAM-SHA-256", "X" * 20):
                assert step(conn, mechanism, plain("alice", "apw")).status == REFUSED
            assert login(conn, "alice", "apw") == OK
            for _ in range(3):  # after the end: neither drops nor grants
                assert step(conn, "PLAIN", plain("bob", "bpw")).status == REFUSED
            assert ask(conn, NOOP).status == OK
        with server.connect(source=new_source()) as conn:
            scram = Scram("SCRAM-SHA-256", "alice", "no")
            reply = start(conn, "SCRAM-SHA-256", scram.first)
            assert step(conn, "SCRAM-SHA-256", scram.proof(reply.value)).status == REFUSED
            for data in (b"", scram.proof(reply.value), plain("alice", "apw")):
                assert step(conn, "SCRAM-SHA-256", data).status == REFUSED
            assert step(conn, "PLAIN", plain("alice", "apw")).status == REFUSED
            assert ask(conn, GET, b"k").status == REFUSED
        with server.connect(source=new_source()) as conn:  # of another mechanism
            assert start(conn, "SCRAM-SHA-256", Scram("SCRAM-SHA-256", "alice", "apw").first
                         ).status == GO_ON
            assert step(conn, "PLAIN", plain("alice", "apw")).status == REFUSED
            assert ask(conn, GET, b"k").status == REFUSED
        with server.connect(source=new_source()) as conn:  # for ever
            assert start(conn, "PLAIN", b"").status == GO_ON
            statuses = {step(conn, "PLAIN", b"").status for _ in range(50)}
            assert statuses <= {REFUSED, GO_ON}, statuses
            assert ask(conn, GET, b"k").status == REFUSED
    with Server(two_tenants().option) as server, server.connect(source=new_source()) as conn:
        conn.send(packet(STEP, b"PLAIN", value=b"x") * 100)
        assert len(conn.wait_closed()) == 10 * 37, "ten attempts"


@case
def same_error_for_unknown_user_and_wrong_password():
    a = two_tenants().user("off", "red", "apw").user("without", "red", None)
    a.keepctl("user", "disable", "off")
    a.user("over", "red", "apw")
    a.keepctl("passwd", "over", "--not-after", "2020-01-01", "--password-stdin", password="apw")
    attempts = (("alice", "wrong"), ("nobody", "apw"), ("off", "apw"), ("without", "apw"),
                ("over", "apw"), ("alice", ""), ("", "apw"), ("a\0b", "apw"), ("u" * 129, "apw"))
    with Server(a.option) as server:
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "text"):
            answers = set()
            for user, password in attempts:
                with server.connect(source=new_source()) as conn:
                    if mechanism == "text":
                        if "\0" not in user:
                            answers.add(text_login(conn, user, password))
                        continue
                    if mechanism == "PLAIN":
                        answers.add(start(conn, mechanism, plain(user, password)))
                        continue
                    if not user or "\0" in user or len(user) > 128:
                        continue  # no name: the first message is malformed, for everybody alike
                    scram = Scram(mechanism, user, password)
                    reply = start(conn, mechanism, scram.first)
                    assert reply.status == GO_ON, (user, reply)
                    answers.add(step(conn, mechanism, scram.proof(reply.value)))
            assert len(answers) == 1, (mechanism, answers)


@case
def authzid_games():
    """Nobody acts for another: an authorization name is empty or the user's own."""
    with Server(two_tenants().option) as server:
        for authzid, is_right in (("", True), ("alice", True), ("bob", False), ("root", False),
                                  ("alice ", False), ("ALICE", False), ("nobody", False)):
            wanted = OK if is_right else REFUSED
            with server.connect(source=new_source()) as conn:
                assert start(conn, "PLAIN", plain("alice", "apw", authzid)).status == wanted, authzid
                assert ask(conn, GET, b"k").status == (MISS if is_right else REFUSED)
            with server.connect(source=new_source()) as conn:
                scram = Scram("SCRAM-SHA-256", "alice", "apw",
                              "n,%s," % ("a=" + authzid if authzid else ""))
                reply = start(conn, "SCRAM-SHA-256", scram.first)
                if reply.status == GO_ON:
                    reply = step(conn, "SCRAM-SHA-256", scram.proof(reply.value))
                if reply.status == GO_ON:
                    reply = step(conn, "SCRAM-SHA-256", b"")
                assert reply.status == wanted, (authzid, reply)
                assert ask(conn, GET, b"k").status == (MISS if is_right else REFUSED)


@case
def names_with_nul():
    """Cyrus reads C strings: what stands before a NUL is not let in for the whole."""
    with Server(two_tenants().option) as server:
        for user in ("alice\0", "alice\0x", "\0alice", "ali\0ce", "bob\0alice"):
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                for password in ("apw", "bpw"):
                    with server.connect(source=new_source()) as conn:
                        assert login(conn, user, password, mechanism) == REFUSED, user
                        assert ask(conn, GET, b"k").status == REFUSED
            for password in ("apw", "bpw", "\0apw", "apw\0"):
                with server.connect(source=new_source()) as conn:
                    assert start(conn, "PLAIN", plain(user, password)).status == REFUSED, user
                with server.connect(source=new_source()) as conn:
                    assert text_login(conn, user, password).startswith(b"CLIENT_ERROR "), user


# ---------------------------------------------------------------- forms and bounds

@case
def mechanism_names():
    """Only the listed names, byte for byte; nothing else drops, grants or crashes anything."""
    names = [b"", b"plain", b"Plain", b"pLAIN", b" PLAIN", b"PLAIN ", b"PLAIN\t", b"\nPLAIN", b"PLAIN\0",
             b"\0PLAIN", b"PLA\0IN", b"PLAIN\x01", b"PLAIN\x7f", b"PLAIN\xff", b"PLAIN-PLUS", b"PLAINX",
             b"PLAI", b"P", b"PLAIN,SCRAM-SHA-256", b"PLAIN SCRAM-SHA-256", b"%s%s%s%n", b"%n%n%n%n%n",
             b"SCRAM-SHA-256\0", b"scram-sha-256", b"SCRAM-SHA256-PLUS", b"../PLAIN", b"ANONYMOUS",
             b"EXTERNAL"] + [b"X" * n for n in (19, 20, 21, 31, 32, 33, 64, 127, 128, 249, 250, 251, 300,
                                                1000)]
    with Server(two_tenants().option) as server:
        for name in names:
            for opcode in (START, STEP):
                with server.connect(source=new_source()) as conn:
                    wanted = REFUSED if 0 < len(name) <= 32 else MALFORMED
                    if opcode == STEP:
                        assert start(conn, "PLAIN", b"").status == GO_ON
                    conn.send(packet(opcode, name, value=plain("alice", "apw")) +
                              packet(GET, b"k"))
                    data = conn.wait_closed()
                    statuses = []
                    while len(data) >= 24:
                        statuses.append(HEADER.unpack_from(data)[5])
                        data = data[24 + HEADER.unpack_from(data)[6]:]
                    assert statuses in ([wanted, REFUSED], [MALFORMED]), (name, opcode, statuses)


@case
def cve_2016_8706_sasl_lengths():
    """Lengths that do not fit together, before and after a login: an error, or the end, in bounded
    memory; what follows is never taken for a request."""
    n_keys = (0, 1, 5, 20, 32, 33, 250, 251, 256, 32767, 32768, 65535)
    with Server(two_tenants().option) as server:
        with logged_in(server, "alice", "apw") as user:
            assert ask(user, SET, b"k", b"v", b"\0" * 8).status == OK
        before = server.rss()
        for opcode in (LIST, START, STEP):
            for n_key in n_keys:
                for n_body in (0, n_key - 1, n_key, n_key + 1, n_key + 5, 0x7fffffff, 0x80000000,
                               0xffffffff):
                    for n_extras in (0, 4, 255):
                        if n_body < 0:
                            continue
                        with server.connect() as conn:
                            conn.try_send(packet(opcode, n_key=n_key, n_body=n_body,
                                                 n_extras=n_extras) + b"PLAIN" + b"\0alice\0no" * 20 +
                                          packet(FLUSH) * 20)
                            conn.try_send(b"\x80" * 600)
                            conn.reset()
        wait_for(lambda: server.n_descriptors() < 40, "the connections to go")
        assert server.rss() - before < 16 * MIB * SLACK, server.rss() - before
        with logged_in(server, "alice", "apw") as user:
            assert ask(user, GET, b"k").value == b"v", "nothing was flushed"


@case
def text_auth():
    """-Y: the right password lets in, a wrong one does not; before it nothing is done; a failure
    gives no way in."""
    with Server("-Y", password_file("alice:apw\nbob:bpw\n")) as server:
        for command in (b"get k", b"set k 0 0 x", b"mg k v", b"ms k 1\r\n1", b"flush_all", b"stats",
                        b"delete k", b"incr k 1", b"watch", b"add k 0 0 1\r\n1"):
            with server.connect() as conn:
                assert conn.ask(command).startswith(b"CLIENT_ERROR "), command
        with server.connect(source=new_source()) as conn:
            assert text_login(conn, "alice", "bpw") == b"CLIENT_ERROR authentication failure"
            assert conn.ask(b"get k") == b"CLIENT_ERROR unauthenticated"
            assert text_login(conn, "carol", "apw") == b"CLIENT_ERROR authentication failure"
            assert conn.ask(b"ms k 1\r\n1") == b"CLIENT_ERROR unauthenticated"
            assert text_login(conn, "alice", "apw") == b"STORED"
            assert conn.get(b"login") is None, "the login is no item"
            assert conn.get(b"k") is None, "nothing was done before"
            conn.send(b"flush_all\r\n")
            assert conn.line() == b"OK"
            assert conn.set(b"k", b"v") == b"STORED" and conn.get(b"k") == b"v"
        with server.connect(source=new_source()) as conn:
            conn.send(b"set l 0 0 9\r\nalice bpw\r\nget k\r\nmg k v\r\n")
            assert [conn.line() for _ in range(3)] == [b"CLIENT_ERROR authentication failure",
                                                       b"CLIENT_ERROR unauthenticated",
                                                       b"CLIENT_ERROR unauthenticated"]


@case
def text_auth_exact():
    """Nothing may follow the password, nothing may be missing, and it may hold spaces."""
    rows = (("alice", "a pass word"), ("bob", " lead"), ("carol", "trail "), ("dora", "d:d"))
    a = Accounts().tenant("red")
    for user, password in rows:
        a.user(user, "red", password)
    text = password_file("".join("%s:%s\n" % row for row in rows[:3]))
    for options, users in (((a.option,), rows), (("-Y", text), rows[:3])):
        with Server(*options) as server:
            for user, password in users:
                with server.connect(source=new_source()) as conn:
                    assert text_login(conn, user, password) == b"STORED", (user, password)
                for other in (password + " ", password + "x", password + "\0", password + "\r",
                              password[:-1], password.strip() + " x", " " + password,
                              password.upper(), password.replace(" ", "  ")):
                    if other == password:
                        continue
                    with server.connect(source=new_source()) as conn:
                        answer = text_login(conn, user, other)
                        assert answer.startswith(b"CLIENT_ERROR "), (user, other, answer)


@case
def listeners_of_one_protocol():
    """Memcached let text clients in without a login where a listener had its protocol named."""
    for start_server in (lambda *o: Server(two_tenants().option, *o), with_sasldb):
        for protocol in ("ascii", "negotiating", "binary"):
            with start_server("-l", "proto[%s]:127.0.0.1" % protocol) as server:
                if protocol != "binary":
                    for command in (b"get k", b"set k 0 0 1\r\n1", b"mg k v", b"stats", b"flush_all"):
                        with server.connect(source=new_source()) as conn:
                            assert conn.ask(command).startswith(b"CLIENT_ERROR "), command
                if protocol == "ascii":
                    continue
                # Connections come and go: a reused one has nothing of its predecessor.
                for _ in range(5):
                    with server.connect() as conn:
                        assert login(conn, "alice", "apw") == OK
                    with server.connect() as conn:
                        assert ask(conn, GET, b"k").status == REFUSED
                        assert conn.wait_closed() == b""


# ---------------------------------------------------------------- many

def ten_thousand(server, kind):
    def guess(n):
        done = subprocess.run([LOAD, "--address", "127.0.0.1:%d" % server.port, "--kind", kind,
                               "--connections", "50", "--requests", str(n), "--warmup", "0",
                               "--user", "alice", "--wrong-every", "1"], capture_output=True,
                              text=True, timeout=PROGRAM_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
    guess(1000)
    before, descriptors = server.rss(), server.n_descriptors()
    guess(10000)
    wait_for(lambda: server.n_descriptors() <= descriptors + 2, "the descriptors")
    grown = server.rss() - before
    show("%s: grown by %d KiB" % (kind, grown // 1024))
    # AddressSanitizer keeps what was freed, and tells of leaks at the end.
    assert grown < 16 * MIB or os.environ.get("KEEPD_SANITIZED"), grown


@case
def ten_thousand_wrong_passwords():
    """By SCRAM against the tenants file, by PLAIN against MEMCACHED_SASL_PWDB, from ten thousand
    addresses: memory and descriptors come back, all are refused, and the right one gets in."""
    with Server(two_tenants().option) as server:
        ten_thousand(server, "scram-login")
        with server.connect() as conn:
            assert text_login(conn, "root", "rpw") == b"STORED"
            counts = conn.stats(b"auth")
        assert int(counts["failures"]) >= 11000 and counts["logins"] == "1", counts
        logged_in(server, "alice", "apw", "SCRAM-SHA-256").close()
    env = dict(sasl_folder("mech_list: plain"), MEMCACHED_SASL_PWDB=password_file("alice:apw\n"))
    with Server("-S", "--realm=" + REALM, env=env) as server:
        ten_thousand(server, "login")
        logged_in(server, "alice", "apw").close()


@case
def sasldb_counts_as_it_is():
    """A password of sasldb is remembered only while the file is the same: what is changed there counts
    at the next login."""
    path, database = sasldb({"alice": "one"}, REALM)
    env = sasl_folder("mech_list: plain", "sasldb_path: " + database)
    with Server("-S", "--realm=" + REALM, env=env) as server, server.connect() as watcher:
        assert text_login(watcher, "alice", "one") == b"STORED"

        def is_remembered(password):
            before = int(watcher.stats(b"auth")["cache_hits"])
            logged_in(server, "alice", password).close()
            return int(watcher.stats(b"auth")["cache_hits"]) > before
        for old, new in (("one", "two"), ("two", "three")):
            # Not before the file has been left alone for some seconds.
            wait_for(lambda: is_remembered(old), "a login that needs no look into sasldb")
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", database, "-u", REALM, "alice"],
                           input=new.encode(), check=True, timeout=PROGRAM_TIMEOUT_S)
            for password, status in ((old, REFUSED), (new, OK)):
                with server.connect(source=new_source()) as conn:
                    assert login(conn, "alice", password) == status, (password, old, new)


# ---------------------------------------------------------------- what stays in memory

# Only a sanitizer maps as much at once, for what it knows about the bytes; terabytes to read.
SHADOW_BYTES = 1 << 34


def places(pid, needle):
    """Where the needle is in the writable memory of the process."""
    found = []
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            words = line.split()
            if not words[1].startswith("rw") or "[v" in line:
                continue
            low, high = (int(x, 16) for x in words[0].split("-"))
            if high - low > SHADOW_BYTES:
                continue
            while low < high:
                try:
                    memory.seek(low)
                    piece = memory.read(min(high - low, 16 * MIB))
                except OSError:
                    break
                if needle in piece:
                    found.append((hex(low + piece.index(needle)), line.strip()))
                low += max(len(piece) - len(needle), 1) if len(piece) == 16 * MIB else high - low
    return found


def use(server, mechanisms):
    """Right and wrong logins."""
    for mechanism in mechanisms:
        for password, status in ((SECRET, OK), (SECRET + "x", REFUSED), (SECRET, OK)):
            with server.connect(source=new_source()) as conn:
                assert login(conn, "alice", password, mechanism) == status, mechanism
    with server.connect() as conn:
        assert text_login(conn, "alice", SECRET) == b"STORED"
    with server.connect(source=new_source()) as conn:
        assert text_login(conn, "alice", SECRET + "x").startswith(b"CLIENT_ERROR")


def use_and_look(server, mechanisms):
    """Afterwards the password is nowhere."""
    use(server, mechanisms)
    found = places(server.pid, SECRET.encode())
    assert not found, found


def each_kind(*options):
    """[(server, its mechanisms)]: by the tenants file, -Y, MEMCACHED_SASL_PWDB."""
    accounts = Accounts().tenant("red").user("alice", "red", SECRET)
    yield Server(accounts.option, *options), ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    yield Server("-Y", password_file("alice:%s\n" % SECRET), *options), ()
    env = dict(sasl_folder("mech_list: plain"),
               MEMCACHED_SASL_PWDB=password_file("alice:%s\n" % SECRET))
    yield Server("-S", "--realm=" + REALM, *options, env=env), ("PLAIN",)


@case
def password_zeroized():
    """After the login the clear password is nowhere in the server's writable memory."""
    for server, mechanisms in each_kind():
        with server:
            use_and_look(server, mechanisms)


@case
def password_not_in_log():
    """Of no kind of login, right, wrong, half or in the wrong place, however talkative the log is."""
    for server, mechanisms in [*each_kind("-vvv"), (with_sasldb("-vvv", password=SECRET),
                                                   ("PLAIN", "SCRAM-SHA-256"))]:
        with server:
            use(server, mechanisms)
            half = server.connect()
            half.send(b"set login 0 0 90\r\nalice " + SECRET.encode())
            with server.connect() as conn:
                assert text_login(conn, "alice", SECRET + " " + SECRET).startswith(b"CLIENT_ERROR")
            for mechanism in mechanisms:
                with server.connect() as conn:
                    assert start(conn, mechanism, SECRET.encode()).status == REFUSED
                with server.connect() as conn:
                    assert login(conn, SECRET, "x") == REFUSED, "a user name may be shown"
            half.close()
        log = server.log()
        assert "login" in log, "the log tells of logins"
        assert SECRET not in log.replace("user=" + SECRET, ""), log


@case
def password_zeroized_of_sasldb():
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("the C library's free wipes it, and a sanitizer has a free of its own")
    with with_sasldb(password=SECRET, mechanisms="plain scram-sha-256 cram-md5") as server:
        use_and_look(server, ("PLAIN", "SCRAM-SHA-256", "CRAM-MD5"))


def serve_saslauthd(listener, user, password):
    """saslauthd's side of its socket: four counted strings, and a counted answer."""
    def text(s):
        n = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
        return s.recv(n, socket.MSG_WAITALL) if n else b""

    def body():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            with s:
                words = [text(s) for _ in range(4)]
                answer = b"OK" if words[:2] == [user, password] else b"NO"
                s.sendall(struct.pack(">H", len(answer)) + answer)
    threading.Thread(target=body, daemon=True).start()


@case
def password_zeroized_of_saslauthd():
    path = os.path.join(folder(), "mux")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        serve_saslauthd(listener, b"alice", SECRET.encode())
        env = sasl_folder("mech_list: plain", "pwcheck_method: saslauthd", "saslauthd_path: " + path)
        with Server("-S", "--realm=" + REALM, env=env) as server:
            use_and_look(server, ("PLAIN",))


run()
