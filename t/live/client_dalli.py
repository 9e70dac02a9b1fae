#!/usr/bin/python3
"""Dalli (Debian ruby-dalli), a binary client in Ruby."""

import os

from foreign import relay
from harness import LIVE, Server, case, run


@case
def ruby_dalli():
    with Server("-m", 64) as server:
        relay(["ruby", os.path.join(LIVE, "client_dalli.rb"), "127.0.0.1", str(server.port)])


@case
def ruby_dalli_on_a_unix_socket():
    with Server("-m", 64, unix=True) as server:
        relay(["ruby", os.path.join(LIVE, "client_dalli.rb"), server.path])


run()
