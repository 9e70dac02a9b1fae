#!/usr/bin/python3
"""Files of certificates and keys, at the start and while serving; versions, ciphers and names."""

import os
import signal
import ssl
import subprocess

from harness import (Server, Skip, case, folder, free_port, in_threads, run, run_program, user_args,
                     wait_for)
from tls_link import V12, VERSIONS, TlsServer, cert, client_context, copy_file, tls_options

CHAIN, KEY, CA = ("Error loading the " + n for n in ("certificate chain", "key", "CA certificate"))

# chain, key, further words, how the line begins, what its reason holds.
BAD_FILES = (
    ("absent.pem", "server.key", "", CHAIN, "No such file"),
    ("empty.pem", "server.key", "", CHAIN, "no start line (the file is empty)"),
    ("server.der", "server.key", "", CHAIN, "no start line (the file looks like DER; PEM is expected)"),
    ("server.key", "server.key", "", CHAIN, "no start line"),
    ("server.pem", "absent.key", "", KEY, "No such file"),
    ("server.pem", "empty.pem", "", KEY, "the file is empty"),
    ("server.pem", "server-key.der", "", KEY, "looks like DER; PEM is expected"),
    ("server.pem", "server.key", "ssl_keyformat=2", KEY, ""),
    ("server.pem", "chain.key", "", KEY, "key values mismatch"),
    ("server.pem", "server-rsa.key", "", KEY, "key type mismatch"),
    ("server.pem", "server-pass.key", "", KEY, "the key needs a passphrase"),
    ("server.pem", "server-pass8.key", "", KEY, "the key needs a passphrase"),
    ("server.pem", "server.key", "ssl_ca_cert={}/absent.pem", CA, "No such file"),
    ("server.pem", "server.key", "ssl_ca_cert={}/empty.pem", CA, ""),
    ("server.pem", "server.key", "ssl_verify_mode=2", CA, "need ssl_ca_cert"),
    ("server.pem", "server.key", "ssl_ciphers=NONSENSE",
     "Error setting the provided cipher(s): NONSENSE", ""),
    ("server.pem", "server.key", "ssl_named=a:b", 'ERROR: ssl_named takes NAME:CHAIN:KEY, not "a:b"', ""),
    ("server.pem", "server.key", "ssl_named=a.example:{0}/named.pem:{0}/server.key", KEY, "mismatch"),
)


def says(text, begin, reason):
    """One line of text begins so and has the reason behind it."""
    return any(line.startswith(begin) and reason in line for line in text.splitlines())


def start_refused(*args):
    status, out, err = run_program(*user_args(), "-p", "-1", "-l", "127.0.0.1", *args)
    assert status > 0, (args, status)
    return status, err


@case
def bad_files_at_the_start():
    """Never a server, never one in the clear, always the file and the reason."""
    for chain, key, words, begin, reason in BAD_FILES:
        words = [words.format(os.path.dirname(cert("ca.pem")))] if words else []
        status, err = start_refused(*tls_options(*words, chain=chain, key=key))
        assert status == 64 and says(err, begin, reason), (chain, key, words, status, err)
    status, err = start_refused("-Z")
    assert status == 64 and "ssl_chain_cert" in err, err
    status, err = start_refused(*tls_options(), "-p", "0")
    assert status == 64 and "ERROR: You cannot enable SSL without a TCP port." in err, err
    status, err = start_refused(*tls_options(), "-l", "mtls:127.0.0.1")
    assert status == 64 and "ERROR: mtls: needs -o ssl_ca_cert=FILE" in err, err
    status, err = start_refused(*tls_options("ssl_ca_cert=" + cert("ca.pem")), "--crl",
                                cert("server.pem"))
    assert status == 64 and "Error loading the revocation list" in err, err


@case
def dates_at_the_start_are_warnings():
    for name, word in (("expired", "certificate has expired"),
                       ("future", "certificate is not yet valid")):
        with TlsServer(chain=name + ".pem", key=name + ".key") as server:
            server.wait_log(word)
            context = client_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with server.tls(context=context) as c:
                assert c.ask(b"mn") == b"MN"
        assert (name == "expired") == ("certificate_has_expired" in server.log())


class Files:
    """A chain and a key at fixed paths, to be replaced while a server uses them."""

    def __init__(self, chain="server.pem", key="server.key"):
        self.folder = folder()
        self.chain, self.key = (os.path.join(self.folder, n) for n in ("chain.pem", "key.pem"))
        self.put(chain, key)

    def put(self, chain, key):
        for name, path in ((chain, self.chain), (key, self.key)):
            if os.path.exists(cert(name)):
                copy_file(name, path)
            elif os.path.exists(path):
                os.unlink(path)

    def server(self, *args, words=(), **options):
        return TlsServer("-m", 64, *args, chain=self.chain, key=self.key, words=words, **options)


def serial_seen(server, context=None):
    with server.tls(context=context or client_context()) as c:
        assert c.ask(b"mn") == b"MN"
        return c.socket.getpeercert()["serialNumber"]


@case
def certificates_renewed_while_serving():
    files = Files()
    with files.server() as server, server.connect() as control, server.tls() as old:
        before = serial_seen(server)
        files.put("chain.pem", "chain.key")
        server.signal(signal.SIGHUP)
        wait_for(lambda: serial_seen(server) != before, "the new certificate")
        stats = control.stats(b"tls")
        assert stats["generation"] == "2" and stats["last_reload_result"] == "ok"
        assert stats["sessions_on_old_certificate"] == "1", stats
        assert old.ask(b"mn") == b"MN"
        files.put("server.pem", "server.key")
        assert old.ask(b"refresh_certs") == b"OK"
        assert serial_seen(server) == before
        assert control.ask(b"refresh_certs") == b"OK"
    assert "event=certificates_reloaded" in server.log()
    with Server() as server, server.connect() as c:
        assert c.ask(b"refresh_certs") == b"Error TLS not enabled"


@case
def tickets_end_with_the_process():
    """The next process of a rolling restart reads the files again and has keys of its own for tickets:
    a client that would resume does one full handshake."""
    files, path = Files(), os.path.join(folder(), "takeover")
    listen = "127.0.0.1:%d,notls:127.0.0.1:%d" % (free_port(), free_port())
    with files.server("--takeover", path, listen=listen) as old:
        sessions = []
        for version in VERSIONS:
            context = client_context(version)
            for reused in (False, True):
                with old.tls(context=context, session=sessions.pop()[1] if reused else None) as c:
                    assert c.ask(b"mn") == b"MN" and c.socket.session_reused == reused
                    sessions.append((context, c.socket.session))
        before = serial_seen(old)
        files.put("chain.pem", "chain.key")
        with files.server("--takeover", path, listen=listen, wait=False) as new:
            assert old.wait_end() == 0, old.log()
            wait_for(new.ports, "the new server to write its ports")
            new.tls_port, new.port = old.tls_port, old.port
            assert serial_seen(new) != before
            for context, session in sessions:
                with new.tls(context=context, session=session) as c:
                    assert not c.socket.session_reused and c.ask(b"mn") == b"MN"
            assert new.stats(b"tls")["handshakes_failed"] == "0"


@case
def bad_files_at_a_reload():
    files = Files()
    ca = "ssl_ca_cert=" + cert("ca.pem")
    with files.server(words=[ca]) as server, server.connect() as control:
        before, n = serial_seen(server), 0
        for chain, key, words, begin, reason in BAD_FILES:
            if words:
                continue
            files.put(chain, key)
            answer = control.ask(b"refresh_certs").decode()
            assert says(answer, begin + ": " + files.folder, reason), (chain, key, answer)
            assert control.stats(b"tls")["last_reload_result"] == answer
            assert serial_seen(server) == before
            n += 1
        for chain, key, expected in (
                ("expired.pem", "expired.key", "certificate has expired"),
                ("future.pem", "future.key", "certificate is not yet valid"),
                ("chain-mixed.pem", "chain.key", "not signed by the one that follows it")):
            files.put(chain, key)
            answer = control.ask(b"refresh_certs").decode()
            assert answer.startswith("Error validating the certificate: ") and expected in answer
            assert serial_seen(server) == before
        files.put("server-rsa.pem", "server-rsa.key")
        assert control.ask(b"refresh_certs") == b"OK"
        assert serial_seen(server) != before
    assert n >= 10 and server.log().count("certificates_not_reloaded") >= n


@case
def files_that_only_root_could_read():
    """The start reads them as root, a reload as the user of -u: the line says so."""
    if os.geteuid() != 0:
        raise Skip("only root can give up being root")
    files = Files()
    os.chmod(files.key, 0o600)
    opened = lambda: os.chmod(".", 0o777)  # for the port file
    with files.server("-u", "nobody", user=False, limits=opened) as server:
        control = server.connect()
        before = serial_seen(server)
        answer = control.ask(b"refresh_certs").decode()
        assert says(answer, KEY, "Permission denied; after start the files are read as uid"), answer
        assert serial_seen(server) == before
        os.chmod(files.key, 0o644)
        assert control.ask(b"refresh_certs") == b"OK"


@case
def reloads_under_load():
    """A hundred reloads, good and bad in turn: no request fails, and certificate and key are always
    of one pair, or no handshake would succeed."""
    files = Files()
    good = (("server.pem", "server.key"), ("server-rsa.pem", "server-rsa.key"),
            ("chain.pem", "chain.key"))
    bad = (("server.pem", "chain.key"), ("chain.pem", "server.key"), ("absent.pem", "server.key"),
           ("empty.pem", "empty.pem"), ("expired.pem", "expired.key"))
    with files.server("-t", 2, "-c", 2000) as server:
        done, counts = [], [0] * 6

        def load(i):
            contexts = [client_context(version) for version in VERSIONS]
            with server.tls(version=VERSIONS[i % 2]) as c:
                while not done:
                    value = b"%d" % counts[i]
                    assert c.set(b"r%d" % i, value) == b"STORED" and c.get(b"r%d" % i) == value
                    counts[i] += 1
                    if i >= 2:
                        with server.tls(context=contexts[counts[i] % 2]) as other:
                            assert other.get(b"r%d" % i) == value

        def reload(_):
            try:
                with server.connect() as control:
                    for k in range(100):
                        files.put(*(good[k // 2 % 3] if k % 2 == 0 else bad[k // 2 % 5]))
                        if k % 10 == 5:
                            seen = server.log().count("reloaded")
                            server.signal(signal.SIGHUP)
                            wait_for(lambda: server.log().count("reloaded") > seen, "a reload")
                            continue
                        answer = control.ask(b"refresh_certs")
                        assert (answer == b"OK") == (k % 2 == 0), answer
            finally:
                done.append(True)

        in_threads(7, lambda i: load(i) if i < 6 else reload(i))
        assert min(counts) > 10, counts
        stats = server.stats(b"tls")
        assert int(stats["generation"]) >= 50 and stats["handshakes_failed"] == "0", stats
        wait_for(lambda: server.stats(b"tls")["sessions"] == "0", "the sessions' end")


@case
def old_protocols_refused():
    with TlsServer() as server:
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            for ciphers in ("ALL:@SECLEVEL=0", "DEFAULT:@SECLEVEL=0"):
                context = client_context(old, ciphers=ciphers)
                try:
                    server.tls(context=context).close()
                    raise AssertionError("%s was accepted" % old)
                except (ssl.SSLError, ConnectionError):
                    pass
        for version in VERSIONS:
            with server.tls(version=version) as c:
                assert c.ask(b"mn") == b"MN"
        assert server.stats(b"tls")["versions"] == "TLSv1.2 TLSv1.3"
    with TlsServer(words=["ssl_min_version=3"]) as server:
        try:
            server.tls(version=V12).close()
            raise AssertionError("TLS 1.2 was accepted")
        except (ssl.SSLError, ConnectionError):
            pass
        with server.tls() as c:
            assert c.socket.version() == "TLSv1.3"
            assert c.stats(b"settings")["ssl_min_version"] == "3"


def ciphers_of(expression):
    done = subprocess.run(["openssl", "ciphers", "-s", "-tls1_2", expression], capture_output=True,
                          check=False)
    return done.stdout.decode().strip().split(":") if done.returncode == 0 else []


@case
def only_forward_secret_aead():
    """Every cipher of TLS 1.2 that this OpenSSL can speak, one by one, against both kinds of keys."""
    names = [n for n in ciphers_of("ALL:COMPLEMENTOFALL:@SECLEVEL=0") if n]
    assert len(names) > 40, names
    for name in ("server", "server-rsa"):
        with TlsServer(chain=name + ".pem", key=name + ".key") as server:
            accepted = set()
            for cipher in names:
                context = client_context(V12)
                try:
                    context.set_ciphers(cipher + ":@SECLEVEL=0")
                    with server.tls(context=context) as c:
                        accepted.add(c.socket.cipher()[0])
                except (ssl.SSLError, ConnectionError):
                    pass
            kind = "ECDSA" if name == "server" else "RSA"
            assert accepted == {"ECDHE-%s-%s" % (kind, end) for end in
                                ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")}
    one = "ECDHE-ECDSA-AES128-GCM-SHA256"
    with TlsServer(words=["ssl_ciphers=" + one]) as server, server.tls(version=V12) as c:
        assert c.socket.cipher()[0] == one and c.stats(b"settings")["ssl_ciphers"] == one


@case
def certificates_by_name():
    words = ["ssl_named=cache.example:%s:%s" % (cert("named.pem"), cert("named.key")),
             "ssl_named=*.cache.example:%s:%s" % (cert("named.pem"), cert("named.key"))]
    with TlsServer(words=words) as server:
        for version in VERSIONS:
            for name, shown in (("cache.example", "cache.example"),
                                ("a.cache.example", "cache.example"),
                                ("CACHE.example", "cache.example"), ("localhost", "localhost"),
                                ("a.b.cache.example", "localhost"), ("other", "localhost")):
                context = client_context(version)
                context.check_hostname = False
                with server.tls(context=context, name=name) as c:
                    subject = dict(pair[0] for pair in c.socket.getpeercert()["subject"])
                    assert subject["commonName"] == shown, (name, subject)
                    assert c.ask(b"mn") == b"MN"


@case
def settings_and_counters():
    ca = "ssl_ca_cert=" + cert("ca.pem")
    with TlsServer(words=["ssl_session_cache", ca, "ssl_verify_mode=1"]) as server:
        context = client_context(V12)
        with server.tls(context=context) as c:
            assert c.ask(b"mn") == b"MN"
            session = c.socket.session
        with server.tls(context=context, session=session) as c:
            assert c.socket.session_reused
            settings, stats, tls = c.stats(b"settings"), c.stats(), c.stats(b"tls")
        assert settings["ssl_enabled"] == "yes" and settings["ssl_verify_mode"] == "1"
        assert settings["ssl_chain_cert"] == cert("server.pem")
        assert settings["ssl_key"] == cert("server.key") and settings["ssl_keyformat"] == "1"
        assert settings["ssl_ca_cert"] == cert("ca.pem") and settings["ssl_wbuf_size"] == "16384"
        assert settings["ssl_session_cache"] == "yes" and settings["ssl_kernel_tls"] == "no"
        assert settings["ssl_min_version"] == "2" and settings["ssl_ciphers"] == "NULL"
        assert stats["ssl_new_sessions"] == "1" and stats["ssl_handshake_errors"] == "0"
        assert stats["ssl_proto_errors"] == "0" and "time_since_server_cert_refresh" in stats
        assert tls["handshakes_full"] == "1" and tls["handshakes_resumed"] == "1"
        assert tls["subject"] == "CN=localhost" and int(tls["days_left"]) > 3000


@case
def memory_of_idle_connections():
    n = 2000
    with TlsServer("-m", 64, "-t", 2, "-c", 2 * n + 100) as server:
        contexts = [client_context(version) for version in VERSIONS]

        def wave():
            clients = []
            for i in range(n):
                c = server.tls(context=contexts[i % 2])
                c.send(b"get a\r\n")
                clients.append(c)
            for c in clients:
                assert c.line() == b"END"
            return clients
        before = server.rss()
        clients = wave()
        each = (server.rss() - before) / n
        print("# %.1f KiB for each idle TLS connection" % (each / 1024))
        assert each < 48 * 1024 or os.environ.get("KEEPD_SANITIZED"), each
        for c in clients:
            c.close()
        wait_for(lambda: server.stats(b"tls")["sessions"] == "0", "the sessions' end")
        before = server.rss()
        clients = wave()
        assert server.rss() < before + n * 24 * 1024, "the memory of the first is not used again"
        for c in clients:
            c.close()


run()
