#!/usr/bin/python3
"""Who somebody is, inside TLS: client certificates, EXTERNAL, PLAIN, SCRAM bound to the channel, and
sessions that are resumed after the rules changed."""

import base64
import hashlib
import os
import re
import signal
import ssl
import subprocess
import time

from harness import TIMEOUT_S, Conn, Reply, HEADER, case, packet, run, wait_for
from tls_link import (V12, V13, VERSIONS, TlsServer, cert, client_context, copy_file, hmac_of,
                      identity_section, issue, user_section, write_file)

LIST, START, STEP = 0x20, 0x21, 0x22
REFUSED, AGAIN = 0x20, 0x21


class LoginServer(TlsServer):
    """With a tenants file: app may do all, reader only read."""

    def __init__(self, *args, identities="", words=("ssl_verify_mode=1",), **options):
        self.tenants = None
        path = os.path.join(os.path.dirname(cert("ca.pem")), "tenants-%d" % id(self))
        write_file(path, self.text(identities))
        self.tenants = path
        super().__init__("-m", 64, "--tenants", path, *args,
                         words=["ssl_ca_cert=" + cert("ca.pem"), *words], **options)

    @staticmethod
    def text(identities):
        return (user_section("app", b"secret") + user_section("reader", b"other", rights=["read"]) +
                identities)

    def change(self, identities):
        write_file(self.tenants, self.text(identities))
        self.signal(signal.SIGHUP)

    def check_alive(self):
        assert self.is_running()


def plain(user, password):
    return b"\0" + user + b"\0" + password


def may_do(c):
    """What the first commands of a connection are allowed: 'all', 'read' or 'nothing'."""
    first = c.ask(b"get a")
    if first != b"END":
        assert first == b"CLIENT_ERROR unauthenticated", first
        return "nothing"
    stored = c.set(b"a", b"")
    c.send(b"delete a\r\n")
    c.line()
    return "all" if stored == b"STORED" else "read"


@case
def certificates_are_logins():
    rules = (("cert-cn", "alice"), ("cert-dns", "app.example"),
             ("cert-uri", "spiffe://example/app"), ("cert-email", "alice@example.org"))
    for rule, value in rules:
        other = identity_section("other", rule, value + ".evil", "app")
        with LoginServer(identities=other + identity_section("it", rule, value, "reader")) as server:
            for version in VERSIONS:
                with server.tls(version=version, certificate="client") as c:
                    assert may_do(c) == "read", rule
                with server.tls(version=version) as c:
                    assert may_do(c) == "nothing"
                with server.tls(version=version, certificate="client-nul") as c:
                    assert may_do(c) == "nothing"
                with server.tls(version=version, certificate="client-twice") as c:
                    assert may_do(c) == "nothing"
                with server.tls(version=version, certificate="client-bare") as c:
                    assert may_do(c) == "nothing"


@case
def external():
    with LoginServer(identities=identity_section("it", "cert-dns", "app.example", "app")) as server:
        with server.tls(certificate="client") as c:
            names = c.ask_binary(LIST).value.split(b" ")
            assert names[0] == b"EXTERNAL", names
            reply = c.ask_binary(START, b"EXTERNAL")
            assert reply.status == 0, reply
            assert c.ask_binary(0x0a).status == 0
        for certificate in (None, "client-bare"):
            with server.tls(certificate=certificate) as c:
                assert b"EXTERNAL" not in c.ask_binary(LIST).value.split(b" ")
                assert c.ask_binary(START, b"EXTERNAL").status == REFUSED
                assert c.ask_binary(0, b"a").status == REFUSED
        # A user of one's own choice takes more than a certificate.
        with server.tls(certificate="client") as c:
            assert c.ask_binary(START, b"EXTERNAL", value=b"reader").status == REFUSED
        # Somebody else by password, on the same certificate.
        with server.tls(certificate="client") as c:
            assert c.ask_binary(START, b"PLAIN", value=plain(b"reader", b"other")).status == 0


@case
def plain_over_tls():
    with LoginServer(words=()) as server:
        for version in VERSIONS:
            for bad in (plain(b"app", b"wrong"), plain(b"nobody", b"secret"), b"x", b"\0\0"):
                with server.tls(version=version) as c:
                    assert c.ask_binary(START, b"PLAIN", value=bad).status == REFUSED
            with server.tls(version=version) as c:
                assert c.ask_binary(1, b"a", b"\0" * 8, b"1").status == REFUSED
            with server.tls(version=version) as c:
                assert c.ask_binary(START, b"PLAIN", value=plain(b"app", b"secret")).status == 0
                assert c.ask_binary(1, b"a", b"\0" * 8, b"1").status == 0
                assert c.ask_binary(0, b"a").value == b"1"
            with server.tls(version=version) as c:
                assert c.ask(b"get a") == b"CLIENT_ERROR unauthenticated"
                assert c.set(b"login", b"app secret") == b"STORED"
                assert c.get(b"a") == b"1"


# ---------------------------------------------------------------- SCRAM (RFC 5802)

def scram(ask, name, user, password, binding=None, header=None):
    """Logs in; returns the status of the last reply. binding is (type, bytes)."""
    mechanism = "SCRAM-" + name.upper().replace("SHA", "SHA-") + ("-PLUS" if binding else "")
    if header is None:
        header = b"p=" + binding[0] + b",," if binding else b"n,,"
    nonce = base64.b64encode(os.urandom(15))
    first = b"n=" + user + b",r=" + nonce
    reply = ask(START, mechanism.encode(), header + first)
    if reply.status != AGAIN:
        return reply.status
    fields = dict(f.split(b"=", 1) for f in reply.value.split(b","))
    assert fields[b"r"].startswith(nonce)
    salted = hashlib.pbkdf2_hmac(name, password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    bound = base64.b64encode(header + (binding[1] if binding else b""))
    last = b"c=" + bound + b",r=" + fields[b"r"]
    message = first + b"," + reply.value + b"," + last
    client_key = hmac_of(name, salted, b"Client Key")
    signature = hmac_of(name, hashlib.new(name, client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    reply = ask(STEP, mechanism.encode(), last + b",p=" + base64.b64encode(proof))
    if reply.status == AGAIN:
        server_key = hmac_of(name, salted, b"Server Key")
        expected = b"v=" + base64.b64encode(hmac_of(name, server_key, message))
        assert reply.value == expected, reply
        reply = ask(STEP, mechanism.encode(), b"")
    return reply.status


def asker(c):
    return lambda opcode, key, value: c.ask_binary(opcode, key, value=value)


@case
def scram_bound_to_tls_1_2():
    with LoginServer() as server:
        with server.tls(version=V12) as c:
            assert b"SCRAM-SHA-256-PLUS" in c.ask_binary(LIST).value.split(b" ")
            unique = c.socket.get_channel_binding("tls-unique")
            assert scram(asker(c), "sha256", b"app", b"secret", (b"tls-unique", unique)) == 0
            assert c.ask_binary(0x0a).status == 0
        with server.tls(version=V12) as c:  # another channel's
            assert scram(asker(c), "sha256", b"app", b"secret", (b"tls-unique", unique)) == REFUSED
        with server.tls(version=V12) as c:
            unique = c.socket.get_channel_binding("tls-unique")
            assert scram(asker(c), "sha256", b"app", b"wrong", (b"tls-unique", unique)) == REFUSED
        with server.tls(version=V12) as c:
            assert scram(asker(c), "sha256", b"app", b"secret") == 0
        # A client that could bind, and was told that the server cannot.
        with server.tls(version=V12) as c:
            assert scram(asker(c), "sha256", b"app", b"secret", header=b"y,,") == REFUSED
        with server.connect() as c:
            assert b"-PLUS" not in c.ask_binary(LIST).value


class SClient:
    """openssl s_client, which can export what a channel is bound by in TLS 1.3."""

    def __init__(self, port, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-CAfile", cert("ca.pem"),
             "-verify_return_error", "-servername", "localhost", "-keymatexport",
             "EXPORTER-Channel-Binding", "-keymatexportlen", "32", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.out = b""
        while b"Keying material: " not in self.out or b"\n---\n" not in self.out.split(
                b"Keying material: ")[-1]:
            self.more()
        material = re.search(rb"Keying material: ([0-9A-F]+)", self.out)[1]
        self.exporter = bytes.fromhex(material.decode())
        self.out = b""

    def more(self):
        piece = self.process.stdout.read1(65536)
        assert piece, self.out
        self.out += piece

    def ask(self, opcode, key=b"", value=b""):
        self.process.stdin.write(packet(opcode, key, value=value))
        self.process.stdin.flush()
        # Between the lines of s_client stand those about new tickets.
        while True:
            at = self.out.find(b"\x81" + bytes([opcode]))
            if at >= 0 and len(self.out) >= at + 24:
                n = HEADER.unpack(self.out[at:at + 24])
                if len(self.out) >= at + 24 + n[6]:
                    break
            self.more()
        body = self.out[at + 24:at + 24 + n[6]]
        self.out = self.out[at + 24 + n[6]:]
        return Reply(opcode, n[5], n[7], n[8], b"", b"", body[n[3] + n[2]:])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait(TIMEOUT_S)


@case
def scram_bound_to_tls_1_3():
    with LoginServer() as server:
        for _ in range(2):
            with SClient(server.tls_port, "-tls1_3") as c:
                assert b"SCRAM-SHA-256-PLUS" in c.ask(LIST).value.split(b" ")
                binding = (b"tls-exporter", c.exporter)
                assert scram(c.ask, "sha256", b"app", b"secret", binding) == 0
                assert c.ask(0x0a).status == 0
            with SClient(server.tls_port, "-tls1_3") as c:
                assert scram(c.ask, "sha256", b"app", b"secret", binding) == REFUSED
        with server.tls(version=V13) as c:
            assert scram(asker(c), "sha256", b"app", b"secret") == 0


@case
def no_weak_mechanisms():
    with LoginServer() as server:
        for connect in (server.tls, server.connect):
            with connect() as c:
                names = c.ask_binary(LIST).value.split(b" ")
                assert not {b"ANONYMOUS", b"LOGIN", b"NTLM", b"CRAM-MD5",
                            b"DIGEST-MD5"} & set(names), names


@case
def silence_after_handshake():
    with LoginServer("--auth-timeout", 2) as server:
        clients = [server.tls(version=VERSIONS[i % 2]) for i in range(6)]
        for c in clients[:2]:
            try:
                c.ask_binary(LIST)
            except (EOFError, OSError):
                pass  # the others' handshakes took its time
        for c in clients:
            assert c.end() == "closed"

        def is_let_in():
            """A busy machine may need more than the two seconds."""
            try:
                with server.tls() as c:
                    return c.set(b"l", b"app secret") == b"STORED"
            except (EOFError, OSError):
                return False
        wait_for(is_let_in, "a login")


# ---------------------------------------------------------------- certificates that are required

def is_refused(server, **options):
    """The handshake fails, or in TLS 1.3 what comes behind it."""
    try:
        with server.tls(**options) as c:
            c.send(b"set refused 0 0 1\r\nx\r\n")
            c.line()
        return False
    except (ssl.SSLError, ConnectionError, EOFError):
        return True


@case
def client_certificates():
    bad = ("client-stranger", "client-expired", "client-revoked")
    ca, crl = "ssl_ca_cert=" + cert("ca.pem"), ("--crl", cert("crl.pem"))
    for mode in (1, 2, 3):
        words = [ca, "ssl_verify_mode=%d" % mode]
        with TlsServer("-m", 64, *crl, words=words) as server:
            for version in VERSIONS:
                for name in bad:
                    assert is_refused(server, version=version, certificate=name), name
                assert is_refused(server, version=version) == (mode > 1)
                assert not is_refused(server, version=version, certificate="client")
            with server.connect() as c:
                c.ask(b"delete refused")
                assert is_refused(server, certificate="client-stranger")
                assert c.get(b"refused") is None
        assert "certificate verify failed" in server.log()
        assert ("did not return a certificate" in server.log()) == (mode > 1)


@case
def listeners_of_each_kind():
    ca = "ssl_ca_cert=" + cert("ca.pem")
    listen = "127.0.0.1,notls:127.0.0.1:0,btls:127.0.0.1:0,mtls:127.0.0.1:0,notls:127.0.0.1:0"
    for mode in (0, 1, 2):
        with TlsServer("-m", 64, words=[ca, "ssl_verify_mode=%d" % mode], listen=listen) as server:
            default, plain_port, without, required, _ = [port for _, port in server.ports()]
            for version in VERSIONS:
                for port, needs in ((default, mode == 2), (without, False), (required, True)):
                    server.tls_port = port
                    assert is_refused(server, version=version) == needs, (mode, port)
                    assert not is_refused(server, version=version, certificate="client")
                    wants = needs or (mode == 1 and port == default)
                    assert is_refused(server, version=version,
                                      certificate="client-stranger") == wants
            with Conn(("127.0.0.1", plain_port)) as c:
                assert c.ask(b"mn") == b"MN"
            # A session from where nothing was asked opens no other door.
            for version in VERSIONS:
                context = client_context(version)
                server.tls_port = without
                with server.tls(context=context) as c:
                    assert c.ask(b"mn") == b"MN"
                    session = c.socket.session
                server.tls_port = required
                assert is_refused(server, context=context, session=session)


# ---------------------------------------------------------------- resumed sessions

def session_of(server, context):
    with server.tls(context=context) as c:
        assert c.ask(b"version").startswith(b"VERSION")
        return c.socket.session


def resumes(server, context, session):
    with server.tls(context=context, session=session) as c:
        reused = c.socket.session_reused
        return reused, may_do(c)


@case
def resumed_sessions_follow_the_rules():
    first = identity_section("it", "cert-cn", "alice", "app")
    second = identity_section("it", "cert-cn", "alice", "reader")
    for words in ((), ("ssl_session_cache",)):
        with LoginServer(identities=first, words=("ssl_verify_mode=1", *words)) as server:
            for version in VERSIONS:
                context = client_context(version, "client")
                session = session_of(server, context)
                assert resumes(server, context, session) == (True, "all")
                server.change(second)

                def changed():
                    with server.tls(version=version, certificate="client") as c:
                        return may_do(c) == "read"
                wait_for(changed, "the new rules")
                assert resumes(server, context, session) == (False, "read")
                server.change("")
                wait_for(lambda: not changed(), "the rules to be gone")
                assert resumes(server, context, session) == (False, "nothing")
                server.change(first)
                with server.tls(version=version) as c:
                    c.set(b"l", b"app secret")
                    wait_for(lambda: resumes(server, client_context(version, "client"), None)[1] ==
                             "all", "the first rules")


@case
def resumed_sessions_follow_revocation():
    path = os.path.join(os.path.dirname(cert("ca.pem")), "crl-live.pem")
    copy_file("crl-none.pem", path)
    words = ["ssl_ca_cert=" + cert("ca.pem"), "ssl_verify_mode=2", "ssl_session_cache"]
    with TlsServer("-m", 64, "--crl", path, words=words) as server, server.connect() as control:
        sessions = []
        for version in VERSIONS:
            context = client_context(version, "client-revoked")
            sessions.append((context, session_of(server, context)))
            assert resumes(server, *sessions[-1]) == (True, "all")
        good = client_context(V13, "client")
        session = session_of(server, good)
        copy_file("crl.pem", path)
        assert control.ask(b"refresh_certs") == b"OK"
        for context, old in sessions:
            assert is_refused(server, context=context, session=old)
        assert resumes(server, good, session) == (False, "all")
        assert int(control.stats(b"tls")["tickets_refused"]) > 0


def session_of_a_short_life(server, cache_only):
    """A session that is resumed once, of a client whose certificate then ends."""
    life_s = 4
    while True:
        end_s = int(time.time()) + life_s
        issue("client-short", "/CN=alice", end_s)
        sessions, found = [], []
        try:
            for version in (V12,) if cache_only else VERSIONS:
                context = client_context(version, "client-short")
                if cache_only:
                    context.options |= ssl.OP_NO_TICKET
                session = session_of(server, context)
                sessions.append((context, session))
                found.append(resumes(server, context, session))
        except (AssertionError, EOFError, OSError):
            if time.time() < end_s - 1:
                raise
        if time.time() < end_s - 1:
            assert set(found) == {(True, "all")}, found
            return sessions, end_s
        life_s *= 2  # a busy machine


@case
def resumed_sessions_end_with_the_certificate():
    """By ticket, and from the cache."""
    for cache_only in (False, True):
        words = ["ssl_ca_cert=" + cert("ca.pem"), "ssl_verify_mode=2", "ssl_session_cache"]
        with TlsServer("-m", 64, words=words) as server:
            sessions, end_s = session_of_a_short_life(server, cache_only)
            wait_for(lambda: time.time() > end_s + 2, "the certificate's end")
            for context, session in sessions:
                assert is_refused(server, context=context, session=session)
            wait_for(lambda: "certificate has expired" in server.log(), "the reason in the log")


run()
