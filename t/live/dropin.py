#!/usr/bin/python3
"""A command line that starts Debian's memcached starts keepd too: every option of memcached's manual
page and of its -h, alone and in the usual company, is given to both; both must become ready, or both
end, and then with the same status."""

import os
import re
import resource
import shlex
import signal
import socket
import subprocess

from harness import (IS_REFERENCE, KEEPD, TIMEOUT_S, Skip, case, folder, free_port, in_threads, run, show,
                     wait_for)

MEMCACHED = "/usr/bin/memcached"
WRAPPER = "/usr/share/memcached/scripts/systemd-memcached-wrapper"
USER = "nobody"

# Each line is a command line. PORT, DIR and PIDFILE are replaced.
ALONE = r"""
-A | --enable-shutdown
-s DIR/socket | --unix-socket=DIR/socket | -s DIR/socket -a 770 | --unix-socket=DIR/socket --unix-mask=0777
-l 127.0.0.1 | --listen=127.0.0.1 | -l 127.0.0.1,127.0.0.2 | -l 127.0.0.1 -l 127.0.0.2
-l localhost | -l 0.0.0.0 | -l 127.0.0.1:PORT | -l ::1,127.0.0.1 | -l [::1]:PORT,127.0.0.1:PORT
-m 64 | --memory-limit=64 | -m 1024 | -m64 | -m 100 -I 2m | --memory-limit 64
-c 1024 | --conn-limit=1024 | -c 100000 | -c 4096
-R 20 | --max-reqs-per-event=20 | -R 1
-k | --lock-memory
-M | --disable-evictions
-r | --enable-coredumps
-f 1.25 | --slab-growth-factor=1.25 | -f 2 | -f 1.05
-n 48 | --slab-min-size=48 | -n 10
-C | --disable-cas
-v | --verbose | -vv | -vvv
-t 4 | --threads=4 | -t 1 | -t 16
-D : | -D / | -D ::
-L | --enable-largepages
-b 1024 | --listen-backlog=1024 | -b 10
-B auto | -B ascii | -B binary | --protocol=auto
-I 1m | --max-item-size=1m | -I 1k | -I 1024 | -I 5m | -I 1g -m 4096 | -I 1048576 | -I 32M
-S | --enable-sasl | -S -B binary
-F | --disable-flush-all
-X | --disable-dumping
-W | --disable-watch
-U 0 | --udp-port=0 | -U PORT
-P PIDFILE | --pidfile=PIDFILE
-Y DIR/auth | --auth-file=DIR/auth
-e DIR/memory | --memory-file=DIR/memory
-N 2 | --napi_ids=2
"""

# With -o, as the -h lists them.
EXTENDED = r"""
maxconns_fast | no_maxconns_fast | hashpower=12 | hashpower=20 | hashpower=27 | tail_repair_time=60
hash_algorithm=jenkins | hash_algorithm=murmur3 | hash_algorithm=xxh3
lru_crawler | no_lru_crawler | lru_crawler_sleep=100 | lru_crawler_tocrawl=0
read_buf_mem_limit=0 | read_buf_mem_limit=64 | lru_maintainer | no_lru_maintainer
lru_maintainer,hot_lru_pct=20 | warm_lru_pct=40 | hot_max_factor=0.20 | warm_max_factor=2.00
temporary_ttl=61 | idle_timeout=0 | idle_timeout=600 | slab_chunk_max=512 | slab_chunk_max=1024
watcher_logbuf_size=256 | worker_logbuf_size=64 | track_sizes | no_hashexpand | modern | no_modern
slab_reassign | no_slab_reassign | slab_automove | slab_automove=0 | slab_automove=1
slab_automove=2 | slab_automove_ratio=0.8 | slab_automove_window=30 | slab_sizes=96-200-1000
no_chunked_items | inline_ascii_resp | no_inline_ascii_resp | drop_privileges | no_drop_privileges
relaxed_privileges | resp_obj_mem_limit=64 | sock_cookie_id=5
slab_reassign,slab_automove,lru_crawler,lru_maintainer,maxconns_fast,hash_algorithm=murmur3
ssl_chain_cert=DIR/none | ssl_min_version=2 | ssl_verify_mode=0 | ssl_wbuf_size=16
slab_automove_freeratio=0.01 | ext_path=DIR/ext:64m
ext_path=DIR/ext:1G,ext_page_size=64,ext_wbuf_size=4,ext_threads=1,ext_item_size=512
foo | hashpower=99 | idle_timeout | slab_automove=9 | hash_algorithm=md5 | no_foo
"""

# The usual company, from unit files, images and tutorials.
TOGETHER = r"""
-m 64 -p PORT -u USER -l 127.0.0.1 -P PIDFILE
-d -m 64 -p PORT -u USER -l 127.0.0.1 -P PIDFILE
-u USER -p PORT -m 64 -c 1024 -l 127.0.0.1
-m 1024 -I 4m -c 4096 -t 4 -R 200 -v
-m 64 -c 1024 -vv -C -M -F
-u USER -m 128 -t 2 -o modern -l 127.0.0.1
-p PORT -U PORT -m 64 -c 1024 -l 127.0.0.1
-p 0 -s DIR/socket -a 0766
-s DIR/socket -a 755 -m 128 -M
-d -p PORT -U 0 -l 127.0.0.1 -P PIDFILE -c 2048 -b 4096 -t 3
--port=PORT --udp-port=0 --user=USER --memory-limit=64 --conn-limit=1024 --threads=4
--user=USER --listen=127.0.0.1 --memory-limit=256 --max-item-size=2m --verbose
-S -B binary -m 64 | -S -vv | -S -U 0 -m 64 -l 127.0.0.1
-m 64 -o slab_reassign,slab_automove -o lru_maintainer,lru_crawler
-m 100 -f 1.1 -n 72 -L -k | -vvv -r -C -D : -A -X -W
-p PORT -p PORT -m 32 -m 64
-Y DIR/auth -m 64 | -d -Y DIR/auth -P PIDFILE | -S -Y DIR/auth
-l 127.0.0.1 -m 64 leftover | -- | -m 64 --
"""

# Neither starts, with the same status.
WRONG = r"""
-p 70000 | -c 0 | -f 1 | -n 0 | -t 0 | -R 0 | -B nothing | -I 100 | -I 2000m | -m 1 -I 1m | -D
-S -B ascii | -u no-such-user-here | --nothing | -o foo | -q | -s | -l 192.0.2.1 | -Y DIR/none
-Z | -S -B auto | -Y DIR/auth -B binary | -l 127.0.0.1:abc | -t | --threads
"""

# Command lines that memcached 1.6.18 refuses and keepd takes. What -S needs, memcached looks for in
# the host's SASL library and may not find; the others are limits that newer versions do not have, or
# storage that keepd ignores.
TAKEN = {"-I 1k", "-I 1024", "-I 1g -m 4096", "-o hashpower=12", "-o relaxed_privileges",
         "-o ext_path=DIR/ext:1G,ext_page_size=64,ext_wbuf_size=4,ext_threads=1,ext_item_size=512",
         "-S -Y DIR/auth"}

# Command lines that keepd refuses on purpose: see doc/compatibility.md.
REFUSED = {"-D ::": ("ends", 1)}


def is_meant(line, ours):
    if ours == "ready":
        return line in TAKEN or line.startswith("-S") or line == "--enable-sasl"
    return REFUSED.get(line) == ours


SHORT = {"-h", "-i", "-V", "--help", "--license", "--version"}


def lines(table):
    return [entry.strip() for line in table.strip().splitlines() for entry in line.split(" | ")]


def connect(path, port):
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    s.settimeout(1)
    try:
        s.connect(path or ("127.0.0.1", port))
    except OSError:
        s.close()
        raise
    return s


def answers(path, port):
    """Somebody serves there. A server that fails at its start may listen for a moment before it
    ends: one that answers nothing to a command has to be there still."""
    try:
        with connect(path, port) as s:
            try:
                s.sendall(b"version\r\n")
                if s.recv(1):
                    return True
            except OSError:
                pass
        connect(path, port).close()
        return True
    except OSError:
        return False


def prepare():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))


def outcome(program, options):
    """"ready", or ("ends", status): what comes of this command line."""
    where, port = folder(), free_port()
    os.chmod(where, 0o777)
    with open(where + "/auth", "w") as f:
        f.write("user:password\n")
    os.chmod(where + "/auth", 0o644)
    text = options.replace("PIDFILE", where + "/pid").replace("PORT", str(port)) \
        .replace("DIR", where).replace("USER", USER)
    words = shlex.split(text)
    path = where + "/socket" if where + "/socket" in text else None
    if "-u" not in words and "--user=" + USER not in words and os.geteuid() == 0:
        words = ["-u", USER] + words
    if not path and str(port) not in text:
        words = ["-p", str(port)] + words
    process = subprocess.Popen([program] + words, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=where,
                               preexec_fn=prepare)
    pid = None
    try:
        def known():
            status = process.poll()
            if answers(path, port):
                return "ready"
            return ("ends", status) if status not in (None, 0) or status == 0 and \
                "-d" not in words else None
        found = wait_for(known, text)
        if "-d" in words and found == "ready":
            process.wait(TIMEOUT_S)
            wait_for(lambda: os.path.exists(where + "/pid") and os.path.getsize(where + "/pid"),
                     "the daemon's pid file")
            with open(where + "/pid") as f:
                pid = int(f.read())
        return found
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def compare(options):
    if IS_REFERENCE:
        raise Skip("two servers are compared")
    todo = list(options)
    differences = []

    def work(unused):
        while todo:
            try:
                line = todo.pop()
            except IndexError:
                return
            theirs, ours = outcome(MEMCACHED, line), outcome(KEEPD, line)
            if ours != theirs and not is_meant(line, ours):
                differences.append("%s: memcached %s, keepd %s" % (line, theirs, ours))
    in_threads(2, work)
    assert not differences, "\n".join(sorted(differences))
    show("%d command lines" % len(options))


@case
def options_alone():
    compare(lines(ALONE))


@case
def extended_options_alone():
    compare(["-o " + entry for entry in lines(EXTENDED)])


@case
def options_together():
    compare(lines(TOGETHER))


@case
def wrong_options():
    compare(lines(WRONG))


@case
def every_option_of_the_manual_is_here():
    """The tables above leave none out that memcached's -h tells of."""
    text = subprocess.run([MEMCACHED, "-h"], capture_output=True, text=True,
                          timeout=TIMEOUT_S).stdout
    known = SHORT | set(re.findall(r"(?<!\S)(--?[\w-]+)", ALONE + TOGETHER + WRONG))
    options = set(re.findall(r"^(-\w|-v+)\b", text, re.M)) | set(
        re.findall(r"^-\w,?\s+(--[\w-]+)", text, re.M))
    known |= {word[:2] for word in known}
    missing = {o for o in options if o not in known} - {"--enable-ssl", "--extended", "--daemon"}
    assert not missing, missing
    sub = set(re.findall(r"^   - (\w+):", text, re.M))
    tested = set(re.findall(r"\b(?!no_)([a-z_0-9]+)", EXTENDED)) | set(
        re.findall(r"\b(no_\w+)", EXTENDED))
    missing = {s for s in sub if s not in tested and not s.startswith(("ext_", "ssl_"))}
    assert not missing, missing


@case
def what_only_prints():
    for option in sorted(SHORT):
        theirs = subprocess.run([MEMCACHED, option], capture_output=True, timeout=TIMEOUT_S)
        ours = subprocess.run([KEEPD, option], capture_output=True, timeout=TIMEOUT_S)
        assert (theirs.returncode, bool(theirs.stdout), bool(theirs.stderr)) == (
            ours.returncode, bool(ours.stdout), bool(ours.stderr)), option


@case
def debians_configuration():
    """/etc/memcached.conf as the package brings it, through the unit's wrapper, with our program."""
    if IS_REFERENCE or os.geteuid() != 0:
        raise Skip("needs root and keepd")
    where = folder()
    os.chmod(where, 0o777)
    with open(WRAPPER) as f:
        wrapper = f.read().replace(MEMCACHED, KEEPD)
    with open("/usr/share/memcached/memcached.conf.default") as f:
        text = f.read()
    assert "-l 127.0.0.1" in text and "-p 11211" in text and "-u memcache" in text
    switched_on = re.sub(r"^# (-(?:v|vv|c 1024|k|M|r))$", r"\1", text, flags=re.M)
    for config in (text, switched_on):
        port = free_port()
        config = config.replace("-p 11211", "-p %d" % port).replace(
            "/var/run/memcached", where).replace("-u memcache", "-u " + USER)
        if os.path.exists(where + "/memcached.pid"):
            os.unlink(where + "/memcached.pid")  # both leave it there without -d
        with open(where + "/wrapper", "w") as f:
            f.write(wrapper)
        with open(where + "/memcached.conf", "w") as f:
            f.write(config)
        process = subprocess.Popen(["perl", where + "/wrapper", where + "/memcached.conf"],
                                   cwd=where, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: answers(None, port) or process.poll() is not None, "the server")
            assert process.poll() is None, process.returncode
            wait_for(lambda: os.path.exists(where + "/memcached.pid"), "the pid file")
            with open(where + "/memcached.pid") as f:
                found = f.read()
            assert int(found) == process.pid, (found, process.pid)
        finally:
            process.terminate()
        assert process.wait(TIMEOUT_S) == 0


run()
