#!/usr/bin/python3
"""A warm restart (-e FILE): what comes back, what does not, and what is refused."""

import errno
import os
import resource
import signal
import subprocess
import time

from faults_frame import faulty
from harness import TIMEOUT_S, Server, Skip, case, folder, run, run_program, user_args, wait_for

MEMORY = ("-m", 64)


def memory_file():
    return os.path.join(folder(), "memory")


def stop(server, number=signal.SIGUSR1):
    server.signal(number)
    assert server.wait_end() == 0, server.log()


def fill(server, n=1000):
    with server.connect() as c:
        for i in range(n):
            assert c.set(b"key%d" % i, b"value %d" % i) == b"STORED"


def check_filled(server, n=1000):
    with server.connect() as c:
        for i in range(n):
            assert c.get(b"key%d" % i) == b"value %d" % i, i
    assert int(server.stats()["curr_items"]) == n


@case
def graceful_stop_keeps_items():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server:
        fill(server)
        stop(server)
    for _ in range(3):
        with Server(*MEMORY, "-e", path) as server:
            check_filled(server)
            stop(server)


@case(keepd_only="SIGTERM and SIGINT lose the items")
def every_orderly_stop_keeps_items():
    for number in (signal.SIGTERM, signal.SIGINT):
        path = memory_file()
        with Server(*MEMORY, "-e", path) as server:
            fill(server)
            stop(server, number)
        with Server(*MEMORY, "-e", path) as server:
            check_filled(server)


@case
def shutdown_graceful_keeps_items():
    path = memory_file()
    with Server(*MEMORY, "-A", "-e", path) as server:
        fill(server)
        with server.connect() as c:
            c.send(b"shutdown graceful\r\n")
            assert server.wait_end() == 0
    with Server(*MEMORY, "-e", path) as server:
        check_filled(server)


@case
def a_kill_loses_items_and_nothing_else():
    path = memory_file()
    with Server(*MEMORY, "-e", path, expect_exit=None) as server:
        fill(server)
        stop(server)
    with Server(*MEMORY, "-e", path, expect_exit=None) as server:
        check_filled(server)
        server.signal(signal.SIGKILL)
        server.wait_end()
    with Server(*MEMORY, "-e", path) as server:
        assert server.stats()["curr_items"] == "0"
        fill(server)


@case(keepd_only="a large item that ends in the middle is lost")
def large_items_flags_cas_and_counters():
    path = memory_file()
    large = os.urandom(700000)
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        assert c.set(b"large", large) == b"STORED"
        assert c.ask(b"ms flagged 3 F77\r\nabc").startswith(b"HD")
        assert c.set(b"count", b"41") == b"STORED"
        assert c.ask(b"incr count 1") == b"42"
        before = c.ask(b"mg flagged c").split()[1]
        assert before[:1] == b"c"
        stop(server)
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        assert c.get(b"large") == large
        assert c.ask(b"mg flagged c f") == b"HD " + before + b" f77"
        assert c.ask(b"incr count 1") == b"43"
        assert int(c.ask(b"ms new 1 c\r\nx").split()[1][1:]) > int(before[1:])


@case
def life_goes_on_while_nobody_serves():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        c.send(b"set short 0 1 1\r\nx\r\nset long 0 1000 1\r\ny\r\n")
        assert c.line() == c.line() == b"STORED"
        stop(server)
        stopped = time.time()
    wait_for(lambda: time.time() > stopped + 2, "the item's second to pass")
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        assert c.get(b"short") is None
        assert c.get(b"long") == b"y"
        left = int(c.ask(b"mg long t").split()[1][1:])
        assert 900 < left < 1000, left


@case
def a_flush_holds():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        assert c.set(b"before", b"x") == b"STORED"
        assert c.ask(b"flush_all") == b"OK"
        stop(server)
    with Server(*MEMORY, "-e", path) as server, server.connect() as c:
        assert c.get(b"before") is None


@case(keepd_only="only some settings are told")
def settings_and_uptime():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server:
        assert server.stats(b"settings")["memory_file"] == path
        assert os.stat(path).st_mode & 0o077 == 0
        wait_for(lambda: int(server.stats()["uptime"]) >= 2, "the uptime to grow")
        with server.connect() as c:
            assert c.ask(b"cache_memlimit 128").startswith(b"MEMLIMIT_ADJUST_FAILED")
        stop(server)
        assert os.stat(path + ".meta").st_mode & 0o077 == 0
    with Server(*MEMORY, "-e", path) as server:
        assert int(server.stats()["uptime"]) >= 2
        assert not os.path.exists(path + ".meta")
        server.wait_log("memory_file_restored")


@case(keepd_only="other words")
def another_configuration_is_refused():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server:
        fill(server)
        stop(server)
    with Server("-m", 128, "-e", path) as server:
        assert server.stats()["curr_items"] == "0"
        lines = [line for line in server.wait_log("memory_file_refused").splitlines()
                 if "memory_file_refused" in line]
        assert len(lines) == 1 and "another -m" in lines[0], server.log()
        fill(server)


@case(keepd_only="is not checked")
def damage_is_refused():
    path = memory_file()
    for name, at in ((path, 2 * 1024 * 1024 + 100), (path + ".meta", 50)):
        with Server(*MEMORY, "-e", path) as server:
            fill(server)
            stop(server)
        with open(name, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1]))
        with Server(*MEMORY, "-e", path) as server:
            assert server.stats()["curr_items"] == "0"
            assert server.wait_log("memory_file_refused").count("memory_file_refused") == 1


@case(keepd_only="two processes share one file")
def one_process_at_a_time():
    path = memory_file()
    with Server(*MEMORY, "-e", path) as server:
        fill(server)
        status, _, text = run_program(*user_args(), "-p", -1, "-l", "127.0.0.1", *MEMORY, "-e", path)
        assert status == 1 and "in use by another process" in text, (status, text)
        check_filled(server)


@case(keepd_only="the file is overwritten")
def a_file_of_somebody_else_is_left_alone():
    path = memory_file()
    with open(path, "w") as f:
        f.write("letters\n")
    status, _, text = run_program(*user_args(), "-p", -1, "-l", "127.0.0.1", *MEMORY, "-e", path)
    assert status == 1 and "left alone" in text, (status, text)
    with open(path) as f:
        assert f.read() == "letters\n"


@case(keepd_only="ends with an abort")
def a_folder_that_is_not_there():
    status, _, text = run_program(*user_args(), "-p", -1, "-l", "127.0.0.1", *MEMORY,
                                  "-e", "/nowhere/memory")
    assert status == 1 and "failed to open file for mmap: " in text, (status, text)


@case(keepd_only="says nothing")
def a_save_that_fails_is_told():
    path = memory_file()
    with Server(*MEMORY, "-e", path, expect_exit=1) as server:
        fill(server)
        os.mkdir(path + ".meta")
        server.signal(signal.SIGUSR1)
        assert server.wait_end() == 1
        assert "memory_file_not_saved" in server.log(), server.log()
    os.rmdir(path + ".meta")
    with Server(*MEMORY, "-e", path) as server:
        assert server.stats()["curr_items"] == "0"


# ---------------------------------------------------------------- disks that are full or broken

class SmallDisk:
    """A tmpfs of its own, of so many MiB."""

    def __init__(self, mib):
        self.path = folder()
        # Others' users must be able to enter; a machine without the right to mount skips.
        options = "size=%dm,mode=1777" % mib
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path],
                              capture_output=True, timeout=TIMEOUT_S)
        if done.returncode != 0:
            raise Skip("no right to mount")
        self.memory = os.path.join(self.path, "memory")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        subprocess.run(["umount", "-l", self.path], check=True, timeout=TIMEOUT_S)

    def fill(self):
        """Takes the last byte; the file that did it."""
        name = os.path.join(self.path, "ballast")
        with open(name, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
        return name


def refused(path, message, *args, **options):
    status, _, text = run_program(*user_args(), "-p", -1, "-l", "127.0.0.1", *MEMORY, *args, "-e", path,
                                  **options)
    assert status == 1 and "failed to open file for mmap: " in text and message in text, (status, text)


@case(keepd_only="dies of SIGBUS later")
def no_room_at_the_start():
    with SmallDisk(40) as disk:
        for _ in range(2):
            refused(disk.memory, "No space left on device")
        # What the attempts left is no obstacle.
        with Server("-m", 16, "-e", disk.memory) as server:
            fill(server)
            stop(server)
        with Server("-m", 16, "-e", disk.memory) as server:
            check_filled(server)
            stop(server)
        # Nor does one with more memory than there is room for spoil what is there.
        refused(disk.memory, "No space left on device")
        assert os.listdir(disk.path).count("memory") == 1


@case(keepd_only="saves half of it")
def no_room_for_the_state():
    with SmallDisk(80) as disk:
        with Server(*MEMORY, "-e", disk.memory, expect_exit=1) as server:
            fill(server)
            ballast = disk.fill()
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 1
            assert "memory_file_not_saved" in server.log(), server.log()
            assert "No space left on device" in server.log(), server.log()
        assert sorted(os.listdir(disk.path)) == ["ballast", "memory"]
        os.unlink(ballast)
        with Server(*MEMORY, "-e", disk.memory) as server:
            assert server.stats()["curr_items"] == "0"
            fill(server)
            stop(server)
        with Server(*MEMORY, "-e", disk.memory) as server:
            check_filled(server)


@case(keepd_only="is killed by SIGXFSZ")
def files_that_may_not_grow():
    path = memory_file()
    limit = 8 << 20

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with Server(*MEMORY, "-e", path, limits=limited, wait=False, expect_exit=1) as server:
        assert server.wait_end() == 1
        assert "failed to open file for mmap: " in server.log(), server.log()
        assert "File too large" in server.log(), server.log()
    with Server(*MEMORY, "-e", path) as server:
        fill(server)
        stop(server)
    with Server(*MEMORY, "-e", path) as server:
        check_filled(server)


@case(keepd_only="has no such faults to find")
def a_disk_that_fails_at_the_save():
    for rule in ("fsync:1:EIO", "filewrite:=1:EIO", "filewrite:=1:ENOSPC"):
        path = memory_file()
        with Server(*MEMORY, "-e", path, env=faulty(rule), expect_exit=1) as server:
            fill(server)
            server.signal(signal.SIGTERM)
            assert server.wait_end() == 1, (rule, server.log())
            assert "memory_file_not_saved" in server.log(), server.log()
        assert os.listdir(os.path.dirname(path)) == ["memory"], os.listdir(os.path.dirname(path))
        with Server(*MEMORY, "-e", path) as server:
            assert server.stats()["curr_items"] == "0"


@case(keepd_only="evicts in another order")
def a_full_cache_under_load():
    """Stopped while clients store: what is restored is whole, and the cache goes on evicting."""
    path = memory_file()
    value = b"v" * 3000
    with Server("-m", 16, "-e", path) as server:
        with server.connect() as c:
            for i in range(0, 20000, 50):
                c.send(b"".join(b"set k%d 0 0 3000 noreply\r\n%s\r\n" % (j, b"%04d" % (j % 10000) +
                                value[4:]) for j in range(i, i + 50)))
            assert c.ask(b"mn") == b"MN"
            assert int(c.stats()["evictions"]) > 0
        stop(server)
    with Server("-m", 16, "-e", path) as server, server.connect() as c:
        n = int(c.stats()["curr_items"])
        assert n > 1000, n
        found = 0
        for i in range(20000):
            got = c.get(b"k%d" % i)
            found += got is not None
            assert got is None or got == b"%04d" % (i % 10000) + value[4:], i
        assert found == n, (found, n)
        for i in range(5000):
            assert c.set(b"again%d" % i, value) == b"STORED"


run()
