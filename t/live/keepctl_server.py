#!/usr/bin/python3
"""keepctl against a running server: stats, top, check-auth, and a reload that tells what is wrong."""

import os
import pty
import socket
import ssl
import subprocess
import threading

from harness import BUILDDIR, TIMEOUT_S, Server, case, folder, run
from tls_link import TlsServer, cert

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


# ---------------------------------------------------------------- over TLS

def over_tls(server, host="localhost", ca="ca.pem", user="root"):
    return ["--tls", "--ca", cert(ca), "--address", "%s:%d" % (host, server.tls_port),
            "--user", user, "--password-stdin"]


@case(keepd_only=KEEPD_ONLY)
def tls_with_login():
    with TlsServer("--tenants", tenants_file()) as server:
        for host in ("localhost", "127.0.0.1"):
            status, out, err = keepctl(*over_tls(server, host), "stats", password=b"correct horse")
            assert status == 0 and "curr_connections 1\n" in out, (host, out, err)
        status, out, err = keepctl(*over_tls(server), "top", "--once", password=b"correct horse\n")
        assert status == 0 and "TENANT" in out, err
        assert keepctl(*over_tls(server), "reload", password=b"correct horse") == (0, "", "")
        server.wait_log("certificates_reloaded")
        status, out, err = keepctl(*over_tls(server, user="alice"), "check-auth",
                                   password=b"correct horse")
        assert status == 0 and out.startswith("logged in as alice\n"), out + err


@case(keepd_only=KEEPD_ONLY)
def tls_trusts_nobody_else():
    with TlsServer("--tenants", tenants_file()) as server:
        for options, reason in ((over_tls(server, ca="stranger.pem"), "certificate"),
                                (over_tls(server, ca="absent.pem"), "absent.pem"),
                                ([w for w in over_tls(server) if w not in ("--ca", cert("ca.pem"))],
                                 "certificate")):
            status, out, err = keepctl(*options, "stats", password=b"correct horse")
            assert status == 1 and not out and reason in err, (options, err)
        with TlsServer("--tenants", tenants_file(), chain="named.pem", key="named.key") as other:
            for host, reason in (("localhost", "hostname mismatch"),
                                 ("127.0.0.1", "IP address mismatch")):
                status, out, err = keepctl(*over_tls(other, host), "stats", password=b"correct horse")
                assert status == 1 and not out and reason in err, err
        # TLS on a port without, and the other way round.
        plain = ["localhost:%d" % server.port if "localhost:" in w else w for w in over_tls(server)]
        status, out, err = keepctl(*plain, "stats", password=b"correct horse")
        assert status == 1 and err.startswith("keepctl: TLS: "), err
        bare = [w for w in over_tls(server) if w not in ("--tls", "--ca", cert("ca.pem"))]
        status, out, err = keepctl(*bare, "stats", password=b"correct horse")
        assert status == 1 and not out and err.startswith("keepctl: "), err


@case(keepd_only=KEEPD_ONLY)
def tls_refuses_wrong_passwords():
    with TlsServer("--tenants", tenants_file()) as server:
        for password in (b"not this one", b"not this one\n", b"", b"\n"):
            status, out, err = keepctl(*over_tls(server), "stats", password=password)
            assert status == 1 and not out and err.startswith("keepctl: "), (password, err)
        assert "correct horse" not in server.log() and "not this one" not in server.log()
        # Nothing is shown to who has not logged in.
        nobody = over_tls(server)[:-3]
        status, out, err = keepctl(*nobody, "stats")
        assert status == 1 and not out and err.startswith("keepctl: "), (out, err)


def dying_server(n_answers):
    """A TLS server that ends in the middle of the answer after n_answers whole ones; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert("server.pem"), cert("server.key"))

    def serve():
        conn = context.wrap_socket(listening.accept()[0], server_side=True)
        for _ in range(n_answers):
            conn.recv(4096)
            conn.sendall(b"STAT uptime 1\r\nEND\r\n")
        conn.recv(4096)
        conn.sendall(b"STAT upt")
        conn.close()
    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


@case(keepd_only=KEEPD_ONLY)
def tls_server_that_goes():
    for words, n_answers in ((["stats"], 0), (["reload"], 0), (["check-auth"], 0),
                             (["top", "--once"], 0), (["top", "--once"], 1), (["top"], 0),
                             (["top"], 3), (["top"], 4)):
        port = dying_server(n_answers)
        process = subprocess.Popen([KEEPCTL, "--tls", "--ca", cert("ca.pem"), "--address",
                                    "localhost:%d" % port, *words], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # The input stays open: its end would end top.
        status = process.wait(TIMEOUT_S)
        err = process.stderr.read().decode()
        assert status == 1, (words, n_answers, status, err)
        assert err == "keepctl: the server closed the connection, or did not answer\n", err


@case(keepd_only=KEEPD_ONLY)
def top_ends_when_nobody_reads():
    with Server() as server:
        process = subprocess.Popen([KEEPCTL, "--address", "127.0.0.1:%d" % server.port, "top"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert b"keepd" in process.stdout.read(20)
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 1


run()
