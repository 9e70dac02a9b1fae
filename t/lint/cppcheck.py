"""cppcheck has nothing to say about any C file; t/lint/cppcheck.txt tells what it gets wrong."""
import os
import shutil
import subprocess

import tree

FOLDERS = tree.ROOMS + ["t", "bench"]


def findings():
    command = ["cppcheck", "--quiet", "--enable=warning,portability,performance", "--std=c11",
               "--platform=unix64", "--error-exitcode=3", "--template={file}:{line}: {message} [{id}]",
               "-j", str(os.cpu_count()), "-D__GNUC__=12", "-D__x86_64__=1", "-D_GNU_SOURCE=1",
               "-I", ".", "-I", os.path.abspath(tree.BUILD),
               "--suppressions-list=t/lint/cppcheck.txt"]
    found = subprocess.run(command + tree.files(FOLDERS, [".c"]), cwd=tree.ROOT, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    said = [line for line in (found.stdout + found.stderr).splitlines() if line.strip()]
    return said or (["it ended with %d" % found.returncode] if found.returncode else [])


tap = tree.Tap()
if shutil.which("cppcheck"):
    tap.check("cppcheck finds nothing", findings())
else:
    tap.check("cppcheck finds nothing # SKIP no cppcheck", [])
tap.end()
