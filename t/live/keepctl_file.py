#!/usr/bin/python3
"""keepctl and the tenants file: what it writes, what it refuses, what it never shows."""

import os
import pty
import signal
import stat
import subprocess
import threading

from harness import BUILDDIR, TIMEOUT_S, case, folder, in_threads, run

KEEPCTL = os.environ.get("KEEPCTL") or os.path.join(BUILDDIR, "keepctl")


def keepctl(path, *words, password=None):
    done = subprocess.run([KEEPCTL, "--tenants", path, *words], input=password or b"",
                          capture_output=True, timeout=TIMEOUT_S)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(path, *words, password=None):
    status, out, err = keepctl(path, *words, password=password)
    assert status == 0 and err == "", "%s: status %d\n%s%s" % (words, status, out, err)
    return out


def bad(path, message, *words, password=None, expected=1):
    before = open(path).read() if os.path.exists(path) else None
    status, out, err = keepctl(path, *words, password=password)
    assert status == expected and message in err, \
        "%s: status %d, expected %d with %r\n%s%s" % (words, status, expected, message, out, err)
    after = open(path).read() if os.path.exists(path) else None
    assert before == after, "%s was refused but changed the file" % (words,)


def new_file():
    path = os.path.join(folder(), "tenants.conf")
    good(path, "tenant", "add", "shop", "--memory-min", "64m", "--memory-max", "1g",
         "--connections", "100", "--ops", "5000", "--bytes", "10m", "--item-max", "2m")
    good(path, "user", "add", "alice", "--tenant", "shop", "--rights", "read,write",
         "--password-stdin", password=b"correct horse\n")
    return path


@case
def a_file_from_nothing():
    path = new_file()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(os.path.dirname(path)) == ["tenants.conf"]
    good(path, "tenant", "add", "news")
    good(path, "user", "add", "bob", "--tenant", "news", "--no-password")
    good(path, "identity", "add", "cron", "--user", "bob", "--unix-uid", "1000")
    users = good(path, "user", "list")
    assert "alice" in users and "read,write" in users and "enabled" in users
    tenants = good(path, "tenant", "list")
    assert str(1 << 30) in tenants and "news" in tenants
    assert "3 tenants, 2 users, 1 identity rules" in good(path, "check")
    good(path, "identity", "del", "cron")
    assert "3 tenants, 2 users, 0 identity rules" in good(path, "check")
    good(path, "identity", "add", "cron", "--user", "bob", "--unix-uid", "1000")


@case
def secrets_are_never_shown():
    path = new_file()
    text = open(path).read()
    assert "correct horse" not in text and text.count("SCRAM-SHA-") == 3
    salt = text.split("SCRAM-SHA-256$4096:")[1].split("$")[0]
    for words in (("user", "list"), ("tenant", "list"), ("check",)):
        out = good(path, *words)
        assert "SCRAM" not in out and salt not in out


@case
def users_change():
    path = new_file()
    old = open(path).read()
    good(path, "user", "disable", "alice")
    assert "disabled" in good(path, "user", "list")
    good(path, "user", "enable", "alice")
    assert open(path).read() == old
    told = good(path, "passwd", "alice", "--label", "next", "--not-before", "2027-01-01",
         "--not-after", "2027-06-01T00:00:00Z", "--password-stdin", password=b"second\n")
    assert 'SCRAM take the secret "next" of alice' in told, told
    listed = good(path, "user", "list")
    assert "main, next from 2027-01-01T00:00:00Z until 2027-06-01T00:00:00Z" in listed
    text = open(path).read()
    salts = {part.split("$")[0] for part in text.split("4096:")[1:]}
    assert len(salts) == 1, "the secrets of a user share their salt"
    good(path, "passwd", "alice", "--label", "main", "--remove")
    assert "main" not in good(path, "user", "list")
    good(path, "passwd", "alice", "--label", "next", "--password-stdin", password=b"third")
    assert open(path).read().count("SCRAM-SHA-256") == 1
    good(path, "user", "del", "alice")
    good(path, "tenant", "del", "shop")
    assert "1 tenants, 0 users" in good(path, "check")


@case
def refusals_change_nothing():
    path = new_file()
    bad(path, "is there already", "tenant", "add", "shop")
    bad(path, "is there already", "user", "add", "alice", "--tenant", "shop", "--no-password")
    bad(path, "no tenant", "user", "add", "bob", "--tenant", "nowhere", "--no-password")
    bad(path, "needs --tenant", "user", "add", "bob", "--no-password")
    bad(path, "--rights", "user", "add", "bob", "--tenant", "shop", "--rights", "fly",
        "--no-password")
    bad(path, "no user", "passwd", "nobody", "--password-stdin", password=b"x")
    bad(path, "one line", "passwd", "alice", "--password-stdin", password=b"")
    bad(path, "one line", "passwd", "alice", "--password-stdin", password=b"two\nlines\n")
    bad(path, "one line", "passwd", "alice", "--password-stdin", password=b"x" * 1025)
    bad(path, "one line", "passwd", "alice", "--password-stdin", password=b"a\0b")
    bad(path, "not a time", "passwd", "alice", "--not-after", "soon", "--password-stdin",
        password=b"x")
    bad(path, "not after not-before", "passwd", "alice", "--not-before", "2027-01-02",
        "--not-after", "2027-01-01", "--password-stdin", password=b"x")
    bad(path, "iterations", "passwd", "alice", "--iterations", "10", "--password-stdin",
        password=b"x")
    bad(path, "still has user", "tenant", "del", "shop")
    bad(path, "no tenant", "tenant", "del", "nowhere")
    bad(path, "memory-min is above", "tenant", "add", "x", "--memory-min", "2m", "--memory-max",
        "1m")
    bad(path, "not a number", "tenant", "add", "x", "--ops", "many", expected=64)
    bad(path, "quote", "tenant", "add", 'x"y')
    bad(path, "empty", "tenant", "add", "")
    bad(path, "is not a time", "passwd", "alice", "--not-before", "soon", "--password-stdin", password=b"x")
    bad(path, "--label", "passwd", "alice", "--label", "x" * 65, "--password-stdin", password=b"x")
    bad(path, "has no secret", "passwd", "alice", "--label", "other", "--remove")
    bad(path, "user \"a\tb\"", "user", "add", "a\tb", "--tenant", "shop", "--no-password")
    good(path, "identity", "add", "web", "--user", "alice", "--cert-cn", "web")
    bad(path, "identity \"web\" is there already", "identity", "add", "web", "--user", "alice", "--unix-uid", "1")
    bad(path, "takes one of", "identity", "add", "i", "--user", "alice", "--cert-cn", "a", "--unix-uid", "1")
    bad(path, "needs --user", "identity", "add", "i", "--cert-cn", "a")
    bad(path, "needs --user", "identity", "add", "i", "--user", "alice")
    bad(path, "no user \"nobody\"", "identity", "add", "i", "--user", "nobody", "--cert-cn", "a")
    bad(path, "quote", "identity", "add", "i", "--user", "alice", "--cert-cn", 'a"b')
    bad(path, "1 to 255 bytes", "identity", "add", "i", "--user", "alice", "--cert-cn", "x" * 256)
    bad(path, "no identity", "identity", "del", "nothing")
    bad(path, "no such command", "tenant", "rename", "shop", expected=64)
    bad(path, "belong", "tenant", "del", "shop", "--rights", "read", expected=64)
    bad(path, "one name", "tenant", "add", expected=64)
    bad(path, "unknown option", "check", "--frobnicate", expected=64)
    bad("/nonexistent/file", "cannot be opened", "check")


@case
def a_broken_file_is_told_by_line_and_left():
    path = new_file()
    with open(path, "a") as f:
        f.write("user \"carol\" {\n    tenant = shop\n    rights = {fly}\n}\n")
    line = open(path).read().split("\n").index("    rights = {fly}") + 1
    bad(path, "%s:%d: unknown right" % (path, line), "check")
    bad(path, "unknown right", "tenant", "add", "more")


@case
def comments_and_other_sections_stay():
    path = new_file()
    with open(path, "a") as f:
        f.write("# by hand: { \" }\ntenant hand { ops = 7 } // here\n"
                "/* } */ user 'by hand' { tenant = hand }\n")
    good(path, "passwd", "alice", "--password-stdin", password=b"new")
    good(path, "user", "disable", "by hand")
    text = open(path).read()
    assert "# by hand: { \" }\ntenant hand { ops = 7 } // here\n/* } */ user \"by hand\" {" in text
    good(path, "user", "del", "by hand")
    assert "/* } */" in open(path).read()


@case
def mode_and_links_stay():
    path = new_file()
    os.chmod(path, 0o640)
    link = os.path.join(folder(), "link")
    os.symlink(path, link)
    good(link, "tenant", "add", "news")
    assert os.path.islink(link)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert "news" in open(path).read()


@case
def two_editors_do_not_lose_each_other():
    path = new_file()
    in_threads(8, lambda i: good(path, "tenant", "add", "t%d" % i))
    names = good(path, "tenant", "list")
    for i in range(8):
        assert "t%d " % i in names


@case
def the_terminal_is_asked_twice_without_echo():
    path = new_file()
    for answers, status in (((b"typed", b"typed"), 0), ((b"typed", b"other"), 1)):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(KEEPCTL, [KEEPCTL, "--tenants", path, "passwd", "alice"])
        guard = threading.Timer(TIMEOUT_S, os.kill, (pid, signal.SIGKILL))
        guard.start()
        shown = b""
        for prompt, answer in zip((b"New password: ", b"Again: "), answers):
            while not shown.endswith(prompt):
                shown += os.read(fd, 100)
            os.write(fd, answer + b"\n")
        try:
            while True:
                more = os.read(fd, 100)
                if not more:
                    break
                shown += more
        except OSError:
            pass
        got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        guard.cancel()
        os.close(fd)
        assert got == status, "%d: %r" % (got, shown)
        assert b"typed" not in shown and b"other" not in shown


@case
def without_a_terminal_it_says_so():
    path = new_file()
    done = subprocess.run([KEEPCTL, "--tenants", path, "passwd", "alice"], capture_output=True,
                          stdin=subprocess.DEVNULL, start_new_session=True, timeout=TIMEOUT_S)
    assert done.returncode == 1 and b"--password-stdin" in done.stderr, done


@case
def reload_signals_the_server():
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    pidfile = os.path.join(folder(), "pid")
    with open(pidfile, "w") as f:
        f.write("%d\n" % sleeper.pid)
    done = subprocess.run([KEEPCTL, "reload", "--pid", pidfile], capture_output=True,
                          timeout=TIMEOUT_S)
    assert done.returncode == 0, done
    assert sleeper.wait(TIMEOUT_S) == -signal.SIGHUP
    for wrong in ("1", "x", "/nonexistent"):
        done = subprocess.run([KEEPCTL, "reload", "--pid", wrong], capture_output=True,
                              timeout=TIMEOUT_S)
        assert done.returncode == 1, wrong


run()
