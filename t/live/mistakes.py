#!/usr/bin/python3
"""Mistakes of memcached that take a server of their own to show; doc/security.md has them all."""

import os
import re
import shutil

from accounts import (GET, LIST, OK, REFUSED, SET, START, Accounts, plain, sasldb, two_tenants)
from harness import (Server, Skip, case, folder, packet, run, run_program, store_packet, user_args,
                     wait_for)

REALM = "test"


def settings_by_text(server):
    with server.connect() as c:
        return c.stats(b"settings")


def settings_by_binary(server):
    found = {}
    with server.connect() as c:
        c.send(packet(0x10, b"settings"))
        while True:
            reply = c.reply()
            assert reply.status == OK and not reply.extras
            if not reply.key:
                assert not reply.value
                return found
            found[reply.key.decode()] = reply.value.decode("latin-1")


@case(keepd_only="shows its stack")
def bug_2_long_settings_by_binary():
    """A setting of any length shows itself and not a byte more."""
    path = os.path.join(folder(), "d" * 100)
    os.mkdir(path)
    password_file = os.path.join(path, "p" * 120)
    with open(password_file, "w") as f:
        f.write("alice:apw\n")
    listen = ",".join(["127.0.0.1:0"] * 30)
    with Server("-m", 64, listen=listen) as server:
        by_text, by_binary = settings_by_text(server), settings_by_binary(server)
        assert by_binary["inter"] == by_text["inter"] == listen
        assert by_binary == by_text
        assert all(value.isprintable() for value in by_binary.values())
    with Server("-m", 64, "-Y", password_file) as server, server.connect() as c:
        assert c.set(b"login", b"alice apw") == b"STORED"
        assert c.stats(b"settings")["auth_enabled_ascii"] == password_file
    with Server("-m", 64, "--log-file", os.path.join(path, "l" * 100)) as server:
        assert settings_by_binary(server) == settings_by_text(server)


# ---------------------------------------------------------------- logins

def sasl_server(conf, *args, **env):
    """-S with this memcached.conf (None: none at all) and alice in a sasldb."""
    if not shutil.which("saslpasswd2"):
        raise Skip("no sasl2-bin")
    path, database = sasldb({"alice": "apw"}, REALM)
    if conf is not None:
        with open(os.path.join(path, "memcached.conf"), "w") as f:
            f.write(conf + "sasldb_path: %s\n" % database)
    return Server("-S", "--realm=" + REALM, *args, env=dict(env, SASL_CONF_PATH=path))


def login(c, user, password, mechanism=b"PLAIN"):
    c.send(packet(START, mechanism, value=plain(user, password)))
    return c.reply().status


@case(keepd_only="takes ANONYMOUS for a login, and offers it without a mech_list")
def bug_7_anonymous():
    for conf in ("", "mech_list: anonymous plain\n", "mech_list: ANONYMOUS\n"):
        try:
            server = sasl_server(conf)
        except AssertionError as e:
            assert conf == "mech_list: ANONYMOUS\n" and "server ended with" in str(e), e
            continue
        with server, server.connect() as c:
            c.send(packet(LIST))
            assert b"ANONYMOUS" not in c.reply().value.split(b" ")
            for value in (b"", b"anybody", b"\0"):
                c.send(packet(START, b"ANONYMOUS", value=value))
                assert c.reply().status == REFUSED
                c.send(packet(SET, b"k", bytes(8), b"v"))
                assert c.reply().status == REFUSED
                c.close()
                c = server.connect()
            c.close()


@case(keepd_only="drops its callbacks")
def bug_13_config_and_log_without_pwdb():
    """Without MEMCACHED_SASL_PWDB the configuration is looked for, and failures are logged."""
    with sasl_server("mech_list: plain\n", "-v") as server:
        with server.connect() as c:
            c.send(packet(LIST))
            assert c.reply().value == b"PLAIN"
            assert login(c, "alice", "apw") == OK
        with server.connect() as c:
            assert login(c, "alice", "wrong") == REFUSED
        wait_for(lambda: "event=login_failed" in server.log() and "event=login " in server.log(),
                 "both in the log")


def check_refused(server, request):
    with server.connect() as c:
        c.try_send(request)
        c.finish_sending()
        data = c.wait_closed()
    for word in (b"STORED", b"VALUE", b"END", b"HD", b"VA ", b"EN\r\n"):
        assert word not in data, (request, data)
    assert data[:1] != b"\x81" or data[6:8] == b"\0\x20", (request, data)


@case(keepd_only="lets text clients in, and binary ones on a descriptor that was theirs")
def bug_14_login_on_every_listener():
    """Whatever a listener speaks, and whoever had the descriptor before."""
    listen = "proto[ascii]:127.0.0.1:0,proto[negotiating]:127.0.0.1:0,proto[binary]:127.0.0.1:0"
    for args in (("-S", "--realm=" + REALM), (two_tenants().option,)):
        with Server("-m", 64, *args, listen=listen) as server:
            for _, port in server.ports() * 10:
                server.port = port
                for request in (b"set k 0 0 1\r\nv\r\nget k\r\n", b"ms k 1\r\nv\r\nmg k v\r\n",
                                packet(SET, b"k", bytes(8), b"v") + packet(GET, b"k")):
                    check_refused(server, request)


@case(keepd_only="reads eight users, and closes after a short line")
def bug_23_password_file():
    path = os.path.join(folder(), "passwords")
    with open(path, "w") as f:
        f.write("".join("user%d:pw%d\n" % (i, i) for i in range(300)))
    with Server("-m", 64, "-Y", path) as server:
        for i in (0, 7, 8, 9, 150, 299):
            with server.connect() as c:
                assert c.set(b"login", b"user%d pw%d" % (i, i)) == b"STORED", i
                assert c.set(b"k", b"v") == b"STORED"
        for line in (b"", b"a", b"ab", b"a b", b"user1", b"user1 "):
            with server.connect() as c:
                assert c.set(b"login", line).startswith(b"CLIENT_ERROR "), line
                assert c.set(b"login", b"user1 pw1") == b"STORED", line
        with server.connect() as c:
            n_failures = 0
            try:
                while n_failures < 50:
                    assert c.set(b"login", b"user1 wrong").startswith(b"CLIENT_ERROR ")
                    n_failures += 1
            except (EOFError, ConnectionError):
                pass
            assert 3 <= n_failures < 50, n_failures


@case(keepd_only="has no rights")
def bug_24_rights_of_administrators():
    """Who may read and write may not stop, empty, blind or change the server."""
    accounts = Accounts().tenant("t").user("alice", "t", "apw", rights="read,write,stats")
    accounts.user("bob", "t", "bpw", rights="read,write")
    with Server("-m", 64, "-A", accounts.option) as server, server.connect() as c:
        assert c.set(b"login", b"alice apw") == b"STORED"
        assert c.set(b"k", b"v") == b"STORED"
        before = c.stats(b"settings")
        for command in (b"flush_all", b"flush_all 10", b"cache_memlimit 32", b"verbosity 2",
                        b"refresh_certs", b"lru tune 10 25 0.1 2.0", b"lru mode flat",
                        b"lru temp_ttl 60", b"lru_crawler disable", b"slabs automove 2",
                        b"slabs reassign 1 2", b"shutdown",
                        b"shutdown graceful"):
            answer = c.ask(command)
            assert answer.split()[0] in (b"CLIENT_ERROR", b"SERVER_ERROR", b"ERROR"), (command, answer)
        assert c.get(b"k") == b"v"
        assert c.stats(b"settings") == before
        with server.connect() as bob: # the statistics of the tenant have a right of their own
            assert bob.set(b"login", b"bob bpw") == b"STORED"
            for command in (b"stats reset", b"stats detail on", b"stats"):
                answer = bob.ask(command)
                assert answer.split()[0] in (b"CLIENT_ERROR", b"SERVER_ERROR", b"END"), answer
            assert bob.set(b"k2", b"v") == b"STORED"
        assert int(c.stats()["cmd_set"]) == 2
        assert c.ask(b"mn") == b"MN"


# ---------------------------------------------------------------- the rest

@case
def bug_4_flushes_in_a_row():
    """What an immediate flush took does not come back with a delayed one behind it."""
    with Server("-m", 64) as server, server.connect() as c:
        assert c.set(b"a", b"v") == b"STORED"
        second = int(c.stats()["time"])
        wait_for(lambda: int(c.stats()["time"]) > second + 1, "two seconds to pass")
        assert c.ask(b"flush_all") == b"OK"
        assert c.ask(b"flush_all 100") == b"OK"
        assert c.get(b"a") is None
        assert c.set(b"a", b"w", verb=b"add") == b"STORED"
        assert c.get(b"a") == b"w"



@case
def bug_20_slab_options():
    status, _, error = run_program(*user_args(), "-o", "slab_sizes")
    assert status == 64 and "slab_sizes" in error
    for option in ("slab_chunk_max=0", "slab_chunk_max=1", "slab_sizes=100-200"):
        with Server("-m", 64, "-o", option) as server, server.connect() as c:
            for n in (1, 1000, 100000, 1000000):
                assert c.set(b"k", b"x" * n) == b"STORED", (option, n)
                assert c.get(b"k") == b"x" * n


@case(keepd_only="shows garbage")
def bug_16_lines_of_watchers():
    """What did not fit has no class, the right connection and size; lives are never huge."""
    with Server("-m", 64, "-M") as server, server.connect() as w, server.connect() as c:
        assert c.ask(b"mn") == b"MN" and w.ask(b"watch mutations rawcmds") == b"OK"
        descriptors = os.listdir("/proc/%d/fd" % server.pid)

        def lines(n):
            found = [w.line() for _ in range(n)]
            for line in found:
                words = dict(word.split(b"=", 1) for word in line.split(b" "))
                assert re.fullmatch(rb"[0-9]{10}\.[0-9]{6}", words[b"ts"]), line
                assert words.get(b"cfd", descriptors[0].encode()).decode() in descriptors, line
                assert int(words.get(b"ttl", 0)) < 10000, line
                assert int(words.get(b"clsid", 0)) <= 4, line
                yield line, words
        for exptime in (0, 100, -1, 1):
            c.set(b"a", b"1", exptime=exptime)
        c.send(b"set huge 0 0 9000000\r\n" + b"x" * 9000000 + b"\r\n")
        assert c.line() == b"SERVER_ERROR object too large for cache"
        n_stored = 0
        while c.set(b"n%d" % n_stored, b"n" * 900000) == b"STORED":
            n_stored += 1
        found = list(lines(2 * (4 + 1 + n_stored + 1)))
        types = [words[b"type"] for _, words in found]
        assert {b"item_store"} < set(types), set(types)
        statuses = [words[b"status"] for _, words in found if words[b"type"] == b"item_store"]
        assert statuses == [b"stored"] * 4 + [b"too_large"] + [b"stored"] * n_stored + [b"no_memory"]


@case(keepd_only="counts no refused binary stores")
def bug_26_what_is_counted():
    with Server("-m", 64, "-M") as server, server.connect() as c:
        for request in (b"mg a v", b"ms a 0\r\n", b"md a", b"ma a", b"me a"):
            c.ask(request)
        stats = c.stats()
        assert [int(stats[name]) for name in ("cmd_get", "cmd_set", "delete_hits", "incr_misses",
                                              "cmd_meta")] == [1, 1, 1, 1, 1], stats
        with server.connect() as b:
            b.send(store_packet(1, b"huge", b"", n_body=9000000) + bytes(9000000 - 12))
            assert b.reply().status == 3
        assert int(c.stats()["store_too_large"]) == 1
        with server.connect() as b:
            statuses = set()
            for i in range(100):
                b.send(store_packet(1, b"k%d" % i, b"x" * 1000000))
                statuses.add(b.reply().status)
            assert statuses == {OK, 0x82}, statuses
        assert int(c.stats()["store_no_memory"]) > 0


run()
