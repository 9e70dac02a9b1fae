"""Neither clang, with the warnings of the build, has anything to say about any C file and the headers
that it includes, nor clang-tidy; .clang-tidy tells which checks and why not others."""
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
            *(flag for flag in configured if not flag.startswith("-fsanitize"))]


def said_by(command):
    found = subprocess.run(command, cwd=tree.ROOT, text=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    here = os.path.abspath(tree.ROOT) + os.sep
    said = [line.replace(here, "") for line in (found.stdout + found.stderr).splitlines()
            if re.search(r": (warning|error): ", line)]
    return said or (["%s ended with %d" % (" ".join(command[:3]), found.returncode)]
                    if found.returncode else [])


def compile_it(path, words):
    return said_by(["clang", "-fsyntax-only", path, *words])


def tidy_it(path, words):
    return said_by(["clang-tidy", "--quiet", path, "--", *words, "-Xclang", "-analyzer-config",
                    "-Xclang", "max-nodes=%d" % NODES])


def findings(look_at):
    words = flags()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda path: look_at(path, words), tree.files(FOLDERS, [".c"]))
    return sorted({line for found in lists for line in found})


tap = tree.Tap()
for program, look_at in (("clang", compile_it), ("clang-tidy", tidy_it)):
    name = program + " finds nothing"
    if not shutil.which(program):
        tap.check(name + " # SKIP no " + program, [])
    elif not os.path.exists(os.path.join(tree.BUILD, "Makefile")):
        tap.check(name + " # SKIP nothing is built", [])
    else:
        tap.check(name, findings(look_at))
tap.end()
