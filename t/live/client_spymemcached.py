#!/usr/bin/python3
"""spymemcached (Debian libspymemcached-java), a binary and text client in Java."""

import os
import subprocess

from foreign import cache_folder, relay
from harness import LIVE, PROGRAM_TIMEOUT_S, Server, case, run

JAR = "/usr/share/java/spymemcached.jar"


def java(*args):
    folder, lock = cache_folder("java")
    with lock:
        source = os.path.join(LIVE, "SpyClient.java")
        target = os.path.join(folder, "SpyClient.class")
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            subprocess.run(["javac", "-nowarn", "-cp", JAR, "-d", folder, source], check=True,
                           timeout=PROGRAM_TIMEOUT_S)
    relay(["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", JAR + ":" + folder,
           "SpyClient"] + list(args))


@case
def spymemcached_binary():
    with Server("-m", 64) as server:
        java("binary", "127.0.0.1", str(server.port))


@case
def spymemcached_text():
    with Server("-m", 64) as server:
        java("text", "127.0.0.1", str(server.port))


run()
