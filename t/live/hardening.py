#!/usr/bin/python3
"""Hardening: what the program file and the running process promise, named after the properties."""

import os
import pwd
import re
import shutil
import subprocess

from harness import BUILDDIR, KEEPD, TIMEOUT_S, Server, Skip, case, run, run_program, wait_for

KEEPCTL = os.environ.get("KEEPCTL", os.path.join(os.path.dirname(KEEPD), "keepctl"))
DANGEROUS = {"gets", "strcpy", "strcat", "sprintf", "vsprintf", "system", "popen", "mktemp",
             "tmpnam", "stpcpy", "strtok"}
NOBODY = pwd.getpwnam("nobody")
FOLDERS = ("base", "protocol", "cache", "auth", "tls", "server")


def need_root():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")


def as_nobody():
    need_root()
    return Server("-u", "nobody", user=False, limits=lambda: os.chmod(".", 0o777))


def every_thread(pid):
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as f:
            yield dict(re.findall(r"^(\w+):[ \t]*(.*)$", f.read(), re.M))


def readelf(*words):
    if not shutil.which("readelf"):
        raise Skip("no readelf here")
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("a build with sanitizers is not the one that is installed")
    return subprocess.run(["readelf", "-W", *words], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, timeout=TIMEOUT_S).stdout.decode()


def objects():
    for room in FOLDERS:
        folder = os.path.join(BUILDDIR, room)
        yield from (os.path.join(folder, name) for name in os.listdir(folder)
                    if name.endswith(".o"))


def imported(program):
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms", program)))


@case
def pie_relro_now_nx():
    for program in (KEEPD, KEEPCTL):
        assert re.search(r"Type: +DYN", readelf("-h", program))
        segments = readelf("-l", program)
        assert "GNU_RELRO" in segments
        stack = re.search(r"GNU_STACK.*", segments)[0]
        assert "RWE" not in stack and "RW" in stack, stack
        dynamic = readelf("-d", program)
        assert "NOW" in dynamic and "PIE" in dynamic, dynamic
        assert "RPATH" not in dynamic and "RUNPATH" not in dynamic, dynamic
        assert "TEXTREL" not in dynamic


@case
def canary_and_fortify():
    for program in (KEEPD, KEEPCTL):
        names = imported(program)
        assert "__stack_chk_fail" in names, program
        checked = {name for name in names if name.endswith("_chk")}
        assert len(checked) >= 5, (program, checked)


@case
def cet_marking():
    """Of every object of ours; the program has the mark when the C library's start files have."""
    if os.uname().machine != "x86_64":
        raise Skip("another machine")
    configured = os.path.getmtime(os.path.join(BUILDDIR, "config.status"))
    if any(os.path.getmtime(path) < configured for path in objects()):
        raise Skip("objects from before the last configure: make clean")
    for room in FOLDERS:
        library = os.path.join(BUILDDIR, "lib%s.a" % room)
        n_objects = readelf("-h", library).count("ELF Header:")
        notes = readelf("-n", library)
        assert notes.count("IBT, SHSTK") == n_objects > 0, (room, n_objects)


@case
def no_dangerous_functions():
    for program in (KEEPD, KEEPCTL):
        assert not imported(program) & DANGEROUS, imported(program) & DANGEROUS


@case
def not_root():
    need_root()
    with as_nobody() as server:
        server.check_alive()
        for status in every_thread(server.pid):
            assert set(status["Uid"].split()) == {str(NOBODY.pw_uid)}
            assert "0" not in status["Groups"].split()
            for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[name], 16) == 0, name


@case
def refuses_root_without_user():
    need_root()
    assert run_program("-p", "-1", "-l", "127.0.0.1")[0] == 64


@case
def no_new_privs_and_bounding():
    need_root()
    with as_nobody() as server:
        server.check_alive()
        for status in every_thread(server.pid):
            assert status["NoNewPrivs"] == "1" and int(status["CapBnd"], 16) == 0


@case
def system_call_filter():
    with Server() as server:
        server.check_alive()  # it serves only behind the last step of the start
        modes = {status["Seccomp"] for status in every_thread(server.pid)}
        if "0" in modes and os.environ.get("KEEPD_SANITIZED"):
            raise Skip("built without a filter")
        assert modes == {"2"}, modes


@case
def not_dumpable():
    need_root()
    with as_nobody() as server:
        server.check_alive()
        assert os.stat("/proc/%d/mem" % server.pid).st_uid == 0


@case
def no_writable_code():
    with Server() as server:
        server.check_alive()  # it serves only behind the last step of the start
        with open("/proc/%d/maps" % server.pid) as f:
            assert not re.findall(r"^\S+ .wx", f.read(), re.M)


def links(pid):
    """What is open; a connection that ends meanwhile is none."""
    folder = "/proc/%d/fd" % pid
    for fd in os.listdir(folder):
        try:
            yield os.readlink(os.path.join(folder, fd))
        except FileNotFoundError:
            pass


@case
def few_descriptors():
    allowed = re.compile(r"socket:|anon_inode:\[?(eventpoll|eventfd|signalfd|timerfd)|pipe:|/dev/null"
                         r"|.*/log$")
    with Server() as server:
        server.check_alive()  # it serves only behind the last step of the start
        wait_for(lambda: all(allowed.match(link) for link in links(server.pid)),
                 "only these to be open: " + allowed.pattern)


@case
def default_listens_on_loopback():
    with Server("-p", -1, listen=None) as server:
        with open("/proc/net/tcp") as f, open("/proc/net/tcp6") as f6:
            lines = f.readlines()[1:] + f6.readlines()[1:]
        wanted = {port for _, port in server.ports()}
        found = [line.split()[1] for line in lines if line.split()[3] == "0A" and
                 int(line.split()[1].rsplit(":", 1)[1], 16) in wanted]
        assert found and all(address.startswith(("0100007F:", "00000000000000000000000001000000:"))
                             for address in found), found


run()
