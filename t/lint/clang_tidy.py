"""Neither clang, with the warnings of the build, nor clang-tidy has anything to say about any C file;
.clang-tidy tells which checks and why not others."""
import concurrent.futures
import os
import re
import shutil
import subprocess

import tree

FOLDERS = tree.ROOMS + ["t", "bench"]
FLAGS = re.compile(r"^(?:KEEPD|CHECK|CONFUSE|LIBEVENT|OPENSSL|SASL|SECCOMP|XXHASH)_CFLAGS = (.*)$", re.M)
# The analyzer follows so many steps of a function, so that all files take a minute.
NODES = 3000


def flags():
    with open(os.path.join(tree.BUILD, "Makefile"), encoding="utf-8") as makefile:
        configured = " ".join(FLAGS.findall(makefile.read())).split()
    return ["-D_GNU_SOURCE=1", "-I.", "-It/unit", "-I" + os.path.abspath(tree.BUILD),
            *(flag for flag in configured if not flag.startswith("-fsanitize")),
            "-Xclang", "-analyzer-config", "-Xclang", "max-nodes=%d" % NODES]


def look_at(path, words):
    found = subprocess.run(["clang-tidy", "--quiet", path, "--", *words], cwd=tree.ROOT, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    here = os.path.abspath(tree.ROOT) + os.sep
    said = [line.replace(here, "") for line in found.stdout.splitlines()
            if re.search(r": (warning|error): ", line)]
    return said or (["%s: it ended with %d" % (path, found.returncode)] if found.returncode else [])


def findings():
    words = flags()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda path: look_at(path, words), tree.files(FOLDERS, [".c"]))
    return sorted({line for found in lists for line in found})


tap = tree.Tap()
if not shutil.which("clang-tidy"):
    tap.check("clang-tidy finds nothing # SKIP no clang-tidy", [])
elif not os.path.exists(os.path.join(tree.BUILD, "Makefile")):
    tap.check("clang-tidy finds nothing # SKIP nothing is built", [])
else:
    tap.check("clang-tidy finds nothing", findings())
tap.end()
