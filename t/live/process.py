#!/usr/bin/python3
"""What the process is to the system: user, rights, limits, descriptors, background, pid file, and
that everything which needs the system while serving goes on behind the system call filter."""

import os
import pwd
import re
import resource
import signal
import socket
import subprocess

from harness import (KEEPD, TIMEOUT_S, Conn, Server, Skip, case, folder, free_port, run, run_program,
                     user_args, wait_for)

NOBODY = pwd.getpwnam("nobody")


def need_root():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")


def open_folder():
    """Runs in the server's folder before it starts: whoever it becomes may write there."""
    os.chmod(".", 0o777)


def as_nobody(*args, **options):
    need_root()
    return Server("-u", "nobody", *args, user=False, limits=open_folder, **options)


def status_of(pid, task=None):
    path = "/proc/%d/status" % pid if task is None else "/proc/%d/task/%s/status" % (pid, task)
    with open(path) as f:
        return dict(re.findall(r"^(\w+):[ \t]*(.*)$", f.read(), re.M))


def every_thread(pid):
    return [status_of(pid, task) for task in os.listdir("/proc/%d/task" % pid)]


def has_filter(server):
    return server.stats(b"settings")["drop_privileges"] == "yes"


# ---------------------------------------------------------------- user and rights

@case
def root_becomes_the_user():
    with as_nobody() as server:
        for status in every_thread(server.pid):
            assert set(status["Uid"].split()) == {str(NOBODY.pw_uid)}, status["Uid"]
            assert set(status["Gid"].split()) == {str(NOBODY.pw_gid)}, status["Gid"]
            assert status["Groups"].strip() == "", status["Groups"]


@case(keepd_only="keeps what its user has")
def no_capability_and_no_way_to_one():
    with Server() as server:
        for status in every_thread(server.pid):
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(status[name], 16) == 0, (name, status[name])
            assert status["NoNewPrivs"] == "1"
    with as_nobody() as server:
        for status in every_thread(server.pid):
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[name], 16) == 0, (name, status[name])


@case
def root_needs_a_user():
    need_root()
    status, _, err = run_program("-p", "-1", "-l", "127.0.0.1")
    assert status == 64 and "-u root" in err, (status, err)
    status, _, err = run_program("-p", "-1", "-l", "127.0.0.1", "-u", "nobody-of-this-name")
    assert status == 67 and "can't find the user nobody-of-this-name to switch to" in err, err


@case(keepd_only="binds after it gave root up")
def port_below_1024_as_nobody():
    need_root()
    for port in range(1023, 600, -1):
        server = as_nobody("-p", port, "-l", "127.0.0.1", listen=None, wait=False, expect_exit=None)
        wait_for(lambda s=server: s.ports() or not s.is_running(), "a start or an end")
        if not server.is_running():
            assert "Address already in use" in server.log(), server.log()
            continue  # somebody else's
        server.expect_exit = 0
        with server:
            server.wait_ready()
            server.check_alive()
        return
    raise AssertionError("no port is free")


@case(keepd_only="can be traced and dumped")
def memory_is_closed_to_others():
    with as_nobody() as server:
        assert os.stat("/proc/%d/fd" % server.pid).st_uid == 0
        with open("/proc/%d/limits" % server.pid) as f:
            assert re.search(r"^Max core file size +0 +0 ", f.read(), re.M)


def poor(*args, **options):
    """A server of nobody's, who may have 1,024 descriptors and no more."""
    need_root()

    def become_poor():
        open_folder()
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        os.setgid(NOBODY.pw_gid)
        os.setuid(NOBODY.pw_uid)
    try:
        return Server("-t", "2", *args, user=False, limits=become_poor, **options)
    except PermissionError:
        raise Skip("nobody may not run this build")


@case(keepd_only="the last clients wait for a descriptor")
def few_descriptors_are_fewer_connections():
    with poor() as server:
        n_served = int(server.stats()["max_connections"])
        assert 512 <= n_served < 1024, n_served
        assert "`ulimit -Hn` is 1024: %d connections instead of 1024" % n_served in server.log()
    with poor("-c", "1024", wait=False, expect_exit=71) as server:
        assert server.wait_log("-c 1024 needs")


@case
def core_files_when_asked_for():
    with Server("-r") as server:
        assert resource.prlimit(server.pid, resource.RLIMIT_CORE)[0] != 0


@case
def memory_is_locked():
    if os.environ.get("KEEPD_SANITIZED"):
        raise Skip("a sanitizer takes mlockall away")
    with Server("-k", "-m", "16", "-I", "64k", "-t", "1") as server:
        locked = int(status_of(server.pid)["VmLck"].split()[0])
        assert locked > 0 or server.wait_log("-k invalid, mlockall() failed")
        server.check_alive()


@case(keepd_only="the limit is that of its user")
def memory_is_locked_without_root():
    try:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except (ValueError, PermissionError):
        raise Skip("not even root may raise the limit here")
    with as_nobody("-k", "-m", "16", "-I", "64k", "-t", "1") as server:
        assert int(status_of(server.pid)["VmLck"].split()[0]) > 0, server.log()


@case
def no_memory_is_writable_and_executable():
    with Server() as server:
        with open("/proc/%d/maps" % server.pid) as f:
            assert not re.findall(r"^\S+ .wx", f.read(), re.M)


# ---------------------------------------------------------------- the system call filter

@case(keepd_only="has none unless asked")
def every_thread_is_filtered():
    with Server() as server:
        if not has_filter(server):
            raise Skip("built without a filter")
        assert {status["Seccomp"] for status in every_thread(server.pid)} == {"2"}


@case
def filter_can_be_left_out():
    with Server("-o", "no_drop_privileges") as server:
        assert not has_filter(server)
        own = status_of(os.getpid())["Seccomp"]
        assert {status["Seccomp"] for status in every_thread(server.pid)} == {own}


@case(keepd_only="has no log file")
def log_is_opened_again_behind_the_filter():
    with Server("-v", "--log-file", os.path.join(folder(), "keepd.log")) as server:
        path = server.command[-1]
        wait_for(lambda: os.path.getsize(path) > 0, "the first line")
        os.rename(path, path + ".1")
        server.signal(signal.SIGHUP)
        wait_for(lambda: os.path.exists(path), "the new file")
        server.check_alive()


@case
def sizes_and_limits_behind_the_filter():
    """Everything that makes the process ask for memory, threads or files while it serves."""
    with Server("-m", "64", "-t", "2", "-A") as server, server.connect() as c:
        for n in (1, 1000, 100000, 1000000):
            assert c.set(b"k%d" % n, b"x" * n) == b"STORED"
            assert c.get(b"k%d" % n) == b"x" * n
        assert c.ask(b"cache_memlimit 128") == b"OK"
        for i in range(60):
            assert c.set(b"fill%d" % i, b"y" * 900000) == b"STORED"
        assert c.ask(b"cache_memlimit 32") == b"OK"
        for what in (b"", b"settings", b"items", b"slabs", b"sizes", b"conns"):
            c.stats(what)
        assert c.ask(b"flush_all") == b"OK"
        connections = [server.connect() for _ in range(100)]
        for other in connections:
            assert other.ask(b"mn") == b"MN"
            other.close()
        c.send(b"shutdown graceful\r\n")
        c.wait_closed()
        assert server.wait_end() == 0


# ---------------------------------------------------------------- descriptors

def links(pid):
    path = "/proc/%d/fd" % pid
    found = {}
    for fd in os.listdir(path):
        try:
            found[int(fd)] = os.readlink(os.path.join(path, fd))
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


@case(keepd_only="keeps what it inherits")
def only_needed_descriptors():
    with open("/etc/passwd") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        port_file = os.path.join(folder(), "ports")
        process = subprocess.Popen([KEEPD, *user_args(), "-p", "-1", "-l", "127.0.0.1"],
                                   env=dict(os.environ, MEMCACHED_PORT_FILENAME=port_file),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, close_fds=False)
        try:
            wait_for(lambda: os.path.exists(port_file), "the port file")
            for fd, link in links(process.pid).items():
                assert link.startswith(("socket:", "anon_inode:", "pipe:")) or link == "/dev/null", \
                    (fd, link)
        finally:
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0


@case
def started_with_closed_stdio():
    with Server("-vvv", limits=lambda: [os.close(fd) for fd in (0, 1, 2)], wait=False) as server:
        server.wait_ready()
        for fd in (0, 1, 2):
            assert links(server.pid)[fd] == "/dev/null"
        with server.connect() as c:
            for _ in range(50):
                assert c.set(b"a", b"1") == b"STORED"
                assert c.get(b"a") == b"1"


# ---------------------------------------------------------------- background and pid file

def start_daemon(*args):
    """Starts with -d and -P; returns (status, stderr, folder, pid or None)."""
    path = folder()
    os.chmod(path, 0o777)
    environ = dict(os.environ, MEMCACHED_PORT_FILENAME=os.path.join(path, "ports"))
    with open(os.path.join(path, "log"), "wb") as log:
        status = subprocess.run([KEEPD, *user_args(), "-d", "-P", os.path.join(path, "pid"), *args],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ,
                                cwd=path, timeout=TIMEOUT_S).returncode
    with open(os.path.join(path, "log")) as f:
        err = f.read()
    return status, err, path


def read_pid(path):
    try:
        with open(os.path.join(path, "pid")) as f:
            return int(f.read() or 0)
    except FileNotFoundError:
        return 0


@case
def daemon():
    status, err, path = start_daemon("-p", "-1", "-l", "127.0.0.1")
    assert status == 0, err
    pid = wait_for(lambda: read_pid(path), "the pid file")
    try:
        ports = os.path.join(path, "ports")
        wait_for(lambda: os.path.exists(ports), "the port file")
        with open(ports) as f:
            port = int(f.read().split()[-1])
        with Conn(("127.0.0.1", port)) as c:
            assert c.set(b"a", b"1") == b"STORED"
        assert os.getsid(pid) == pid
        if os.geteuid() == 0:
            assert os.readlink("/proc/%d/cwd" % pid) == "/"
            wait_for(lambda: {links(pid)[fd] for fd in (0, 1, 2)} == {"/dev/null"}, "closed stdio")
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not read_pid(path), "the pid file to go")


@case(keepd_only="the parent does not wait for the start")
def daemon_tells_how_it_started():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        status, err, path = start_daemon("-p", str(s.getsockname()[1]), "-l", "127.0.0.1")
    assert status == 71 and "Address already in use" in err, (status, err)
    status, err, path = start_daemon("-p", "-1", "-l", "127.0.0.1", "--log-file", "/nowhere/log")
    assert status == 1 and "log" in err, (status, err)
    assert not read_pid(path)


@case(keepd_only="a daemon is ready before its pid file is there")
def daemon_is_ready_when_the_parent_ends():
    port = free_port()
    status, err, path = start_daemon("-p", str(port), "-l", "127.0.0.1")
    assert status == 0, err
    pid = read_pid(path)
    assert pid > 0
    with Conn(("127.0.0.1", port)) as c:
        assert c.ask(b"mn") == b"MN"
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not read_pid(path), "the end")


@case
def pid_file_without_daemon():
    path = os.path.join(folder(), "pid")
    with Server("-P", path) as server:
        wait_for(lambda: os.path.exists(path), "the pid file")
        with open(path) as f:
            assert int(f.read()) == server.pid
        assert not os.path.exists(path + ".tmp")
        with Server("-P", path) as second:
            wait_for(lambda: "running) pid: %d" % server.pid in second.log(), "the warning")
            wait_for(lambda: open(path).read().strip() == str(second.pid), "the new pid")
    assert os.path.exists(path)


@case
def pid_file_that_cannot_be_written():
    with Server("-P", "/nowhere/pid") as server:
        wait_for(lambda: "Could not open the pid file /nowhere/pid.tmp for writing" in server.log(),
                 "the message")
        server.check_alive()


@case
def second_instance_on_the_port_ends_with_71():
    with Server() as server:
        status, _, err = run_program("-p", str(server.port), "-l", "127.0.0.1", *user_args())
        assert status == 71 and "Address already in use" in err, (status, err)
        server.check_alive()


run()
