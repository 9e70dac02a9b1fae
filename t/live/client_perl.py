#!/usr/bin/python3
"""Cache::Memcached::Fast (Debian libcache-memcached-fast-perl), a text client."""

import os

from foreign import relay
from harness import LIVE, Server, case, run


@case
def perl_client():
    with Server("-m", 64) as server:
        relay(["perl", os.path.join(LIVE, "client_perl.pl"), "127.0.0.1:%d" % server.port])


run()
