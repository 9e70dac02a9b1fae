"""Nothing that can change is global: objects in the libraries' .data and .bss, by objdump."""
import glob
import os
import re
import shutil
import subprocess

import tree

# "room: object"
ALLOWED = {
    # cyrus keeps a pointer to the description of a plug-in, and declares it as not constant
    "auth: plug",
    "auth: plugin_name",
    # cyrus has one allocator for the whole process, without an argument
    "auth: reserve",
}
OBJECT = re.compile(r"^[0-9a-f]+ .{6}O (\.data|\.bss)(\.[\w.]+)?\t[0-9a-f]+ (?:\.hidden )?(\S+)$", re.M)
CONSTANT = (".rel.ro",)  # relocated at start, read-only after
INSTRUMENTS = re.compile(r"^(__|\.L|_ZN|llvm_|asan\.|completed)")


def mutable_objects(library):
    listing = subprocess.run(["objdump", "-t", library], capture_output=True, text=True, check=True)
    for section, more, name in OBJECT.findall(listing.stdout):
        if not (more or "").startswith(CONSTANT) and not INSTRUMENTS.match(name):
            yield re.sub(r"\.\d+$", "", name)


def faults():
    for library in libraries:
        room = os.path.basename(library)[3:-2]
        for name in mutable_objects(library):
            if "%s: %s" % (room, name) not in ALLOWED:
                yield "%s: %s can change and is global" % (room, name)


libraries = [path for room in tree.ROOMS
             for path in glob.glob(os.path.join(tree.BUILD, "lib%s.a" % room))]
tap = tree.Tap()
if libraries and shutil.which("objdump"):
    tap.check("no library has a variable of its own", sorted(set(faults())))
else:
    tap.check("no library has a variable of its own # SKIP no objdump, or nothing is built", [])
tap.end()
