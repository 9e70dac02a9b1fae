"""Who may include whom: rooms, doors, foreign headers; and what a header begins with."""
import os
import re

import tree

ENTERS = {
    "base": [],
    "protocol": ["base"],
    "cache": ["base"],
    "auth": ["base"],
    "tls": ["base"],
    "server": ["base", "protocol", "cache", "auth", "tls"],
}
DOORS = {
    "cache/cache.h", "auth/auth.h", "tls/tls.h",
    "protocol/request.h", "protocol/reply.h", "protocol/status.h",
    "protocol/parse.h", "protocol/bare_get.h", "protocol/encode.h",
}
# Foreign headers and the paths that may include them.
FENCES = {
    r"event2/": r"server/",
    r"openssl/": r"tls/|auth/",
    r"sasl/": r"auth/[a-z_]*\.[ch]$",
    r"confuse\.h": r"auth/",
    r"xxhash\.h": r"base/hash(\.c|_short\.h)$",
    r"seccomp\.h": r"server/sandbox\.c$",
    r"check\.h": r"$^",
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def includes():
    for path in tree.files(tree.ROOMS, [".c", ".h", ".def"]):
        for mark, name in INCLUDE.findall(tree.read(path)):
            yield path, mark, name


def room_faults():
    for path, mark, name in includes():
        room, other = path.split("/")[0], name.split("/")[0]
        if mark == "<" or name == "config.h" or other == room:
            continue
        if other not in ENTERS[room]:
            yield "%s includes %s: %s may enter %s only" % (
                path, name, room, ", ".join(ENTERS[room]) or "no other room")


def door_faults():
    for path, mark, name in includes():
        room, other = path.split("/")[0], name.split("/")[0]
        if mark == '"' and other not in (room, "base") and other in ENTERS \
                and name.endswith(".h") and name not in DOORS:
            yield "%s includes %s, which is private to %s" % (path, name, other)


def style_faults():
    for path, mark, name in includes():
        if mark == '"' and "/" not in name and name != "config.h":
            yield "%s includes %s without its folder" % (path, name)


def fence_faults():
    for path, mark, name in includes():
        for header, allowed in FENCES.items():
            if re.match(header, name) and mark == "<" and not re.match(allowed, path):
                yield "%s includes <%s>" % (path, name)


def sasl_faults():
    users = sorted({path for path, mark, name in includes() if name.startswith("sasl/")})
    return ["sasl/ is included by more than one file: " + ", ".join(users)] \
        if len(users) > 1 else []


def contract_faults():
    for path in tree.files(tree.ROOMS, [".h"]):
        head = tree.read(path).split("*/")[0]
        name = os.path.basename(path)
        if not head.startswith("/* %s - " % name):
            yield '%s does not begin with "/* %s - its purpose"' % (path, name)
        for word in ("Owns:", "Thread:", "Never:"):
            if not re.search(r"(\n \* |   )" + word, head):
                yield '%s says no "%s" at its top, or not where it is seen' % (path, word)


tap = tree.Tap()
tap.check("rooms enter only the rooms they may", list(room_faults()))
tap.check("other rooms are entered through their doors", list(door_faults()))
tap.check("own headers are included with their folder", list(style_faults()))
tap.check("foreign headers stay behind their fences", list(fence_faults()))
tap.check("one file of auth speaks to cyrus", sasl_faults())
tap.check("every header states its contract", list(contract_faults()))
tap.end()
