#!/usr/bin/python3
"""The units under a real service manager: systemd as the first process of namespaces of its own, on a
throw-away copy of this machine's root, with a network and processes of its own. No other unit than the
log's is started in it, and what would set variables of the kernel is taken out of the copy."""

import os
import shlex
import shutil
import signal
import subprocess

from harness import KEEPD, SRCDIR, TIMEOUT_S, Skip, case, folder, run, wait_for

SYSTEMD = "/lib/systemd/systemd"
# The users of its root are others than who runs this.
os.umask(0o022)
UNITS = "etc/systemd/system"

# Runs as root inside new namespaces; T is an empty folder, P the program, U the folder of the units.
BOOT = r"""
mount --make-rprivate /
mount -t tmpfs tmpfs $T
mkdir $T/upper $T/work $T/root
mount -t overlay overlay -o lowerdir=/,upperdir=$T/upper,workdir=$T/work $T/root
cd $T/root
mount -t proc proc proc
mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
rm -rf etc/systemd/system etc/default/keepd
rm -rf etc/modules-load.d etc/sysctl.d etc/sysctl.conf usr/lib/sysctl.d usr/lib/modules-load.d
rm -f lib/systemd/systemd-sysctl lib/systemd/systemd-modules-load lib/systemd/systemd-binfmt
for units in lib/systemd/system etc/systemd/system; do
  for wants in $units/*.target.wants; do
    find $wants -mindepth 1 ! -name 'systemd-journald*' -delete 2>/dev/null || true
  done
done
mkdir -p etc/systemd/system usr/local/bin
cp $P usr/local/bin/keepd
cp $U/* etc/systemd/system/
ip link set lo up
mkdir old
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=null
"""


def cgroup_root():
    with open("/proc/mounts") as f:
        for line in f:
            words = line.split()
            if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
                return words[1]
    raise Skip("no cgroup2 here")


class Manager:
    """systemd, with keepd's units in it."""

    def __init__(self):
        if os.geteuid() != 0 or not os.path.exists(SYSTEMD):
            raise Skip("needs root and systemd")
        if os.environ.get("KEEPD_SANITIZED"):
            raise Skip("a sanitizer wants what the unit denies")
        for name in ("unshare", "nsenter", "pivot_root", "ip"):
            if not shutil.which(name):
                raise Skip("no " + name)
        self.cgroup = os.path.join(cgroup_root(), "keepd-live-%d" % os.getpid())
        top, units = folder(), folder()
        source = os.path.join(SRCDIR, "dist", "systemd")
        with open(os.path.join(source, "keepd.service.in")) as f:
            service = f.read().replace("@bindir@/keepd", "/usr/local/bin/keepd")
        for name, text in (("keepd.service", service), ("test.target", "[Unit]\nDescription=test\n")):
            with open(os.path.join(units, name), "w") as f:
                f.write(text)
        shutil.copy(os.path.join(source, "keepd.socket"), units)
        os.mkdir(self.cgroup)
        script = "set -e; T=%s; P=%s; U=%s%s" % (shlex.quote(top), shlex.quote(os.path.abspath(KEEPD)),
                                              shlex.quote(units), BOOT)

        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--ipc", "--uts", "--cgroup", "--net", "--fork",
             "--kill-child", "/bin/sh", "-c", script], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=enter)
        try:
            self.pid = wait_for(self._first, "systemd")
            wait_for(lambda: self("systemctl", "is-system-running").strip() in ("running", "degraded"),
                     "its start")
        except BaseException:
            self.stop()
            raise

    def _first(self):
        """The process id of systemd, once it is that."""
        if self.process.poll() is not None:
            raise Skip("no namespaces here: " + self.process.stdout.read().decode()[-200:])
        try:
            with open("/proc/%d/task/%d/children" % ((self.process.pid,) * 2)) as f:
                child = int(f.read().split()[0])
            return child if os.readlink("/proc/%d/exe" % child).endswith("/systemd") else None
        except (OSError, IndexError, ValueError):
            return None

    def __call__(self, *command):
        """What the command prints in there."""
        return subprocess.run(["nsenter", "-t", str(self.pid), "-a", *command], timeout=TIMEOUT_S * 2,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT).stdout.decode("utf-8", "replace")

    def shown(self, *names):
        return [self("systemctl", "show", "-P", name, "keepd.service").strip() for name in names]

    def options(self, text):
        self("sh", "-c", "echo 'KEEPD_OPTIONS=%s' >/etc/default/keepd" % text)

    def ask(self, text, end, address='("127.0.0.1", 11211)'):
        """Sends text to keepd, prints what comes until the end is there."""
        return self("/usr/bin/python3", "-c", r"""if True:
            import socket
            address = %s
            s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
            s.settimeout(%d)
            s.connect(address)
            s.sendall(%r)
            data = b""
            while not data.endswith(%r):
                piece = s.recv(65536)
                if not piece:
                    break
                data += piece
            print(data.decode(), end="")""" % (address, TIMEOUT_S, text, end))

    def stop(self):
        self.process.kill()  # unshare takes its child along, and that all the others
        self.process.wait()
        self.process.stdout.close()

        def gone():
            for path, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    return False
            return True
        wait_for(gone, "the end of all processes")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


SET, GOT = b"set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n"


def privileges(manager):
    pid = manager.shown("MainPID")[0]
    lines = manager("cat", "/proc/%s/status" % pid).splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@case(keepd_only="its unit is another")
def started_reloaded_stopped():
    with Manager() as manager:
        manager.options("-m 64")
        said = manager("systemctl", "start", "keepd")
        assert manager.shown("ActiveState", "SubState") == ["active", "running"], \
            said + manager("systemctl", "status", "--no-pager", "keepd")
        assert manager.ask(SET, b"END\r\n") == GOT
        has = privileges(manager)
        assert has["NoNewPrivs"] == "1" and has["Seccomp"] == "2" and has["Uid"].split()[0] != "0", has
        assert all(int(has[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")), has
        before = manager.shown("MainPID")
        said = manager("systemctl", "reload", "keepd")
        assert said == "" and manager.shown("ActiveState", "MainPID") == ["active"] + before, said
        said = manager("systemctl", "stop", "keepd")
        assert said == "", said
        assert manager.shown("ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]


@case(keepd_only="its unit is another")
def killed_and_started_again():
    with Manager() as manager:
        manager.options("-m 64")
        manager("systemctl", "start", "keepd")
        manager("systemctl", "kill", "--signal=%d" % signal.SIGKILL, "keepd")
        wait_for(lambda: manager.shown("NRestarts", "SubState") == ["1", "running"], "the new one")
        assert manager.ask(SET, b"END\r\n") == GOT


@case(keepd_only="its unit is another")
def mistake_in_the_options():
    with Manager() as manager:
        manager.options("-m 64 -t 0")
        assert "failed" in manager("systemctl", "start", "keepd")
        said = wait_for(lambda: manager("journalctl", "-u", "keepd", "--no-pager"), "the log")
        assert '-t/--threads takes a number from 1 to 1024, not "0"' in said, said


@case(keepd_only="opens its own sockets only")
def sockets_outlive_the_service():
    with Manager() as manager:
        manager.options("-m 64")
        said = manager("systemctl", "start", "keepd.socket")
        assert said == "" and manager.shown("ActiveState") == ["inactive"], said
        assert manager.ask(SET, b"END\r\n") == GOT
        assert manager.shown("ActiveState") == ["active"]
        for verb in ("restart", "stop"):
            manager("systemctl", verb, "keepd")
            assert manager.ask(SET, b"END\r\n") == GOT, verb
        assert manager.ask(SET, b"END\r\n", '("127.0.0.1", 11211)') == GOT


@case(keepd_only="its unit is another")
def folders_of_the_unit():
    """The warm restart's file, the log and the unix socket, where the unit lets keepd write."""
    with Manager() as manager:
        manager.options("-m 64 -e /var/lib/keepd/items -s /run/keepd/socket -a 0777"
                        " --metrics=127.0.0.1:9150 --log-file /var/log/keepd/log -v")
        said = manager("systemctl", "start", "keepd")
        assert said == "", said + manager("journalctl", "-u", "keepd", "--no-pager")
        assert manager.ask(SET, b"END\r\n", '"/run/keepd/socket"') == GOT
        assert manager("systemctl", "restart", "keepd") == ""
        assert manager.ask(b"get a\r\n", b"END\r\n", '"/run/keepd/socket"') == GOT[len("STORED\r\n"):]
        page = manager("/usr/bin/python3", "-c", "import urllib.request as u;"
                       "print(u.urlopen('http://127.0.0.1:9150/healthz').read())")
        assert "ok" in page, page
        assert "event=started" in manager("cat", "/var/log/keepd/log")


@case(keepd_only="its unit is another")
def credentials_of_the_manager():
    """A file that only root may read, handed over without changing its owner."""
    with Manager() as manager:
        manager("sh", "-c", "umask 077; echo web:secret >/etc/passwords; mkdir -p"
                " /%s/keepd.service.d; printf '[Service]\\nLoadCredential=passwords:/etc/passwords\\n'"
                " >/%s/keepd.service.d/login.conf; systemctl daemon-reload" % (UNITS, UNITS))
        manager.options("-m 64 -l 127.0.0.1 -Y /run/credentials/keepd.service/passwords")
        said = manager("systemctl", "start", "keepd")
        assert said == "", said + manager("journalctl", "-u", "keepd", "--no-pager")
        login = b"set l 0 0 10\r\nweb secret\r\n"
        assert manager.ask(login + SET, b"END\r\n") == "STORED\r\n" + GOT


run()
