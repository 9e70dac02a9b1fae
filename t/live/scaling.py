#!/usr/bin/python3
"""Three servers as one: the configurations of doc/scaling.md, taken from there, and a node's loss."""

import os
import re
import shlex
import subprocess

import pylibmc

from accounts import KEEPCTL
from harness import (IS_REFERENCE, SRCDIR, TIMEOUT_S, Conn, Server, Skip, case, folder, free_port,
                     run, show, wait_for)

KEYS = ["key:%d" % i for i in range(3000)]
PASSWORD = "correct horse"


def block(language, nth=0):
    """The nth block of this language in the document."""
    with open(os.path.join(SRCDIR, "doc", "scaling.md")) as f:
        return re.findall(r"^```%s\n(.*?)^```$" % language, f.read(), re.M | re.S)[nth]


class Nodes:
    """The document's servers on free ports; text() puts these ports into a block."""

    def __init__(self, script):
        self.folder = folder()
        self.ports = {"112%d" % n: free_port() for n in (11, 12, 13)}
        self.proxy = free_port()
        self.servers, self.commands = [], []
        with open(os.path.join(self.folder, "shop-web.password"), "w") as f:
            f.write(PASSWORD + "\n")
        for line in self.text(script).splitlines():
            if line.startswith("keepctl "):
                subprocess.run(shlex.quote(KEEPCTL) + line[len("keepctl"):], shell=True, check=True,
                               cwd=self.folder, timeout=TIMEOUT_S)
            else:
                words = shlex.split(line)
                assert words[:3] == ["keepd", "-u", "keepd"], words
                self.commands.append(words[3:])
        self.servers = [self._start(i) for i in range(3)]

    def text(self, text):
        text = text.replace("/etc/keepd/", self.folder + "/").replace("22121", str(self.proxy))
        return re.sub(r"\b1121[123]\b", lambda m: str(self.ports[m[0]]), text)

    def _start(self, i):
        return Server(*self.commands[i], listen=None, expect_exit=None)

    def lose(self, i):
        self.servers[i].kill()

    def restart(self, i):
        self.servers[i] = self._start(i)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for server in self.servers:
            server.kill()


def documented_client(nodes, **more):
    names = {"PASSWORD": PASSWORD}
    exec(nodes.text(block("python")), names)
    client = names["client"]
    client.behaviors = more
    return client


def pass_over(client, keys=KEYS):
    """Asks for every key: what came, what was absent, what failed and how."""
    found, absent, failed = set(), set(), {}
    for key in keys:
        try:
            (absent if client.get(key) is None else found).add(key)
        except pylibmc.Error as e:
            failed[key] = type(e).__name__
    return found, absent, failed


def kinds(failed):
    return {kind: list(failed.values()).count(kind) for kind in set(failed.values())}


def holdings(nodes):
    """Which keys each server holds, asked of each alone."""
    held = []
    for port in nodes.ports.values():
        alone = pylibmc.Client(["127.0.0.1:%d" % port], binary=True, username="shop-web",
                               password=PASSWORD)
        held.append(set(alone.get_multi(KEYS)))
    assert sum(map(len, held)) == len(KEYS) and set().union(*held) == set(KEYS)
    return held


def filled(nodes, **behaviors):
    client = documented_client(nodes, **behaviors)
    for key in KEYS:
        assert client.set(key, key.encode())
    held = holdings(nodes)
    shares = [len(h) / len(KEYS) for h in held]
    show("shares of the keys: " + ", ".join("%.3f" % s for s in shares))
    assert all(0.2 < share < 0.5 for share in shares), shares
    return client, held


def keepd_only_file():
    if IS_REFERENCE:
        raise Skip("tenants and keepd's options")


@case
def ketama_needs_the_login():
    keepd_only_file()
    with Nodes(block("sh")) as nodes:
        servers = ["127.0.0.1:%d" % p for p in nodes.ports.values()]
        for user, password in (("shop-web", "wrong"), ("nobody", PASSWORD)):
            c = pylibmc.Client(servers[:1], binary=True, username=user, password=password)
            try:
                assert not c.set("a", b"1")
            except pylibmc.Error:
                pass
        client = documented_client(nodes)
        assert client.set("a", b"1") and client.get("a") == b"1"


@case
def c_and_python_find_the_same():
    keepd_only_file()
    with Nodes(block("sh")) as nodes:
        filled(nodes)
        source, program = nodes.folder + "/ketama.c", nodes.folder + "/ketama"
        with open(source, "w") as f:
            f.write(nodes.text(block("c")))
        subprocess.run(["cc", "-Wall", "-Werror", "-o", program, source, "-lmemcached"], check=True,
                       timeout=TIMEOUT_S * 4)
        done = subprocess.run([program] + KEYS[:500], capture_output=True, text=True,
                              env=dict(os.environ, SHOP_WEB_PASSWORD=PASSWORD),
                              timeout=TIMEOUT_S * 2)
        assert done.returncode == 0, done.stderr[:500]
        done = subprocess.run([program, "absent"], capture_output=True, text=True,
                              env=dict(os.environ, SHOP_WEB_PASSWORD=PASSWORD), timeout=TIMEOUT_S)
        assert done.returncode == 1 and "NOT FOUND" in done.stderr, done.stderr


@case
def ketama_loss_without_ejection():
    keepd_only_file()
    with Nodes(block("sh")) as nodes:
        client, held = filled(nodes, auto_eject=False)
        nodes.lose(1)
        found, absent, failed = pass_over(client)
        show("lost, not ejected: %d found, %d absent, failed %s" %
             (len(found), len(absent), kinds(failed)))
        assert found == held[0] | held[2] and not absent and set(failed) == held[1]
        nodes.restart(1)
        wait_for(lambda: not pass_over(client, sorted(held[1])[:20])[2], "the client to come back")
        found, absent, failed = pass_over(client)
        assert found == held[0] | held[2] and absent == held[1] and not failed


@case
def ketama_loss_with_ejection():
    keepd_only_file()
    with Nodes(block("sh")) as nodes:
        client, held = filled(nodes)
        nodes.lose(1)
        found, absent, failed = pass_over(client)
        show("lost, first pass: %d found, %d absent, failed %s" %
             (len(found), len(absent), kinds(failed)))
        assert found == held[0] | held[2] and absent | set(failed) == held[1] and failed
        lost = sorted(held[1])

        def refilled():
            """Stores what was lost; some attempts fail while the server is not yet given up."""
            try:
                return all(client.set(key, key.encode()) for key in lost)
            except pylibmc.Error:
                return False
        wait_for(refilled, "the ejection of the lost server", TIMEOUT_S * 2)
        moved = set(lost) & set().union(*(
            pylibmc.Client(["127.0.0.1:%d" % port], binary=True, username="shop-web",
                           password=PASSWORD).get_multi(lost)
            for port in (nodes.ports["11211"], nodes.ports["11213"])))
        assert moved == set(lost), len(moved)
        nodes.restart(1)

        def is_back():
            pass_over(client, lost[:50])
            alone = pylibmc.Client(["127.0.0.1:%d" % nodes.ports["11212"]], binary=True,
                                   username="shop-web", password=PASSWORD)
            return int(alone.get_stats()[0][1]["get_misses"]) > 0
        wait_for(is_back, "the client to come back", TIMEOUT_S * 3)
        found, absent, failed = pass_over(client)
        show("back: %d found, %d absent, failed %s" % (len(found), len(absent), kinds(failed)))
        assert found >= held[0] | held[2] and not failed


# ---------------------------------------------------------------- nutcracker

class Proxy:
    """nutcracker with the document's configuration."""

    def __init__(self, nodes):
        config, where = os.path.join(nodes.folder, "nutcracker.yml"), nodes.folder
        with open(config, "w") as f:
            f.write(nodes.text(block("yaml")))
        command = ["nutcracker", "-c", config, "-o", where + "/log", "-p", where + "/pid",
                   "-a", "127.0.0.1", "-s", str(free_port()), "-i", "500"]
        subprocess.run(command + ["-t"], check=True, capture_output=True, timeout=TIMEOUT_S)
        self.process = subprocess.Popen(command, cwd=where, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port = nodes.proxy
        wait_for(self._serves, "nutcracker")

    def _serves(self):
        try:
            Conn(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def connect(self):
        return Conn(("127.0.0.1", self.port))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


def ask_all(conn, keys):
    """One `get` per key, as pass_over."""
    found, absent, failed = set(), set(), {}
    for key in keys:
        first = conn.ask(b"get " + key.encode())
        if first == b"END":
            absent.add(key)
        elif first.startswith(b"VALUE "):
            conn.line()
            assert conn.line() == b"END"
            found.add(key)
        else:
            failed[key] = first.decode()
    return found, absent, failed


def held_by(server):
    with server.connect() as c:
        return ask_all(c, KEYS)[0]


@case
def nutcracker_spreads():
    with Nodes(block("sh", 1)) as nodes, Proxy(nodes) as proxy, proxy.connect() as c:
        for key in KEYS:
            assert c.set(key.encode(), key.encode()) == b"STORED"
        held = [held_by(server) for server in nodes.servers]
        show("shares of the keys: " + ", ".join("%.3f" % (len(h) / len(KEYS)) for h in held))
        assert sum(map(len, held)) == len(KEYS) == len(set().union(*held))
        assert all(0.2 < len(h) / len(KEYS) < 0.5 for h in held)
        assert ask_all(c, KEYS)[0] == set(KEYS)
        c.send(b"get %s\r\n" % " ".join(KEYS[:100]).encode())
        assert len(c.lines()) == 200, "one get of many keys is split and joined"
        assert c.ask(b"incr absent 1") == b"NOT_FOUND"
        assert c.set(b"n", b"41") == b"STORED" and c.ask(b"incr n 1") == b"42"
        assert c.ask(b"touch n 100") == b"TOUCHED" and c.ask(b"delete n") == b"DELETED"
        assert c.set(b"a", b"1", verb=b"add") == b"STORED"
        c.send(b"gets a\r\n")
        token = c.lines()[0].split()[-1]
        c.send(b"cas a 0 0 1 " + token + b"\r\n2\r\n")
        assert c.line() == b"STORED" and c.get(b"a") == b"2"
    for request in (b"mn", b"mg a v", b"stats", b"flush_all"):
        with Nodes(block("sh", 1)) as nodes, Proxy(nodes) as proxy, proxy.connect() as c:
            c.send(request + b"\r\n")
            show("%s through nutcracker: %r" % (request.decode(), c.wait_closed()))


@case
def nutcracker_loss():
    with Nodes(block("sh", 1)) as nodes, Proxy(nodes) as proxy, proxy.connect() as c:
        for key in KEYS:
            assert c.set(key.encode(), key.encode()) == b"STORED"
        held = [held_by(server) for server in nodes.servers]
        nodes.lose(1)
        found, absent, failed = ask_all(c, KEYS)
        show("lost, first pass: %d found, %d absent, failed %s" %
             (len(found), len(absent), kinds(failed)))
        assert found >= held[0] | held[2], "others' keys stay"
        assert absent | set(failed) == held[1]
        assert all(text.startswith("SERVER_ERROR") for text in failed.values()), kinds(failed)
        lost = sorted(held[1])

        def is_ejected():
            answers = {c.set(key.encode(), key.encode()) for key in lost}
            return answers == {b"STORED"}
        wait_for(is_ejected, "the ejection of the lost server")
        moved = held_by(nodes.servers[0]) | held_by(nodes.servers[2])
        assert moved == set(KEYS), len(moved)
        nodes.restart(1)

        def is_back():
            ask_all(c, lost[:50])
            return int(nodes.servers[1].stats()["get_misses"]) > 0
        wait_for(is_back, "nutcracker to come back")
        wait_for(lambda: not ask_all(c, KEYS)[2], "a pass without an error")
        found, absent, failed = ask_all(c, KEYS)
        show("back: %d found, %d absent" % (len(found), len(absent)))
        assert absent <= held[1] and not failed


@case
def ejection_brings_old_values_back():
    with Nodes(block("sh", 1)) as nodes, Proxy(nodes) as proxy, proxy.connect() as c:
        for key in KEYS[:100]:
            assert c.set(key.encode(), b"first") == b"STORED"
        lost = sorted(set(KEYS[:100]) & held_by(nodes.servers[1]))
        for value in (b"second", b"third"):
            nodes.lose(1)
            wait_for(lambda: not ask_all(c, lost)[2], "the ejection")
            if value == b"third":
                break
            wait_for(lambda: {c.set(key.encode(), value) for key in lost} == {b"STORED"},
                     "the others to take the keys")
            nodes.restart(1)
            wait_for(lambda: ask_all(c, lost)[1] == set(lost), "nutcracker to come back")
            assert {c.set(key.encode(), b"third") for key in lost} == {b"STORED"}
            assert held_by(nodes.servers[1]) == set(lost)
        assert {c.get(key.encode()) for key in lost} == {b"second"}


run()
