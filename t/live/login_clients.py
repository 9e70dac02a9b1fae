#!/usr/bin/python3
"""Real clients log in: with each mechanism they know, against each place that keeps users; and each
tells a wrong password in its own words."""

import os
import socket
import subprocess
import textwrap
import threading

import pylibmc

from accounts import Accounts, sasldb
from foreign import cache_folder, node_modules
from harness import (LIVE, PROGRAM_TIMEOUT_S, TIMEOUT_S, Server, case, die_with_parent, folder,
                     free_port, result, run, show, wait_for)

REALM = "keepd.test"
JAR = "/usr/share/java/spymemcached.jar"


def compiled():
    """The C client, built once."""
    path, lock = cache_folder("libmemcached")
    source = os.path.join(LIVE, "login_libmemcached.c")
    target = os.path.join(path, "login")
    with lock:
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run(["gcc", "-o", target, source, "-lmemcached", "-lsasl2"], check=True,
                           timeout=PROGRAM_TIMEOUT_S)
    return target


# ---------------------------------------------------------------- the clients: True when let in

def by_libmemcached(server, user, password, env=None, host="127.0.0.1"):
    done = subprocess.run([compiled(), host, str(server.port), user, password],
                          timeout=TIMEOUT_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, **(env or {})))
    if done.returncode not in (0, 1):
        show(done.stdout.decode())
    assert done.returncode in (0, 1), done.returncode
    return done.returncode == 0


def by_pylibmc(server, user, password):
    client = pylibmc.Client(["127.0.0.1:%d" % server.port], binary=True, username=user,
                            password=password)
    try:
        return client.set("k", b"v") and client.get("k") == b"v"
    except pylibmc.Error as e:
        assert "AUTHENTICATION" in str(e).upper(), str(e)
        return False


def by_php(server, user, password):
    script = """
        $m = new Memcached();
        $m->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
        $m->setSaslAuthData($argv[3], $argv[4]);
        $m->addServer($argv[1], (int)$argv[2]);
        $ok = $m->set("k", "v") && $m->get("k") === "v";
        echo $ok ? "in" : $m->getResultCode() . " " . $m->getResultMessage();
    """
    text = output_of(["php", "-r", script, "127.0.0.1", str(server.port), user, password])
    assert text == "in" or "AUTHENTICATION FAILURE" in text, text
    return text == "in"


def by_dalli(server, user, password):
    script = """
        require 'dalli'
        Dalli.logger.level = Logger::FATAL
        host, port, user, password = ARGV
        c = Dalli::Client.new("#{host}:#{port}", username: user, password: password)
        begin
          print c.set('k', 'v') && c.get('k') == 'v' ? 'in' : 'odd'
        rescue Dalli::DalliError => e
          print e.message
        end
    """
    text = output_of(["ruby", "-e", script, "127.0.0.1", str(server.port), user, password])
    assert text == "in" or "Error authenticating: 0x20" in text, text
    return text == "in"


def by_memjs(server, user, password):
    script = """
        const { Client } = require('memjs');
        const [port, username, password] = process.argv.slice(1);
        const c = Client.create('127.0.0.1:' + port,
          { username, password, timeout: 15, conntimeout: 15, retries: 1, logger: console });
        c.set('k', 'v', {}).then(() => c.get('k')).then((r) => {
          console.log(r.value.toString() === 'v' ? 'in' : 'odd'); c.close();
        }).catch((e) => { console.log(String(e.message || e)); c.close(); });
    """
    text = output_of(["node", "-e", script, str(server.port), user, password],
                     {"NODE_PATH": os.path.join(node_modules(), "node_modules")})
    assert text == "in" or "authentication failed" in text, text
    return text == "in"


def by_spymemcached(server, user, password, mechanism="PLAIN"):
    path, lock = cache_folder("java")
    source = os.path.join(LIVE, "LoginClient.java")
    target = os.path.join(path, "LoginClient.class")
    with lock:
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run(["javac", "-nowarn", "-cp", JAR, "-d", path, source], check=True,
                           timeout=PROGRAM_TIMEOUT_S)
    text = output_of(["java", "-XX:TieredStopAtLevel=1", "-cp", JAR + ":" + path, "LoginClient",
                      "127.0.0.1", str(server.port), mechanism, user, password])
    assert text in ("in", "out"), text
    return text == "in"


CLIENTS = (by_libmemcached, by_pylibmc, by_php, by_dalli, by_memjs, by_spymemcached)


def output_of(command, env=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=PROGRAM_TIMEOUT_S,
                          env=dict(os.environ, **(env or {})))
    if done.returncode != 0:
        show(done.stderr.decode("utf-8", "replace")[-3000:])
    return done.stdout.decode("utf-8", "replace").strip()


def all_clients(label, server, user="alice", password="apw", clients=CLIENTS):
    """Each client gets in with the right password, and not with the wrong one."""
    for client in clients:
        name = "%s: %s" % (label, client.__name__)
        try:
            good = client(server, user, password) is True
            result(good, name + " with the right password")
            good = client(server, user, "not" + password) is False
            result(good, name + " with a wrong password")
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            show(str(e))
            result(False, name)


# ---------------------------------------------------------------- against

@case
def tenants_file_by_plain():
    accounts = Accounts().tenant("red").user("alice", "red", "apw")
    with Server(accounts.option, "--sasl-mechs=PLAIN") as server:
        all_clients("tenants file, PLAIN", server)


@case
def tenants_file_with_the_default_mechanisms():
    """libmemcached takes the strongest, SCRAM; the others take PLAIN."""
    accounts = Accounts().tenant("red").user("alice", "red", "apw")
    with Server(accounts.option) as server:
        all_clients("tenants file", server)
        with server.connect() as conn:
            assert conn.set(b"l", b"alice apw") == b"STORED"
            assert int(conn.stats(b"auth")["derivations"]) > 0


@case
def tenants_file_by_scram():
    accounts = Accounts().tenant("red").user("alice", "red", "apw")
    for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        database, path = None, None
        if mechanism != "SCRAM-SHA-256":
            path, database = sasldb({"alice": "apw"}, REALM)
            config = os.path.join(path, "memcached.conf")
            with open(config, "w") as f:
                f.write("sasldb_path: %s\n" % database)
            options = ["-S", "--realm=" + REALM]
        else:
            options = [accounts.option]
        with Server(*options, "--sasl-mechs=" + mechanism,
                    env={"SASL_CONF_PATH": path} if path else None) as server:
            all_clients(mechanism, server, clients=(by_libmemcached, by_pylibmc, by_php))


@case
def sasldb2():
    path, database = sasldb({"alice": "apw"}, REALM)
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("mech_list: plain scram-sha-256\nsasldb_path: %s\n" % database)
    with Server("-S", "--realm=" + REALM, env={"SASL_CONF_PATH": path}) as server:
        all_clients("sasldb2", server)
        assert by_libmemcached(server, "alice@" + REALM, "apw")


@case
def cram_md5_when_opted_in():
    path, database = sasldb({"alice": "apw"}, REALM)
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("sasldb_path: %s\n" % database)
    with Server("-S", "--realm=" + REALM, "--sasl-mechs=CRAM-MD5",
                env={"SASL_CONF_PATH": path}) as server:
        assert by_spymemcached(server, "alice", "apw", "CRAM-MD5") is True
        assert by_spymemcached(server, "alice", "wrong", "CRAM-MD5") is False
        assert by_pylibmc(server, "alice", "apw") is True
        assert by_pylibmc(server, "alice", "wrong") is False


@case
def memcached_sasl_pwdb():
    path = folder()
    file = os.path.join(path, "pwdb")
    with open(file, "w") as f:
        f.write("alice:apw\nbob@%s:bpw\n" % REALM)
    with open(os.path.join(path, "memcached.conf"), "w") as f:
        f.write("mech_list: plain\n")
    with Server("-S", "--realm=" + REALM,
                env={"SASL_CONF_PATH": path, "MEMCACHED_SASL_PWDB": file}) as server:
        all_clients("PWDB", server)
        assert by_pylibmc(server, "bob", "bpw") and by_pylibmc(server, "bob@" + REALM, "bpw")


def serve_imap(listener, user, password):
    """As much IMAP as saslauthd's rimap asks for."""
    def talk(s):
        with s, s.makefile("rb") as lines:
            s.sendall(b"* OK ready\r\n")
            for line in lines:
                tag, _, rest = line.partition(b" ")
                words = rest.replace(b'"', b"").split()
                if not words:
                    return
                if words[0].upper() == b"LOGIN":
                    # A literal: {n} and the bytes on the next line.
                    good = words[1:] == [user.encode(), password.encode()]
                    s.sendall(tag + (b" OK in\r\n" if good else b" NO out\r\n"))
                elif words[0].upper() == b"LOGOUT":
                    s.sendall(b"* BYE\r\n" + tag + b" OK\r\n")
                    return
                else:
                    s.sendall(tag + b" OK\r\n")

    def body():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(s,), daemon=True).start()
    threading.Thread(target=body, daemon=True).start()


@case
def running_saslauthd():
    """saslauthd asks an IMAP server of ours: no system account is touched."""
    path = folder()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        serve_imap(listener, "alice", "apw")
        log = open(os.path.join(path, "log"), "wb")
        daemon = subprocess.Popen(["/usr/sbin/saslauthd", "-a", "rimap", "-O",
                                   "127.0.0.1/%d" % listener.getsockname()[1], "-m", path, "-n",
                                   "1", "-d"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True, preexec_fn=die_with_parent)
        try:
            mux = os.path.join(path, "mux")
            wait_for(lambda: os.path.exists(mux), "saslauthd")
            with open(os.path.join(path, "memcached.conf"), "w") as f:
                f.write("mech_list: plain\npwcheck_method: saslauthd\nsaslauthd_path: %s\n" % mux)
            with Server("-S", "--realm=" + REALM, env={"SASL_CONF_PATH": path}) as server:
                all_clients("saslauthd", server)
                with server.connect() as conn:
                    assert conn.set(b"login", b"alice apw") == b"STORED"
        finally:
            daemon.terminate()
            daemon.wait()
            log.close()


class Kdc:
    """A Kerberos realm of its own on loopback: user alice, service memcached/localhost."""

    def __init__(self):
        self.path = folder()
        port = free_port()
        self.env = {"KRB5_CONFIG": self.write("krb5.conf", """
            [libdefaults]
            default_realm = KEEPD.TEST
            dns_lookup_kdc = false
            dns_lookup_realm = false
            dns_canonicalize_hostname = false
            rdns = false
            udp_preference_limit = 1
            [realms]
            KEEPD.TEST = {
                kdc = 127.0.0.1:%d
            }
            [domain_realm]
            localhost = KEEPD.TEST
            """ % port),
            "KRB5_KDC_PROFILE": self.write("kdc.conf", """
            [kdcdefaults]
            kdc_listen = 127.0.0.1:%d
            kdc_tcp_listen = 127.0.0.1:%d
            [realms]
            KEEPD.TEST = {
                database_name = %s/principal
                key_stash_file = %s/stash
                acl_file = %s/acl
            }
            """ % (port, port, self.path, self.path, self.path)),
            "KRB5_KTNAME": os.path.join(self.path, "keytab"),
            "KRB5CCNAME": "FILE:" + os.path.join(self.path, "tickets"),
            "KRB5RCACHEDIR": self.path}
        self.tool("/usr/sbin/kdb5_util", "create", "-s", "-r", "KEEPD.TEST", "-P", "master")
        for query in ("addprinc -pw apw alice", "addprinc -randkey memcached/localhost",
                      "ktadd -k %s memcached/localhost" % self.env["KRB5_KTNAME"]):
            self.tool("/usr/sbin/kadmin.local", "-r", "KEEPD.TEST", "-q", query)
        self.process = subprocess.Popen(["/usr/sbin/krb5kdc", "-n", "-r", "KEEPD.TEST"],
                                        env=dict(os.environ, **self.env), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)

        def answers():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for(answers, "the KDC")

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        return path

    def tool(self, *command, text=None):
        subprocess.run(command, input=text, env=dict(os.environ, **self.env), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TIMEOUT_S)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait()


@case
def gssapi_with_a_kdc_on_loopback():
    with Kdc() as kdc, Server("-S", "--realm=localhost", "--sasl-mechs=GSSAPI",
                              env=kdc.env) as server:
        try:
            refused = not by_libmemcached(server, "alice", "", kdc.env, "localhost")
        except AssertionError:
            refused = True
        assert refused, "no ticket, no login"
        kdc.tool("kinit", "alice", text=b"apw\n")
        assert by_libmemcached(server, "alice", "", kdc.env, "localhost"), server.log()


run()
