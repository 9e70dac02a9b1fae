#!/usr/bin/python3
"""What single options do to a running server."""

import os
import re
import signal
import subprocess

from harness import (KEEPD, TIMEOUT_S, Conn, Server, case, folder, packet, run, run_program,
                     user_args, wait_for)


@case
def no_evictions():
    with Server("-m", 8, "-M") as server, server.connect() as c:
        value = b"v" * 50000
        for n in range(1000):
            answer = c.set(b"k%d" % n, value)
            if answer != b"STORED":
                break
        assert answer == b"SERVER_ERROR out of memory storing object", answer
        stats = c.stats()
        assert stats["evictions"] == "0" and int(stats["store_no_memory"]) >= 1
        assert n > 20 and all(c.get(b"k%d" % i) == value for i in range(n))
        for i in range(n):
            assert c.ask(b"delete k%d" % i) == b"DELETED"
        wait_for(lambda: c.set(b"again", value) == b"STORED", "room after the deletes")


@case
def evictions():
    with Server("-m", 8) as server, server.connect() as c:
        for i in range(1000):
            assert c.set(b"k%d" % i, b"%06d" % i * 8000) == b"STORED", i
        assert int(c.stats()["evictions"]) > 0
        assert c.get(b"k999") == b"000999" * 8000
        for i in range(1000):
            assert c.get(b"k%d" % i) in (None, b"%06d" % i * 8000), i


@case
def no_cas():
    with Server("-C") as server, server.connect() as c:
        c.set(b"a", b"1")
        assert c.ask(b"gets a") == b"VALUE a 0 1 0"
        assert c.lines() == [b"1"]
        c.send(b"cas a 0 0 1 0\r\n2\r\n")
        assert c.line() == b"EXISTS"
        assert c.stats(b"settings")["cas_enabled"] == "no"


@case
def no_flush_all():
    with Server("-F") as server:
        with server.connect() as c:
            c.set(b"a", b"1")
            assert c.ask(b"flush_all") == b"CLIENT_ERROR flush_all not allowed"
            c.send(b"flush_all noreply\r\n")
            assert c.get(b"a") == b"1"
            assert c.stats(b"settings")["flush_enabled"] == "no"
        with server.connect() as c:
            assert c.ask_binary(8).status == 0x20
            assert c.ask_binary(0, b"a").value == b"1"


@case
def no_dumps():
    with Server("-X") as server, server.connect() as c:
        c.set(b"a", b"1")
        assert c.ask(b"stats cachedump 1 10") == b"CLIENT_ERROR stats cachedump not allowed"
        assert c.ask(b"lru_crawler metadump all") == b"ERROR metadump not allowed"
        assert c.stats(b"settings")["dump_enabled"] == "no"


@case(keepd_only="1.6.18 has no mgdump and lets stats detail pass")
def no_dumps_at_all():
    with Server("-X") as server, server.connect() as c:
        assert c.ask(b"lru_crawler mgdump all") == b"ERROR key dump not allowed"
        assert c.ask(b"stats detail on") == b"CLIENT_ERROR stats detail not allowed"
    with Server("-X") as server, server.connect() as c:
        r = c.ask_binary(0x10, b"detail on")
        assert not r.key and r.status in (0, 1), r
        assert server.stats(b"settings")["detail_enabled"] == "no"


@case
def no_watch():
    with Server("-W") as server, server.connect() as c:
        assert c.ask(b"watch") == b"CLIENT_ERROR watch commands not allowed"


@case
def shutdown_command():
    with Server("-A") as server:
        with server.connect() as c:
            assert c.stats(b"settings")["shutdown_command"] == "yes"
            assert c.ask(b"shutdown later") == b"CLIENT_ERROR invalid shutdown mode"
            c.send(b"shutdown\r\n")
            assert c.wait_closed() == b""
        assert server.wait_end() == 0
    with Server("-A") as server:
        with server.connect() as c:
            c.send(b"shutdown graceful\r\n")
            c.wait_closed()
        assert server.wait_end() == 0


@case(keepd_only="takes it for a mode")
def shutdown_without_an_answer():
    with Server("-A") as server:
        with server.connect() as c:
            c.send(b"shutdown noreply\r\n")
            assert c.wait_closed() == b""
        assert server.wait_end() == 0


@case
def max_item_size():
    # What fits must fit here too; keepd's own limit may be a little above it.
    for option, fits, limit in (("1m", 1048516, 1048576), ("512k", 524228, 524288),
                                ("2m", 2097092, 2097152), ("65536", 65476, 65536)):
        chunk = ["-o", "slab_chunk_max=64"] if option == "65536" else []
        with Server("-m", 64, "-I", option, *chunk) as server, server.connect() as c:
            assert c.set(b"a", b"x" * fits) == b"STORED", option
            assert c.get(b"a") == b"x" * fits
            assert c.set(b"a", b"x" * (limit + 1)) == b"SERVER_ERROR object too large for cache"
            assert c.get(b"a") is None, "a refused set leaves no old value"
            assert int(c.stats()["store_too_large"]) == 1


@case
def hundred_megabytes_in_one_value():
    with Server("-m", 300, "-I", "128m") as server, server.connect() as c:
        value = os.urandom(1 << 20) * 100
        answer = c.set(b"huge", value)
        assert answer == b"STORED", answer
        assert c.get(b"huge") == value


@case
def detail_prefixes():
    with Server("-D", "/") as server, server.connect() as c:
        c.set(b"a/1", b"x")
        c.set(b"b:1", b"x")
        c.get(b"a/1")
        c.get(b"a/2")
        c.ask(b"delete a/1")
        c.send(b"stats detail dump\r\n")
        assert c.lines() == [b"PREFIX a get 2 hit 1 set 1 del 1"]
        assert c.ask(b"stats detail off") == b"OK"
        settings = c.stats(b"settings")
        assert settings["stat_key_prefix"] == "/" and settings["detail_enabled"] == "no"


@case
def protocol_choice():
    with Server("-B", "ascii") as server:
        with server.connect() as c:
            assert c.ask(b"mn") == b"MN"
        with server.connect() as c:
            c.send(packet(0x0a) + b"\r\n")
            assert b"\x81" not in c.line()[:1]
    with Server("-B", "binary") as server:
        with server.connect() as c:
            assert c.ask_binary(0x0b).status == 0
        with server.connect() as c:
            c.send(b"set a 0 0 1\r\n1\r\nget a\r\nget a\r\n")
            assert c.wait_closed() == b""


@case
def verbose_levels_write_a_log():
    with Server() as server:
        with server.connect() as c:
            c.set(b"silent", b"1")
        assert server.log() == "", server.log()
    with Server("-vv") as server:
        with server.connect() as c:
            c.set(b"loud", b"1")
            wait_for(lambda: "loud" in server.log(), "the command in the log")
            assert c.ask(b"verbosity 0") == b"OK"


@case
def pid_file():
    path = os.path.join(folder(), "pid")
    with Server("-P", path) as server:
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "the pid file")
        with open(path) as f:
            assert int(f.read()) == server.pid


@case
def daemon():
    where = folder()
    pid_path, port_path = os.path.join(where, "pid"), os.path.join(where, "port")
    status, out, err = run_program(*user_args(), "-d", "-p", "-1", "-l", "127.0.0.1", "-P", pid_path,
                                   env={"MEMCACHED_PORT_FILENAME": port_path})
    assert status == 0, (out, err)
    wait_for(lambda: os.path.exists(pid_path) and os.path.exists(port_path), "the daemon")
    with open(pid_path) as f:
        pid = int(f.read())
    try:
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(pid_path), "the pid file's removal")


@case
def threads_setting():
    with Server("-t", 3, "-R", 7, "-b", 99, "-c", 200) as server:
        settings = server.stats(b"settings")
        assert settings["num_threads"] == "3" and settings["reqs_per_event"] == "7"
        assert settings["tcp_backlog"] == "99" and settings["maxconns"] == "200"
        assert server.stats()["threads"] == "3"


@case
def old_command_lines_start():
    for args in (["-o", "modern"], ["-o", "slab_reassign,slab_automove=1,lru_crawler,lru_maintainer"],
                 ["-o", "hashpower=18,no_hashexpand"], ["-f", "1.5", "-n", "64"], ["-k"],
                 ["-o", "hot_lru_pct=10,warm_lru_pct=20,temporary_ttl=30"],
                 ["-o", "tail_repair_time=100,hash_algorithm=jenkins"], ["-o", "no_modern"],
                 ["-o", "worker_logbuf_size=128,watcher_logbuf_size=512"],
                 ["-o", "slab_sizes=100-200-400"], ["-o", "read_buf_mem_limit=32,track_sizes"],
                 ["--memory-limit=32", "--conn-limit", "100", "--threads=2"]):
        with Server(*args) as server:
            server.check_alive()


@case
def help_and_version():
    status, out, err = run_program("-h")
    assert status == 0 and err == "" and "-p, --port" in out and "-o, --extended" in out, out
    for option in ("-V", "--version"):
        status, out, err = run_program(option)
        assert status == 0 and re.match(r"\w+ \d+\.\d+\.\d+", out), out


@case
def closed_standard_descriptors():
    where = folder()
    port_path = os.path.join(where, "port")
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", KEEPD, *user_args(), "-p", "-1", "-l",
         "127.0.0.1", "-vvv"], env=dict(os.environ, MEMCACHED_PORT_FILENAME=port_path), cwd=where)
    try:
        wait_for(lambda: os.path.exists(port_path), "the server")
        with open(port_path) as f:
            port = int(f.read().split()[-1])
        with Conn(("127.0.0.1", port)) as c:
            for i in range(50):
                assert c.set(b"a", b"1") == b"STORED" and c.get(b"a") == b"1"
    finally:
        process.terminate()
    assert process.wait(TIMEOUT_S) == 0


run()
