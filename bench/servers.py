"""Starts the servers under comparison, each in the same way, and stops them again."""

import os
import pathlib
import pwd
import resource
import shutil
import socket
import subprocess
import time

SERVER_CORES = "0"
LOAD_CORE = "1"
START_SECONDS = 15


class BenchError(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def core_prefix(cores):
    """taskset, unless the machine has a single core or lacks the program."""
    if os.cpu_count() == 1 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", cores]


def allow_many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Lab:
    """The programs, and a folder with certificate, passwords and sockets."""

    def __init__(self, build, folder, keepd, memcached):
        self.build = pathlib.Path(build)
        self.folder = pathlib.Path(folder)
        self.programs = {"memcached": memcached, "keepd": keepd}
        self.load = str(self.build / "bench" / "load")
        self.canned = str(self.build / "bench" / "canned")
        self.replay = str(self.build / "bench" / "replay")
        self.certificate = str(self.folder / "certificate.pem")
        self.key = str(self.folder / "key.pem")
        os.chmod(self.folder, 0o755)
        allow_many_descriptors()

    def make_certificate(self):
        if os.path.exists(self.key):
            return
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out",
                        self.certificate, "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        os.chmod(self.key, 0o644)

    def make_logins(self):
        """User bench with password bench, as -Y file and as Cyrus SASL's sasldb."""
        text = self.folder / "logins"
        text.write_text("bench:bench\n")
        database = self.folder / "sasldb"
        conf = (f"mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                f"sasldb_path: {database}\n")
        for program in self.programs:
            (self.folder / f"{program}.conf").write_text(conf)
        if shutil.which("saslpasswd2") is None or database.exists():
            return
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(database), "-a", "memcached", "-u",
                        socket.gethostname(), "bench"], input=b"bench\n", check=True,
                       capture_output=True)
        os.chmod(database, 0o644)


class Server:
    """One running server: memcached, keepd or canned."""

    def __init__(self, lab, name, case, script=None, cores=SERVER_CORES):
        self.lab, self.name, self.case = lab, name, case
        self.log = open(lab.folder / f"{name}.log", "wb")
        self.plain_address = ""  # to store the keys through, when it is not the address measured
        if case.transport == "unix":
            path = lab.folder / f"{name}.sock"
            path.unlink(missing_ok=True)  # the one before leaves it
            self.address = str(path)
        else:
            self.address = f"127.0.0.1:{free_port()}"
        command = self._canned(script) if name == "canned" else self._command()
        environment = dict(os.environ, SASL_CONF_PATH=str(lab.folder))
        self.process = subprocess.Popen(core_prefix(cores) + command, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=environment)
        self._wait()

    def _canned(self, script):
        tls = [self.lab.certificate, self.lab.key] if self.case.transport == "tls" else []
        return [self.lab.canned, self.address, str(script), *tls]

    def _command(self):
        lab, case = self.lab, self.case
        command = [lab.programs[self.name], "-t", str(case.workers), "-c", "6000", "-U", "0"]
        if os.geteuid() == 0:
            command += ["-u", pwd.getpwuid(0).pw_name]
        command += case.server
        if case.transport == "unix":
            command += ["-s", self.address, "-a", "777"]
        else:
            host, port = self.address.split(":")
            command += ["-p", port, "-l", host]
        if case.transport == "tls":
            lab.make_certificate()
            # memcached stalls on long TLS requests, so the keys go in through a plain listener.
            self.plain_address = f"127.0.0.1:{free_port()}"
            command[-1] = f"notls:{self.plain_address},{self.address}"
            command += ["-Z", "-o", f"ssl_chain_cert={lab.certificate},ssl_key={lab.key},"
                        "ssl_session_cache"]
        if case.login:
            lab.make_logins()
            command += ["-S"] if case.login == "sasl" else ["-Y", str(lab.folder / "logins")]
        return command

    def connect(self):
        if self.address.startswith("/"):
            stream = socket.socket(socket.AF_UNIX)
            stream.connect(self.address)
            return stream
        host, port = self.address.split(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def _wait(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended at once: {self.log_tail()}")
            try:
                self.connect().close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise BenchError(f"{self.name} does not accept connections") from None
                time.sleep(0.01)

    def log_tail(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")[-300:].strip()

    def stats(self, which=""):
        """The lines of `stats` as a dict (plain TCP or unix only)."""
        with self.connect() as stream:
            stream.settimeout(10)
            stream.sendall(f"stats {which}".strip().encode() + b"\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                part = stream.recv(65536)
                if not part:
                    break
                text += part
        words = (line.split(" ", 2) for line in text.decode().splitlines())
        return {w[1]: w[2] for w in words if len(w) == 3 and w[0] == "STAT"}

    def rss_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
