#!/usr/bin/python3
"""The USDT probes of a build with <sys/sdt.h>: provider, names and numbers of arguments in the ELF notes."""

import re
import shutil
import subprocess

from harness import KEEPD, Skip, case, run

PROBES = {"conn__create": 1, "conn__allocate": 1, "conn__dispatch": 2, "conn__release": 1,
          "process__command__start": 3, "process__command__end": 3, "command__get": 5,
          "command__delete": 3, "command__incr": 4, "command__decr": 4, "command__touch": 5}
PROBES.update(("command__" + name, 5) for name in ("set", "add", "replace", "append", "prepend", "cas"))


@case(keepd_only="memcached's provider is memcached")
def notes():
    if not shutil.which("readelf"):
        raise Skip("no readelf")
    text = subprocess.run(["readelf", "-n", KEEPD], capture_output=True, text=True).stdout
    found = re.findall(r"Provider: (\S+)\n\s+Name: (\S+)\n.*\n\s+Arguments: (.*)", text)
    if not found:
        raise Skip("built without probes")
    assert {provider for provider, _, _ in found} == {"keepd"}, found
    assert {name: len(arguments.split()) for _, name, arguments in found} == PROBES, found


run()
