#!/usr/bin/python3
"""The tenants file, read again: what changes at once, what ends, and what keeps the old set."""

import os
import re
import signal
import time

from accounts import (GET, MISS, NOOP, OK, REFUSED, ask, logged_in, logged_in_text, login,
                      two_tenants)
from harness import MIB, SLACK, Server, case, folder, run, run_program, user_args, wait_for


def repeated(log, event):
    return sum(int(n) for n in re.findall(r"event=%s .*repeated=(\d+)" % event, log))


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
        took = []
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
            took.append(time.monotonic() - began)
            for conn in kept:
                assert ask(conn, NOOP).status == OK
        assert idle.wait_closed() == b"CLIENT_ERROR unauthenticated\r\n"
        # The fastest: the machine may be busy with something else for a while.
        assert min(took) < 10 * SLACK, took


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


run()
