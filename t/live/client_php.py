#!/usr/bin/python3
"""php-memcached (Debian php-memcached, php-cli): libmemcached in binary and in text mode."""

import os

from foreign import relay
from harness import LIVE, Server, case, run


def php(mode, unix=False):
    with Server("-m", 64, unix=unix) as server:
        address = [server.path, "0"] if unix else ["127.0.0.1", str(server.port)]
        relay(["php", os.path.join(LIVE, "client_php.php"), mode] + address)


@case
def php_memcached_binary():
    php("binary")


@case
def php_memcached_text():
    php("text")


@case
def php_memcached_binary_on_a_unix_socket():
    php("binary", unix=True)


run()
