#!/usr/bin/python3
"""TLS options at their bounds and beyond, listeners of every kind of address, and the end of a
certificate as the log, `stats tls` and the metrics tell it."""

import errno
import http.client
import os
import re
import socket
import ssl
import time

from harness import TIMEOUT_S, Conn, case, free_port, need_ipv6, run, run_program, user_args
from tls_link import VERSIONS, TlsConn, TlsServer, cert, client_context, issue, tls_options

DAY_S = 86400


def refused(*args):
    """What is said when the start is refused; never a server in the clear."""
    status, _, err = run_program(*user_args(), "-p", "-1", *args)
    assert status > 0, args
    return err


def is_served(server, version=None):
    try:
        with server.tls(version=version) as c:
            return c.ask(b"mn") == b"MN"
    except OSError:
        return False


@case
def min_version():
    """What OpenSSL's security level leaves of it is shown."""
    for value, shown in ((0, "TLSv1.2 TLSv1.3"), (1, "TLSv1.2 TLSv1.3"), (2, "TLSv1.2 TLSv1.3"),
                         (3, "TLSv1.3")):
        with TlsServer("-m", 64, words=["ssl_min_version=%d" % value]) as server:
            assert server.stats(b"settings")["ssl_min_version"] == str(value)
            assert server.stats(b"tls")["versions"] == shown, (value, server.stats(b"tls"))
            assert [is_served(server, v) for v in VERSIONS] == [value < 3, True]
    for value in ("4", "-1", "1.2", "TLSv1.3", "", "99999999999999999999"):
        err = refused("-l", "127.0.0.1", *tls_options("ssl_min_version=" + value))
        assert "ssl_min_version" in err, (value, err)


@case
def numbers_out_of_bounds():
    for word in ("ssl_wbuf_size=0", "ssl_wbuf_size=-1", "ssl_wbuf_size=16385", "ssl_wbuf_size=x",
                 "ssl_wbuf_size=", "ssl_wbuf_size", "ssl_wbuf_size=99999999999999999999",
                 "ssl_verify_mode=4", "ssl_verify_mode=-1", "ssl_verify_mode=x", "ssl_keyformat=0",
                 "ssl_keyformat=3", "ssl_keyformat=PEM"):
        err = refused("-l", "127.0.0.1", *tls_options(word))
        name = word.split("=")[0]
        # memcached's words first, where it has some, then ours.
        assert name in err.splitlines()[-1] and len(err.splitlines()) <= 2, (word, err)


@case
def write_sizes():
    """From less than one record to many, each answer is whole."""
    value = os.urandom(700000)
    for kib in (1, 2, 16, 16384):
        with TlsServer("-m", 64, "-t", 1, words=["ssl_wbuf_size=%d" % kib]) as server:
            for version in VERSIONS:
                with server.tls(version=version) as c:
                    assert c.stats(b"settings")["ssl_wbuf_size"] == str(kib << 10)
                    assert c.set(b"k", value) == b"STORED" and c.get(b"k") == value
                    for i in range(50):
                        c.send(b"set s%d 0 0 100 noreply\r\n%s\r\n" % (i, value[i:i + 100]))
                    c.send(b"get " + b" ".join(b"s%d" % i for i in range(50)) + b"\r\n")
                    lines = c.lines()
                    assert sum(n.startswith(b"VALUE") for n in lines) == 50


@case
def session_cache_on_and_off():
    """For TLS 1.2 clients without tickets."""
    for words, reused in (((), False), (("ssl_session_cache",), True)):
        with TlsServer("-m", 64, words=words) as server:
            context = client_context(VERSIONS[0])
            context.options |= ssl.OP_NO_TICKET
            with server.tls(context=context) as c:
                assert c.ask(b"mn") == b"MN"
                session = c.socket.session
            with server.tls(context=context, session=session) as c:
                assert c.ask(b"mn") == b"MN" and c.socket.session_reused == reused
                assert c.stats(b"settings")["ssl_session_cache"] == ("yes" if reused else "no")


@case
def ciphers():
    for wrong in ("NONSENSE", "NONSENSE:MORE", "!ALL", ":"):
        err = refused("-l", "127.0.0.1", *tls_options("ssl_ciphers=" + wrong))
        assert "Error setting the provided cipher(s): " + wrong in err, err
    # A reload reads the files, not the options: it keeps what the start was told.
    one = "ECDHE-ECDSA-AES128-GCM-SHA256"
    with TlsServer("-m", 64, words=["ssl_ciphers=" + one]) as server:
        for _ in range(2):
            with server.tls(version=VERSIONS[0]) as c:
                assert c.socket.cipher()[0] == one
                shown = c.stats(b"tls")["ciphers"].split(":")
                assert [n for n in shown if not n.startswith("TLS_")] == [one]
                assert c.ask(b"refresh_certs") == b"OK"


def kernel_has_tls():
    """And OpenSSL, whose version in Debian has."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
            return True
        except OSError as e:
            return e.errno == errno.ENOTCONN


@case
def kernel_tls():
    """Where the kernel has none, nothing changes; what was asked for is shown."""
    with TlsServer("-m", 64, words=["ssl_kernel_tls"]) as server:
        assert server.stats(b"settings")["ssl_kernel_tls"] == "yes"
        assert server.stats(b"tls")["kernel_tls"] == ("yes" if kernel_has_tls() else "no")
        for version in VERSIONS:
            with server.tls(version=version) as c:
                value = os.urandom(300000)
                assert c.set(b"k", value) == b"STORED" and c.get(b"k") == value
            with server.raw() as c:
                c.try_send(b"get k\r\n")
                assert c.wait_closed()[:1] in (b"", b"\x15")
        server.wait_log("plaintext_on_tls_port")


# ---------------------------------------------------------------- listeners

def manner_of(host, port):
    """'plain', 'tls' or 'tls with a certificate'."""
    with Conn((host, port)) as c:
        try:
            if c.ask(b"mn") == b"MN":
                return "plain"
        except (EOFError, ConnectionError):
            pass
    try:
        with TlsConn((host, port), context=client_context()) as c:
            return "tls" if c.ask(b"mn") == b"MN" else None
    except OSError:
        pass
    with TlsConn((host, port), certificate="client") as c:
        return "tls with a certificate" if c.ask(b"mn") == b"MN" else None


def check_listeners(*rows):
    """rows: (the spec without its port, the host to connect to, what is expected there)."""
    ports = [free_port() for _ in rows]
    listen = ",".join("%s:%d" % (row[0], port) for row, port in zip(rows, ports))
    words = ["ssl_ca_cert=" + cert("ca.pem")]
    with TlsServer("-m", 64, words=words, listen=listen):
        for (spec, host, expected), port in zip(rows, ports):
            assert manner_of(host, port) == expected, spec


@case
def prefixes():
    v4, name = "127.0.0.1", "localhost"
    check_listeners(("notls:" + v4, v4, "plain"), ("btls:" + v4, v4, "tls"), (v4, v4, "tls"),
                    ("mtls:" + v4, v4, "tls with a certificate"), ("notls:" + name, v4, "plain"),
                    ("mtls:" + name, v4, "tls with a certificate"), ("mtls:*", v4, "tls with a certificate"),
                    ("btls:proto[ascii]:" + v4, v4, "tls"))


@case
def prefixes_with_ipv6():
    need_ipv6()
    check_listeners(("notls:[::1]", "::1", "plain"), ("btls:[::1]", "::1", "tls"),
                    ("mtls:[::1]", "::1", "tls with a certificate"), ("[::1]", "::1", "tls"),
                    ("mtls:[::]", "::1", "tls with a certificate"), ("notls:[::]", "::1", "plain"))


@case
def bad_prefixes():
    for spec in ("tls:127.0.0.1", "TLS:127.0.0.1", "notls:", "mtls:", "btls:notls:127.0.0.1", "notls:[::1",
                 "mtls:[]:1", "notls:127.0.0.1:x", "notls:127.0.0.1:70000", "xtls:127.0.0.1:1",
                 "127.0.0.1:notls:", "notls", "mtls:no.such.name.invalid"):
        err = refused("-l", spec, *tls_options("ssl_ca_cert=" + cert("ca.pem")))
        assert err.strip() and "memory" not in err, (spec, err)
    # Without -Z each of them is a mistake, not a plain listener.
    for prefix in ("notls", "btls", "mtls"):
        err = refused("-l", prefix + ":127.0.0.1")
        assert "'%s' option is valid only when SSL is enabled" % prefix in err, err


# ---------------------------------------------------------------- the end of a certificate

def asked(port):
    """The metrics as {name: text}."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    c.close()
    return dict(re.findall(r"^(keepd_tls_\w+) (\S+)$", text, re.M))


@case
def the_end_is_announced():
    """30, 7 and 1 days before it, with a margin of an hour on both sides; the log, `stats tls` and the
    metrics agree with the certificate."""
    now, hour = int(time.time()), 3600
    for left_s, event in ((30 * DAY_S + hour, None), (30 * DAY_S - hour, "certificate_expires"),
                          (7 * DAY_S + hour, "certificate_expires"), (DAY_S + hour, "certificate_expires"),
                          (hour, "certificate_expires"), (-hour, "certificate_has_expired"),
                          (-400 * DAY_S, "certificate_has_expired")):
        end_s, port = now + left_s, free_port()
        name = issue("ends", "/CN=localhost", end_s, "DNS:localhost")
        with TlsServer("-m", 64, "--metrics=127.0.0.1:%d" % port, chain=name + ".pem",
                       key=name + ".key") as server:
            stats, metrics = server.stats(b"tls"), asked(port)
            assert int(stats["not_after"]) == end_s, (left_s, stats)
            assert int(stats["days_left"]) == max(0, (left_s - 60) // DAY_S), (left_s, stats)
            assert float(metrics["keepd_tls_certificate_not_after_seconds"]) == end_s, metrics
            assert float(metrics["keepd_tls_certificate_loaded_seconds"]) == int(stats["loaded"])
        lines = [n for n in server.log().splitlines() if "event=certificate_" in n]
        assert len(lines) == (event is not None), (left_s, lines)
        if event:
            assert "event=%s " % event in lines[0], (left_s, lines)
            assert "days_left=%s" % stats["days_left"] in lines[0] and "CN=localhost" in lines[0], lines
    named = issue("ends-named", "/CN=other.example", now + 3 * DAY_S - hour, "DNS:other.example")
    words = ["ssl_named=other.example:%s:%s" % (cert(named + ".pem"), cert(named + ".key"))]
    with TlsServer("-m", 64, words=words) as server:
        server.check_alive()
    lines = [n for n in server.log().splitlines() if "event=certificate_" in n]
    assert len(lines) == 1 and "CN=other.example" in lines[0] and "days_left=2" in lines[0], lines


run()
