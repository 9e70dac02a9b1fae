#!/usr/bin/python3
"""keepctl against a running server: stats, top, check-auth, and a reload that tells what is wrong."""

import os
import pty
import subprocess

from harness import BUILDDIR, TIMEOUT_S, Server, case, folder, run

KEEPCTL = os.environ.get("KEEPCTL") or os.path.join(BUILDDIR, "keepctl")
KEEPD_ONLY = "keepctl speaks to keepd"


def keepctl(*words, password=None):
    done = subprocess.run([KEEPCTL, *words], input=password or b"", capture_output=True,
                          timeout=TIMEOUT_S)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def tenants_file():
    path = os.path.join(folder(), "tenants.conf")
    for words in (["tenant", "add", "shop"],
                  ["user", "add", "alice", "--tenant", "shop", "--password-stdin"],
                  ["user", "add", "root", "--tenant", "default", "--password-stdin",
                   "--rights", "read,write,stats,admin"]):
        status, out, err = keepctl("--tenants", path, *words, password=b"correct horse\n")
        assert status == 0, err
    return path


def login(server, user):
    return ["--address", "127.0.0.1:%d" % server.port, "--user", user, "--password-stdin"]


@case(keepd_only=KEEPD_ONLY)
def without_login():
    with Server(unix=True) as server:
        status, out, err = keepctl("--socket", server.path, "stats")
        assert status == 0 and "cmd_get 0\n" in out, err
        status, out, err = keepctl("stats", "settings", "--socket", server.path)
        assert status == 0 and "maxbytes 67108864\n" in out, err
        assert keepctl("--socket", server.path, "reload") == (0, "", "")
        status, out, err = keepctl("--socket", server.path, "stats", "nonsense")
        assert status == 1 and err, (out, err)


@case(keepd_only=KEEPD_ONLY)
def rights_decide():
    with Server("--tenants", tenants_file(), "--allow-plaintext-login") as server:
        status, out, err = keepctl(*login(server, "root"), "check-auth", password=b"correct horse")
        assert status == 0 and out.startswith("logged in as root\nlogins "), out + err
        status, out, err = keepctl(*login(server, "root"), "stats", "tenants", password=b"correct horse")
        assert status == 0 and "shop:bytes 0\n" in out, out + err
        status, out, err = keepctl(*login(server, "alice"), "stats", "tenants", password=b"correct horse")
        assert status == 0 and "shop:bytes 0\n" in out and "default:" not in out, out + err
        status, out, err = keepctl(*login(server, "alice"), "reload", password=b"correct horse")
        assert status == 1 and err, out
        status, out, err = keepctl(*login(server, "root"), "stats", password=b"wrong")
        assert status == 1 and "authentication failure" in err, err


@case(keepd_only=KEEPD_ONLY)
def reload_tells_file_and_line():
    path = tenants_file()
    with Server("--tenants", path, "--allow-plaintext-login") as server:
        good = open(path).read()
        assert keepctl(*login(server, "root"), "reload", password=b"correct horse") == (0, "", "")
        with open(path, "w") as f:
            f.write(good + "\nnonsense {\n}\n")
        line = good.count("\n") + 2
        status, out, err = keepctl(*login(server, "root"), "reload", password=b"correct horse")
        assert status == 1 and "%s:%d: " % (path, line) in err, err
        with open(path, "w") as f:
            f.write(good + '\ntenant "news" {\n}\n')
        assert keepctl(*login(server, "root"), "reload", password=b"correct horse") == (0, "", "")
        out = keepctl(*login(server, "root"), "stats", "tenants", password=b"correct horse")[1]
        assert "news:bytes 0\n" in out, out


@case(keepd_only=KEEPD_ONLY)
def top_once():
    with Server() as server:
        with server.connect() as c:
            for i in range(200):
                c.set(b"k%d" % i, b"v")
                c.get(b"k%d" % i)
        status, out, err = keepctl("--address", "127.0.0.1:%d" % server.port, "top", "--once")
        assert status == 0, err
        for part in ("100.00 %", "200 items", "default", "get ", "SERVED IN", "TENANT"):
            assert part in out, (part, out)


@case(keepd_only=KEEPD_ONLY)
def top_on_a_terminal():
    with Server(unix=True) as server:
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(KEEPCTL, [KEEPCTL, "--socket", server.path, "top"])
        shown = b""
        while b"q ends" not in shown:
            shown += os.read(fd, 4096)
        os.write(fd, b"q")
        try:
            while os.read(fd, 4096):
                pass
        except OSError:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)


@case(keepd_only=KEEPD_ONLY)
def refusals():
    for words in (["stats"], ["--socket", "/nonexistent/socket", "stats"], ["--address", "x", "stats"],
                  ["--address", "127.0.0.1:1", "stats"], ["--socket", "a", "--user", "u", "stats"]):
        status, out, err = keepctl(*words)
        assert status == 1 and err.startswith("keepctl: ") and not out, (words, status, out, err)


run()
