"""TLS for the live tests: throw-away certificates, servers that use them, connections inside TLS,
and a client whose records can be tampered with on their way."""

import base64
import hashlib
import os
import shutil
import ssl
import subprocess
import time
import warnings

from harness import SRCDIR, Conn, Server, folder

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = (V12, V13)

_certificates = []


def certificates():
    """The folder that t/certs fills; made once per test file, and not to be changed."""
    if not _certificates:
        path = folder()
        subprocess.run(["/bin/sh", os.path.join(SRCDIR, "t", "certs"), path], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        _certificates.append(path)
    return _certificates[0]


def cert(name):
    return os.path.join(certificates(), name)


def tls_options(*more, chain="server.pem", key="server.key"):
    """-Z and the -o words for it; names without a slash are files of t/certs."""
    words = ["ssl_chain_cert=" + os.path.join(certificates(), chain),
             "ssl_key=" + os.path.join(certificates(), key)]
    return ["-Z", "-o", ",".join(words + list(more))]


def issue(name, subject, end_s, san=None):
    """A certificate of t/certs' authority that ends at this Unix time; its files are called name."""
    begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(s)) for s in (end_s - 10 * 365 * 86400, end_s))
    request = ["openssl", "req", "-config", "ca.conf", "-new", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key", "-subj", subject,
               "-out", name + ".csr"] + (["-addext", "subjectAltName=" + san] if san else [])
    sign = ["openssl", "ca", "-config", "ca.conf", "-batch", "-notext", "-cert", "ca.pem", "-keyfile",
            "ca.key", "-extensions", "leaf", "-in", name + ".csr", "-out", name + ".pem", "-startdate",
            begin, "-enddate", end]
    for command in (request, sign):
        subprocess.run(command, check=True, cwd=certificates(), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return name


class TlsServer(Server):
    """A server with TLS on its first port, and the same cache in the clear on the second."""

    def __init__(self, *args, words=(), listen="127.0.0.1,notls:127.0.0.1:0", chain="server.pem",
                 key="server.key", **options):
        super().__init__(*tls_options(*words, chain=chain, key=key), *args, listen=listen,
                         **options)

    def wait_ready(self, unix=False):
        super().wait_ready(unix)
        self.tls_port, self.port = self.port, self.ports()[-1][1]

    def tls(self, **options):
        return TlsConn(("127.0.0.1", self.tls_port), **options)

    def raw(self, **options):
        """A plain connection to the TLS port."""
        return Conn(("127.0.0.1", self.tls_port), **options)


def client_context(version=None, certificate=None, ciphers=None):
    """Verifies the server; certificate names a client's files of t/certs."""
    context = ssl.create_default_context(cafile=cert("ca.pem"))
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if certificate is not None:
        context.load_cert_chain(cert(certificate + ".pem"), cert(certificate + ".key"))
    return context


class TlsConn(Conn):
    """A client inside TLS; everything of Conn works."""

    def __init__(self, address, version=None, certificate=None, context=None, session=None,
                 name="localhost", **options):
        super().__init__(address, **options)
        if context is None:
            context = client_context(version, certificate)
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=name, session=session)
        except BaseException:
            self.socket.close()
            raise

    def end(self):
        """Reads to the end and tells it: 'closed' by close_notify, 'cut' without, 'reset'."""
        try:
            while True:
                data = self.socket.recv(1 << 18)
                if not data:
                    return "closed"
                self.buffer += data
        except ssl.SSLEOFError:
            return "cut"
        except ConnectionError:
            return "reset"


class RecordClient:
    """TLS over memory: what it would send comes out as bytes, to be sent as they are or damaged."""

    def __init__(self, conn, context):
        self.conn = conn
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.conn.send(data)

    def step(self, function, *args):
        """Runs one call to its end, feeding it from the server."""
        while True:
            try:
                value = function(*args)
                self.flush()
                return value
            except ssl.SSLWantReadError:
                self.flush()
                data = self.conn.socket.recv(1 << 16)
                if not data:
                    raise EOFError("closed by the server") from None
                self.incoming.write(data)

    def handshake(self):
        self.step(self.tls.do_handshake)
        return self

    def hello(self):
        """The bytes of the first flight."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def seal(self, data):
        """The record or records for data, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def read(self, n):
        data = b""
        while len(data) < n:
            piece = self.step(self.tls.read, n - len(data))
            if not piece:
                raise EOFError("closed by the server")
            data += piece
        return data


def verifier(password, name="sha256", n_rounds=4096):
    """The line that keepctl would write for a password."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac(name, password, salt, n_rounds)
    stored = hashlib.new(name, hmac_of(name, salted, b"Client Key")).digest()
    words = [base64.b64encode(b).decode() for b in
             (salt, stored, hmac_of(name, salted, b"Server Key"))]
    return "SCRAM-%s$%d:%s$%s:%s" % (name.upper().replace("SHA", "SHA-"), n_rounds, *words)


def hmac_of(name, key, message):
    import hmac
    return hmac.new(key, message, name).digest()


def user_section(name, password=None, tenant="default", rights=None):
    text = 'user "%s" {\n tenant = "%s"\n' % (name, tenant)
    if rights is not None:
        text += " rights = {%s}\n" % ", ".join(rights)
    if password is not None:
        text += ' secret "main" {\n verifiers = {"%s"}\n }\n' % verifier(password)
    return text + "}\n"


def identity_section(label, rule, value, user):
    return 'identity "%s" {\n %s = "%s"\n user = "%s"\n}\n' % (label, rule, value, user)


def write_file(path, text, mode=0o600):
    """Replaces a file in one step, as an operator should."""
    with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, mode)) as f:
        f.write(text)
    os.rename(path + ".new", path)


def copy_file(name, path):
    """Puts a file of t/certs in place of another, in one step."""
    shutil.copyfile(cert(name), path + ".new")
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)
