"""A server under test: started on a free port of loopback, one per set of settings."""

import os
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

# Only a failure waits so long: a machine with other work, or a build with sanitizers, may.
PATIENCE_S = 600 if os.environ.get("KEEPD_SANITIZED") else 120
TLS_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Server:
    def __init__(self, program, settings, certificates=None):
        options, setting, files = settings
        self.contexts = {}
        self.version = None  # of TLS, for the connections from now on
        self.folder = tempfile.mkdtemp(prefix="wire-")
        self.log_path = os.path.join(self.folder, "log")
        ports = os.path.join(self.folder, "ports")
        arguments = [program, "-p", "-1", "-U", "0", "-l", "127.0.0.1", "-m", "64"]
        if os.geteuid() == 0:
            arguments += ["-u", "root"]
        if certificates:
            arguments += ["-Z", "-o", "ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key"
                          % (certificates, certificates)]
            for version in TLS_VERSIONS:
                context = ssl.create_default_context(cafile=certificates + "/ca.pem")
                context.minimum_version = context.maximum_version = version
                self.contexts[version] = context
        arguments += shlex.split(options.replace("{folder}", self.folder))
        self.write_files(files.split("\n"))
        environment = dict(os.environ, MEMCACHED_PORT_FILENAME=ports)
        if setting:
            name, _, value = setting.replace("{folder}", self.folder).partition("=")
            environment[name] = value
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        self.port = self.await_port(ports)

    def write_files(self, lines):
        """lines: the name of a file and a line of it, in turn."""
        for name, line in zip(lines[0::2], lines[1::2]):
            path = os.path.join(self.folder, name)
            with open(path, "a", encoding="utf-8") as file:
                os.chmod(path, 0o600)
                file.write(line + "\n")

    def await_port(self, path):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if os.path.exists(path):
                with open(path, encoding="ascii") as file:
                    for line in file:
                        if line.startswith("TCP INET:") and line.endswith("\n"):
                            return int(line.split(":")[1])
            time.sleep(0.01)
        raise RuntimeError("the server did not start: " + self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]

    def is_running(self):
        return self.process.poll() is None

    def connect(self, timeout_s):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.version is None:
            return connection
        return self.contexts[self.version].wrap_socket(connection, server_hostname="localhost")

    def stop(self):
        """True when it ended in order."""
        was_running = self.is_running()
        if was_running:
            self.process.terminate()
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        is_orderly = was_running and status in (0, -15)
        if is_orderly:
            shutil.rmtree(self.folder, ignore_errors=True)
        return is_orderly


class Servers:
    """The servers of one run, by their settings."""

    def __init__(self, program, certificates=None):
        self.program = program
        self.certificates = certificates
        self.by_settings = {}

    def get(self, settings):
        server = self.by_settings.get(settings)
        if server is None or not server.is_running():
            server = Server(self.program, settings, self.certificates)
            self.by_settings[settings] = server
        return server

    def stop(self):
        """The options of those that did not end in order, with their logs."""
        return [(settings[0], server.log()) for settings, server in self.by_settings.items()
                if not server.stop()]
