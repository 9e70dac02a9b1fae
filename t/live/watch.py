#!/usr/bin/python3
"""watch: each type by name, the form of its lines, who may see them, and what becomes of slow watchers."""

import re
import signal
import socket
import subprocess

from accounts import two_tenants
from harness import IS_REFERENCE, TIMEOUT_S, Server, Skip, case, folder, run, wait_for
from tls_link import TlsServer

HEAD = rb"ts=\d+\.\d{1,6} gid=\d+ type="
FORMS = {
    b"item_get": rb"key=\S+ status=(not_found|found|flushed|expired) clsid=\d+ cfd=\d+ size=\d+",
    b"item_store": rb"key=\S+ status=(not_stored|stored|exists|not_found|too_large|no_memory) "
                   rb"cmd=(set|add|replace|append|prepend|cas) ttl=\d+ clsid=\d+ cfd=\d+ size=\d+",
    b"deleted": rb"key=\S+ cmd=(delete|md) clsid=\d+ size=\d+",
    b"eviction": rb"key=\S+ fetch=(yes|no) ttl=-?\d+ la=\d+ clsid=\d+ size=\d+",
    b"conn_new": rb"rip=\S+ rport=\d+ transport=(tcp|local) cfd=\d+",
    b"conn_close": rb"rip=\S+ rport=\d+ transport=(tcp|local) "
                   rb"reason=(error|normal|idle_timeout|shutdown) cfd=\d+",
    b"conntlserr": rb"fd=\d+ msg=.+",
    b"sysevent": rb"event=\w+( \w+=(\"[^\"]*\"|\S+))*",
    b"rawcmd": rb"cfd=\d+ proto=(text|meta|binary) cmd=\w+( key=\S+)? size=\d+",
}


class Watcher:
    """A connection that watches; every line that it reads must have its type's form."""

    def __init__(self, conn, types):
        self.conn, self.gid = conn, 0
        answer = conn.ask((b"watch " + types).rstrip())
        assert answer == b"OK", answer

    def line(self):
        line = self.conn.line()
        found = re.fullmatch(HEAD + rb"(\w+) (.*)", line)
        assert found and re.fullmatch(FORMS[found[1]], found[2]), line
        return line

    def until(self, pattern):
        """Reads up to the line with the pattern; returns all lines read."""
        lines = [self.line()]
        while not re.search(pattern, lines[-1]):
            lines.append(self.line())
        return lines


def words(line, *names):
    return tuple(re.search(rb" %s=(\S+)" % n, line)[1] for n in names)


@case
def fetchers_are_the_default():
    for types in (b"", b"fetchers"):
        with Server() as server, server.connect() as w, server.connect() as c:
            watcher = Watcher(w, types)
            c.set(b"a/b", b"12345")
            c.get(b"a/b")
            c.get(b"absent")
            c.set(b"n", b"7")
            c.ask(b"incr n 1")
            c.ask(b"touch n 0")
            c.ask(b"decr none 1")
            lines = watcher.until(rb"key=absent")
            found = [line for line in lines if b"status=found" in line]
            assert words(found[-1], b"key", b"size") == (b"a%2Fb", b"5"), lines
            assert words(lines[-1], b"status", b"clsid", b"size") == (b"not_found", b"0", b"0")
            lines = watcher.until(rb"key=none")
            assert len([line for line in lines if b"key=n status=found" in line]) == 2, lines


@case(keepd_only="incr and its kin show a lookup too")
def mutations_tell_command_outcome_and_life():
    with Server() as server, server.connect() as w, server.connect() as c:
        watcher = Watcher(w, b"mutations")
        c.set(b"a", b"1", exptime=100)
        c.set(b"a", b"1", verb=b"add")
        c.set(b"b", b"1", verb=b"replace")
        c.set(b"a", b"1", verb=b"append")
        c.set(b"a", b"1", verb=b"prepend")
        c.ask(b"ms a 1 C1\r\n1")
        c.send(b"set big 0 0 9000000\r\n")
        found = [words(watcher.line(), b"key", b"cmd", b"status") for _ in range(7)]
        assert found == [(b"a", b"set", b"stored"), (b"a", b"add", b"not_stored"),
                         (b"b", b"replace", b"not_stored"), (b"a", b"append", b"stored"),
                         (b"a", b"prepend", b"stored"), (b"a", b"cas", b"exists"),
                         (b"big", b"set", b"too_large")], found


@case(keepd_only="1.6.18 has no such type")
def deletions_tell_what_is_gone():
    with Server() as server, server.connect() as w, server.connect() as c:
        watcher = Watcher(w, b"deletions")
        c.set(b"a", b"12345")
        c.set(b"b", b"12345")
        c.ask(b"delete absent")
        c.ask(b"delete a")
        c.ask(b"md b")
        for key, command in ((b"a", b"delete"), (b"b", b"md")):
            line = watcher.line()
            assert words(line, b"key", b"cmd") == (key, command), line
            clsid, size = map(int, words(line, b"clsid", b"size"))
            assert clsid > 0 and size == 5, line


@case(keepd_only="its smallest cache is larger")
def evictions_show_what_went():
    with Server("-m", 8) as server, server.connect() as w, server.connect() as c:
        watcher = Watcher(w, b"evictions")
        for i in range(200):
            c.send(b"".join(b"set key%d 0 0 1000 noreply\r\n%s\r\n" % (i * 100 + j, b"x" * 1000)
                            for j in range(100)))
        assert c.ask(b"mn") == b"MN"
        line = watcher.line()
        assert words(line, b"fetch", b"ttl") == (b"no", b"-1"), line


@case
def connevents_come_and_go():
    with Server() as server, server.connect() as w:
        watcher = Watcher(w, b"connevents")
        with server.connect() as c:
            assert c.ask(b"mn") == b"MN"
            line = watcher.line()
            assert words(line, b"rip", b"rport", b"transport") == (
                b"127.0.0.1", b"%d" % c.socket.getsockname()[1], b"tcp"), line
        lines = watcher.until(rb"type=conn_close")
        assert words(lines[-1], b"reason") == (b"normal",), lines


@case
def connevents_of_unix_sockets():
    with Server(unix=True) as server, server.connect_unix() as w:
        watcher = Watcher(w, b"connevents")
        with server.connect_unix() as c:
            assert c.ask(b"mn") == b"MN"
            assert words(watcher.line(), b"rip", b"transport") == (b"unix", b"local")


@case(keepd_only="1.6.18 has no such line")
def connevents_of_failed_handshakes():
    chain, key = folder() + "/chain.pem", folder() + "/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", chain], check=True, capture_output=True,
                   timeout=TIMEOUT_S)
    with Server("-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (chain, key), "-l",
                "notls:127.0.0.1,127.0.0.2", "-p", "-1", listen=None) as server:
        ports = [port for _, port in server.ports()]
        with server.connect() as w:
            watcher = Watcher(w, b"connevents")
            for port in ports:
                with socket.create_connection(("127.0.0.2", port), TIMEOUT_S) if port == ports[-1] \
                        else socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as s:
                    s.sendall(b"\x16\x03\x01\x00\x05hello" if port == ports[-1] else b"quit\r\n")
                    while s.recv(100):
                        pass
            assert b"type=conntlserr" in watcher.until(rb"type=conntlserr")[-1]


@case(keepd_only="other events")
def sysevents_tell_what_happens_to_the_server():
    with Server("-m", 8, two_tenants(memory_max="8m").option) as server:
        with server.connect() as w, server.connect() as c:
            for conn in (w, c):
                assert conn.set(b"login", b"root rpw") == b"STORED"
            watcher = Watcher(w, b"sysevents")

            def expect(event, *more):
                line = watcher.until(b" event=%s" % event)[-1]
                for word in more:
                    assert word in line, line
            c.ask(b"flush_all 10")
            expect(b"flush_all", b"tenant=default", b"delay_s=10")
            c.ask(b"verbosity 1")
            expect(b"verbosity", b"level=1")
            c.ask(b"cache_memlimit 9")
            expect(b"memory_limit", b"before_bytes=%d" % (8 << 20), b"bytes=%d" % (9 << 20))
            c.ask(b"cache_memlimit 8")
            expect(b"memory_limit")
            server.signal(signal.SIGHUP)
            expect(b"users_reloaded")
            # The first look only notes how many were evicted before.
            wait_for(lambda: store_until_evicted(c, watcher), "evictions to show")


def store_until_evicted(c, watcher):
    c.send(b"".join(b"set key%d 0 0 10000 noreply\r\n%s\r\n" % (i, b"x" * 10000)
                    for i in range(1000)))
    assert c.ask(b"mn") == b"MN"
    watcher.conn.socket.settimeout(1.5)
    try:
        return b"event=evictions_begin" in watcher.line()
    except socket.timeout:
        return False
    finally:
        watcher.conn.socket.settimeout(TIMEOUT_S)


@case(keepd_only="accepted and never produced")
def sysevents_of_a_stop():
    with Server() as server, server.connect() as w, server.connect() as c:
        watcher = Watcher(w, b"sysevents")
        c.ask(b"verbosity 0")
        watcher.until(rb"event=verbosity")
        server.signal(signal.SIGTERM)
        assert b"signal=15" in watcher.until(rb"event=stopping")[-1]
        assert w.wait_closed() == b""
        assert server.wait_end() == 0


@case(keepd_only="accepted and never produced")
def sysevents_of_certificates():
    with TlsServer() as server, server.connect() as w, server.connect() as c:
        watcher = Watcher(w, b"sysevents")
        assert c.ask(b"refresh_certs") == b"OK"
        watcher.until(rb"event=certificates_reloaded")


@case(keepd_only="accepted and never produced")
def rawcmds_show_requests_without_their_values():
    with Server() as server, server.connect() as w, server.connect() as c, server.connect() as b:
        watcher = Watcher(w, b"rawcmds")
        c.set(b"a", b"hidden")
        c.ask(b"mg a v")
        c.read(8)
        b.ask_binary(0x00, b"a")
        c.ask(b"nonsense hidden")
        found = [words(watcher.line(), b"proto", b"cmd", b"size") for _ in range(4)]
        assert found == [(b"text", b"set", b"6"), (b"meta", b"get", b"0"), (b"binary", b"get", b"0"),
                         (b"text", b"bad", b"0")], found
        w.close()
        # Nobody watches: nothing is rendered.
        wait_for(lambda: server.stats()["log_watchers"] == "0", "the watcher to be gone")


@case(keepd_only="it has no tenants")
def rawcmds_hold_no_secret():
    with Server(two_tenants().option) as server, server.connect() as w:
        assert w.set(b"login", b"root rpw") == b"STORED"
        watcher = Watcher(w, b"rawcmds")
        for secret in (b"alice apw", b"alice wrong-word"):
            with server.connect() as c:
                c.set(b"login", secret)
        with server.connect() as c:
            c.ask_binary(0x21, b"PLAIN", value=b"\0alice\0wrong-word")
            c.ask_binary(0x21, b"PLAIN", value=b"\0alice\0apw")
            c.ask_binary(0x00, b"end")
        lines = watcher.until(rb"key=end")
        assert len(lines) >= 5, lines
        assert not [line for line in lines if b"apw" in line or b"wrong" in line], lines


@case(keepd_only="it has no tenants")
def tenants_see_their_own():
    with Server(two_tenants().option) as server, server.connect() as w:
        assert w.set(b"login", b"bob bpw") == b"STORED"
        for types in (b"sysevents", b"fetchers sysevents"):
            answer = w.ask(b"watch " + types)
            assert answer == b"CLIENT_ERROR watch sysevents needs the right admin", answer
        watcher = Watcher(w, b"rawcmds")
        for login, key in ((b"alice apw", b"others"), (b"bob bpw", b"own")):
            with server.connect() as c:
                c.set(b"login", login)
                c.get(key)
        lines = watcher.until(rb"key=own")
        assert not [line for line in lines if b"others" in line or b"login" in line], lines


@case(keepd_only="1.6.18 knows no deletions")
def types_of_the_proxy_and_unknown_ones():
    with Server() as server, server.connect() as w:
        assert w.ask(b"watch fetchers nonsense") == b"ERROR"
        Watcher(w, b"fetchers mutations deletions evictions connevents sysevents rawcmds proxyreqs "
                   b"proxyevents proxyuser")


@case(keepd_only="other sizes")
def slow_watchers_learn_how_much_they_missed():
    if IS_REFERENCE:
        raise Skip("its buffers hold more, and for longer")
    with Server("-o", "watcher_logbuf_size=64") as server:
        with server.connect(receive_buffer=4096) as w, server.connect() as c:
            Watcher(w, b"mutations")
            n_stores = 0
            while int(server.stats()["log_watcher_skipped"]) < 1000:
                c.send(b"".join(b"set %s%d 0 0 1 noreply\r\nx\r\n" % (b"k" * 200, i)
                                for i in range(2000)))
                assert c.ask(b"mn") == b"MN"
                n_stores += 2000
            n_skipped = n_seen = 0
            while n_seen + n_skipped < n_stores:
                # What is behind the lost lines shows how many there were.
                w.socket.settimeout(1)
                try:
                    line = w.line()
                except socket.timeout:
                    c.set(b"more", b"1")
                    n_stores += 1
                    continue
                note = re.fullmatch(rb"skipped=(\d+)", line)
                n_skipped += int(note[1]) if note else 0
                n_seen += not note
            assert n_seen + n_skipped == n_stores and n_skipped >= 1000, (n_seen, n_skipped)
            stats = server.stats()
            assert int(stats["log_watcher_skipped"]) == n_skipped, stats
            assert int(stats["log_watcher_sent"]) == n_seen, stats


run()
