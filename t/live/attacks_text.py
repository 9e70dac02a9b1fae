#!/usr/bin/python3
"""Attacks and bad input on the text and meta commands."""

import base64
import os
import struct

from harness import (IS_REFERENCE, MIB, SLACK, Server, answers, case, folder, packet, run,
                     store_packet, wait_for)

DATA_COMMANDS = (b"set", b"add", b"replace", b"append", b"prepend", b"cas")
COMMANDS = DATA_COMMANDS + (
    b"get", b"gets", b"gat", b"gats", b"incr", b"decr", b"delete", b"touch", b"mg", b"ms", b"md",
    b"ma", b"me", b"mn", b"flush_all", b"verbosity", b"version", b"stats", b"slabs", b"lru",
    b"lru_crawler", b"cache_memlimit", b"extstore", b"refresh_certs", b"watch", b"shutdown")


def goes_on(server, data):
    """What comes back for data, and for the request behind it, which is served too."""
    found = answers(server, data + b"mn\r\n")
    assert found.endswith(b"MN\r\n") or IS_REFERENCE, (data[:60], found[-200:])
    return found


@case
def cve_2009_1255_stats_maps():
    with Server() as server:
        with open("/proc/%d/maps" % server.pid) as f:
            a_path = os.path.basename(f.readline().split()[-1]).encode()
        with server.connect() as c:
            for name in (b"maps", b"mallocs", b"malloc", b"cmdline", b"environ"):
                c.send(b"stats " + name + b"\r\n")
                assert c.line() == b"ERROR"
        data = answers(server, b"stats maps\r\nstats\r\nstats settings\r\n")
        data += answers(server, b"".join(packet(0x10, name) for name in
                                         (b"maps", b"mallocs", b"cmdline", b"", b"settings")))
        assert b"STAT pid " in data and b"\0\3\0\0" in data, "both dialects were answered"
        assert a_path + b"\n" not in data and b"r-xp" not in data


@case
def cve_2010_1152_line_without_end():
    with Server("-m", 64) as server:
        before = server.rss()
        for start in (b"", b"set ", b"a", b"\0", b" ", b"mg ", b"gat 0 "):
            with server.connect() as c:
                c.send(start)
                for _ in range(64):
                    if not c.try_send(b"a" * MIB):
                        break
                assert server.rss() - before < 16 * MIB * SLACK
                server.check_alive()


@case(keepd_only="the buffer doubles without limit")
def endless_get_line():
    with Server("-m", 64) as server:
        before = server.rss()
        for start in (b"get ", b"gets ", b"get " + b"a" * 200 + b" "):
            with server.connect() as c:
                c.send(start)
                for _ in range(256):
                    if not c.try_send((b"b" * 100 + b" ") * 10000):
                        break
                    assert server.rss() - before < 16 * MIB * SLACK
        server.check_alive()


@case
def cve_2019_11596_lru_mode():
    with Server() as server:
        for command in (b"lru", b"lru mode", b"lru mode x", b"lru tune", b"lru tune 1", b"lru tune a b c d",
                        b"lru temp_ttl", b"lru temp_ttl x", b"slabs", b"slabs reassign",
                        b"slabs reassign 1", b"slabs reassign a b", b"slabs automove",
                        b"slabs automove x", b"slabs automove ratio", b"lru_crawler",
                        b"lru_crawler crawl", b"lru_crawler sleep", b"lru_crawler sleep x",
                        b"lru_crawler tocrawl", b"lru_crawler metadump", b"cache_memlimit",
                        b"cache_memlimit x", b"verbosity", b"verbosity x", b"watch x", b"flush_all x",
                        b"extstore", b"extstore x", b"shutdown", b"stats detail", b"stats cachedump",
                        b"refresh_certs", b"extstore free_memchunks", b"lru_crawler crawl 999"):
            for line in (command, command + b" ", command + b" " * 100,
                         command + b" " + b"9" * 30, command + b" " + b"x " * 30,
                         command + b" -1 -1 -1 -1 -1"):
                goes_on(server, line + b"\r\n")
        server.check_alive()


@case
def cve_2020_22570_meta_flags():
    with Server("-m", 64) as server:
        for command in (b"mg k", b"md k", b"ma k", b"me k", b"mn", b"ms k 2"):
            data = b"\r\nhi\r\n" if command.startswith(b"ms") else b"\r\n"
            lines = []
            for flag in range(1, 256):
                if flag in (10, 13, 32):
                    continue
                f = bytes([flag])
                for form in (f, f + b" " + f, f + b"1", f + b"-1", f + b"x", f + b"A" * 40,
                             f + b"18446744073709551616"):
                    lines.append(command + b" " + form + data)
            found = goes_on(server, b"".join(lines)).split(b"\r\n")
            # Each line is answered, unless its flag was the q for quiet.
            assert len(lines) - 8 < len(found) < 2 * len(lines) or IS_REFERENCE, (command, len(found))


@case
def cve_2021_37519_auth_file():
    where = folder()
    path = os.path.join(where, "auth")
    for content in (b"", b"\n", b"user", b"user:", b":pass", b"user:pass", b"user:pass\n\n",
                    b"\0\0\0\n", b"user:pa\0ss\n", b":" * 300, b"u" * 300 + b":p\n",
                    b"user:" + b"p" * 5000 + b"\n", b"a:b\n" * 100, b"x" * 65536,
                    b"u:p\n" * 16384):
        with open(path, "wb") as f:
            f.write(content)
        with Server("-Y", path, wait=False, expect_exit=None) as server:
            wait_for(lambda: server.ports() or not server.is_running(), "a start or an end")
            status = server.process.poll()
            assert status is None or status > 0, (content[:30], status)
            if status is None:
                server.port = server.ports()[0][1]
                with server.connect() as c:
                    answer = c.ask(b"get whatever")
                    assert answer == b"CLIENT_ERROR unauthenticated", answer


@case
def cve_2023_46852_spaces_before_key():
    with Server("-m", 64) as server:
        for n in (1, 2, 99, 100, 101, 1000, 2000, 3000):
            for command in (b"get", b"gets", b"gat 0", b"mg", b"delete"):
                for line in (command + b" " * n + b"key", b" " * n + command + b" key"):
                    found = goes_on(server, line + b"\r\n")
                    assert found in (b"END\r\nMN\r\n", b"EN\r\nMN\r\n",
                                     b"NOT_FOUND\r\nMN\r\n") or IS_REFERENCE, (line[:50], found)
        keys = b" ".join(b"k" * 100 for _ in range(200))
        found = goes_on(server, b"get " + b" " * 2000 + keys + b"\r\n")
        assert found == b"END\r\nMN\r\n" or IS_REFERENCE, found[:200]
        server.check_alive()


@case
def cve_2023_46853_bare_lf():
    with Server() as server:
        for command in COMMANDS:
            if command in (b"watch", b"shutdown"):
                continue
            for end in (b"\n", b"\r\r\n", b"\r\n\n", b" \n"):
                is_data = command in DATA_COMMANDS
                rest = b" k 0 0 2" + b" 1" * (command == b"cas") if is_data else b" k"
                goes_on(server, command + rest + end + b"hi\r\n" * is_data)
                goes_on(server, command + rest + end + b"hi\n" * is_data + b"\r\n")
                goes_on(server, command + end)
        with server.connect() as c:
            c.send(b"set lf 0 0 2\nhi\r\nget lf\n")
            assert c.line() == b"STORED" and c.lines() == [b"VALUE lf 0 2", b"hi"]


@case
def bug_empty_and_nul_lines():
    with Server() as server:
        for data, n_answers in ((b"\0" * 1000 + b"\r\n", 1), (b"\r\n" * 1000, 1000),
                                (b"\n" * 5000, 5000), ((b"\0\r\n" + b"\0\0\0\0\n") * 1000, 2000),
                                (b"get \0\r\nset \0 0 0 1\r\n1\r\ndelete a\0b\r\n", 3)):
            found = goes_on(server, data)
            assert found.count(b"\r\n") == n_answers + 1 or IS_REFERENCE, (data[:20], found[:200])


@case
def bug_negative_lengths():
    lengths = [b"-1", b"-2", b"-2147483648", b"-2147483647", b"2147483647", b"2147483646",
               b"2147483645", b"4294967295", b"4294967294", b"4294967296", b"9223372036854775807",
               b"-9223372036854775808", b"18446744073709551615", b"1e3", b"0x10", b"", b" ", b"+"]
    with Server("-m", 64) as server:
        before = server.rss()
        for length in lengths:
            for verb in DATA_COMMANDS:
                cas = b" 1" if verb == b"cas" else b""
                lines = verb + b" k 0 0 " + length + cas + b"\r\n" + b"x" * 64 + b"\r\n"
                # The longest length that is one announces a value, which is waited for.
                found = (answers if length == b"2147483645" else goes_on)(server, lines)
                assert b"ERROR" in found and b"STORED" not in found, (verb, length, found)
            found = answers(server, b"ms k " + length + b"\r\n" + b"x" * 64 + b"\r\n")
            assert b"ERROR" in found and b"HD" not in found, (length, found)
        assert server.rss() - before < 32 * MIB * SLACK
        with server.connect() as c:
            assert c.get(b"k") is None


@case
def bug_incr_on_odd_values():
    with Server() as server, server.connect() as c:
        for value in (b"", b" ", b"   ", b"0", b"00", b"1 2", b"9" * 20, b"9" * 21, b"9" * 300, b"-1",
                      b"1\0", b"\0", b"a", b"18446744073709551615", b"18446744073709551616",
                      b"1" + b" " * 30, b"x" * 1000, b"+5", b" 5"):
            for command in (b"incr n 1", b"decr n 1", b"incr n 18446744073709551615", b"ma n v"):
                c.set(b"n", value)
                answer = c.ask(command)
                if answer.startswith(b"VA "):
                    answer = c.line()
                assert answer.isdigit() and len(answer) <= 20 or answer.startswith(
                    b"CLIENT_ERROR cannot increment"), (value, answer)
                now = c.get(b"n")
                assert len(now) <= max(len(value), 20), (value, now)
                if not answer.isdigit():
                    assert now == value
            with server.connect() as b:
                for opcode in (5, 6):
                    c.set(b"n", value)
                    reply = b.ask_binary(opcode, b"n", struct.pack(">QQL", 1, 0, 0xffffffff))
                    assert (reply.status, len(reply.value)) == (0, 8) or reply.status == 6, reply
                    now = c.get(b"n")
                    assert len(now) <= max(len(value), 20) and (reply.status == 0 or now == value)


@case
def bug_stats_detail_prefixes():
    with Server("-m", 64, "-D", ":") as server, server.connect() as c:
        before = server.rss()
        for i in range(150):
            c.send(b"".join(b"get p%d-%d:%s\r\n" % (i, j, b"k" * 200) for j in range(1000)))
            assert all(c.line() == b"END" for _ in range(1000))
        c.send(b"get " + b"a" * 249 + b":\r\nget :\r\n")
        assert [c.line(), c.line()] == [b"END", b"END"]
        c.send(b"stats detail dump\r\n")
        n = len(c.lines())
        assert n <= 65536 or IS_REFERENCE, n
        assert server.rss() - before < 64 * MIB * SLACK


@case
def bug_slab_commands():
    with Server() as server:
        for line in (b"slabs reassign 0 1", b"slabs reassign 1 63", b"slabs reassign 64 1",
                     b"slabs reassign -1 5", b"slabs reassign 255 255", b"slabs reassign -1 -1",
                     b"slabs reassign 2147483647 1", b"slabs reassign 1 1",
                     b"slabs automove window 0", b"slabs automove window 67108864",
                     b"slabs automove 3", b"slabs automove ratio 0", b"slabs automove ratio 99",
                     b"lru_crawler crawl 63", b"lru_crawler crawl 64", b"lru_crawler crawl 0",
                     b"lru_crawler crawl 1,1,1,1,99", b"stats cachedump 63 1", b"stats cachedump -1 1"):
            goes_on(server, line + b"\r\n")
        server.check_alive()


@case
def bug_metadump_not_read():
    with Server("-m", 64) as server:
        with server.connect() as c:
            for i in range(40):
                c.send(b"".join(b"set %s%d-%d 0 0 1 noreply\r\nx\r\n" % (b"k" * 200, i, j)
                                for j in range(1000)))
            assert c.ask(b"mn") == b"MN"
        before = server.rss()
        dumps = (b"lru_crawler metadump all\r\n", b"lru_crawler mgdump all\r\n")
        for dump in dumps * 3:
            c = server.connect(receive_buffer=4096)
            c.send(dump)
            with server.connect() as other:
                for _ in range(100):
                    assert other.set(b"a", b"1") == b"STORED"
            c.close()
        for dump in dumps:
            with server.connect(receive_buffer=4096) as c:
                c.send(dump)
                c.read(10000)
                c.reset()
        assert server.rss() - before < 32 * MIB * SLACK
        server.check_alive()


@case(keepd_only="1.6.18 crashes on failing binary sets")
def bug_watchers():
    with Server("-m", 64) as server:
        watchers = [server.connect(receive_buffer=4096) for _ in range(20)]
        for w in watchers:
            answer = w.ask(b"watch fetchers mutations evictions connevents")
            assert answer == b"OK", answer
        with server.connect() as late:
            assert late.ask(b"watch") == b"WATCHER_TOO_MANY log watcher limit reached"
        before = server.rss()
        with server.connect() as c, server.connect() as b:
            for i in range(20000):
                c.send(b"set %s%d 0 0 1 noreply\r\nx\r\n" % (b"w" * 200, i))
                if i % 100 == 0:
                    b.send(store_packet(1, b"k", b"x" * 2000000)[:-1000000])
                    b.reset()
                    b = server.connect()
                    assert b.ask_binary(2, b"w", struct.pack(">LL", 0, 0), b"x").status in (0, 2)
            assert c.ask(b"mn") == b"MN"
            b.close()
        for w in watchers[::2]:
            w.reset()
        with server.connect() as c:
            for i in range(2000):
                c.set(b"after", b"1")
        for w in watchers[1::2]:
            w.close()
        assert server.rss() - before < 64 * MIB * SLACK
        server.check_alive()


@case
def http_requests_are_cut():
    with Server() as server:
        for head in (b"POST / HTTP/1.1", b"GET / HTTP/1.0", b"PUT /x HTTP/2"):
            data = answers(server, head + b"\r\nHost: x\r\n\r\nset evil 0 0 1\r\n1\r\n")
            assert b"STORED" not in data, data
        with server.connect() as c:
            assert c.get(b"evil") is None


@case
def shutdown_needs_permission():
    with Server() as server:
        for line in (b"shutdown", b"shutdown graceful", b"shutdown noreply", b"shutdown x"):
            goes_on(server, line + b"\r\n")
        server.check_alive()
        with server.connect() as c:
            answer = c.ask(b"shutdown")
            assert answer.endswith(b"ERROR: shutdown not enabled"), answer


@case(keepd_only="the block of some refused commands is run")
def data_block_never_becomes_commands():
    evil = b"set evil 0 0 1\r\n1\r\n"
    n = b"%d" % (len(evil) - 2)
    long_key = b"k" * 251
    lines = []
    for verb in DATA_COMMANDS:
        more = b" 1" if verb == b"cas" else b""
        lines += [verb + b" k x 0 " + n + more, verb + b" k 0 x " + n + more,
                  verb + b" " + long_key + b" 0 0 " + n + more, verb + b" k -1 0 " + n + more,
                  verb + b" k 4294967296 99999999999 " + n + more,
                  verb + b" k 0 0 " + n + more + b" x y z", verb + b" k 0 0 " + n + b" noreply",
                  verb + b" k x 0 " + n + more + b" noreply"]
    for flags in (b"!", b"T", b"Tx", b"MX", b"S", b"O" + b"o" * 40, b"T1 T1", b"b", b"\xff",
                  b"F-1", b"C", b"Cx", b"T+5", b" ".join(b"%c" % i for i in range(97, 123))):
        lines.append(b"ms k " + n + b" " + flags)
    lines.append(b"ms " + long_key + b" " + n)
    lines.append(b"ms %%%% " + n + b" b")
    large = evil * 120000  # more than an item may have
    with Server() as server:
        wrong = []
        blocks = [(line, evil) for line in lines]
        blocks += [(b"%s k 0 0 %d%s" % (verb, len(large) - 2, b" 1" * (verb == b"cas")), large)
                   for verb in DATA_COMMANDS]
        blocks += [(b"ms k %d" % (len(large) - 2), large), (b"ms k %d q" % (len(large) - 2), large),
                   (b"set k 0 0 %d noreply" % (len(large) - 2), large)]
        for line, block in blocks:
            goes_on(server, line + b"\r\n" + block)
            with server.connect() as c:
                if c.get(b"evil") is not None:
                    wrong.append(line)
                    c.ask(b"delete evil")
        assert not wrong, wrong


@case(keepd_only="earlier answers may be lost")
def replies_before_an_error_arrive():
    with Server() as server:
        good = b"set a 0 0 1\r\n1\r\nget a\r\n"
        wanted = b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n"
        for bad in (b"get " + b"k" * 251 + b"\r\n", b"nonsense\r\n", b"GET / HTTP/1.1\r\n",
                    b"set a 0 0 -1\r\n", b"x" * 5000 + b"\r\n", b"x" * 60000, b"quit\r\n",
                    b"set b 0 0 9999999\r\n", b"mg\r\n", b"incr a x\r\n"):
            data = answers(server, good * 10 + bad)
            assert data.startswith(wanted * 10), (bad[:30], data[:300])
    with Server() as server:
        for bad in (packet(0), packet(0, n_body=0xffffffff), packet(0, n_key=300, n_body=1),
                    b"text on binary\r\n" * 3, packet(0, b"k" * 251)):
            data = answers(server, packet(0x0a) * 10 + bad)
            assert data.count(b"\x81\x0a\0\0") == 10, (bad[:30], data[:300])


@case(keepd_only="an empty line follows in 1.6.45")
def error_reply_is_one_line():
    with Server() as server, server.connect() as c:
        for verb in (b"get", b"gets", b"gat 0", b"gats 0"):
            c.send(verb + b" a " + b"k" * 251 + b"\r\nmn\r\n")
            assert c.line() == b"CLIENT_ERROR bad command line format"
            assert c.line() == b"MN"


@case(keepd_only="answers wait for the whole of the next value")
def reply_without_waiting_for_next():
    with Server() as server:
        for half in (b"set a 0 0 100\r\nabc", b"ms a 100\r\nabc", b"set a 0 0 2000000\r\nabc",
                     b"set a x 0 100\r\nabc", b"get", b"set a 0 0 1\r\n1"):
            with server.connect() as c:
                c.send(b"get no\r\n" + half)
                assert c.line() == b"END", half
                if b"x 0 100" not in half and b"2000000" not in half:
                    assert c.is_silent(0.05)
        for half in (store_packet(1, b"a", b"x" * 100)[:-10], packet(0, b"key")[:-1],
                     store_packet(1, b"a", b"x" * 2000000)[:1000], packet(0)[:10]):
            with server.connect() as c:
                c.send(packet(0x0b) + half)
                assert c.reply().opcode == 0x0b


@case(keepd_only="mgdump and others print the key raw")
def base64_key_cannot_inject():
    for raw in (b"a\r\nEVIL", b"a b", b"k\nEVIL\n", b"\0EVIL"):
        encoded = base64.b64encode(raw)
        with Server() as server:
            with server.connect() as c:
                c.send(b"ms " + encoded + b" 2 b\r\nhi\r\n")
                assert c.line() == b"HD"
                for line in (b"mg " + encoded + b" b k v", b"mg " + encoded + b" b k",
                             b"me " + encoded + b" b", b"ma " + encoded + b" b k v",
                             b"md " + encoded + b" b k I", b"mg " + encoded + b"xx b k",
                             b"lru_crawler metadump all", b"lru_crawler mgdump all",
                             b"stats cachedump 1 100"):
                    with server.connect() as d:
                        d.send(line + b"\r\n")
                        d.finish_sending()
                        data = d.wait_closed()
                        assert raw not in data and b"\nEVIL" not in data, (line, data)
        with Server() as server:
            with server.connect() as c:
                assert c.ask_binary(1, raw, struct.pack(">LL", 0, 0), b"v").status == 0
            for line in (b"lru_crawler metadump all", b"lru_crawler mgdump all",
                         b"stats cachedump 1 100"):
                data = answers(server, line + b"\r\n")
                assert raw not in data and b"\nEVIL" not in data, (line, data)


@case
def cve_2013_0179_verbose_keys():
    with Server("-vvv") as server:
        with server.connect() as c:
            key = b"\xff\x01%s%n" * 31
            for opcode in (0, 1, 4, 9, 0x0c, 0x1c, 0x1d):
                extras = {1: b"\0" * 8, 0x1c: b"\0" * 4, 0x1d: b"\0" * 4}.get(opcode, b"")
                c.send(packet(opcode, key[:250], extras))
            c.send(packet(0x0a))
            while c.reply().opcode != 0x0a:
                pass
        goes_on(server, b"get " + b"\xff" * 250 + b" " + b"%s%n%x" * 30 + b"\r\n")
        server.check_alive()


@case
def cve_2019_15026_unix_socket_stats():
    where = folder()
    for n in (107, 106, 100):
        path = where + "/" + "s" * (n - len(where) - 1)
        with Server("-s", path, listen=None, wait=False) as server:
            server.path = path
            server.wait_ready(unix=True)
            with server.connect_unix() as c:
                c.send(b"stats conns\r\n")
                assert any(path.encode()[:100] in line for line in c.lines())


@case
def unix_socket_private():
    with Server(unix=True) as server:
        assert os.stat(server.path).st_mode & 0o077 == 0


@case
def cve_2018_1000115_no_udp_by_default():
    with Server() as server:
        where = "/proc/%d/fd/" % server.pid
        mine = {os.readlink(where + name) for name in os.listdir(where)}
        for name in ("udp", "udp6"):
            with open("/proc/%d/net/%s" % (server.pid, name)) as f:
                sockets = ["socket:[%s]" % line.split()[9] for line in f.readlines()[1:]]
            assert not mine.intersection(sockets), (mine, sockets)
        assert server.stats(b"settings")["udpport"] == "0"


run()
