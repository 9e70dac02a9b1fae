#!/usr/bin/python3
"""Real clients inside TLS: pymemcache, Dalli with SASL, libmemcached behind stunnel, s_client."""

import os
import socket
import subprocess

import pylibmc
from pymemcache.client.base import Client, PooledClient

from foreign import relay
from harness import LIVE, TIMEOUT_S, case, folder, free_port, in_threads, run, wait_for
from tls_link import (VERSIONS, TlsServer, cert, client_context, identity_section, user_section,
                      write_file)


@case
def pymemcache_over_tls():
    with TlsServer("-m", 64) as server:
        for version in VERSIONS:
            c = Client(("127.0.0.1", server.tls_port), timeout=TIMEOUT_S,
                       tls_context=client_context(version))
            values = {"k%d" % i: b"value %d " % i * (i % 50) for i in range(1000)}
            assert c.set_many(values, noreply=False) == []
            assert c.get_many(list(values) + ["absent"]) == values
            big = bytes(range(256)) * 4000
            assert c.set("big", big, noreply=False) and c.get("big") == big
            assert c.set("n", b"1", noreply=False) and c.incr("n", 5) == 6
            value, token = c.gets("n")
            assert value == b"6" and c.cas("n", b"7", token) is True
            for i in range(500):
                c.set("q%d" % i, b"%d" % i)  # noreply
            assert c.get("q499") == b"499" and c.delete("q499", noreply=False)
            c.close()
        pool = PooledClient(("127.0.0.1", server.tls_port), timeout=TIMEOUT_S, max_pool_size=8,
                            tls_context=client_context())

        def work(i):
            for n in range(50):
                assert pool.set("p%d-%d" % (i, n), b"%d" % n, noreply=False)
                assert pool.get("p%d-%d" % (i, n)) == b"%d" % n
        in_threads(8, work)


@case
def pymemcache_with_a_certificate():
    path = os.path.join(folder(), "tenants")
    write_file(path, user_section("app") + identity_section("it", "cert-cn", "alice", "app"))
    words = ["ssl_ca_cert=" + cert("ca.pem"), "ssl_verify_mode=2"]
    with TlsServer("-m", 64, "--tenants", path, words=words) as server:
        for version in VERSIONS:
            c = Client(("127.0.0.1", server.tls_port), timeout=TIMEOUT_S,
                       tls_context=client_context(version, "client"))
            assert c.set("a", b"1", noreply=False) and c.get("a") == b"1"
            c.close()
            stranger = Client(("127.0.0.1", server.tls_port), timeout=TIMEOUT_S,
                              tls_context=client_context(version, "client-bare"))
            try:
                stranger.get("a")
                raise AssertionError("a certificate that no rule names could read")
            except Exception as e:
                assert "unauthenticated" in str(e), e


@case
def ruby_dalli_with_sasl_and_tls():
    path = os.path.join(folder(), "tenants")
    write_file(path, user_section("app", b"secret", rights=[
        "read", "write", "delete", "incr", "touch", "flush", "stats", "admin"]))
    with TlsServer("-m", 64, "--tenants", path) as server:
        relay(["ruby", os.path.join(LIVE, "client_dalli.rb"), "localhost", str(server.tls_port),
               "app", "secret"], env={"TLS_CA": cert("ca.pem")})


def stunnel(server):
    """A stunnel that takes plain connections and passes them on in TLS: (process, port)."""
    port, path = free_port(), os.path.join(folder(), "stunnel.conf")
    write_file(path, "foreground = yes\npid =\n[keepd]\nclient = yes\naccept = 127.0.0.1:%d\n"
               "connect = 127.0.0.1:%d\nCAfile = %s\nverifyChain = yes\ncheckHost = localhost\n"
               "sslVersionMin = TLSv1.2\n" % (port, server.tls_port, cert("ca.pem")))
    process = subprocess.Popen(["stunnel4", path], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_there():
        assert process.poll() is None, "stunnel ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            return False
    wait_for(is_there, "stunnel to listen")
    return process, port


@case
def libmemcached_through_stunnel():
    path = os.path.join(folder(), "tenants")
    write_file(path, user_section("app", b"secret"))
    for login in (False, True):
        args = ["--tenants", path, "--sasl-mechs=PLAIN"] if login else []
        with TlsServer("-m", 64, *args) as server:
            process, port = stunnel(server)
            try:
                for binary in (True,) if login else (False, True):
                    more = {"username": "app", "password": "secret"} if login else {}
                    c = pylibmc.Client(["127.0.0.1:%d" % port], binary=binary,
                                       behaviors={"cas": True, "tcp_nodelay": True}, **more)
                    values = {"k%d" % i: b"value %d " % i * (i % 50) for i in range(1000)}
                    assert c.set_multi(values) == []
                    assert c.get_multi(list(values) + ["absent"]) == values
                    big = os.urandom(900000)
                    assert c.set("big", big) and c.get("big") == big
                    value, token = c.gets("k1")
                    assert value == values["k1"] and c.cas("k1", b"2", token)
                    assert c.delete("k1") and not c.delete("k1")
                    c.disconnect_all()
            finally:
                process.kill()
                process.wait()


@case
def openssl_s_client():
    commands = b"set a 0 0 5\r\nhello\r\nget a\r\nversion\r\nquit\r\n"
    with TlsServer("-m", 64) as server:
        for version in ("-tls1_2", "-tls1_3"):
            done = subprocess.run(
                ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.tls_port, version,
                 "-CAfile", cert("ca.pem"), "-verify_return_error", "-verify_hostname", "localhost",
                 "-quiet"], input=commands, capture_output=True, timeout=TIMEOUT_S,
                check=True)
            assert done.stdout.startswith(b"STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\nVERSION "), done


run()
