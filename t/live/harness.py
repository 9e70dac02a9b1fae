"""The frame of a live test: a server process of its own, raw connections, TAP on stdout.

Every test file is one process: it declares cases with @case and ends with run(). A case starts the
servers it needs on free ports and in a folder of its own, so files may run side by side. A server
that does not end with status 0, or that wrote a sanitizer's report, fails its case. Nothing sleeps
to let time pass: wait_for() polls a condition until a deadline.

The server program is $KEEPD. With KEEPD=/usr/bin/memcached the same files run against memcached;
a case that asks more than memcached gives says so in keepd_only and is then only an expected
failure there.
"""

import atexit
import collections
import ctypes
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SRCDIR = os.environ.get("KEEPD_SRCDIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
BUILDDIR = os.environ.get("KEEPD_BUILDDIR") or os.path.join(SRCDIR, "build")
KEEPD = os.environ.get("KEEPD") or os.path.join(BUILDDIR, "keepd")
LIVE = os.path.join(SRCDIR, "t", "live")
IS_REFERENCE = os.path.basename(KEEPD).startswith("memcached")
# A sanitizer makes everything slower and fatter: deadlines and memory bounds grow by this.
SLACK = 5 if os.environ.get("KEEPD_SANITIZED") else 1
# Only a failure waits so long: a machine with other work may.
TIMEOUT_S = 120 * SLACK
# What other programs do, compilers and clients: the same, for work of minutes.
PROGRAM_TIMEOUT_S = 5 * TIMEOUT_S
# Long runs by hand say how long.
FILE_TIMEOUT_S = int(os.environ.get("KEEPD_FILE_SECONDS", "1800")) * SLACK

MIB = 1024 * 1024

# A test may hold thousands of connections; what it starts has the limit that it was started with.
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE,
                   (max(DESCRIPTORS[0], min(DESCRIPTORS[1], 1 << 16)), DESCRIPTORS[1]))
if "address" in os.environ.get("KEEPD_SANITIZED", ""):
    # What was freed and is kept to find its use counts as resident, up to this.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"


class Skip(Exception):
    """Raised by a case that cannot run here; the text is the reason."""


# ---------------------------------------------------------------- waiting

def wait_for(condition, what, timeout_s=TIMEOUT_S):
    """Polls condition() until it is true; its value is returned. Fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("timed out waiting for " + what)
        time.sleep(0.005)


def need_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        raise Skip("no IPv6 here")


_port_locks = []


def free_port():
    """A port free for TCP and UDP, for programs that cannot choose one themselves. It lies below the
    ports that the kernel gives to outgoing connections, and an abstract socket named after it keeps
    it for this process, so nobody takes it between the choice and its use."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        below = int(f.read().split()[0])
    while True:
        port = random.randrange(min(10000, below // 2), below)
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind("\0keepd-test-port-%d" % port)
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind(("0.0.0.0", port))
        except OSError:
            lock.close()
            continue
        _port_locks.append(lock)
        return port


# ---------------------------------------------------------------- the server

def die_with_parent():
    """For preexec_fn: who starts a program takes it along."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def begin_program():
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_NOFILE, DESCRIPTORS)


_servers = []
_folders = []


def folder():
    """A new empty folder, removed at the end."""
    path = tempfile.mkdtemp(prefix="keepd-live-")
    os.chmod(path, 0o755)
    _folders.append(path)
    return path


@atexit.register
def _clean():
    for server in _servers:
        server.kill()
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


def user_args():
    """Root has to say which user it means; everybody else is himself."""
    return ["-u", "root"] if os.geteuid() == 0 else []


class Server:
    """One running server. Use it in a with statement: leaving it stops the server with SIGTERM.

    args are added to the command line. listen=None leaves -p and -l to the caller; unix=True listens
    on self.path instead of TCP. expect_exit=None accepts any end, for cases that kill the server."""

    def __init__(self, *args, listen="127.0.0.1", unix=False, env=None, expect_exit=0,
                 stderr=None, wait=True, limits=None, user=True):
        self.folder = folder()
        self.path = os.path.join(self.folder, "socket")
        self.port_file = os.path.join(self.folder, "ports")
        self.log_path = os.path.join(self.folder, "log")
        self.expect_exit = expect_exit
        self.port = None
        command = [KEEPD]
        if user:
            command += user_args()
        if unix:
            command += ["-s", self.path]
        elif listen is not None:
            command += ["-p", "-1", "-l", listen]
        command += [str(a) for a in args]
        environ = dict(os.environ, MEMCACHED_PORT_FILENAME=self.port_file)
        environ.update(env or {})
        self.command = command

        def prepare():
            begin_program()
            if limits:
                limits()

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log if stderr is None else stderr,
                                            env=environ, cwd=self.folder, preexec_fn=prepare)
        _servers.append(self)
        self.pid = self.process.pid
        if wait:
            self.wait_ready(unix)

    def wait_ready(self, unix=False):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError("server ended with %s at start: %s\n%s" %
                                     (self.process.returncode, " ".join(self.command), self.log()))
            return self._unix_ready() if unix else self.ports()
        found = wait_for(ready, "the server to listen")
        if not unix:
            self.port = found[0][1]

    def _unix_ready(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
                return True
        except OSError:
            return False

    def ports(self):
        """[(family, port)] as the port file has them; empty while it is not there."""
        try:
            with open(self.port_file) as f:
                text = f.read()
        except FileNotFoundError:
            return []
        return [(m[1], int(m[2])) for m in re.finditer(r"^TCP (\w+): (\d+)$", text, re.M)]

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("latin-1")

    def wait_log(self, text):
        """The log has a writer of its own: a line may come after what it tells of was seen."""
        return wait_for(lambda: text in self.log() and self.log(), "%r in the log" % text)

    def connect(self, **options):
        return Conn(("127.0.0.1", self.port), **options)

    def connect_unix(self, **options):
        return Conn(self.path, **options)

    def stats(self, what=b""):
        """One `stats` answer as a dictionary of text."""
        with (self.connect() if self.port else self.connect_unix()) as c:
            return c.stats(what)

    def n_in(self, *states):
        """How many connections are in one of these states, by `stats conns`."""
        return sum(state in states for state in self.stats(b"conns").values())

    def rss(self):
        """Resident memory in bytes."""
        with open("/proc/%d/status" % self.pid) as f:
            return int(re.search(r"^VmRSS:\s+(\d+)", f.read(), re.M)[1]) * 1024

    def cpu_s(self):
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def n_descriptors(self):
        path = "/proc/%d/fd" % self.pid
        try:
            return len(os.listdir(path))
        except PermissionError:
            # The server shows them to root only; newer kernels tell everybody how many they are.
            n = os.stat(path).st_size
            if n == 0:
                raise
            return n

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_end(self, timeout_s=TIMEOUT_S):
        """Waits for the end of the process and returns its status."""
        return self.process.wait(timeout_s)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def check_alive(self):
        """The server runs, and serves a new client."""
        assert self.is_running(), "server ended with %s" % self.process.returncode
        with (self.connect() if self.port else self.connect_unix()) as c:
            answer = c.ask(b"mn")
            assert answer == b"MN", answer

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.process.poll()
        if status is None:
            self.process.terminate()
            try:
                status = self.wait_end()
            except subprocess.TimeoutExpired:
                self.kill()
                status = "no end within %d s of SIGTERM" % TIMEOUT_S
        log = self.log()
        if kind is not None:
            show("server %s\nstatus %s\n%s" % (" ".join(self.command), status, log[-6000:]))
            return
        if self.expect_exit is not None:
            assert status == self.expect_exit, "server's status %s\n%s" % (status, log[-6000:])
        for report in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer",
                       "broken invariant"):
            assert report not in log, log[-20000:]


def run_program(*args, timeout_s=TIMEOUT_S, env=None):
    """Runs the server program to its end: (status, stdout, stderr)."""
    environ = dict(os.environ)
    environ.update(env or {})
    done = subprocess.run([KEEPD] + [str(a) for a in args], stdin=subprocess.DEVNULL, cwd=folder(),
                          capture_output=True, timeout=timeout_s, env=environ,
                          preexec_fn=begin_program)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


# ---------------------------------------------------------------- connections

Reply = collections.namedtuple("Reply", "opcode status opaque cas extras key value")

HEADER = struct.Struct(">BBHBBHLLQ")


def packet(opcode, key=b"", extras=b"", value=b"", opaque=0, cas=0, n_key=None, n_extras=None,
           n_body=None, magic=0x80):
    """A binary request; the n_ arguments lie about lengths."""
    return HEADER.pack(magic, opcode, len(key) if n_key is None else n_key,
                       len(extras) if n_extras is None else n_extras, 0, 0,
                       len(extras) + len(key) + len(value) if n_body is None else n_body,
                       opaque, cas) + extras + key + value


def store_packet(opcode, key, value, flags=0, exptime=0, **more):
    return packet(opcode, key, struct.pack(">LL", flags, exptime), value, **more)


class Conn:
    """A raw client connection with a deadline on everything."""

    def __init__(self, address, timeout_s=None, receive_buffer=None, source=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket = socket.socket(family)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s or TIMEOUT_S)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(address)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.sendall(data)

    def send_slowly(self, data, size=1):
        """Sends in pieces of their own TCP segment each."""
        for at in range(0, len(data), size):
            self.socket.sendall(data[at:at + size])

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError("closed by the server; unread: %r" % self.buffer[:200])
        self.buffer += data

    def read(self, n):
        chunks, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self.socket.recv(min(1 << 20, max(n - have, 4096)))
            if not data:
                raise EOFError("closed by the server after %d of %d bytes" % (have, n))
            chunks.append(data)
            have += len(data)
        data = b"".join(chunks)
        self.buffer = data[n:]
        return data[:n]

    def line(self):
        """The next line without its end."""
        while b"\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line[:-1] if line.endswith(b"\r") else line

    def ask(self, command):
        """Sends a command line and returns the first line of the answer."""
        self.send(command + b"\r\n")
        return self.line()

    def lines(self, end=b"END"):
        """The lines up to, without, the line `end`."""
        found = []
        while True:
            line = self.line()
            if line == end:
                return found
            found.append(line)

    def set(self, key, value, flags=0, exptime=0, verb=b"set"):
        self.send(b"%s %s %d %d %d\r\n%s\r\n" % (verb, key, flags, exptime, len(value), value))
        return self.line()

    def get(self, key):
        """The value, or None."""
        first = self.ask(b"get " + key)
        if first == b"END":
            return None
        words = first.split(b" ")
        assert words[0] == b"VALUE" and words[1] == key, first[:200]
        value = self.read(int(words[3]) + 2)
        assert value.endswith(b"\r\n")
        last = self.line()
        assert last == b"END", last
        return value[:-2]

    def stats(self, what=b""):
        self.send(b"stats" + (b" " + what if what else b"") + b"\r\n")
        found = {}
        for line in self.lines():
            word, name, value = line.decode("latin-1").split(" ", 2)
            assert word == "STAT", line
            found[name] = value
        return found

    def reply(self):
        """The next binary reply."""
        magic, opcode, n_key, n_extras, kind, status, n_body, opaque, cas = HEADER.unpack(
            self.read(HEADER.size))
        assert magic == 0x81 and kind == 0, "not a binary reply"
        body = self.read(n_body)
        return Reply(opcode, status, opaque, cas, body[:n_extras],
                     body[n_extras:n_extras + n_key], body[n_extras + n_key:])

    def ask_binary(self, *args, **options):
        self.send(packet(*args, **options))
        return self.reply()

    def is_silent(self, for_s=0.2):
        """Nothing comes from the server for a while."""
        if self.buffer:
            return False
        self.socket.settimeout(for_s)
        try:
            self.buffer += self.socket.recv(1)
            return False
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_S)

    def wait_closed(self, timeout_s=None):
        """Reads until the server closes (or resets); returns what still came."""
        self.socket.settimeout(timeout_s or TIMEOUT_S)
        data = self.buffer
        self.buffer = b""
        try:
            while True:
                piece = self.socket.recv(1 << 18)
                if not piece:
                    return data
                data += piece
        except ConnectionError:
            return data

    def try_send(self, data):
        """Sends what the server takes; False when it closed meanwhile."""
        try:
            self.socket.sendall(data)
            return True
        except (ConnectionError, socket.timeout):
            return False

    def send_until_stuck(self, piece, limit, patience_s=1.0):
        """Sends piece again and again, never reading, until the server takes nothing for a while or
        limit bytes went; returns how many bytes went."""
        self.socket.settimeout(patience_s)
        sent = 0
        try:
            while sent < limit:
                sent += self.socket.send(piece)
        except (socket.timeout, BlockingIOError, ConnectionError):
            pass
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return sent


def speak_until(server, is_over, idle_s):
    """A client that speaks on is not ended by an idle_timeout of idle_s, until is_over(it), which has
    to speak. One that a busy machine kept from speaking for so long is replaced."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with server.connect() as c:
            spoke = time.monotonic()
            try:
                while not is_over(c):
                    assert time.monotonic() < deadline, "timed out"
                    before = time.monotonic()
                    assert c.ask(b"mn") == b"MN"
                    spoke = before
                    time.sleep(0.01)
                return
            except (EOFError, ConnectionError):
                if time.monotonic() - spoke < 0.8 * idle_s or time.monotonic() > deadline:
                    raise


def answers(server, data):
    """All that comes back for data followed by the end of sending. The server closes: hanging fails."""
    with server.connect() as c:
        c.try_send(data)
        try:
            c.finish_sending()
        except OSError:
            pass  # closed already
        return c.wait_closed()


def in_threads(n, work):
    """Runs work(i) in n threads; the first exception is raised again. Returns the results."""
    results, failures = [None] * n, []

    def body(i):
        try:
            results[i] = work(i)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


# ---------------------------------------------------------------- cases and TAP

# What TAP calls a failure that is expected.
_EXPECTED = " # TO" "DO "

_cases = []
_n_results = 0
_n_failed = 0


def case(function=None, *, keepd_only=None):
    """Declares a case; its name is the function's. keepd_only tells what memcached does otherwise."""
    def declare(f):
        _cases.append((f, keepd_only))
        return f
    return declare(function) if function else declare


def show(text):
    for line in text.splitlines():
        print("# " + line)
    sys.stdout.flush()


def result(good, name, directive=""):
    """Tells one more case of this file."""
    global _n_results, _n_failed
    _n_results += 1
    _n_failed += not good and not directive.startswith(_EXPECTED)
    print("%s %d - %s%s" % ("ok" if good else "not ok", _n_results, name.replace("#", " "),
                            directive))
    sys.stdout.flush()


def _expire(*unused):
    show("the whole file took longer than %d s" % FILE_TIMEOUT_S)
    traceback.print_stack()
    print("Bail out! timeout")
    sys.stdout.flush()
    _clean()
    os._exit(1)


def run():
    """Runs the declared cases (or those named on the command line) and ends the process."""
    # A job in a script's background, or behind nohup, ignores these, and so would what it starts.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, _expire)
    signal.alarm(FILE_TIMEOUT_S)
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    wanted = sys.argv[1:]
    if not os.path.exists(KEEPD):
        print("1..0 # SKIP %s is not built" % KEEPD)
        sys.exit(0)
    for function, keepd_only in _cases:
        if wanted and function.__name__ not in wanted:
            continue
        directive = _EXPECTED + "memcached: " + keepd_only if keepd_only and IS_REFERENCE else ""
        started = time.monotonic()
        try:
            function()
            result(True, function.__name__)
        except Skip as reason:
            result(True, function.__name__, " # SKIP %s" % reason)
        except PermissionError as e:
            # The server keeps its memory and descriptors to itself; that it does is a case, too.
            is_hidden = os.geteuid() != 0 and str(e.filename).startswith("/proc/")
            if not is_hidden:
                show(traceback.format_exc())
            result(is_hidden, function.__name__,
                   " # SKIP only root may look at %s" % e.filename if is_hidden else directive)
        except BaseException as e:
            if isinstance(e, (KeyboardInterrupt, SystemExit)):
                raise
            show(traceback.format_exc())
            result(False, function.__name__, directive)
        took = time.monotonic() - started
        if took > 5:
            show("%s took %.1f s" % (function.__name__, took))
    print("1..%d" % _n_results)
    sys.stdout.flush()
    sys.exit(1 if _n_failed or not _n_results else 0)
