#!/usr/bin/python3
"""Wrong options: the exit code and the message that memcached's users know."""

import os
import socket
import subprocess

from harness import case, folder, run, run_program, user_args

# options, exit code, what stderr says
ROWS = [
    ("-p 70000", 64, "ERROR: Invalid port number 70000."),
    ("-u no-such-user-here", 67, "can't find the user no-such-user-here to switch to"),
    ("-m 1 -I 1m", 64, "Cannot set item size limit higher than 1/2 of memory max."),
    ("-c 0", 1, "Maximum connections must be greater than 0"),
    ("-c -5", 1, "Maximum connections must be greater than 0"),
    ("-f 1.0", 1, "Factor must be greater than 1"),
    ("-n 0", 1, "Chunk size must be greater than 0"),
    ("-t 0", 1, "Number of threads must be greater than 0"),
    ("-t -1", 1, "Number of threads must be greater than 0"),
    ("-R 0", 1, "Number of requests per event must be greater than 0"),
    ("-B foo", 64, "Invalid value for binding protocol: foo"),
    ("-B foo", 64, " -- should be one of auto, binary, or ascii"),
    ("-I 1000", 64, "Item max size cannot be less than 1024 bytes."),
    ("-m 4096 -I 1025m", 64, "Cannot set item size limit higher than a gigabyte."),
    ("-S -B ascii", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."),
    ("-S -B auto", 64, "ERROR: You cannot allow the ASCII protocol while using SASL."),
    ("-o slab_sizes=8-4", 64, "slab size"),
    ("-o foo", 1, 'Illegal suboption "foo"'),
    ("-o hashpower", 1, "Missing numeric argument for hashpower"),
    ("-o hashpower=11", 1, "Initial hashtable multiplier of 11 is too low"),
    ("-o hashpower=33", 1, "Initial hashtable multiplier of 33 is too high"),
    ("-o slab_automove=3", 1, "slab_automove must be between 0 and 2"),
    ("-o slab_automove_ratio=2", 1, "slab_automove_ratio must be > 0 and < 1"),
    ("-o tail_repair_time=5", 1, "Cannot set tail_repair_time to less than 10 seconds"),
    ("-o hash_algorithm=md5", 1, "Unknown hash_algorithm option (jenkins, murmur3"),
    ("-o lru_crawler_sleep=1000001", 1, "LRU crawler sleep must be between 0 and 1 second"),
    ("-o lru_crawler_tocrawl=x", 1, "lru_crawler_tocrawl takes a numeric 32bit value"),
    ("-o hot_lru_pct=80", 1, "hot_lru_pct must be > 1 and < 80"),
    ("-o hot_max_factor=0", 1, "hot_max_factor must be > 0"),
    ("-o idle_timeout", 1, "Missing numeric argument for idle_timeout"),
    ("-o worker_logbuf_size=x", 1, "could not parse argument to worker_logbuf_size"),
    ("-Z -p 0 -s /tmp/unused", 64, "ERROR: You cannot enable SSL without a TCP port."),
    ("-l no.such.host.invalid", 71, "getaddrinfo(): "),
    ("-l 192.0.2.1 -p -1", 71, "bind(): Cannot assign requested address"),
    ("-l 127.0.0.1:abc", 71, 'Invalid port number: "abc"'),
    ("-l [::1", 71, 'Invalid IPV6 address: "[::1"'),
    ("-l tag[waytoolong]:127.0.0.1", 71, "Listener tags must be between 1 and 8 characters"),
    ("-l notls:127.0.0.1", 71, "'notls' option is valid only when SSL is enabled"),
    ("--no-such-option", 1, 'Illegal argument "?"'),
    ("-D", 1, 'Illegal argument "?"'),
    ("-o hash_algorithm", 1, "Missing hash_algorithm argument"),
]

# The same, where memcached 1.6.18 differs.
NEWER_ROWS = [
    ("-R -1", 1, "Number of requests per event must be greater than 0"),
    ("-o slab_automove_window=2", 1, "slab_automove_window must be > 2 and < 1800"),
    ("-l proto[ascii:127.0.0.1", 71, "Invalid protocol spec: "),
]


def check(rows):
    wrong = []
    for options, status, message in rows:
        if "-u " in options and os.geteuid() != 0:
            continue  # only root can become somebody else
        who = [] if "-u" in options else user_args()
        try:
            got, out, err = run_program(*who, *options.split())
        except subprocess.TimeoutExpired:
            wrong.append("%s: starts, expected %d with %r" % (options, status, message))
            continue
        if got != status or message not in err or out.strip():
            wrong.append("%s: status %s, expected %d with %r\n%s%s" %
                         (options, got, status, message, out, err))
    assert not wrong, "\n".join(wrong)


@case
def wrong_options():
    check(ROWS)


@case(keepd_only="1.6.18 is older than this behaviour")
def wrong_options_of_newer_versions():
    check(NEWER_ROWS)


@case(keepd_only="1.6.18 has another text")
def root_must_say_so():
    if os.geteuid() != 0:
        return
    status, _, err = run_program("-p", "-1", "-l", "127.0.0.1")
    assert status == 64 and "must add '-u root' to start as root" in err, (status, err)


@case
def unix_socket_path_that_cannot_be():
    status, _, err = run_program(*user_args(), "-s", folder() + "/no/such/folder/socket")
    assert status == 71 and "failed to listen on UNIX socket" in err, (status, err)


@case(keepd_only="the path is cut silently")
def unix_socket_path_too_long():
    path = folder() + "/" + "s" * 120
    status, _, err = run_program(*user_args(), "-s", path)
    assert status in (64, 71) and path in err, (status, err)


@case
def many_threads_are_a_warning():
    status, _, err = run_program(*user_args(), "-t", "65", "-l", "192.0.2.1")
    assert "Setting a high number of" in err and status == 71, err


@case(keepd_only="the lines are keepd's")
def mistakes_say_what_to_do():
    """Which option, which file, and why; and nothing that is untrue of the value."""
    path = folder()
    plain = path + "/file"
    with open(plain, "w") as f:
        f.write("")
    gone = path + "/no/such/folder/file"
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    for options, wanted in (
            (["--log-file", gone], "--log-file %s: No such file or directory" % gone),
            (["--log-file", path], "--log-file %s: Is a directory" % path),
            (["--takeover", gone], "--takeover %s: bind(): No such file or directory" % gone),
            (["-l", "127.0.0.1:%d" % port], "bind(): Address already in use; another process has port %d" % port),
            (["-l", "192.0.2.1"], "bind(): Cannot assign requested address; this machine has no such"),
            (["-s", plain], "bind(): Address already in use: remove what is there, it is no socket"),
            (["-t", "100000"], 'keepd: -t/--threads takes a number from 1 to 1024, not "100000"'),
            (["-c", "100000000"], "keepd: -c/--conn-limit takes a number from 1 to 10000000"),
            (["-f", "1"], "keepd: -f/--slab-growth-factor takes a number above 1, at most 1000000"),
            (["-o", "hot_max_factor=0"], "takes a number above 0, at most 1000000, not"),
            (["-e", gone], "failed to open file for mmap: %s: No such file or directory" % gone),
            (["-Y", gone], "keepd: %s: cannot be opened: No such file or directory" % gone),
            (["--tenants", gone], "keepd: %s: cannot be opened: No such file or directory" % gone)):
        status, _, err = run_program(*user_args(), "-p", "-1", "-l", "127.0.0.1", *options)
        assert status not in (0, None) and wanted in err, (options, status, err)
        assert "must be greater than 0" not in err, (options, err)
    other.close()


run()
