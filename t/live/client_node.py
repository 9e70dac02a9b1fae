#!/usr/bin/python3
"""The Node clients: npm `memcached` (text) and `memjs` (binary)."""

import os

from foreign import node_modules, relay
from harness import LIVE, Server, case, run


def node(script):
    modules = node_modules()
    with Server("-m", 64) as server:
        relay(["node", os.path.join(LIVE, "node", script), "127.0.0.1", str(server.port)],
              env={"NODE_PATH": os.path.join(modules, "node_modules")})


@case
def npm_memcached():
    node("text.js")


@case
def npm_memjs():
    node("binary.js")


run()
