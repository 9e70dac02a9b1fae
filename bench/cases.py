"""The cases of the comparison, one row each: what the load does, what the servers are told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    name: str
    about: str
    load: dict
    server: tuple = ("-m", "1024")
    goal: float = None  # times memcached's throughput
    floor_goal: float = None  # share of the canned responder's throughput
    transport: str = "tcp"  # tcp, unix, tls
    login: str = ""  # sasl, text
    has_floor: bool = True
    workers: int = 1


def _load(kind, depth=1, connections=50, keys=100000, value="100", **more):
    return dict(kind=kind, depth=depth, connections=connections, keys=keys, value_bytes=value, **more)


def _depth_one():
    goals = {("get", 50): (1.15, 0.9), ("get", 5000): (1.15, 0.9)}
    for kind, extra in (("get", {}), ("set", {}), ("mix", {"set_every": 10})):
        for connections in (1, 50, 500, 5000):
            goal, floor = goals.get((kind, connections), (None, None))
            yield Case(f"{kind}-c{connections}", f"{kind} at depth 1, {connections} connections",
                       _load("get" if kind == "mix" else kind, 1, connections, **extra),
                       goal=goal, floor_goal=floor)


def _deep():
    big = ("-m", "4096")
    ten_million = dict(keys=10000000)
    yield Case("get-d16", "get at depth 16", _load("get", 16), goal=12)
    yield Case("get-d64", "get at depth 64", _load("get", 64), goal=30)
    yield Case("set-d16", "set at depth 16", _load("set", 16))
    yield Case("set-d64", "set at depth 64", _load("set", 64), goal=3)
    yield Case("mix-d16", "90 get, 10 set at depth 16", _load("get", 16, set_every=10), goal=11)
    yield Case("mix-d64", "90 get, 10 set at depth 64", _load("get", 64, set_every=10))
    yield Case("touch-d16", "touch at depth 16", _load("touch", 16))
    yield Case("mget-100", "text get of 100 keys", _load("mget"), goal=4)
    yield Case("mget-100-10m", "text get of 100 keys, 10 million items",
               _load("mget", **ten_million), server=big, goal=5.5)
    yield Case("mg-d64", "meta get at depth 64", _load("mg", 64), goal=6.5)
    yield Case("mg-d64-10m", "meta get at depth 64, 10 million items",
               _load("mg", 64, **ten_million), server=big)
    yield Case("ms-d64", "meta set at depth 64", _load("ms", 64))
    yield Case("bget-c50", "binary get at depth 1", _load("bget"))
    yield Case("bget-d64", "binary get at depth 64", _load("bget", 64))
    yield Case("bset-d64", "binary set at depth 64", _load("bset", 64))
    yield Case("bgetkq-100", "binary 100 GETKQ + NOOP", _load("bgetkq"), goal=6.5)
    yield Case("bgetkq-100-10m", "binary 100 GETKQ + NOOP, 10 million items",
               _load("bgetkq", **ten_million), server=big)
    yield Case("bsetq-100", "binary 100 SETQ + NOOP", _load("bsetq"), goal=3)


def _sizes():
    large = ("-m", "2048", "-I", "2m")
    for kind in ("get", "set"):
        yield Case(f"{kind}-10b-d16", f"{kind}, values of 10 B, depth 16", _load(kind, 16, value="10"))
        yield Case(f"{kind}-1k-d16", f"{kind}, values of 1 KiB, depth 16", _load(kind, 16, value="1k"))
        yield Case(f"{kind}-10k-d4", f"{kind}, values of 10 KiB, depth 4",
                   _load(kind, 4, 20, 20000, "10k"))
        yield Case(f"{kind}-100k", f"{kind}, values of 100 KiB, depth 1",
                   _load(kind, 1, 10, 2000, "100k"), server=large, goal=1)
        yield Case(f"{kind}-1m", f"{kind}, values of 1 MiB, depth 1",
                   _load(kind, 1, 10, 200, "1m"), server=large, goal=1)


def _transports():
    yield Case("unix-get-c50", "get at depth 1, unix socket", _load("get"), transport="unix")
    yield Case("unix-get-d64", "get at depth 64, unix socket", _load("get", 64), transport="unix")
    yield Case("unix-mget-100", "text get of 100 keys, unix socket", _load("mget"), transport="unix")
    yield Case("tls-get-c50", "get at depth 1, TLS 1.3", _load("get"), transport="tls")
    yield Case("tls-get-d16", "get at depth 16, TLS 1.3", _load("get", 16), transport="tls")
    yield Case("tls-get-d64", "get at depth 64, TLS 1.3", _load("get", 64), transport="tls",
               goal=2, floor_goal=0.8)
    yield Case("tls-mget-100", "text get of 100 keys, TLS 1.3", _load("mget"), transport="tls",
               goal=2, floor_goal=0.8)
    yield Case("tls-mget-100-1k", "text get of 100 keys, values of 1 KiB, TLS 1.3",
               _load("mget", value="1k"), transport="tls")
    yield Case("tls-get-100k", "get, values of 100 KiB, TLS 1.3", _load("get", 1, 10, 2000, "100k"),
               transport="tls", server=("-m", "2048", "-I", "2m"))


def _sessions():
    few = dict(connections=8)
    yield Case("connect", "connect, one mn, close", _load("connect", **few))
    yield Case("tls-handshake", "full TLS 1.3 handshake, one mn, close", _load("handshake", **few),
               transport="tls")
    yield Case("tls-resume", "resumed TLS 1.3 handshake, one mn, close", _load("resume", **few),
               transport="tls")
    yield Case("tls12-handshake", "full TLS 1.2 handshake, one mn, close",
               _load("handshake", tls_minor=2, **few), transport="tls")
    yield Case("tls12-resume", "resumed TLS 1.2 handshake, one mn, close",
               _load("resume", tls_minor=2, **few), transport="tls")
    yield Case("login-sasl", "connect, SASL PLAIN, close", _load("login", **few), login="sasl",
               has_floor=False)
    yield Case("login-text", "connect, login by set (-Y), close", _load("text-login", **few),
               login="text", has_floor=False)


def _workers():
    for workers in (1, 2, 3, 4):
        yield Case(f"hot-t{workers}", f"90/10 at depth 16, ten hot keys, {workers} workers",
                   _load("get", 16, 48, 10, set_every=10), workers=workers, has_floor=False)


CASES = [*_depth_one(), *_deep(), *_sizes(), *_transports(), *_sessions(), *_workers()]
