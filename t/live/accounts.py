"""Users, tenants and logins for live tests: files made by keepctl and saslpasswd2, and clients of the
SASL mechanisms written out, so that each message can be right, wrong or out of order."""

import base64
import functools
import hashlib
import hmac
import itertools
import os
import subprocess

from harness import BUILDDIR, TIMEOUT_S, folder, packet

KEEPCTL = os.environ.get("KEEPCTL") or os.path.join(BUILDDIR, "keepctl")

LIST, START, STEP = 0x20, 0x21, 0x22
GET, SET, ADD, DELETE, INCR, FLUSH, NOOP, VERSION, STAT, TOUCH = (
    0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x0a, 0x0b, 0x10, 0x1c)
OK, MISS, NOT_STORED, REFUSED, GO_ON = 0, 1, 5, 0x20, 0x21


class Accounts:
    """A tenants file in a folder of its own."""

    def __init__(self):
        self.path = os.path.join(folder(), "tenants.conf")

    def keepctl(self, *words, password=None, check=True):
        return subprocess.run([KEEPCTL, "--tenants", self.path] + [str(w) for w in words],
                              input=None if password is None else password.encode() + b"\n",
                              stdin=subprocess.DEVNULL if password is None else None,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=check,
                              timeout=TIMEOUT_S)

    def tenant(self, name, **limits):
        words = []
        for key, value in limits.items():
            words += ["--" + key.replace("_", "-"), value]
        self.keepctl("tenant", "add", name, *words)
        return self

    def user(self, name, tenant, password="pw", rights=None):
        words = ["--rights", rights] if rights else []
        if password is None:
            self.keepctl("user", "add", name, "--tenant", tenant, "--no-password", *words)
        else:
            self.keepctl("user", "add", name, "--tenant", tenant, "--password-stdin", *words,
                         password=password)
        return self

    @property
    def option(self):
        return "--tenants=" + self.path


def two_tenants(**limits):
    """Tenants red and blue with the users alice and bob, passwords apw and bpw, and root, who has
    all rights in the default tenant."""
    a = Accounts().tenant("red", **limits).tenant("blue", **limits)
    a.user("alice", "red", "apw").user("bob", "blue", "bpw")
    return a.user("root", "default", "rpw",
                  "read,write,delete,incr,touch,flush,stats,dump,admin")


def sasldb(users, realm):
    """A sasldb2 with these users, and a folder with a memcached.conf that names it."""
    path = folder()
    database = os.path.join(path, "sasldb2")
    for user, password in users.items():
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", database, "-u", realm, user],
                       input=password.encode(), check=True, timeout=TIMEOUT_S)
    return path, database


# ---------------------------------------------------------------- mechanisms

def plain(user, password, authzid=""):
    return b"\0".join(part.encode() if isinstance(part, str) else part
                      for part in (authzid, user, password))


@functools.lru_cache(1000)
def derived(digest, password, salt, iterations):
    return hashlib.pbkdf2_hmac(digest, password, base64.b64decode(salt), iterations)


class Scram:
    """The client's side of SCRAM (RFC 5802), without channel binding."""

    def __init__(self, name, user, password, header="n,,"):
        spelling = name.replace("SHA1", "SHA-1").replace("SHA256", "SHA-256") \
            .replace("SHA512", "SHA-512")
        self.digest = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256",
                       "SCRAM-SHA-512": "sha512"}[spelling]
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        quoted = user.replace("=", "=3D").replace(",", "=2C")
        self.bare = "n=%s,r=%s" % (quoted, self.nonce)
        self.first = (header + self.bare).encode()
        self.header = base64.b64encode(header.encode()).decode()
        self.server_final = None
        self.salt = None

    def _hmac(self, key, message):
        return hmac.new(key, message, self.digest).digest()

    def proof(self, server_first):
        text = server_first.decode()
        fields = dict(part.split("=", 1) for part in text.split(","))
        assert fields["r"].startswith(self.nonce)
        self.salt = fields["s"]
        salted = derived(self.digest, self.password, fields["s"], int(fields["i"]))
        client_key = self._hmac(salted, b"Client Key")
        without_proof = "c=" + self.header + ",r=" + fields["r"]
        message = ",".join((self.bare, text, without_proof)).encode()
        signature = self._hmac(hashlib.new(self.digest, client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        server_signature = self._hmac(self._hmac(salted, b"Server Key"), message)
        self.server_final = b"v=" + base64.b64encode(server_signature)
        return (without_proof + ",p=" + base64.b64encode(proof).decode()).encode()


def ask(conn, opcode, key=b"", value=b"", extras=b""):
    """One binary request and its reply."""
    conn.send(packet(opcode, key, extras, value))
    return conn.reply()


def stats_binary(conn, what=b""):
    """Status and statistics, by the binary protocol."""
    conn.send(packet(STAT, what))
    found = {}
    while True:
        reply = conn.reply()
        if not reply.key:
            return reply.status, found
        found[reply.key.decode()] = reply.value.decode("latin-1")


def start(conn, mechanism, data):
    return ask(conn, START, mechanism.encode(), data)


def step(conn, mechanism, data):
    return ask(conn, STEP, mechanism.encode(), data)


def login(conn, user, password, mechanism="PLAIN"):
    """Carries the login through; returns the last status. Checks the server's proof of SCRAM."""
    if mechanism in ("PLAIN", "LOGIN"):
        return start(conn, mechanism, plain(user, password)).status
    if mechanism == "CRAM-MD5":
        reply = start(conn, mechanism, b"")
        if reply.status != GO_ON:
            return reply.status
        digest = hmac.new(password.encode(), reply.value, "md5").hexdigest()
        return step(conn, mechanism, ("%s %s" % (user, digest)).encode()).status
    scram = Scram(mechanism, user, password)
    reply = start(conn, mechanism, scram.first)
    if reply.status != GO_ON:
        return reply.status
    reply = step(conn, mechanism, scram.proof(reply.value))
    if reply.status == GO_ON:
        assert reply.value == scram.server_final, "the server's proof is wrong"
        reply = step(conn, mechanism, b"")
    elif reply.status == OK:
        assert reply.value == scram.server_final, "the server's proof is wrong"
    return reply.status


def text_login(conn, user, password):
    return conn.set(b"login", ("%s %s" % (user, password)).encode())


_sources = itertools.count(2)


def new_source():
    """A loopback address that no failed login has come from yet: failures slow an address down."""
    n = next(_sources)
    return "127.7.%d.%d" % (n >> 8, n & 255)


def logged_in(server, user, password, mechanism="PLAIN", **options):
    """A new binary connection of this user."""
    conn = server.connect(**options)
    status = login(conn, user, password, mechanism)
    assert status == OK, (user, status)
    return conn


def logged_in_text(server, user, password):
    conn = server.connect()
    answer = text_login(conn, user, password)
    assert answer == b"STORED", (user, answer)
    return conn

