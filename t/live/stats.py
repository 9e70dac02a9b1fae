#!/usr/bin/python3
"""The statistics: the names that monitoring tools need, and the forms that they can read."""

import re

from harness import IS_REFERENCE, Server, case, packet, run

# Read by one tool or another; the first line is fatal to the Prometheus exporter when absent.
NEEDED = """
    cmd_set cas_misses cas_hits cas_badval
    pid uptime time version pointer_size rusage_user rusage_system max_connections curr_connections
    total_connections rejected_connections connection_structures cmd_get cmd_flush cmd_touch get_hits
    get_misses get_expired get_flushed delete_hits delete_misses incr_hits incr_misses decr_hits
    decr_misses touch_hits touch_misses auth_cmds auth_errors bytes_read bytes_written
    limit_maxbytes accepting_conns listen_disabled_num conn_yields threads hash_power_level
    hash_bytes hash_is_expanding bytes curr_items total_items expired_unfetched evicted_unfetched
    evictions reclaimed store_too_large store_no_memory""".split()

NEEDED_SETTINGS = """
    maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask
    growth_factor chunk_size num_threads stat_key_prefix detail_enabled reqs_per_event cas_enabled
    tcp_backlog binding_protocol auth_enabled_sasl item_size_max maxconns_fast hashpower_init
    lru_crawler lru_crawler_sleep lru_crawler_tocrawl lru_maintainer_thread hot_lru_pct
    warm_lru_pct hot_max_factor warm_max_factor""".split()


def raw(server, command):
    with server.connect() as c:
        c.send(command + b"\r\n")
        data = b""
        while not data.endswith(b"END\r\n"):
            data += c.read(1)
        return data


def used(server):
    with server.connect() as c:
        for i in range(50):
            c.set(b"k%d" % i, b"v" * i, flags=i, exptime=i)
            c.get(b"k%d" % i)
        c.get(b"absent")
        c.ask(b"incr absent 1")
        c.ask(b"delete absent")


@case
def names_that_tools_need():
    with Server() as server:
        stats = server.stats()
        missing = [name for name in NEEDED if name not in stats]
        assert not missing, missing
        assert not [name for name in stats if name.startswith(("extstore_", "proxy_"))]
        settings = server.stats(b"settings")
        missing = [name for name in NEEDED_SETTINGS if name not in settings]
        assert not missing, missing


@case
def three_words_per_line():
    with Server("-o", "track_sizes") as server:
        used(server)
        for what in (b"", b" settings", b" items", b" slabs", b" sizes", b" conns"):
            for line in raw(server, b"stats" + what).split(b"\r\n")[:-2]:
                assert re.fullmatch(rb"STAT \S+ \S+", line), line


@case
def plain_stats_fit_4_kb():
    with Server() as server:
        used(server)
        size = len(raw(server, b"stats"))
        assert size < 4096, size


@case
def cpu_times_have_six_digits():
    with Server() as server:
        stats = server.stats()
        for name in ("rusage_user", "rusage_system"):
            assert re.fullmatch(r"\d+\.\d{6}", stats[name]), stats[name]


@case
def version_is_short_and_plain():
    with Server() as server:
        version = server.stats()["version"]
        assert re.fullmatch(r"1\.\d{1,3}\.\d{1,3}", version) or \
            IS_REFERENCE and version.startswith("1."), version
        assert len(version) <= 31
        with server.connect() as c:
            assert c.ask(b"version") == b"VERSION " + version.encode()


@case(keepd_only="memcached is not keepd")
def own_version_stands_apart():
    with Server() as server:
        stats = server.stats()
        assert re.fullmatch(r"\d+\.\d+\.\d+", stats["keepd_version"])
        assert stats["version"] == "1.6.45"


@case
def bare_line_feed_is_enough():
    with Server() as server, server.connect() as c:
        c.send(b"stats\n")
        assert len(c.lines()) > 40


@case
def counters_count():
    with Server() as server, server.connect() as c:
        c.set(b"a", b"5")
        c.get(b"a")
        c.get(b"no")
        c.ask(b"incr a 1")
        c.ask(b"incr no 1")
        c.ask(b"decr a 1")
        c.ask(b"decr no 1")
        c.ask(b"touch a 100")
        c.ask(b"touch no 100")
        c.send(b"cas no 0 0 1 1\r\n1\r\ncas a 0 0 1 1\r\n1\r\n")
        assert [c.line(), c.line()] == [b"NOT_FOUND", b"EXISTS"]
        c.send(b"gets a\r\n")
        token = c.lines()[0].split()[-1]
        c.send(b"cas a 0 0 1 " + token + b"\r\n1\r\n")
        assert c.line() == b"STORED"
        c.ask(b"delete a")
        c.ask(b"delete a")
        c.ask(b"flush_all")
        stats = c.stats()
        expected = dict(cmd_get=3, get_hits=2, get_misses=1, incr_hits=1, incr_misses=1, decr_hits=1,
                        decr_misses=1, cmd_touch=2, touch_hits=1, touch_misses=1, cas_misses=1,
                        cas_badval=1, cas_hits=1, cmd_set=4, delete_hits=1, delete_misses=1,
                        cmd_flush=1, curr_items=0, curr_connections=1,
                        auth_cmds=0, evictions=0)
        if IS_REFERENCE:
            for name in ("curr_items", "curr_connections"):
                del expected[name]
        found = {name: int(stats[name]) for name in expected}
        wrong = {n: (found[n], expected[n]) for n in expected if found[n] != expected[n]}
        assert not wrong, "found, expected: %s" % wrong


@case
def get_expired_and_get_flushed():
    with Server() as server, server.connect() as c:
        c.set(b"a", b"1", exptime=-1)
        c.get(b"a")
        c.set(b"b", b"1")
        c.ask(b"flush_all")
        c.get(b"b")
        stats = c.stats()
        assert int(stats["get_misses"]) == 2, stats["get_misses"]


@case
def stats_reset():
    with Server() as server, server.connect() as c:
        used(server)
        assert int(c.stats()["cmd_get"]) >= 50
        assert c.ask(b"stats reset") == b"RESET"
        stats = c.stats()
        assert stats["cmd_get"] == "0" and stats["cmd_set"] == "0" and stats["total_items"] == "0"
        assert int(stats["curr_items"]) > 0 and int(stats["curr_connections"]) > 0


@case
def bytes_read_and_written():
    with Server() as server, server.connect() as c:
        before = c.stats()
        c.set(b"a", b"x" * 10000)
        c.get(b"a")
        after = c.stats()
        assert int(after["bytes_read"]) - int(before["bytes_read"]) >= 10000
        assert int(after["bytes_written"]) - int(before["bytes_written"]) >= 10000


@case
def items_and_slabs_tell_of_what_is_there():
    with Server() as server:
        with server.connect() as c:
            assert not [n for n in c.stats(b"items")]
        used(server)
        with server.connect() as c:
            items = c.stats(b"items")
            assert all(re.fullmatch(r"items:\d+:\w+", n) for n in items), items
            numbers = [int(v) for n, v in items.items() if n.endswith(":number")]
            assert sum(numbers) == int(c.stats()["curr_items"])
            assert all("items:%s:age" % n.split(":")[1] in items and
                       "items:%s:evicted" % n.split(":")[1] in items for n in items)
            slabs = c.stats(b"slabs")
            assert "active_slabs" in slabs and "total_malloced" in slabs
            classes = {n.split(":")[0] for n in slabs if ":" in n}
            for name in ("chunk_size", "chunks_per_page", "total_pages", "total_chunks",
                         "used_chunks", "free_chunks", "cmd_set", "cas_hits", "cas_badval"):
                for k in classes:
                    assert k + ":" + name in slabs, k + ":" + name


@case
def binary_stats_are_the_same():
    with Server() as server, server.connect() as c:
        for what in (b"", b"settings", b"items", b"slabs"):
            c.send(packet(0x10, what, opaque=7))
            found = {}
            while True:
                r = c.reply()
                assert (r.opcode, r.status, r.opaque) == (0x10, 0, 7), r
                if not r.key and not r.value:
                    break
                found[r.key.decode()] = r.value.decode()
            assert set(found) == set(server.stats(what)), what
        # keepd ends every STAT with the empty packet: some clients wait for it for ever.
        r = c.ask_binary(0x10, b"nosuch")
        assert r.status == 1 if IS_REFERENCE else not (r.status or r.key or r.value), r


@case
def unknown_subcommand():
    with Server() as server, server.connect() as c:
        assert c.ask(b"stats nosuch") == b"ERROR"
        assert c.ask(b"stats cachedump") == b"CLIENT_ERROR bad command line"
        assert c.ask(b"stats cachedump 64 1") == b"CLIENT_ERROR Illegal slab id"
        assert c.ask(b"stats detail x") == b"CLIENT_ERROR usage: stats detail on|off|dump"


@case
def metadump_lists_every_key():
    with Server() as server:
        with server.connect() as c:
            for i in range(1000):
                c.set(b"d:%d" % i, b"v" * i, exptime=1000)
        with server.connect() as c:
            c.send(b"lru_crawler metadump all\r\n")
            lines = [line for line in c.lines() if line != b"OK"]
            keys = {re.match(rb"key=(\S+) exp=\d+ la=\d+ cas=\d+ fetch=(?:yes|no) cls=\d+ size=\d+",
                             line)[1] for line in lines}
            assert keys == {b"d%%3A%d" % i for i in range(1000)}, len(keys)


@case
def watchers_see_what_happens():
    with Server() as server:
        with server.connect() as w, server.connect() as c:
            answer = w.ask(b"watch fetchers mutations")
            assert answer == b"OK", answer
            c.set(b"seen", b"1")
            c.get(b"seen")
            lines = [w.line() for _ in range(2)]
            assert any(b"type=item_store" in s and b"key=seen" in s for s in lines), lines


run()
